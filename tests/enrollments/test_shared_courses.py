"""Two programs that share a course: one run, one completion, whoever asked first."""

from datetime import timedelta

import pytest

from tests.enrollments.look import see, see_attention, see_calls, see_changes, see_runs
from tests.factories import Course, Enrollment, Learner, Organization, World, now

CERTIFICATE = {"external_id": "c-1", "number": "N 1"}


class School:
    """Two programs of one person: `shared` then `a`, and `shared` then `b`."""

    def __init__(self, world: World, *, valid_months: int | None = None) -> None:
        self._world = world
        self.organization: Organization = world.organization()
        self.partner = world.provider(self.organization)
        self.shared: Course = world.course(self.partner, valid_months=valid_months)
        self.a, self.b = world.courses(self.partner, 2)
        self.ada: Learner = world.learner(self.organization)

    def enroll(self, *courses: Course, new_runs: tuple[Course, ...] = ()) -> Enrollment:
        program = self._world.program(self.organization, *courses, new_runs=new_runs)
        return self._world.enroll(self.ada, program)

    def enroll_in_both(self) -> tuple[Enrollment, Enrollment]:
        return self.enroll(self.shared, self.a), self.enroll(self.shared, self.b)


@pytest.fixture
def school(world: World) -> School:
    return School(world)


@pytest.mark.every_postgres
def test_both_join_one_run_and_complete_with_it(world: World, school: School) -> None:
    first, second = school.enroll_in_both()
    calls = world.answer_calls()
    assert [each.kind for each in calls] == ["create_account", "enroll"]

    world.report("course.completed", school.ada, school.shared)

    assert see(world, first) == "active: completed, in_progress"
    assert see(world, second) == "active: completed, in_progress"


def test_a_course_completed_for_another_program_is_equivalent(world: World, school: School) -> None:
    first = school.enroll(school.shared)
    world.complete(first, school.shared)
    second = school.enroll(school.shared, school.b)

    assert see(world, second) == "active: completed, in_progress"
    run = world.value(
        "select id from partner_lms_enrollments where course_id = %s", school.shared.id
    )
    assert world.rows(
        "select cause_kind, cause_id from step_events where step_id = %s",
        world.step_id(second, school.shared),
    ) == [("equivalent", run)]


@pytest.mark.parametrize(("age", "expected"), [(300, "completed"), (400, "in_progress")])
def test_an_equivalent_course_counts_within_its_valid_months(
    world: World, age: int, expected: str
) -> None:
    school = School(world, valid_months=12)
    first = school.enroll(school.shared)
    at = now() - timedelta(days=age)
    world.report("course.completed", school.ada, school.shared, occurred_at=at)
    assert see(world, first) == "completed: completed"

    assert see(world, school.enroll(school.shared)) in (
        f"active: {expected}",
        f"completed: {expected}",
    )


def test_a_step_that_demands_a_new_run_gets_one(world: World, school: School) -> None:
    first = school.enroll(school.shared)
    world.answer_calls()
    world.complete(first, school.shared)
    second = school.enroll(school.shared, new_runs=(school.shared,))

    assert see(world, second) == "active: in_progress"
    assert see_runs(world, school.ada, school.shared) == ["completed", "provisioning"]
    world.report("course.completed", school.ada, school.shared)
    assert see(world, second) == "completed: completed"


def test_a_run_after_a_new_attempt_is_equivalent(world: World, school: School) -> None:
    """Only a run from before the attempt is not."""
    first = school.enroll(school.shared)
    world.answer_calls()
    world.report("course.failed", school.ada, school.shared)
    world.on_step("retry_step", first, school.shared, "again")
    world.call("withdraw_enrollment", first.id, "moves away")
    world.answer_calls()
    second = school.enroll(school.shared, new_runs=(school.shared,))
    world.answer_calls()
    world.complete(second, school.shared)

    assert see(world, second) == "completed: completed"
    assert see(world, school.enroll(school.shared)) == "completed: completed"


def test_a_completion_of_before_does_not_complete_a_pending_step_that_demands_a_new_run(
    world: World, school: School
) -> None:
    second = school.enroll(school.b, school.shared, new_runs=(school.shared,))
    first = school.enroll(school.shared)
    world.complete(first, school.shared)
    world.complete(second, school.b)

    assert see(world, second) == "active: completed, in_progress"
    assert see_runs(world, school.ada, school.shared) == ["completed", "requested"]


def test_a_completion_taken_back_is_not_equivalent(world: World, school: School) -> None:
    first = school.enroll(school.shared)
    world.complete(first, school.shared)
    world.report("completion.revoked", school.ada, school.shared)

    assert see(world, first) == "completed: completed"
    assert see_attention(world) == ["completion_revoked"]
    assert see(world, school.enroll(school.shared)) == "active: in_progress"


def test_a_shared_run_is_left_only_with_the_last_who_wants_it(world: World, school: School) -> None:
    first, second = school.enroll_in_both()
    world.answer_calls()
    world.call("withdraw_enrollment", first.id, "one is enough")
    assert see_runs(world, school.ada, school.shared) == ["active"]

    world.call("withdraw_enrollment", second.id, "none is better")

    assert see_runs(world, school.ada, school.shared) == ["cancelling"]


