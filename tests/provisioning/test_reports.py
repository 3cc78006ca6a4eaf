"""What partners report, through the handler that is registered with the inbox."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from handrail.enrollments.reports import CLOCK_TOLERANCE, apply_webhooks, describe_fact
from handrail.inbox.registry import ParsedEvent, find_handler
from handrail.partners.protocol import CertificateFacts, PartnerFact
from handrail.partners.registry import load_adapters
from tests.provisioning.world import World

NOW = datetime(2026, 5, 28, 20, 30, tzinfo=UTC)
PROVIDER = uuid4()
EXTERNAL = "MIL-E-1"


class Course:
    """An active run of Alice's at a provider, with an id of the partner's."""

    def __init__(self, world: World, adapter: str = "milady") -> None:
        self.world = world
        self.provider = world.add_provider(adapter)
        self.program = world.add_program([world.add_course(self.provider, "C")])
        self.enrollment = world.enroll(self.program)
        with world.database.connect("superuser") as superuser:
            superuser.execute("update partner_accounts set external_id = 'A-1'")
            superuser.execute(
                "update partner_lms_enrollments set status = 'active', external_enrollment_id = %s",
                (EXTERNAL,),
            )
            superuser.execute("update intents set status = 'done'")

    def report(self, event: str, **data: Any) -> tuple[str, str]:
        stored = self.world.report(self.provider, event, **{"enrollmentId": EXTERNAL, **data})
        self.world.apply()
        return self.world.get_event(stored)

    @property
    def step(self) -> tuple[str, Decimal]:
        ((status, progress),) = self.world.rows("select status, progress from enrollment_steps")
        return status, progress


@pytest.fixture
def course(world: World) -> Course:
    return Course(world)


def test_the_handler_is_registered_with_the_inbox() -> None:
    assert find_handler("partner") is apply_webhooks


def test_progress_then_completion_move_the_step(course: Course) -> None:
    assert course.report("progress.updated", percentage=40) == ("applied", "")
    assert course.step == ("in_progress", Decimal(40))
    assert course.report("course.completed") == ("applied", "")
    assert course.step == ("completed", Decimal(100))
    ((kind, cause_kind, match),) = course.world.rows(
        "select e.kind, h.cause_kind, e.match_external_id from webhook_events e "
        "join step_events h on h.cause_id = e.id where h.to_status = 'completed' and h.step_id is not null"
    )
    assert (kind, cause_kind, match) == ("course.completed", "webhook", EXTERNAL)


def test_a_completion_told_twice_is_applied_once(course: Course) -> None:
    assert course.report("course.completed") == ("applied", "")
    assert course.report("course.completed") == ("ignored", "already completed")


def test_events_of_one_enrollment_in_one_batch_keep_their_order(course: Course) -> None:
    for percentage in (10, 70, 30):
        course.world.report(
            course.provider, "progress.updated", enrollmentId=EXTERNAL, percentage=percentage
        )
    course.world.apply()
    assert course.step == ("in_progress", Decimal(30))


def test_a_certificate_is_kept_with_its_dates(course: Course) -> None:
    outcome = course.report(
        "certificate.issued",
        certificateId="CERT-1",
        certificateNumber="N-1",
        issuedDate="2026-05-28",
        expirationDate="2028-05-28",
        downloadUrl="https://partner.example.org/c.pdf",
    )
    assert outcome == ("applied", "")
    ((kept),) = course.world.rows(
        "select external_id, number, issued_on::text, expires_on::text, download_url from partner_certificates"
    )
    assert kept == (
        "CERT-1",
        "N-1",
        "2026-05-28",
        "2028-05-28",
        "https://partner.example.org/c.pdf",
    )


def test_a_sensitive_result_stays_apart_from_progress_and_reason(world: World) -> None:
    course = Course(world, "nds")
    assert course.report("course.failed", result="positive") == ("applied", "")
    assert world.rows("select result from sensitive_results") == [("positive",)]
    assert world.rows("select error_message from enrollment_steps") == [("",)]
    assert course.step == ("failed", Decimal(0))


def test_what_we_do_not_use_is_ignored_with_the_reason(course: Course) -> None:
    assert course.report("student.smiled") == ("ignored", "we do not use the event student.smiled")


def test_what_is_not_understood_goes_to_the_attention_list(course: Course) -> None:
    status, reason = course.report("progress.updated", percentage="forty")
    assert (status, reason) == ("needs_attention", "percentage is no number")
    ((kind, words),) = course.world.list_attention()
    assert (kind, words) == (
        "webhook_event",
        "A message of the partner needs a person: percentage is no number",
    )


def test_an_unknown_enrollment_waits(course: Course) -> None:
    status, reason = course.report("course.completed", enrollmentId="MIL-E-2")
    assert (status, reason) == ("waiting", "no enrollment of ours is known by what it names")


def test_an_enrollment_of_another_provider_is_not_meant(course: Course) -> None:
    """Bob's partner may not report on what Alice does at hers."""
    other = course.world.add_provider("hsi")
    event = course.world.report(other, "course.completed", enrollmentId=EXTERNAL)
    course.world.apply()
    assert course.world.get_event(event)[0] == "waiting"
    assert course.step == ("in_progress", Decimal(0))


