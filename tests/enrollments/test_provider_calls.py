"""Calls that wait for their provider: one entry for all of them, and all go again together."""

import threading
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.databases import Database
from tests.enrollments.look import see, see_attention, see_calls
from tests.factories import Course, Enrollment, World


@pytest.fixture
def course(world: World) -> Course:
    return world.course(world.provider(world.organization()))


def enroll(world: World, course: Course, count: int) -> list[Enrollment]:
    organization = course.provider.organization
    program = world.program(organization, course)
    return [world.enroll(world.learner(organization), program) for _ in range(count)]


def refuse(world: World, **facts: Any) -> list[UUID]:
    """The partner refuses every call that is due."""
    given = {"cause": "credentials", "error": "401: no such key."} | facts
    calls = world.claim()
    for call in calls:
        assert world.record(call, "needs_person", **given)
    return [call.intent for call in calls]


def retry(world: World, course: Course) -> int:
    count: int = world.call("retry_provider_calls", course.provider.id, "key corrected")
    return count


@pytest.mark.every_postgres
def test_many_who_wait_are_one_entry_and_go_again_together(world: World, course: Course) -> None:
    enrollments = enroll(world, course, 3)
    refuse(world)
    assert see_attention(world) == ["provider_calls"]
    ((subject, words),) = world.rows("select subject_id, cause from attention_items")
    assert (subject, words) == (
        course.provider.id,
        "The partner refuses the credentials that it is called with: 401: no such key.",
    )

    assert retry(world, course) == 3
    assert see_attention(world) == []
    world.answer_calls()
    assert [see_calls(world, each.learner) for each in enrollments] == [
        ["create_account done", "enroll done"]
    ] * 3
    assert [see(world, each) for each in enrollments] == ["active: in_progress"] * 3
    assert retry(world, course) == 0


def test_what_may_have_been_done_is_looked_up_and_keeps_its_key(
    world: World, course: Course
) -> None:
    enroll(world, course, 2)
    first, second = world.claim()
    world.record(first, "needs_person", cause="credentials", error="401", uncertain=True)
    world.record(second, "needs_person", cause="credentials", error="401")
    retry(world, course)

    states = world.rows(
        "select id, status, uncertain, first_sent_at is null, details ? 'key' from intents order by id"
    )
    assert states == [
        (first.intent, "unknown", True, False, False),
        (second.intent, "queued", False, True, True),
    ]


def test_a_place_that_waits_shows_that_somebody_sees_to_it(world: World, course: Course) -> None:
    (enrollment,) = enroll(world, course, 1)
    (call,) = world.claim()
    world.record(call, external_id="stu-1")
    refuse(world)
    status = "select status from partner_lms_enrollments"
    assert world.column(status) == ["needs_attention"]

    retry(world, course)
    assert world.column(status) == ["provisioning"]
    world.answer_calls()
    assert see_calls(world, enrollment.learner) == ["create_account done", "enroll done"]


def test_the_entry_goes_with_the_last_call(world: World, course: Course) -> None:
    enroll(world, course, 2)
    calls = refuse(world)
    world.call("retry_call", calls[0], False, "she is another case")
    assert see_attention(world) == ["provider_calls"]
    world.call("enter_partner_id", calls[1], "stu-9", "seen there")

    assert see_attention(world) == []
    assert world.column("select resolution from attention_items") == [
        "id entered: stu-9: seen there"
    ]


def test_calls_that_were_left_or_answered_otherwise_leave_no_entry(
    world: World, course: Course
) -> None:
    (enrollment,) = enroll(world, course, 1)
    refuse(world)
    world.call("withdraw_enrollment", enrollment.id, "moved")
    world.call("release_providers")

    assert see_calls(world, enrollment.learner) == ["create_account canceled"]
    assert see_attention(world) == []


