"""Calls to partners and their results, with the practice partners over real HTTP."""

import asyncio
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from pytest_django import Settings

from handrail.core.service_connection import ServiceConnection
from handrail.enrollments.calls import Result
from handrail.enrollments.recording import Ended, Recorder
from handrail.partners.actions import configure_provider
from handrail.partners.adapters.milady import adapter as milady
from handrail.partners.adapters.origin import OriginAdapter
from handrail.partners.protocol import AccountFacts, Offers
from handrail.partners.registry import load_adapters
from tests.provisioning.campus import Campus
from tests.provisioning.test_calls import make_claimed
from tests.provisioning.world import World, run_worker_here, wait_until
from tests.scripted_partner import HANG, ScriptedPartner, reply

NOBODY = reply(200, {"results": []})


def is_active(world: World, enrollment: Any) -> bool:
    return bool(world.get_run(enrollment)["status"] == "active")


@pytest.mark.parametrize("slug", ["milady", "hsi", "certiport", "careersafe", "nrf", "nds"])
def test_a_started_step_ends_in_an_enrollment_at_the_partner(campus: Campus, slug: str) -> None:
    world = campus.world
    program = world.add_program([campus.add_course(slug)])
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: is_active(world, enrollment))
    (at_partner,) = campus.list_enrollments(slug)
    run = world.get_run(enrollment)
    assert run["external_enrollment_id"] == at_partner["id"]
    assert run["access_url"].startswith("http")
    assert [intent["status"] for intent in world.list_intents()] == ["done", "done"]
    assert world.list_attention() == []


def test_an_account_that_is_there_already_is_found_and_none_is_made(campus: Campus) -> None:
    world = campus.world
    course = campus.add_course("milady")
    alice = world.add_learner("Alice")
    email = world.value("select email from learners where id = %s", alice)
    fields = {"firstName": "A", "lastName": "B", "email": email, "schoolId": "SCHOOL-1"}
    made = campus.sandbox.ask("milady", "POST", "/api/v1/students", fields).json["studentId"]
    with run_worker_here("provisioning"):
        enrollment = world.enroll(world.add_program([course]), alice)
        wait_until(lambda: is_active(world, enrollment))
    assert world.value("select external_id from partner_accounts") == made
    assert campus.list_ledger("milady") == [
        ("create_account", "created", "201"),
        ("find_account", "found", "200"),
        ("enroll", "created", "201"),
    ]


@pytest.mark.parametrize("fault", ["error_after", "drop_after", "hang_after"])
@pytest.mark.parametrize("operation", ["create_account", "enroll"])
def test_after_an_unknown_outcome_it_looks_before_it_repeats(
    campus: Campus, operation: str, fault: str
) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("careersafe")])
    campus.order_fault("careersafe", operation, fault)
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: is_active(world, enrollment))
    made = [each for each in campus.list_ledger("careersafe") if each[1] == "created"]
    assert [operation for operation, _, _ in made] == ["create_account", "enroll"]
    assert world.list_attention() == []


