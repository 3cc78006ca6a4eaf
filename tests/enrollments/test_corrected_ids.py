"""A partner's id that a person entered by mistake is taken back: nobody's facts stay with another."""

import threading
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.databases import Database
from tests.enrollments.look import (
    find_run,
    see,
    see_attention,
    see_calls,
    see_credentials,
    see_runs,
)
from tests.factories import Course, Enrollment, Organization, World, claims_of

WHY = "mixed up two people"


@pytest.fixture
def organization(world: World) -> Organization:
    return world.organization()


@pytest.fixture
def course(world: World, organization: Organization) -> Course:
    return world.course(world.provider(organization))


@pytest.fixture
def enrollment(world: World, organization: Organization, course: Course) -> Enrollment:
    """Her account is known; the call for her place needs a person."""
    enrollment = world.enroll(world.learner(organization), world.program(organization, course))
    (call,) = world.claim()
    world.record(call, external_id="stu-1")
    refuse_call(world)
    return enrollment


def refuse_call(world: World) -> UUID:
    (call,) = world.claim()
    world.record(call, "needs_person", cause="conflict", error="409")
    return call.intent


def enter(world: World, id: str) -> None:
    """A person enters an id for the one call that needs one."""
    (call,) = world.column("select id from intents where status = 'needs_person'")
    world.call("enter_partner_id", call, id, "on their page")


def correct(world: World, enrollment: Enrollment, course: Course, id: str) -> None:
    world.call("correct_partner_id", find_run(world, enrollment.learner, course), id, WHY)


def read_reasons(world: World, enrollment: Enrollment) -> list[tuple[str, str, str]]:
    return world.rows(
        "select from_status, to_status, reason from step_events where enrollment_id = %s "
        "and cause_kind = 'person' and step_id is not null order by id",
        enrollment.id,
    )


def check(world: World) -> None:
    """No run has an id that is another's, no call is done without one, history has no gap."""
    assert (
        world.rows(
            "select i.id from intents i join partner_lms_enrollments r on r.id = i.partner_enrollment_id "
            "where i.kind = 'enroll' and i.status = 'done' and r.external_enrollment_id is null"
        )
        == []
    )
    assert (
        world.rows(
            "select id from (select id, from_status, lag(to_status, 1, 'pending') over "
            "(partition by enrollment_id, step_id order by id) as before from step_events) as h "
            "where from_status is distinct from before"
        )
        == []
    )


@pytest.mark.every_postgres
def test_a_wrong_id_is_replaced_and_both_are_in_the_history(
    world: World, enrollment: Enrollment, course: Course
) -> None:
    enter(world, "enr-wrong")
    correct(world, enrollment, course, " enr-right ")

    assert see(world, enrollment) == "active: in_progress #2"
    assert see_runs(world, enrollment.learner, course) == ["cancelled", "active"]
    assert see_attention(world) == []
    assert see_calls(world, enrollment.learner) == [
        "create_account done",
        "enroll canceled",
        "enroll done",
    ]
    assert read_reasons(world, enrollment) == [
        ("in_progress", "in_progress", "the partner's id enr-wrong was entered: on their page"),
        (
            "in_progress",
            "in_progress",
            f"the partner's id enr-wrong was entered by mistake: {WHY}",
        ),
        ("in_progress", "in_progress", f"the partner's id enr-right was entered: {WHY}"),
    ]
    check(world)


def test_the_wrong_id_is_free_for_whom_it_belongs_to(
    world: World, organization: Organization, enrollment: Enrollment, course: Course
) -> None:
    enter(world, "enr-2")
    other = world.enroll(world.learner(organization), enrollment.program)
    (call,) = world.claim()
    world.record(call, external_id="stu-2")
    refuse_call(world)
    with pytest.raises(psycopg.Error, match="already belongs to somebody"):
        enter(world, "enr-2")
    correct(world, enrollment, course, "")
    assert see_attention(world) == ["call", "call"]
    mine = world.value(
        "select i.id from intents i join partner_lms_enrollments r on r.id = i.partner_enrollment_id "
        "where i.status = 'needs_person' and r.learner_id = %s",
        other.learner.id,
    )
    world.call("enter_partner_id", mine, "enr-2", "it is hers")
    enter(world, "enr-1")

    assert see_attention(world) == []
    assert world.column(
        "select external_enrollment_id from partner_lms_enrollments where status = 'active' order by 1"
    ) == ["enr-1", "enr-2"]
    check(world)