def test_an_entry_is_not_dismissed_while_somebody_waits(world: World, course: Course) -> None:
    (enrollment,) = enroll(world, course, 1)
    refuse(world)
    item = world.value("select id from attention_items")
    with pytest.raises(psycopg.Error, match="Calls still wait for this partner"):
        world.call("dismiss_attention", item, "known")
    world.call("withdraw_enrollment", enrollment.id, "moved")
    world.call("dismiss_attention", item, "known")
    assert see_attention(world) == []


def test_refused_again_it_is_told_again(world: World, course: Course) -> None:
    enroll(world, course, 2)
    refuse(world)
    retry(world, course)
    refuse(world, error="403: locked.")

    assert see_attention(world) == ["provider_calls"]
    assert world.value("select cause from attention_items where resolved_at is null").endswith(
        "403: locked."
    )


@pytest.mark.parametrize("cause", ["refused", "conflict", "not_found", "undecidable"])
def test_what_lies_with_a_learner_has_an_entry_of_its_own(
    world: World, course: Course, cause: str
) -> None:
    enroll(world, course, 2)
    refuse(world, cause=cause)
    assert see_attention(world) == ["call", "call"]
    assert retry(world, course) == 0


def test_another_provider_is_left_alone(world: World, course: Course) -> None:
    other = world.course(world.provider(course.provider.organization))
    enroll(world, course, 1)
    enroll(world, other, 1)
    refuse(world)
    assert retry(world, other) == 1
    assert see_attention(world) == ["provider_calls"]


def test_a_call_of_before_the_configuration_is_made_again_by_itself(
    world: World, course: Course
) -> None:
    enroll(world, course, 1)
    (call,) = world.claim()
    world.admin.execute("update partner_lms_providers set configured_at = now()")
    world.record(call, "needs_person", cause="credentials", error="401")

    assert see_attention(world) == []
    assert world.rows("select status, attempts, awaits_provider from intents") == [
        ("failed", 0, False)
    ]
    assert world.value("select next_attempt_at > now() from intents")


@pytest.mark.parametrize(
    ("seconds", "status", "attention"),
    [(5, "failed", []), (15, "needs_person", ["provider_calls"])],
)
def test_a_worker_has_ten_seconds_to_know_the_configuration(
    world: World, course: Course, seconds: int, status: str, attention: list[str]
) -> None:
    enroll(world, course, 1)
    world.admin.execute(
        "update partner_lms_providers set configured_at = now() - make_interval(secs => %s)",
        [seconds],
    )
    refuse(world)

    assert world.column("select status from intents") == [status]
    assert see_attention(world) == attention


def test_a_refusal_that_is_recorded_during_the_retry_keeps_its_entry(
    world: World, course: Course, database: Database
) -> None:
    """The entry is closed and another call comes under it at the same time."""
    enroll(world, course, 2)
    first, second = world.claim()
    world.record(first, "needs_person", cause="credentials", error="401")
    with database.connect("worker", autocommit=False) as retrying:
        retrying.execute("select retry_provider_calls(%s, '')", [course.provider.id])
        recorder = threading.Thread(
            target=world.record,
            args=(second, "needs_person"),
            kwargs={"cause": "credentials", "error": "401"},
        )
        recorder.start()
        recorder.join(0.5)
        assert recorder.is_alive(), "it waits for the entry"
        retrying.commit()
        recorder.join(10)

    assert see_attention(world) == ["provider_calls"]
    assert sorted(world.column("select status from intents")) == ["needs_person", "queued"]


def test_thousands_are_tried_again_by_their_index(world: World, course: Course) -> None:
    (enrollment,) = enroll(world, course, 1)
    refuse(world)
    world.admin.execute("analyze intents")
    world.admin.execute("set enable_seqscan = off")
    plan = "\n".join(
        world.column(
            "explain select id from intents where provider_id = %s and awaits_provider "
            "and status = 'needs_person'",
            course.provider.id,
        )
    )
    world.admin.execute("reset enable_seqscan")
    assert "intents_await_provider" in plan
    assert see(world, enrollment) == "active: in_progress"
