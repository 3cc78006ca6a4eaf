"""The enrollment's states: requirements, start date, suspension, withdrawal and its undoing."""

from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest

from tests.enrollments.look import (
    see,
    see_attention,
    see_calls,
    see_changes,
    see_credentials,
    see_runs,
)
from tests.factories import LONG_AGO, Course, Enrollment, Learner, Program, World, claims_of, now


class School:
    def __init__(self, world: World, *, unenroll: bool = True) -> None:
        self.organization = world.organization()
        self.partner = world.provider(self.organization, unenroll=unenroll)
        self.courses: list[Course] = world.courses(self.partner, 2)
        self.program: Program = world.program(self.organization, *self.courses)
        self.ada: Learner = world.learner(self.organization)

    @property
    def first(self) -> Course:
        return self.courses[0]


@pytest.fixture
def school(world: World) -> School:
    return School(world)


# Activation and the start date.


def test_the_last_requirement_activates_and_starts(world: World, school: School) -> None:
    enrollment = world.create(school.ada, school.program)
    assert see(world, enrollment) == "pending: pending, pending"

    world.approve(enrollment)
    world.approve(enrollment)

    assert see(world, enrollment) == "active: in_progress, pending"
    assert see_changes(world, enrollment) == ["pending > active (approval)"]


def test_an_open_requirement_keeps_it_pending(world: World, school: School) -> None:
    enrollment = world.create(school.ada, school.program)
    world.call("start_enrollment", enrollment.id)

    assert see(world, enrollment) == "pending: pending, pending"
    with pytest.raises(psycopg.errors.NoDataFound, match="no requirement payment"):
        world.call("meet_requirement", enrollment.id, "payment", "payment")


def test_nobody_becomes_active_whom_the_limit_does_not_allow(world: World, school: School) -> None:
    (allows_all,) = world.column(
        "select pg_get_functiondef('enrollment_limit_allows(uuid)'::regprocedure)"
    )
    enrollment = world.create(school.ada, school.program)
    world.admin.execute(allows_all.replace("select true", "select false"))
    try:
        world.approve(enrollment)
        assert see(world, enrollment) == "pending: pending, pending"
        bea = world.learner(school.organization)
        world.call("enroll_learners", [bea.id], [school.program.id], ["self_pay"], [LONG_AGO])
        assert world.column("select distinct status from enrollments") == ["pending"]
        assert world.column("select distinct status from enrollment_steps") == ["pending"]
    finally:
        world.admin.execute(allows_all)


def test_steps_are_generated_once(world: World, school: School) -> None:
    enrollment = world.create(school.ada, school.program)

    assert world.call("generate_enrollment_steps", enrollment.id) == 0
    assert see(world, enrollment) == "pending: pending, pending"


def test_nobody_is_enrolled_in_an_archived_program(world: World, school: School) -> None:
    world.admin.execute("update programs set archived_at = now()")
    with pytest.raises(psycopg.Error, match="This program is archived"):
        world.create(school.ada, school.program)
    assert world.value("select count(*) from enrollments") == 0


def test_one_live_enrollment_for_a_person_and_program(world: World, school: School) -> None:
    world.create(school.ada, school.program)
    with pytest.raises(psycopg.errors.UniqueViolation):
        world.create(school.ada, school.program)


@pytest.mark.parametrize(
    ("zone", "start_at"),
    [
        ("UTC", datetime(2027, 3, 14, tzinfo=UTC)),
        ("America/Los_Angeles", datetime(2027, 3, 14, 8, tzinfo=UTC)),  # the day clocks go forward
        ("Pacific/Auckland", datetime(2027, 3, 13, 11, tzinfo=UTC)),
    ],
)
def test_the_start_date_begins_at_midnight_of_the_organization(
    world: World, zone: str, start_at: datetime
) -> None:
    organization = world.organization(zone=zone)
    program = world.program(organization, world.course(world.provider(organization)))
    world.enroll(world.learner(organization), program, start=date(2027, 3, 14))

    assert world.value("select start_at from enrollments") == start_at