def test_progress_of_somebody_else_goes(
    world: World, enrollment: Enrollment, course: Course
) -> None:
    enter(world, "enr-wrong")
    world.report("progress.updated", enrollment.learner, course, percent=80)
    correct(world, enrollment, course, "enr-right")

    assert world.column("select progress from enrollment_steps") == [0]
    world.report("progress.updated", enrollment.learner, course, percent=10, by="external")
    assert world.column("select progress from enrollment_steps") == [10]


def test_a_completion_of_somebody_else_is_taken_back_by_an_administrator(
    world: World, organization: Organization, enrollment: Enrollment, course: Course
) -> None:
    enter(world, "enr-wrong")
    world.complete(enrollment, course)
    assert see(world, enrollment) == "completed: completed"
    run = find_run(world, enrollment.learner, course)
    staff = claims_of(organization, "staff", world.profile(organization, "staff"))
    admin = claims_of(organization, "admin", world.profile(organization, "admin"))
    statement = "select correct_partner_id(%s, 'enr-right', 'mixed up')"
    with pytest.raises(psycopg.Error, match="Ask an administrator"), world.as_person(staff) as web:
        web.execute(statement, [run])
    with world.as_person(admin) as web:
        web.execute(statement, [run])

    assert see(world, enrollment) == "active: in_progress #2"
    assert see_credentials(world, enrollment) == ["revoked"]
    world.complete(enrollment, course)
    assert see(world, enrollment) == "completed: completed #2"
    assert see_credentials(world, enrollment) == ["revoked", "valid"]
    check(world)


def test_what_a_person_marked_stays_and_the_id_goes(
    world: World, enrollment: Enrollment, course: Course
) -> None:
    enter(world, "enr-wrong")
    world.on_step("complete_step", enrollment, course, "2026-01-05", "certificate seen")
    correct(world, enrollment, course, "")

    assert see(world, enrollment) == "completed: completed"
    assert world.column("select external_enrollment_id from partner_lms_enrollments") == [None]
    check(world)


def test_messages_that_came_under_the_wrong_id_are_applied_once_more(
    world: World, enrollment: Enrollment, course: Course
) -> None:
    enter(world, "enr-wrong")
    endpoint = world.insert(
        "webhook_endpoints",
        key="reapplied",
        kind="partner",
        organization_id=course.provider.organization.id,
        provider_id=course.provider.id,
    )

    def store(number: int, **more: Any) -> UUID:
        values = {"status": "applied", "match_external_id": "enr-wrong", "body": b"{}"} | more
        return world.insert(
            "webhook_events",
            endpoint_id=endpoint,
            organization_id=course.provider.organization.id,
            provider_id=course.provider.id,
            event_id=f"e-{number}",
            digest=b"x",
            **values,
        )

    hers, known, erased, other, left = (
        store(1),
        store(2, status="ignored", reason="already completed"),
        store(3, body=None),
        store(4, match_external_id="enr-9"),
        store(5, status="needs_attention", reason="unknown event"),
    )
    world.call("decide_webhook_events", [left], "ignore", "the partner was trying something")
    correct(world, enrollment, course, "enr-right")

    states = dict(world.rows("select id, status from webhook_events"))
    assert states == {
        hers: "received",
        known: "received",
        erased: "applied",
        other: "applied",
        left: "ignored",  # by a person
    }


def test_an_id_that_the_partner_named_is_not_corrected(
    world: World, organization: Organization, course: Course
) -> None:
    enrollment = world.enroll(world.learner(organization), world.program(organization, course))
    world.answer_calls()
    with pytest.raises(psycopg.Error, match="The partner itself named this id"):
        correct(world, enrollment, course, "enr-right")
    account = world.value("select id from partner_accounts")
    with pytest.raises(psycopg.Error, match="The partner itself named this id"):
        world.call("correct_account_id", account, "stu-2", WHY)