def test_a_provider_whose_adapter_is_gone_needs_a_person(course: Course) -> None:
    with course.world.database.connect("superuser") as superuser:
        superuser.execute(
            "insert into partner_lms_providers (organization_id, slug, name, adapter, mode) "
            "values (%s, 'gone', 'Gone', 'no-such-adapter', 'api')",
            (course.world.organization,),
        )
    provider: UUID = course.world.value("select id from partner_lms_providers where slug = 'gone'")
    event = course.world.report(provider, "course.completed", enrollmentId=EXTERNAL)
    course.world.apply()
    status, reason = course.world.get_event(event)
    assert (status, reason[:33]) == ("needs_attention", "there is no adapter 'no-such-adap")


class _Several:
    """A platform that tells several things in one message."""

    def __init__(self, *facts: PartnerFact) -> None:
        self.facts = list(facts)

    def translate(self, message: object) -> list[PartnerFact]:
        return self.facts


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        (
            [
                PartnerFact("progress.updated", EXTERNAL, percent=Decimal(90)),
                PartnerFact("course.completed", EXTERNAL),
            ],
            ("applied", "progress.updated course.completed"),
        ),
        (
            [
                PartnerFact("enrollment.created", EXTERNAL),
                PartnerFact("course.completed", EXTERNAL),
            ],
            ("applied", "enrollment.created course.completed"),
        ),
        (
            [PartnerFact("course.completed", EXTERNAL), PartnerFact("course.completed", "MIL-E-2")],
            ("waiting", "course.completed"),
        ),
        (
            [
                PartnerFact("course.completed", EXTERNAL),
                PartnerFact("course.failed", run_id=uuid4()),
            ],
            ("needs_attention", "course.completed course.failed"),
        ),
        ([], ("ignored", "")),
    ],
)
def test_a_message_of_several_facts_has_one_outcome(
    course: Course,
    monkeypatch: pytest.MonkeyPatch,
    facts: list[PartnerFact],
    outcome: tuple[str, str],
) -> None:
    monkeypatch.setitem(load_adapters(), "milady", _Several(*facts))
    course.report("anything")
    assert course.world.rows("select status, kind from webhook_events") == [outcome]


def test_a_partner_that_echoes_our_id_is_found_by_it(course: Course) -> None:
    with course.world.database.connect("superuser") as superuser:
        superuser.execute("update partner_lms_enrollments set external_enrollment_id = null")
    run = UUID(course.world.get_run(course.enrollment)["id"])
    fact = PartnerFact("course.completed", "MIL-E-9", run_id=run)
    described = describe_fact(
        fact, ref="1", provider_id=course.provider, received_at=NOW, cause_kind="webhook"
    )
    assert (described["run_id"], described["external_enrollment_id"]) == (run.hex, "MIL-E-9")


def test_a_time_far_in_the_future_is_not_believed() -> None:
    def describe(ahead: timedelta) -> dict[str, object]:
        fact = PartnerFact("course.completed", EXTERNAL, occurred_at=NOW + ahead)
        return describe_fact(
            fact, ref="1", provider_id=PROVIDER, received_at=NOW, cause_kind="webhook"
        )

    assert "occurred_at" in describe(CLOCK_TOLERANCE - timedelta(seconds=1))
    assert "occurred_at" not in describe(CLOCK_TOLERANCE)
    assert "occurred_at" not in describe(timedelta(days=365))


def test_what_is_absent_is_not_sent() -> None:
    fact = PartnerFact("certificate.issued", certificate=CertificateFacts("C-1"))
    assert describe_fact(
        fact, ref="7", provider_id=PROVIDER, received_at=NOW, cause_kind="file"
    ) == {
        "ref": "7",
        "kind": "certificate.issued",
        "provider_id": PROVIDER.hex,
        "received_at": "2026-05-28T20:30:00+00:00",
        "cause_kind": "file",
        "certificate": {
            "external_id": "C-1",
            "number": "",
            "download_url": "",
            "verification_url": "",
        },
    }


def test_an_event_of_no_provider_needs_a_person(world: World) -> None:
    event = ParsedEvent(
        uuid4(), uuid4(), None, None, "e", NOW, None, {"event": "course.completed"}, 0
    )
    (outcome,) = apply_webhooks(world.connection, [event])
    assert (outcome.status, outcome.reason) == (
        "needs_attention",
        "its endpoint belongs to no provider",
    )
