"""The reconciler: what a lost webhook would have told is found by asking."""

import asyncio
import json
import time
from uuid import UUID

import pytest
from pytest_django import Settings
from typer.testing import CliRunner

from handrail.core.crypto import Keyring
from handrail.core.refusal import Refusal
from handrail.core.worker import make_context
from handrail.enrollments import reconciling
from handrail.enrollments.reconciling import Reconciler, Tally
from tests.provisioning.campus import Campus
from tests.provisioning.world import World, run_worker_here, wait_until
from tests.scripted_partner import HANG, Request, ScriptedPartner, reply, run_scripted_partner


def go_round(
    settings: Settings, *, seconds: float = 0.0, slug: str = "", dry_run: bool = False
) -> Tally:
    async def go() -> Tally:
        context = make_context(asyncio.Event())
        reconciler = Reconciler(context, Keyring(settings.HANDRAIL_SECRET_KEYS))
        try:
            return await reconciler.go_round(seconds=seconds, slug=slug, dry_run=dry_run)
        finally:
            await reconciler.close()
            await context.pool.close()

    return asyncio.run(go())


def enroll_at_partner(campus: Campus, slug: str) -> tuple[UUID, str]:
    """An enrollment whose one step is in progress, and its id at the partner."""
    world = campus.world
    program = world.add_program([campus.add_course(slug)])
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: world.get_run(enrollment)["status"] == "active")
    return enrollment, world.get_run(enrollment)["external_enrollment_id"]


def enroll_at_scripted(world: World, partner: ScriptedPartner, *, slug: str = "") -> None:
    """An enrollment whose one step is in progress at a partner that says what the test wants."""
    address = f"http://127.0.0.1:{partner.port}"
    provider = world.add_provider("milady", base_url=address, slug=slug)
    world.enroll(world.add_program([world.add_course(provider, "C")]))
    with world.database.connect("superuser") as superuser:
        superuser.execute(
            "update partner_lms_enrollments set status = 'active', external_enrollment_id = 'E-1'"
        )
        superuser.execute("update intents set status = 'done'")


def act(campus: Campus, slug: str, id: str, action: str, **fields: object) -> None:
    campus.sandbox.control("POST", f"enrollments/{slug}/{id}/{action}", fields)


def get_step(world: World, enrollment: UUID) -> tuple[str, float]:
    ((status, progress),) = world.rows(
        "select status, progress from enrollment_steps where enrollment_id = %s", enrollment
    )
    return status, float(progress)


@pytest.mark.parametrize("slug", ["milady", "hsi", "careersafe", "nrf", "nds", "certiport"])
def test_a_lost_completion_and_its_certificate_are_found(
    campus: Campus, settings: Settings, slug: str
) -> None:
    world = campus.world
    enrollment, id = enroll_at_partner(campus, slug)
    act(campus, slug, id, "complete")
    tally = go_round(settings)
    assert get_step(world, enrollment) == ("completed", 100.0)
    kinds = [(each.fact.kind, each.outcome) for each in tally.differences]
    assert ("course.completed", "applied") in kinds
    assert ("certificate.issued", "applied") in kinds
    assert world.value("select count(*) from partner_certificates") == 1
    assert world.rows(
        "select cause_kind from step_events where to_status = 'completed' and step_id is not null"
    ) == [("reconciliation",)]
    assert world.value("select status from enrollments where id = %s", enrollment) == "completed"


def test_progress_is_taken_over_and_the_same_again_is_no_difference(
    campus: Campus, settings: Settings
) -> None:
    enrollment, id = enroll_at_partner(campus, "milady")
    act(campus, "milady", id, "progress", percent=40)
    assert [each.fact.kind for each in go_round(settings).differences] == ["progress.updated"]
    assert get_step(campus.world, enrollment) == ("in_progress", 40.0)
    again = go_round(settings)
    assert (again.asked, again.unanswered, again.differences) == (1, 0, [])


def test_a_certificate_lost_after_the_completion_came_is_asked_for(
    campus: Campus, settings: Settings
) -> None:
    """The enrollment is not active any more: the course was its last one."""
    world = campus.world
    enrollment, id = enroll_at_partner(campus, "milady")
    act(campus, "milady", id, "complete")
    provider = world.value("select id from partner_lms_providers")
    world.report(provider, "course.completed", enrollmentId=id)
    world.apply()
    assert world.value("select status from enrollments where id = %s", enrollment) == "completed"
    tally = go_round(settings)
    assert [each.fact.kind for each in tally.differences] == ["certificate.issued"]
    assert go_round(settings).asked == 0