@pytest.mark.parametrize("fault", ["error_before", "drop_before", "hang_before"])
def test_after_an_unknown_outcome_that_was_nothing_it_repeats(campus: Campus, fault: str) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("nrf")])
    campus.order_fault("nrf", "enroll", fault)
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: is_active(world, enrollment))
    operations = [(operation, outcome) for operation, outcome, _ in campus.list_ledger("nrf")]
    assert operations[-3:] == [
        ("enroll", "not_done"),
        ("find_enrollment", "none"),
        ("enroll", "created"),
    ]
    assert world.list_intents()[-1]["attempts"] == 2


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform that honors our key and offers no look-up."""
    assert isinstance(milady, OriginAdapter)
    offers = Offers(find_account=False, find_enrollment=False, idempotency_hours=24)
    monkeypatch.setitem(
        load_adapters(), "milady", OriginAdapter(replace(milady.sheet, offers=offers))
    )


@pytest.mark.usefixtures("keyed")
@pytest.mark.parametrize("operation", ["create_account", "enroll"])
def test_without_a_look_up_it_repeats_with_the_same_key(campus: Campus, operation: str) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("milady")])
    campus.order_fault("milady", operation, "error_after")
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: is_active(world, enrollment))
    ours = [(o, outcome) for o, outcome, _ in campus.list_ledger("milady") if o == operation]
    assert ours == [(operation, "created"), (operation, "replayed")]


@pytest.mark.usefixtures("keyed")
def test_a_key_that_the_partner_has_forgotten_is_not_relied_on(campus: Campus) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("milady")])
    campus.order_fault("milady", "create_account", "drop_after")
    enrollment = world.enroll(program)
    with world.database.connect("superuser") as superuser:
        superuser.execute(
            "update intents set first_sent_at = now() - interval '23 hours 56 minutes', uncertain = true"
        )
    with run_worker_here("provisioning"):
        wait_until(world.list_attention)
    assert campus.list_ledger("milady") == []
    ((kind, words),) = world.list_attention()
    assert (kind, words[:39]) == ("call", "The partner may have done it; look ther")
    assert world.list_intents()[0]["details"] == {"cause": "undecidable"}
    assert world.get_run(enrollment)["status"] == "requested"


def test_where_nobody_can_tell_a_person_decides_at_once(campus: Campus) -> None:
    """NDS offers neither look-up nor key: a repeat might be a second order."""
    world = campus.world
    program = world.add_program([campus.add_course("nds")])
    campus.order_fault("nds", "enroll", "error_after")
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(world.list_attention)
        run = world.get_run(enrollment)
        assert (run["status"], run["external_enrollment_id"]) == ("needs_attention", None)
        assert "look there" in run["cause"]
        # The person reads the partner's own page and enters the id found there.
        (at_partner,) = campus.list_enrollments("nds")
        intent = world.list_intents()[-1]
        world.rows("select enter_partner_id(%s, %s, 'seen at NDS')", intent["id"], at_partner["id"])
    assert world.get_run(enrollment)["status"] == "active"
    assert world.list_attention() == []
    assert len(campus.list_enrollments("nds")) == 1


def test_a_person_who_saw_nothing_there_has_it_tried_again(campus: Campus) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("nds")])
    campus.order_fault("nds", "create_account", "error_before")
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(world.list_attention)
        world.rows("select retry_call(%s, false, 'not there')", world.list_intents()[0]["id"])
        wait_until(lambda: is_active(world, enrollment))
    assert [each[:2] for each in campus.list_ledger("nds")] == [
        ("create_account", "not_done"),
        ("create_account", "created"),
        ("enroll", "created"),
    ]


def test_looking_again_where_nothing_can_be_looked_up_asks_the_person_again(
    campus: Campus,
) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("nds")])
    campus.order_fault("nds", "create_account", "drop_after")
    with run_worker_here("provisioning"):
        world.enroll(program)
        wait_until(world.list_attention)
        intent = world.list_intents()[0]["id"]
        world.rows("select retry_call(%s, true, '')", intent)
        wait_until(world.list_attention)
    assert len(campus.list_ledger("nds")) == 1


def test_a_refusal_goes_to_a_person_with_the_partners_words(campus: Campus) -> None:
    world = campus.world
    provider = campus.add_provider("hsi")
    program = world.add_program([world.add_course(provider, "NO-SUCH-COURSE")])
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(world.list_attention)
    ((kind, words),) = world.list_attention()
    assert kind == "call"
    assert words.startswith("422: ")
    assert world.get_run(enrollment)["cause"] == words
    assert [each[:2] for each in campus.list_ledger("hsi")][-1] == ("enroll", "refused")
    assert world.list_intents()[-1]["details"]["cause"] == "refused"


def test_a_fault_of_ours_in_an_adapter_is_not_taken_for_an_answer(
    campus: Campus, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("nds")])

    async def fail(*_: Any, **__: Any) -> Any:
        raise KeyError("studentId")

    monkeypatch.setattr(load_adapters()["nds"], "create_account", fail)
    with run_worker_here("provisioning"):
        world.enroll(program)
        wait_until(world.list_attention)
    ((_, words),) = world.list_attention()
    assert "an error in Handrail (KeyError)" in words


def test_retry_after_is_obeyed_and_uses_up_no_attempt(campus: Campus) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("milady")])
    campus.order_fault("milady", "enroll", "limit", times=2)
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: is_active(world, enrollment))
    asked = [each for each in campus.read_ledger("milady") if each["operation"] == "enroll"]
    times = [_seconds(each["at"]) for each in asked]
    assert [each["answered"] for each in asked] == ["429", "429", "201"]
    assert min(times[1] - times[0], times[2] - times[1]) >= 1.0
    assert world.list_intents()[-1]["attempts"] == 1


def test_a_wait_of_hours_is_obeyed(world: World, partner: ScriptedPartner) -> None:
    partner.answer(reply(429, {"message": "come back"}, Retry_After="20000"))
    provider = world.add_provider("nrf", base_url=f"http://127.0.0.1:{partner.port}")
    program = world.add_program([world.add_course(provider, "C")])
    with run_worker_here("provisioning"):
        world.enroll(program)
        wait_until(lambda: world.list_intents()[0]["status"] == "failed")
    (intent,) = world.list_intents()
    waits = _seconds(intent["next_attempt_at"]) - _seconds(intent["updated_at"])
    assert 20000 <= waits <= 20001


def test_who_asks_for_a_wait_of_nothing_is_left_alone_longer_each_time(
    world: World, partner: ScriptedPartner, settings: Settings
) -> None:
    settings.HANDRAIL_RETRY_MAX_SECONDS = 60.0
    partner.answer(*[reply(429, {"message": "slow down"}, Retry_After="0")] * 100)
    provider = world.add_provider("nrf", base_url=f"http://127.0.0.1:{partner.port}")
    with run_worker_here("provisioning"):
        world.enroll(world.add_program([world.add_course(provider, "C")]))
        wait_until(lambda: len(partner.requests) > 3)
    (intent,) = world.list_intents()
    wait = _seconds(intent["next_attempt_at"]) - _seconds(intent["updated_at"])
    calls = intent["calls"]
    assert calls >= 4
    assert wait >= settings.HANDRAIL_RETRY_BASE_SECONDS * 2 ** (calls - 2) * 0.5
    assert intent["attempts"] == 0


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_an_outage_uses_up_no_attempts(campus: Campus, settings: Settings) -> None:
    settings.HANDRAIL_RETRY_MAX_SECONDS = 0.05
    world = campus.world
    program = world.add_program([campus.add_course("milady")])
    campus.order_fault("milady", "", "down", times=6)
    with run_worker_here("provisioning"):
        enrollments = [world.enroll(program) for _ in range(3)]
        wait_until(lambda: all(is_active(world, each) for each in enrollments), seconds=30)
    assert world.list_attention() == []
    assert {intent["attempts"] for intent in world.list_intents()} == {1}


def test_a_partner_that_is_down_for_all_uses_up_no_attempts_by_errors_either(
    campus: Campus, settings: Settings
) -> None:
    """Some platforms answer 500 when they are down."""
    settings.HANDRAIL_RETRY_MAX_SECONDS = 0.05
    world = campus.world
    program = world.add_program([campus.add_course("careersafe")])
    enrollments = [world.enroll(program) for _ in range(4)]
    campus.order_fault("careersafe", "", "error_before", times=11)
    with run_worker_here("provisioning"):
        wait_until(lambda: all(is_active(world, each) for each in enrollments), seconds=40)
    attempts = [each["attempts"] for each in world.list_intents()]
    # Eight succeeded; what failed counts only until it was clear that nobody gets an answer.
    assert 8 <= sum(attempts) <= 8 + 6
    assert world.list_attention() == []


@pytest.mark.usefixtures("keyed")
def test_calls_that_nobody_can_look_up_use_up_no_attempts_in_an_outage_either(
    campus: Campus,
) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("milady")])
    enrollments = [world.enroll(program) for _ in range(2)]
    campus.order_fault("milady", "", "error_before", times=10)
    with run_worker_here("provisioning"):
        wait_until(lambda: all(is_active(world, each) for each in enrollments), seconds=30)
    assert [each[1] for each in campus.list_ledger("milady")].count("not_done") == 10
    # Four succeeded; of what failed the first four counted, for it may have been their own fault.
    assert sum(each["attempts"] for each in world.list_intents()) == 4 + 4


def test_a_call_that_never_gets_an_answer_ends_with_a_person(
    world: World, partner: ScriptedPartner
) -> None:
    provider = world.add_provider("milady", base_url=f"http://127.0.0.1:{partner.port}")
    program = world.add_program([world.add_course(provider, "C")])
    partner.answer(*[NOBODY, reply(500, {"message": "oops"})] * 20)
    with run_worker_here("provisioning"):
        world.enroll(program)
        wait_until(world.list_attention, seconds=60)
    ((_, words),) = world.list_attention()
    assert words == "Tried 8 times. Last answer: 500: oops"
    intent = world.list_intents()[0]
    assert (intent["status"], intent["uncertain"], intent["attempts"]) == ("needs_person", True, 8)


def test_the_answer_of_an_older_run_is_not_taken_for_the_new_one(campus: Campus) -> None:
    """At careersafe a person may enroll again when the first enrollment is closed."""
    world = campus.world
    program = world.add_program([campus.add_course("careersafe")])
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: is_active(world, enrollment))
        (first,) = campus.list_enrollments("careersafe")
        campus.sandbox.control(
            "POST", f"enrollments/careersafe/{first['id']}/fail", {"reason": "late"}
        )
        world.rows("select fail_step(%s, current_date, 'seen there')", world.get_step(enrollment))
        campus.order_fault("careersafe", "enroll", "error_before")
        world.rows("select retry_step(%s, 'again')", world.get_step(enrollment))
        wait_until(lambda: is_active(world, enrollment))
    ids = [each["id"] for each in campus.list_enrollments("careersafe")]
    assert (len(ids), world.get_run(enrollment)["run"]) == (2, 2)
    assert world.get_run(enrollment)["external_enrollment_id"] in set(ids) - {first["id"]}


def test_an_id_that_an_earlier_attempt_used_needs_a_person(campus: Campus) -> None:
    """At nrf a repeat is answered 409 with the old enrollment for ever."""
    world = campus.world
    program = world.add_program([campus.add_course("nrf")])
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: is_active(world, enrollment))
        world.rows("select fail_step(%s, current_date, 'seen there')", world.get_step(enrollment))
        world.rows("select retry_step(%s, 'again')", world.get_step(enrollment))
        wait_until(world.list_attention)
        ((_, words),) = world.list_attention()
        assert words.startswith("The partner allows one enrollment")
        intent = world.list_intents()[-1]
        (at_partner,) = campus.list_enrollments("nrf")
        assert intent["details"] == {"cause": "one_enrollment", "external_id": at_partner["id"]}
        world.rows("select continue_old_run(%s, '')", intent["id"])
    assert world.get_run(enrollment)["external_enrollment_id"] == at_partner["id"]


@pytest.mark.parametrize(
    ("operation", "fault"),
    [("buy_voucher", "error_after"), ("enroll", "error_before"), ("enroll", "error_after")],
)
def test_a_voucher_is_bought_once(campus: Campus, operation: str, fault: str) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("certiport")])
    campus.order_fault("certiport", operation, fault)
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: is_active(world, enrollment))
    ledger = campus.read_ledger("certiport")
    bought = [each["voucher"] for each in ledger if each["operation"] == "buy_voucher"]
    assert world.get_run(enrollment)["saved"] == {"voucher_id": bought[0]}
    assert len(bought) == 1


def test_a_second_attempt_at_an_exam_buys_no_second_voucher(campus: Campus) -> None:
    """Certiport enrolls a person in an exam once for ever."""
    world = campus.world
    program = world.add_program([campus.add_course("certiport")])
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: is_active(world, enrollment))
        (at_partner,) = campus.list_enrollments("certiport")
        campus.sandbox.control("POST", f"enrollments/certiport/{at_partner['id']}/fail", {})
        world.rows("select fail_step(%s, current_date, 'seen there')", world.get_step(enrollment))
        world.rows("select retry_step(%s, 'again')", world.get_step(enrollment))
        wait_until(world.list_attention)
        intent = world.list_intents()[-1]
        world.rows("select retry_call(%s, false, 'again')", intent["id"])
        wait_until(world.list_attention)
    details = world.list_intents()[-1]["details"]
    assert (details["cause"], details["external_id"]) == ("one_enrollment", at_partner["id"])
    ((kind, words),) = world.list_attention()
    assert (kind, words[:33]) == ("call", "The partner allows one enrollment")
    asked = [operation for operation, _, _ in campus.list_ledger("certiport")]
    assert (asked.count("buy_voucher"), asked.count("enroll")) == (1, 1)


def test_an_account_that_is_gone_is_found_or_made_again(campus: Campus) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("milady")], [])
    with world.database.connect("superuser") as superuser:
        alice = world.add_learner()
        superuser.execute(
            "insert into partner_accounts (organization_id, provider_id, learner_id, external_id) "
            "select organization_id, id, %s, 'GONE-1' from partner_lms_providers",
            (alice,),
        )
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program, alice)
        wait_until(lambda: is_active(world, enrollment))
    ((external_id, former),) = world.rows("select external_id, former_ids from partner_accounts")
    assert [each["id"] for each in former] == ["GONE-1"]
    assert external_id.startswith("MIL-A-")
    assert world.list_attention() == []


def test_an_outage_of_the_partner_holds_nobody_else_up(
    campus: Campus, partner: ScriptedPartner, settings: Settings
) -> None:
    """A partner that hangs takes its own places only, however long its queue is."""
    world = campus.world
    settings.HANDRAIL_ALLOWED_PRIVATE_HOSTS |= {("127.0.0.1", campus.sandbox.port)}
    settings.HANDRAIL_CALL_TIMEOUT_SECONDS = 30.0
    hanging = world.add_provider("nrf", base_url=f"http://127.0.0.1:{partner.port}")
    partner.answer(*[HANG] * 200)
    stuck = world.add_program([world.add_course(hanging, "C")])
    good = world.add_program([campus.add_course("milady")])
    for _ in range(100):
        world.enroll(stuck)
    with run_worker_here("provisioning"):
        wait_until(lambda: len(partner.requests) == 16)
        began = time.monotonic()
        enrollments = [world.enroll(good) for _ in range(20)]
        wait_until(lambda: all(is_active(world, each) for each in enrollments))
        assert time.monotonic() - began < 5.0
        assert len(partner.requests) == 16


def test_a_suspended_enrollment_waits_until_it_is_resumed(campus: Campus) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("milady")])
    enrollment = world.enroll(program)
    world.rows("select suspend_enrollment(%s, 'on leave')", enrollment)
    with run_worker_here("provisioning"):
        time.sleep(1.5)
        assert campus.list_ledger("milady") == []
        world.rows("select resume_enrollment(%s, 'back')", enrollment)
        wait_until(lambda: is_active(world, enrollment))


def test_after_a_restore_nothing_goes_out_until_released(campus: Campus) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("milady")])
    world.rows("select hold_outbound()")
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        time.sleep(1.5)
        assert campus.list_ledger("milady") == []
        world.rows("select release_outbound(false)")
        wait_until(lambda: is_active(world, enrollment))


def test_withdrawn_while_the_call_is_in_flight_ends_at_the_partner_too(campus: Campus) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("careersafe")])
    campus.order_fault("careersafe", "enroll", "hang_after")
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: campus.list_enrollments("careersafe"))
        world.rows("select withdraw_enrollment(%s, 'moved away')", enrollment)
        assert world.get_run(enrollment)["status"] == "cancelling"
        wait_until(lambda: world.get_run(enrollment)["status"] == "cancelled")
    (at_partner,) = campus.list_enrollments("careersafe")
    assert (at_partner["status"], world.list_attention()) == ("ended", [])


def test_withdrawn_before_an_unanswered_call_was_done_is_not_enrolled_after_all(
    campus: Campus,
) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("careersafe")])
    campus.order_fault("careersafe", "enroll", "hang_before")
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: world.list_intents()[-1]["status"] == "sending")
        wait_until(lambda: world.list_intents()[-1]["kind"] == "enroll")
        world.rows("select withdraw_enrollment(%s, 'moved away')", enrollment)
        wait_until(lambda: world.get_run(enrollment)["status"] == "cancelled")
    assert campus.list_enrollments("careersafe") == []
    assert world.list_attention() == []


def test_a_completion_that_overtakes_the_answer_counts(campus: Campus) -> None:
    """An instant partner's webhook arrives before we know the enrollment's id."""
    world = campus.world
    course = campus.add_course("careersafe")
    ((provider,),) = world.rows("select provider_id from partner_lms_courses where id = %s", course)
    campus.order_fault("careersafe", "enroll", "hang_after")
    with run_worker_here("provisioning"):
        enrollment = world.enroll(world.add_program([course]))
        wait_until(lambda: campus.list_enrollments("careersafe"))
        (at_partner,) = campus.list_enrollments("careersafe")
        event = world.report(provider, "course.completed", enrollmentId=at_partner["id"])
        world.apply()
        assert world.get_event(event)[0] == "waiting"
        wait_until(lambda: is_active(world, enrollment))
        world.apply()
    assert world.get_event(event) == ("applied", "")
    assert world.value("select status from enrollments where id = %s", enrollment) == "completed"


def test_changed_credentials_are_used_within_seconds(campus: Campus) -> None:
    world = campus.world
    provider = campus.add_provider("milady")
    program = world.add_program([world.add_course(provider, "MS-BARB")])
    with run_worker_here("provisioning"):
        first = world.enroll(program)
        wait_until(lambda: is_active(world, first))
        configure_provider(provider, credentials={"api_key": "wrong-key"})
        forget_configuration(world)
        time.sleep(2)
        refused = [world.enroll(program) for _ in range(3)]
        wait_until(lambda: count_awaiting(world) == 3)
        ((kind, words),) = world.list_attention()
        assert kind == "provider_calls"
        assert words.startswith("The partner refuses the credentials that it is called with: 401")
        assert "wrong-key" not in words
        configure_provider(provider, credentials={"api_key": "mil-key"})
        wait_until(lambda: all(is_active(world, each) for each in refused))
    assert world.list_attention() == []
    assert len(campus.list_enrollments("milady")) == 4


def test_what_is_refused_with_the_credentials_of_before_is_tried_with_the_new_ones(
    campus: Campus,
) -> None:
    world = campus.world
    provider = campus.add_provider("milady")
    program = world.add_program([world.add_course(provider, "MS-BARB")])
    configure_provider(provider, credentials={"api_key": "wrong-key"})
    enrollment = world.enroll(program)
    with run_worker_here("provisioning"):
        wait_until(lambda: [each["status"] for each in world.list_intents()] == ["failed"])
        assert world.list_attention() == []
        configure_provider(provider, credentials={"api_key": "mil-key"})
        wait_until(lambda: is_active(world, enrollment))
    assert world.list_attention() == []


def test_missing_credentials_are_one_entry_too(campus: Campus) -> None:
    world = campus.world
    provider = campus.add_provider("milady")
    program = world.add_program([world.add_course(provider, "MS-BARB")])
    configure_provider(provider, credentials={"api_key": "", "organization_id": ""})
    forget_configuration(world)
    enrollments = [world.enroll(program) for _ in range(3)]
    with run_worker_here("provisioning"):
        wait_until(lambda: count_awaiting(world) == 3)
        ((kind, words),) = world.list_attention()
        assert (kind, words.partition(": ")[0]) == (
            "provider_calls",
            "The partner cannot be called as it is configured",
        )
        assert campus.list_ledger("milady") == []
        configure_provider(provider, credentials=campus.credentials_of("milady"))
        wait_until(lambda: all(is_active(world, each) for each in enrollments))
    assert world.list_attention() == []


def forget_configuration(world: World) -> None:
    """As if it had been configured long ago: what is refused now is not for credentials of before."""
    world.rows("update partner_lms_providers set configured_at = now() - interval '1 hour'")


def count_awaiting(world: World) -> int:
    count: int = world.value(
        "select count(*) from intents where awaits_provider and status = 'needs_person'"
    )
    return count


def test_credentials_that_cannot_be_read_hold_the_provider_not_its_learners(
    campus: Campus, settings: Settings
) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("milady")])
    good = settings.HANDRAIL_SECRET_KEYS
    settings.HANDRAIL_SECRET_KEYS = (("other", bytes(32)),)
    forget_configuration(world)
    with run_worker_here("provisioning"):
        enrollments = [world.enroll(program) for _ in range(3)]
        wait_until(lambda: count_awaiting(world) == 3)
    ((kind, words),) = world.list_attention()
    assert kind == "provider_calls"
    assert words.startswith("The partner cannot be called as it is configured: the secret key ")
    assert campus.list_ledger("milady") == []
    settings.HANDRAIL_SECRET_KEYS = good
    with run_worker_here("provisioning"):
        assert world.value("select retry_provider_calls(id, '') from partner_lms_providers") == 3
        wait_until(lambda: all(is_active(world, each) for each in enrollments))
    assert world.list_attention() == []


def test_two_workers_never_make_the_same_call(campus: Campus) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("nds")])
    enrollments = [world.enroll(program) for _ in range(30)]
    with run_worker_here("provisioning"), run_worker_here("provisioning"):
        wait_until(lambda: all(is_active(world, each) for each in enrollments))
    assert len(campus.list_ledger("nds")) == 60
    assert len(campus.list_enrollments("nds")) == 30


def test_dropped_connections_to_the_database_are_made_again(campus: Campus) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("milady")])
    with run_worker_here("provisioning"):
        first = world.enroll(program)
        wait_until(lambda: is_active(world, first))
        with world.database.connect("superuser") as superuser:
            superuser.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where usename = 'handrail_worker' and application_name like 'handrail %'"
            )
        enrollment = world.enroll(program)
        wait_until(lambda: is_active(world, enrollment))


def test_a_locked_run_delays_its_own_result_only(campus: Campus) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("nds")])
    with (
        run_worker_here("provisioning"),
        world.database.connect("superuser", autocommit=False) as holder,
    ):
        blocked = world.enroll(program)
        holder.execute(
            "select from partner_accounts where learner_id = "
            "(select learner_id from enrollments where id = %s) for update",
            (blocked,),
        )
        others = [world.enroll(program) for _ in range(5)]
        wait_until(lambda: all(is_active(world, each) for each in others), seconds=20)
        assert world.get_run(blocked)["status"] == "requested"
        holder.rollback()
        wait_until(lambda: is_active(world, blocked))
    assert len(campus.list_enrollments("nds")) == 6


def test_a_result_that_cannot_be_recorded_while_its_lease_lasts_is_brought_no_more(
    campus: Campus, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    world = campus.world
    world.enroll(world.add_program([campus.add_course("nds")]))
    ((id, fence),) = world.rows(
        "select intent_id::text, fence from claim_intents(1, 60, 1, '{}', '{}')"
    )
    recorded: list[Ended] = []

    async def bring() -> None:
        connection = ServiceConnection(settings.HANDRAIL_SECRET_DSNS["worker"], name="results")
        recorder = Recorder(connection, lease=0.5, recorded=recorded.extend)
        running = asyncio.create_task(recorder.run())
        done = Result(intent_id=id, fence=fence, result="done", external_id="P-1")
        recorder.add(make_claimed(intent_id=id, fence=fence), done)
        words = f"call {id} was taken over by another worker"
        await asyncio.to_thread(wait_until, lambda: words in caplog.text, seconds=5)
        holder.rollback()
        recorder.close()
        await running
        await connection.close()

    with world.database.connect("superuser", autocommit=False) as holder:
        holder.execute("select from intents for update")
        asyncio.run(bring())
    assert recorded == []
    assert [each["status"] for each in world.list_intents()] == ["sending"]


def test_an_account_of_somebody_else_is_not_taken_over(
    world: World, partner: ScriptedPartner
) -> None:
    """Both answers are recorded by one statement, which fails; each then has its own result."""
    provider = world.add_provider("nds", base_url=f"http://127.0.0.1:{partner.port}")
    program = world.add_program([world.add_course(provider, "C")])
    same = reply(201, {"participantId": "P-1"})
    refused = reply(422, {"message": "no such course"})
    partner.answer(same, same, refused)
    world.enroll(program)
    world.enroll(program)
    with run_worker_here("provisioning"):
        wait_until(lambda: len(world.list_attention()) == 2)
    words = {cause for _, cause in world.list_attention()}
    assert words == {
        "422: no such course",
        "The partner answered with the account P-1, which belongs to somebody else here.",
    }
    assert world.rows("select external_id from partner_accounts order by 1") == [("P-1",), (None,)]


def test_an_answer_that_cannot_be_stored_goes_to_a_person(
    campus: Campus, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("nds")])

    async def answer(*_: Any) -> AccountFacts:
        return AccountFacts("P-\x00")

    monkeypatch.setattr(load_adapters()["nds"], "create_account", answer)
    with run_worker_here("provisioning"):
        world.enroll(program)
        wait_until(world.list_attention)
    ((_, words),) = world.list_attention()
    assert words.startswith("The partner's answer cannot be stored")
    assert world.list_intents()[0]["uncertain"] is True