def test_nothing_starts_before_the_start_date_and_a_timer_starts_what_is_due(
    world: World, school: School
) -> None:
    enrollment = world.enroll(school.ada, school.program, start=now().date() + timedelta(days=2))
    world.call("start_enrollment", enrollment.id)
    assert (see(world, enrollment), see_calls(world, school.ada)) == (
        "active: pending, pending",
        [],
    )
    assert world.call("start_due_enrollments", 100) == 0

    world.admin.execute("update enrollments set start_at = now()")  # the day has come

    assert world.call("start_due_enrollments", 100) == 1
    assert see(world, enrollment) == "active: in_progress, pending"
    assert see_changes(world, enrollment, school.first) == ["pending > in_progress (timer)"]
    assert world.call("start_due_enrollments", 100) == 0


def test_what_is_reported_before_the_start_date_counts_on_it(world: World, school: School) -> None:
    world.call("generate_enrollment_steps", world.enroll(school.ada, school.program).id)
    world.answer_calls()
    later = world.program(school.organization, *school.courses)
    enrollment = world.enroll(school.ada, later, start=now().date() + timedelta(days=2))
    assert world.report("course.completed", school.ada, school.first).outcome == "applied"
    assert see(world, enrollment) == "active: pending, pending"

    world.admin.execute("update enrollments set start_at = now() where id = %s", [enrollment.id])
    world.call("start_due_enrollments", 100)

    assert see(world, enrollment) == "active: completed, in_progress"


# Suspension.


def test_a_suspension_holds_what_is_not_sent(world: World, school: School) -> None:
    enrollment = world.enroll(school.ada, school.program)
    world.call("suspend_enrollment", enrollment.id, "ill")
    assert see_calls(world, school.ada) == ["create_account queued held"]
    assert world.claim() == []

    world.call("resume_enrollment", enrollment.id, "well")

    assert [each.kind for each in world.claim()] == ["create_account"]
    assert see_changes(world, enrollment)[1:] == [
        "active > suspended (person)",
        "suspended > active (person)",
    ]


@pytest.mark.parametrize("result", ["failed", "unknown"])
def test_a_call_in_flight_is_recorded_but_not_repeated_while_suspended(
    world: World, school: School, result: str
) -> None:
    enrollment = world.enroll(school.ada, school.program)
    (call,) = world.claim()
    world.call("suspend_enrollment", enrollment.id, "ill")
    assert world.record(call, result, after_seconds=0)
    assert world.claim() == []

    world.call("resume_enrollment", enrollment.id, "well")

    assert [each.intent for each in world.claim()] == [call.intent]


def test_an_account_answered_while_suspended_asks_for_no_enrollment_yet(
    world: World, school: School
) -> None:
    enrollment = world.enroll(school.ada, school.program)
    (call,) = world.claim()
    world.call("suspend_enrollment", enrollment.id, "ill")
    world.record(call, external_id="ada-1")
    assert see_calls(world, school.ada) == ["create_account done", "enroll queued held"]
    assert world.claim() == []

    world.call("resume_enrollment", enrollment.id, "well")
    world.answer_calls()

    assert see_runs(world, school.ada, school.first) == ["active"]


@pytest.mark.every_postgres
def test_what_is_reported_while_suspended_counts_at_the_resume(
    world: World, school: School
) -> None:
    enrollment = world.enroll(school.ada, school.program)
    world.answer_calls()
    world.call("suspend_enrollment", enrollment.id, "ill")
    world.complete(enrollment, school.first)
    assert see(world, enrollment) == "suspended: in_progress, pending"
    assert see_runs(world, school.ada, school.first) == ["completed"]

    world.call("resume_enrollment", enrollment.id, "well")

    assert see(world, enrollment) == "active: completed, in_progress"
    assert see_changes(world, enrollment, school.first)[-1] == "in_progress > completed (webhook)"