def test_a_course_without_a_certificate_is_not_asked_for_one(
    campus: Campus, settings: Settings
) -> None:
    world = campus.world
    course = campus.add_course("nds", code="NDS-5PANEL", credential_name="")
    with run_worker_here("provisioning"):
        enrollment = world.enroll(world.add_program([course]))
        wait_until(lambda: world.get_run(enrollment)["status"] == "active")
    provider = world.value("select id from partner_lms_providers")
    id = world.get_run(enrollment)["external_enrollment_id"]
    world.report(provider, "course.completed", enrollmentId=id, result="negative")
    world.apply()
    assert go_round(settings).asked == 0


@pytest.mark.parametrize("status", ["suspended", "withdrawn"])
def test_only_active_enrollments_are_asked_about(
    campus: Campus, settings: Settings, status: str
) -> None:
    world = campus.world
    enrollment, _ = enroll_at_partner(campus, "nds")
    action = {"suspended": "suspend_enrollment", "withdrawn": "withdraw_enrollment"}[status]
    world.rows(f"select {action}(%s, 'on leave')", enrollment)
    assert go_round(settings).asked == 0


def test_a_dry_run_tells_and_changes_nothing(campus: Campus, settings: Settings) -> None:
    enrollment, id = enroll_at_partner(campus, "milady")
    act(campus, "milady", id, "progress", percent=40)
    tally = go_round(settings, dry_run=True)
    assert [(each.provider, each.outcome) for each in tally.differences] == [("milady", "found")]
    assert get_step(campus.world, enrollment) == ("in_progress", 0.0)


def test_one_provider_can_be_asked_alone(campus: Campus, settings: Settings) -> None:
    enroll_at_partner(campus, "milady")
    assert (go_round(settings, slug="hsi").asked, go_round(settings, slug="milady").asked) == (0, 1)


def test_a_partner_in_link_mode_is_not_asked(campus: Campus, settings: Settings) -> None:
    enroll_at_partner(campus, "milady")
    campus.world.rows("update partner_lms_providers set mode = 'link'")
    assert go_round(settings).asked == 0


def test_refused_credentials_are_one_entry_until_they_are_accepted(
    campus: Campus, settings: Settings
) -> None:
    from handrail.partners.actions import configure_provider

    enroll_at_partner(campus, "milady")
    provider = campus.world.value("select id from partner_lms_providers")
    configure_provider(provider, credentials={"api_key": "wrong-key"})
    assert go_round(settings).unanswered == 1
    ((kind, words),) = campus.world.list_attention()
    assert kind == "reconciliation"
    assert words.startswith("The partner cannot be asked how far its learners are: 401")
    configure_provider(provider, credentials={"api_key": "mil-key"})
    assert go_round(settings).unanswered == 0
    assert campus.world.list_attention() == []


@pytest.mark.parametrize(
    "answer",
    [
        reply(500, {}),
        reply(200, {"progressPercent": "40", "status": "in_progress"}),
        reply(410, {"message": "Gone."}),
    ],
    ids=["nothing", "nonsense", "refusal"],
)
def test_an_hour_without_a_usable_answer_is_one_entry_until_there_is_one(
    world: World,
    partner: ScriptedPartner,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes,
) -> None:
    enroll_at_scripted(world, partner)

    async def go() -> None:
        context = make_context(asyncio.Event())
        reconciler = Reconciler(context, Keyring(settings.HANDRAIL_SECRET_KEYS))
        found = []
        for answered, seconds in (
            (answer, 3600.0),
            (answer, 0.0),
            (reply(200, {"progressPercent": 40, "status": "in_progress"}), 0.0),
        ):
            monkeypatch.setattr(reconciling, "SILENT_SECONDS", seconds)
            partner.answer(answered)
            await reconciler.go_round()
            found.append([words for _, words in world.list_attention()])
        await reconciler.close()
        await context.pool.close()
        before = "The partner cannot be asked how far its learners are: no usable answer for over an hour"
        assert [[each.startswith(before) for each in words] for words in found] == [[], [True], []]

    asyncio.run(go())


def test_a_provider_that_cannot_be_called_is_one_entry_too(
    campus: Campus, settings: Settings
) -> None:
    enroll_at_partner(campus, "milady")
    good = settings.HANDRAIL_SECRET_KEYS
    settings.HANDRAIL_SECRET_KEYS = (("other", bytes(32)),)
    for _ in range(2):
        assert go_round(settings) == Tally()
    ((kind, words),) = campus.world.list_attention()
    assert kind == "reconciliation"
    assert words.startswith("The partner cannot be asked how far its learners are: the secret key ")
    settings.HANDRAIL_SECRET_KEYS = good
    assert go_round(settings).asked == 1
    assert campus.world.list_attention() == []