def test_refusals_change_nothing(world: World, enrollment: Enrollment, course: Course) -> None:
    enter(world, "enr-wrong")
    run = find_run(world, enrollment.learner, course)
    with pytest.raises(psycopg.Error, match="is there already"):
        correct(world, enrollment, course, "enr-wrong")
    with pytest.raises(psycopg.Error, match="a reason is needed"):
        world.call("correct_partner_id", run, "enr-right", " ")
    world.call("withdraw_enrollment", enrollment.id, "moved")
    with pytest.raises(psycopg.Error, match="was left"):
        correct(world, enrollment, course, "enr-right")


def test_twice_at_once_is_corrected_once(
    world: World, enrollment: Enrollment, course: Course, database: Database
) -> None:
    enter(world, "enr-wrong")
    run = find_run(world, enrollment.learner, course)
    refused: list[str] = []

    def correct_too() -> None:
        with database.connect("worker") as connection:
            try:
                connection.execute("select correct_partner_id(%s, 'enr-b', 'why')", [run])
            except psycopg.Error as error:
                refused.append(str(error))

    with database.connect("worker", autocommit=False) as first:
        first.execute("select correct_partner_id(%s, 'enr-a', 'why')", [run])
        second = threading.Thread(target=correct_too)
        second.start()
        second.join(0.3)
        assert second.is_alive()
        first.commit()
        second.join(10)

    assert len(refused) == 1
    assert see(world, enrollment) == "active: in_progress #2"


# Accounts.


@pytest.fixture
def unknown(world: World, organization: Organization, course: Course) -> Enrollment:
    """The call for her account needs a person."""
    enrollment = world.enroll(world.learner(organization), world.program(organization, course))
    refuse_call(world)
    return enrollment


def correct_account(world: World, id: str) -> None:
    account = world.value("select id from partner_accounts")
    world.call("correct_account_id", account, id, WHY)


def test_an_account_before_anything_was_asked_under_it(world: World, unknown: Enrollment) -> None:
    enter(world, "stu-wrong")
    correct_account(world, "stu-right")
    ((id, former),) = world.rows("select external_id, former_ids from partner_accounts")

    assert (id, [each["id"] for each in former]) == ("stu-right", ["stu-wrong"])
    assert see(world, unknown) == "active: in_progress"
    assert see_calls(world, unknown.learner) == [
        "create_account done",
        "enroll canceled",
        "enroll queued",
    ]
    (call,) = world.claim()
    assert call.account == "stu-right"
    check(world)


def test_what_was_begun_under_the_wrong_account_is_left_and_begun_anew(
    world: World, unknown: Enrollment, course: Course
) -> None:
    enter(world, "stu-wrong")
    world.answer_calls()
    correct_account(world, "stu-right")

    assert see(world, unknown) == "active: in_progress #2"
    assert see_runs(world, unknown.learner, course) == ["cancelling", "requested"]
    answered = world.answer_calls()
    assert [(each.kind, each.account) for each in answered] == [
        ("unenroll", "stu-right"),
        ("enroll", "stu-right"),
    ]
    assert see_runs(world, unknown.learner, course) == ["cancelled", "active"]
    check(world)


def test_an_account_that_nobody_knows_yet_needs_a_person_again(
    world: World, unknown: Enrollment
) -> None:
    enter(world, "stu-wrong")
    correct_account(world, "")
    assert see_attention(world) == ["call"]
    enter(world, "stu-right")
    assert see_attention(world) == []
    assert world.column("select external_id from partner_accounts") == ["stu-right"]


def test_an_account_under_which_a_course_was_completed(
    world: World, unknown: Enrollment, course: Course
) -> None:
    enter(world, "stu-wrong")
    world.answer_calls()
    world.complete(unknown, course)
    with pytest.raises(psycopg.Error, match="An administrator opens it again first"):
        correct_account(world, "stu-right")
    world.on_step("reopen_step", unknown, course, "not hers")
    correct_account(world, "stu-right")

    assert see(world, unknown) == "active: in_progress #2"
    check(world)