def test_the_cause_at_the_resume_is_the_completion_not_what_came_after(
    world: World, school: School
) -> None:
    enrollment = world.enroll(school.ada, school.program)
    world.answer_calls()
    world.call("suspend_enrollment", enrollment.id, "ill")
    completion = world.event("course.completed", school.ada, school.first)
    world.apply(completion)
    world.report("course.failed", school.ada, school.first, occurred_at=now() + timedelta(hours=1))
    world.call("resume_enrollment", enrollment.id, "well")

    assert completion["cause_id"] in world.column(
        "select cause_id from step_events where to_status = 'completed'"
    )
    assert see_attention(world) == ["completion_revoked"]


def test_only_active_is_suspended_and_only_suspended_is_resumed(
    world: World, school: School
) -> None:
    enrollment = world.create(school.ada, school.program)
    with pytest.raises(psycopg.Error, match="this one is pending"):
        world.call("suspend_enrollment", enrollment.id, "ill")
    with pytest.raises(psycopg.Error, match="this one is pending"):
        world.call("resume_enrollment", enrollment.id, "well")
    world.approve(enrollment)
    world.call("resume_enrollment", enrollment.id, "is active already")
    assert see_changes(world, enrollment) == ["pending > active (approval)"]


# Withdrawal.


@pytest.mark.parametrize("before", ["pending", "active", "suspended"])
def test_a_withdrawal_closes_what_is_live(world: World, school: School, before: str) -> None:
    enrollment = world.create(school.ada, school.program)
    if before != "pending":
        world.approve(enrollment)
    if before == "suspended":
        world.call("suspend_enrollment", enrollment.id, "ill")
    world.call("withdraw_enrollment", enrollment.id, "moved away")
    world.call("withdraw_enrollment", enrollment.id, "again")

    assert see_changes(world, enrollment)[-1] == f"{before} > withdrawn (person)"
    assert world.claim() == []


def test_a_completed_enrollment_is_not_withdrawn_nor_transferred(
    world: World, school: School
) -> None:
    enrollment = world.enroll(school.ada, school.program)
    world.complete(enrollment, *school.courses)
    with pytest.raises(psycopg.Error, match="is completed and cannot be withdrawn"):
        world.call("withdraw_enrollment", enrollment.id, "late")
    with pytest.raises(psycopg.Error, match="is completed and cannot be transferred"):
        world.call("transfer_enrollment", enrollment.id, school.program.id, "late")
    assert see_credentials(world, enrollment) == ["valid"]


def test_a_withdrawal_leaves_the_partner(world: World, school: School) -> None:
    enrollment = world.enroll(school.ada, school.program)
    world.answer_calls()
    world.call("withdraw_enrollment", enrollment.id, "moved away")
    assert see_runs(world, school.ada, school.first) == ["cancelling"]

    world.answer_calls()

    assert see_runs(world, school.ada, school.first) == ["cancelled"]
    assert see(world, enrollment) == "withdrawn: in_progress, pending"


def test_a_partner_that_cannot_be_told_is_on_the_attention_list(world: World) -> None:
    school = School(world, unenroll=False)
    enrollment = world.enroll(school.ada, school.program)
    world.answer_calls()
    world.call("withdraw_enrollment", enrollment.id, "moved away")

    assert see_runs(world, school.ada, school.first) == ["cancelled"]
    assert see_attention(world) == ["partner_not_told"]
    assert world.value("select cause from partner_lms_enrollments") == (
        "canceled here; the partner was not told"
    )


def test_reports_after_a_withdrawal_are_recorded_and_change_nothing(
    world: World, school: School
) -> None:
    enrollment = world.enroll(school.ada, school.program)
    world.answer_calls()
    world.call("withdraw_enrollment", enrollment.id, "moved away")
    world.answer_calls()
    outcome = world.report("course.completed", school.ada, school.first, by="external")

    assert outcome.outcome == "applied"
    assert see(world, enrollment) == "withdrawn: in_progress, pending"
    assert see_runs(world, school.ada, school.first) == ["completed"]


def test_a_requirement_met_too_late_goes_to_a_person(world: World, school: School) -> None:
    enrollment = world.create(school.ada, school.program)
    world.call("withdraw_enrollment", enrollment.id, "moved away")
    world.approve(enrollment)

    assert see(world, enrollment) == "withdrawn: pending, pending"
    assert see_attention(world) == ["late_requirement"]
    assert world.value("select met_at is not null from enrollment_requirements")