def test_no_partner_waits_for_a_slow_one(world: World, settings: Settings) -> None:
    settings.HANDRAIL_RECONCILE_SECONDS = 0.2

    async def go(quick: ScriptedPartner) -> None:
        context = make_context(asyncio.Event())
        rounds = asyncio.create_task(reconciling.run_reconciling(context))
        await asyncio.to_thread(wait_until, lambda: len(quick.requests) >= 4)
        context.stop.set()
        await rounds
        await context.pool.close()

    with run_scripted_partner() as slow, run_scripted_partner() as quick:
        settings.HANDRAIL_ALLOWED_PRIVATE_HOSTS = frozenset({slow.host_port, quick.host_port})
        slow.answer(HANG)
        enroll_at_scripted(world, slow, slug="slow")
        enroll_at_scripted(world, quick, slug="quick")
        asyncio.run(asyncio.wait_for(go(quick), 15))
        assert len(slow.requests) == 1


def test_a_refusal_that_ends_with_a_full_stop_gets_no_second_one(
    world: World, partner: ScriptedPartner, settings: Settings
) -> None:
    enroll_at_scripted(world, partner)
    partner.answer(reply(401, {"message": "The key has expired."}))
    assert go_round(settings).unanswered == 1
    assert world.list_attention() == [
        (
            "reconciliation",
            "The partner cannot be asked how far its learners are: 401: The key has expired.",
        )
    ]


def test_what_is_reported_while_the_partner_answers_is_not_overwritten(
    world: World, partner: ScriptedPartner, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to a question counts from when it was asked."""
    enroll_at_scripted(world, partner)
    report = {"ref": "1", "kind": "progress.updated", "percent": 60, "cause_kind": "webhook"}
    report["external_enrollment_id"] = "E-1"
    report["provider_id"] = str(world.value("select id from partner_lms_providers"))

    def report_and_answer(_: Request) -> bytes:
        world.rows("select apply_partner_events(%s::jsonb)", json.dumps([report]))
        return reply(200, {"progressPercent": 40, "status": "in_progress"})

    monkeypatch.setattr(partner, "take_reply", report_and_answer)
    tally = go_round(settings)
    assert [(each.outcome, each.reason) for each in tally.differences] == [
        ("ignored", "older than the progress known")
    ]
    assert world.value("select progress from partner_lms_enrollments") == 60


def test_questions_are_spread_over_the_interval(
    world: World, partner: ScriptedPartner, settings: Settings
) -> None:
    provider = world.add_provider("milady", base_url=f"http://127.0.0.1:{partner.port}")
    program = world.add_program([world.add_course(provider, "C")])
    enrollments = [world.enroll(program) for _ in range(45)]
    with world.database.connect("superuser") as superuser:
        superuser.execute(
            "update partner_lms_enrollments set status = 'active', external_enrollment_id = id::text"
        )
        superuser.execute("update intents set status = 'done'")
    began = time.monotonic()
    tally = go_round(settings, seconds=2.0)
    assert 1.8 < time.monotonic() - began < 6.0
    assert tally.asked == len({request.path for request in partner.requests}) == len(enrollments)


def test_the_worker_goes_round_by_itself_and_two_do_not_ask_twice(
    campus: Campus, settings: Settings
) -> None:
    settings.HANDRAIL_RECONCILE_SECONDS = 1.0
    enrollment, id = enroll_at_partner(campus, "careersafe")
    with run_worker_here("reconciling"), run_worker_here("reconciling"):
        time.sleep(3.2)
        asked = [each for each in campus.list_ledger("careersafe") if each[0] == "read_progress"]
        assert 2 <= len(asked) <= 5
        act(campus, "careersafe", id, "complete")
        wait_until(lambda: get_step(campus.world, enrollment) == ("completed", 100.0))


def test_nothing_is_asked_while_calls_are_held_back(campus: Campus, settings: Settings) -> None:
    settings.HANDRAIL_RECONCILE_SECONDS = 0.2
    enroll_at_partner(campus, "careersafe")
    campus.world.rows("select hold_outbound()")
    with run_worker_here("reconciling"):
        time.sleep(1)
    assert "read_progress" not in {each[0] for each in campus.list_ledger("careersafe")}


def test_the_command_tells_what_it_found(campus: Campus, settings: Settings) -> None:
    import typer

    from handrail.enrollments.commands import reconcile

    application = typer.Typer()
    application.command()(reconcile)
    _, id = enroll_at_partner(campus, "milady")
    act(campus, "milady", id, "progress", percent=40)
    told = CliRunner().invoke(application, ["--dry-run", "--provider", "milady"])
    assert told.exit_code == 0, told.output
    assert told.output.splitlines() == [
        f"milady  {id}  progress.updated 40.00  (found)",
        "Questions: 1. Without an answer: 0. Differences: 1.",
        "Nothing was changed. Take them over without --dry-run.",
    ]
    mistyped = CliRunner().invoke(application, ["--provider", "miladi"])
    assert mistyped.exit_code == 2
    assert "there is no provider 'miladi'" in mistyped.output

    campus.world.rows("select hold_outbound()")
    held = CliRunner().invoke(application, [])
    assert isinstance(held.exception, Refusal)
    assert "handrail release-outbound" in str(held.exception)