@pytest.mark.parametrize("state", ["pending", "suspended"])
def test_a_shared_run_is_kept_for_a_pending_or_suspended_enrollment(
    world: World, school: School, state: str
) -> None:
    first, second = school.enroll_in_both()
    world.answer_calls()
    if state == "suspended":
        world.call("suspend_enrollment", second.id, "ill")
    else:  # as after the undoing of a withdrawal with a requirement open
        world.admin.execute("update enrollments set status = 'pending' where id = %s", [second.id])
    world.call("withdraw_enrollment", first.id, "one is enough")

    assert see_runs(world, school.ada, school.shared) == ["active"]


def test_a_failure_fails_both_and_either_may_try_again(world: World, school: School) -> None:
    first, second = school.enroll_in_both()
    world.answer_calls()
    world.report("course.failed", school.ada, school.shared)
    assert (see(world, first), see(world, second)) == (
        "active: failed, pending",
        "active: failed, pending",
    )
    world.on_step("retry_step", first, school.shared, "again")
    world.on_step("retry_step", second, school.shared, "again")
    assert see_runs(world, school.ada, school.shared) == ["failed", "provisioning"]

    world.report("course.completed", school.ada, school.shared)

    assert see(world, first) == "active: completed #2, in_progress"
    assert see(world, second) == "active: completed #2, in_progress"


def test_a_failure_of_another_program_does_not_fail_a_step_that_starts(
    world: World, school: School
) -> None:
    first = school.enroll(school.shared)
    world.answer_calls()
    world.report("course.failed", school.ada, school.shared)
    second = school.enroll(school.shared)

    assert (see(world, first), see(world, second)) == ("active: failed", "active: in_progress")
    assert see_runs(world, school.ada, school.shared) == ["failed", "provisioning"]


def test_an_early_completion_counts_for_every_program(world: World, school: School) -> None:
    first, second = school.enroll(school.a, school.shared), school.enroll(school.b, school.shared)
    world.answer_calls()
    world.apply(world.event("course.completed", school.ada, school.shared, by="account"))

    assert see(world, first) == "active: in_progress, completed"
    assert see(world, second) == "active: in_progress, completed"


def test_a_late_certificate_of_an_expired_course_completes_nothing(world: World) -> None:
    school = School(world, valid_months=12)
    school.enroll(school.shared)
    world.answer_calls()
    at = now() - timedelta(days=400)
    world.report("course.completed", school.ada, school.shared, occurred_at=at)
    second = school.enroll(school.b, school.shared)
    world.answer_calls()

    for kind in ("certificate.issued", "course.completed"):
        world.report(kind, school.ada, school.shared, occurred_at=at, certificate=CERTIFICATE)

    assert see(world, second) == "active: in_progress, pending"
    assert world.column("select number from partner_certificates") == ["N 1"]


def test_a_late_certificate_of_a_reopened_course_completes_nothing(
    world: World, school: School
) -> None:
    first = school.enroll(school.shared)
    world.answer_calls()
    world.complete(first, school.shared)
    late = world.event("certificate.issued", school.ada, school.shared, certificate=CERTIFICATE)
    world.on_step("reopen_step", first, school.shared, "not hers")
    second = school.enroll(school.b, school.shared)
    world.answer_calls()

    assert [each.outcome for each in world.apply(late)] == ["applied"]

    assert see(world, second) == "active: in_progress, pending"


def test_reopening_in_one_program_leaves_the_other(world: World, school: School) -> None:
    first, second = school.enroll_in_both()
    world.answer_calls()
    world.report("course.completed", school.ada, school.shared)
    world.on_step("reopen_step", first, school.shared, "not hers")

    assert see(world, first) == "active: in_progress #2, in_progress"
    assert see(world, second) == "active: completed, in_progress"
    assert see_changes(world, second, school.shared)[-1] == "in_progress > completed (webhook)"


# Holding calls.


def test_a_call_held_for_a_suspended_program_goes_out_for_an_active_one(
    world: World, school: School
) -> None:
    first = school.enroll(school.shared, school.a)
    world.call("suspend_enrollment", first.id, "ill")
    second = school.enroll(school.shared, school.b)
    world.answer_calls()

    assert see_runs(world, school.ada, school.shared) == ["active"]
    assert see_calls(world, school.ada) == ["create_account done", "enroll done"]
    assert see(world, second) == "active: in_progress, pending"


def test_an_account_held_for_a_suspended_program_is_made_for_another_course(
    world: World, school: School
) -> None:
    first = school.enroll(school.a)
    world.call("suspend_enrollment", first.id, "ill")
    school.enroll(school.b)
    world.answer_calls()

    assert see_runs(world, school.ada, school.b) == ["active"]
    assert see_runs(world, school.ada, school.a) == ["provisioning"]
    assert see_calls(world, school.ada) == [
        "create_account done",
        "enroll queued held",
        "enroll done",
    ]


def test_an_account_is_not_held_while_an_active_program_waits_for_it(
    world: World, school: School
) -> None:
    first = school.enroll(school.a)
    school.enroll(school.b)
    world.call("suspend_enrollment", first.id, "ill")

    assert see_calls(world, school.ada) == ["create_account queued"]


def test_a_call_is_held_again_when_only_a_suspended_program_wants_it(
    world: World, school: School
) -> None:
    first, second = school.enroll_in_both()
    world.call("suspend_enrollment", first.id, "ill")
    assert see_calls(world, school.ada) == ["create_account queued"]

    world.call("withdraw_enrollment", second.id, "one is enough")

    assert see_calls(world, school.ada) == ["create_account queued held"]
    world.call("resume_enrollment", first.id, "well")
    world.answer_calls()
    assert see_runs(world, school.ada, school.shared) == ["active"]