def test_a_requirement_met_after_the_transfer_goes_to_a_person(
    world: World, school: School
) -> None:
    enrollment = world.create(school.ada, school.program)
    other = world.program(school.organization, school.first)
    world.call("transfer_enrollment", enrollment.id, other.id, "suits her better")
    world.approve(enrollment)

    assert see(world, enrollment) == "transferred: pending, pending"
    assert see_attention(world) == ["late_requirement"]


# Undoing a withdrawal.


def test_undoing_a_withdrawal_makes_a_new_attempt_at_what_was_canceled(
    world: World, school: School
) -> None:
    enrollment = world.enroll(school.ada, school.program)
    world.answer_calls()
    world.call("withdraw_enrollment", enrollment.id, "moved away")
    world.answer_calls()
    world.call("undo_withdrawal", enrollment.id, "came back")

    assert see(world, enrollment) == "active: in_progress #2, pending"
    assert see_runs(world, school.ada, school.first) == ["cancelled", "provisioning"]
    assert see_changes(world, enrollment)[-2:] == [
        "withdrawn > pending (person)",
        "pending > active (person)",
    ]


def test_undoing_a_withdrawal_applies_what_was_recorded(world: World, school: School) -> None:
    enrollment = world.enroll(school.ada, school.program)
    world.answer_calls()
    world.call("withdraw_enrollment", enrollment.id, "moved away")
    world.complete(enrollment, school.first)
    world.call("undo_withdrawal", enrollment.id, "came back")

    assert see(world, enrollment) == "active: completed, in_progress"


def test_undoing_the_withdrawal_of_a_pending_enrollment_keeps_it_waiting(
    world: World, school: School
) -> None:
    enrollment = world.create(school.ada, school.program)
    world.call("withdraw_enrollment", enrollment.id, "moved away")
    world.call("undo_withdrawal", enrollment.id, "came back")
    assert see(world, enrollment) == "pending: pending, pending"

    world.approve(enrollment)

    assert see(world, enrollment) == "active: in_progress, pending"


def test_a_requirement_met_while_withdrawn_stays_met(world: World, school: School) -> None:
    enrollment = world.create(school.ada, school.program)
    world.call("withdraw_enrollment", enrollment.id, "moved away")
    world.approve(enrollment)
    world.call("undo_withdrawal", enrollment.id, "came back")

    assert see(world, enrollment) == "active: in_progress, pending"
    assert see_attention(world) == []


def test_no_undoing_beside_another_live_enrollment(world: World, school: School) -> None:
    enrollment = world.enroll(school.ada, school.program)
    world.call("withdraw_enrollment", enrollment.id, "moved away")
    second = world.create(school.ada, school.program)
    with pytest.raises(psycopg.Error, match="another enrollment in this program"):
        world.call("undo_withdrawal", enrollment.id, "came back")
    with pytest.raises(psycopg.Error, match="Only a withdrawn enrollment"):
        world.call("undo_withdrawal", second.id, "never left")


def test_a_second_enrollment_after_a_withdrawal_begins_at_once(
    world: World, school: School
) -> None:
    first = world.enroll(school.ada, school.program)
    world.answer_calls()
    world.complete(first, school.first)
    world.call("withdraw_enrollment", first.id, "moved away")
    second: Enrollment = world.enroll(school.ada, school.program)

    assert see(world, second) == "active: completed, in_progress"
    assert see_changes(world, second, school.first) == ["pending > completed (equivalent)"]


def test_staff_approve_and_claim_no_other_cause(world: World) -> None:
    organization = world.organization()
    course = world.course(world.provider(organization))
    enrollment = world.create(world.learner(organization), world.program(organization, course))
    staff = claims_of(organization, "staff", world.profile(organization, "staff"))
    with (
        pytest.raises(psycopg.errors.InsufficientPrivilege),
        world.as_person(staff) as bob,
    ):
        bob.execute("select meet_requirement(%s, 'approved', 'webhook')", [enrollment.id])

    assert see(world, enrollment) == "pending: pending"
