"""Each row of the step's transition table (docs/reference/states.md)."""

from datetime import date, timedelta

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
from tests.factories import Course, Enrollment, Program, World, now


def today() -> date:
    return now().date()


class School:
    """One partner, three courses one after the other, Ada enrolled."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.organization = world.organization()
        self.partner = world.provider(self.organization)
        self.courses = world.courses(self.partner, 3)
        self.program: Program = world.program(self.organization, *self.courses)
        self.ada = world.learner(self.organization)
        self.enrollment: Enrollment = world.enroll(self.ada, self.program)

    @property
    def first(self) -> Course:
        return self.courses[0]

    def see(self) -> str:
        return see(self.world, self.enrollment)

    def fail(self, day: date) -> None:
        """Staff mark the first step failed on that day."""
        self.world.on_step("fail_step", self.enrollment, self.first, day, "did not come")


@pytest.fixture
def school(world: World) -> School:
    return School(world)


@pytest.mark.every_postgres
def test_a_sequence_runs_from_approval_to_credential(world: World, school: School) -> None:
    assert school.see() == "active: in_progress, pending, pending"
    assert see_calls(world, school.ada) == ["create_account queued"]
    world.answer_calls()
    world.complete(school.enrollment, school.first)
    assert school.see() == "active: completed, in_progress, pending"
    assert see_calls(world, school.ada) == ["create_account done", "enroll done", "enroll queued"]

    world.complete(school.enrollment, *school.courses[1:])

    assert school.see() == "completed: completed, completed, completed"
    assert see_credentials(world, school.enrollment) == ["valid"]
    assert see_changes(world, school.enrollment) == [
        "pending > active (approval)",
        "active > completed (step)",
    ]
    assert see_changes(world, school.enrollment, school.first) == [
        "pending > in_progress (approval)",
        "in_progress > completed (webhook)",
    ]
    assert see_changes(world, school.enrollment, school.courses[1]) == [
        "pending > in_progress (step)",
        "in_progress > completed (webhook)",
    ]


def test_the_cause_is_the_message_and_the_step_before(world: World, school: School) -> None:
    event = world.event("course.completed", school.ada, school.first)
    world.apply(event)

    first, second, _ = (world.step_id(school.enrollment, each) for each in school.courses)
    assert world.rows(
        "select step_id, cause_kind, cause_id from step_events where cause_id is not null order by id"
    ) == [(first, "webhook", event["cause_id"]), (second, "step", first)]


def test_a_stage_runs_in_parallel_and_ends_when_all_of_it_is_done(world: World) -> None:
    organization = world.organization()
    a, b, c, d = world.courses(world.provider(organization), 4)
    ada = world.learner(organization)
    enrollment = world.enroll(ada, world.program(organization, a, [b, c], d))
    assert see(world, enrollment) == "active: in_progress, pending, pending, pending"

    world.complete(enrollment, a)
    assert see(world, enrollment) == "active: completed, in_progress, in_progress, pending"
    world.complete(enrollment, c)
    assert see(world, enrollment) == "active: completed, in_progress, completed, pending"
    world.on_step("skip_step", enrollment, b, "tested_out", "knows it")
    assert see(world, enrollment) == "active: completed, skipped, completed, in_progress"


def test_a_completion_before_its_turn_completes_the_step_at_once(
    world: World, school: School
) -> None:
    later = school.courses[2]
    world.answer_calls()
    assert [each.outcome for each in world.apply(report_by_account(world, school, later))] == [
        "applied"
    ]
    assert school.see() == "active: in_progress, pending, completed"
    assert see_changes(world, school.enrollment, later) == ["pending > completed (webhook)"]

    world.complete(school.enrollment, *school.courses[:2])

    assert school.see() == "completed: completed, completed, completed"


def report_by_account(world: World, school: School, course: Course) -> dict[str, object]:
    return world.event("course.completed", school.ada, course, by="account")


def test_a_failure_before_its_turn_is_kept_and_applied_at_the_start(
    world: World, school: School
) -> None:
    world.answer_calls()
    event = report_by_account(world, school, school.courses[1])
    world.apply({**event, "kind": "course.failed", "reason": "positive"})
    assert school.see() == "active: in_progress, pending, pending"

    world.complete(school.enrollment, school.first)

    assert school.see() == "active: completed, failed, pending"
    assert see_changes(world, school.enrollment, school.courses[1]) == [
        "pending > in_progress (step)",
        "in_progress > failed (webhook)",
    ]
    assert see_runs(world, school.ada, school.courses[1]) == ["failed"]


@pytest.mark.parametrize("before", ["pending", "in_progress", "failed"])
def test_a_waiver_skips_what_is_not_finished(world: World, school: School, before: str) -> None:
    course = school.courses[1] if before == "pending" else school.first
    if before == "failed":
        world.report("course.failed", school.ada, course)
    world.on_step("skip_step", school.enrollment, course, "outside_experience", "ten years of it")

    assert see_changes(world, school.enrollment, course)[-1] == f"{before} > skipped (person)"
    assert world.rows(
        "select skip_reason, error_message from enrollment_steps where status = 'skipped'"
    ) == [("outside_experience", "")]


def test_a_waived_step_leaves_its_run(world: World, school: School) -> None:
    world.answer_calls()
    world.on_step("skip_step", school.enrollment, school.first, "tested_out", "exam of May")
    assert see_runs(world, school.ada, school.first) == ["cancelling"]
    assert "unenroll queued" in see_calls(world, school.ada)

    world.answer_calls()

    assert see_runs(world, school.ada, school.first) == ["cancelled"]
    assert school.see() == "active: skipped, in_progress, pending"


def test_a_waiver_needs_a_known_kind_and_a_reason(world: World, school: School) -> None:
    with pytest.raises(psycopg.Error, match="Choose why the step is waived"):
        world.on_step("skip_step", school.enrollment, school.first, "not_chosen", "no")
    with pytest.raises(psycopg.errors.CheckViolation, match="a reason is needed"):
        world.on_step("skip_step", school.enrollment, school.first, "tested_out", "  ")


@pytest.mark.parametrize("cause", ["webhook", "file", "reconciliation"])
@pytest.mark.parametrize("result", ["completed", "failed"])
def test_a_report_ends_a_step(world: World, school: School, result: str, cause: str) -> None:
    world.report(f"course.{result}", school.ada, school.first, cause_kind=cause)

    assert see_changes(world, school.enrollment, school.first)[-1] == (
        f"in_progress > {result} ({cause})"
    )


def test_staff_complete_a_step_with_evidence(world: World, school: School) -> None:
    yesterday = now().date() - timedelta(days=1)
    world.on_step(
        "complete_step", school.enrollment, school.first, yesterday, "saw the certificate"
    )

    assert school.see() == "active: completed, in_progress, pending"
    assert world.rows(
        "select s.completed_at::date, e.reason from enrollment_steps s join step_events e "
        "on e.step_id = s.id and e.to_status = s.status where s.status = 'completed'"
    ) == [(yesterday, "saw the certificate")]


def test_staff_cannot_complete_in_the_future_nor_without_evidence(
    world: World, school: School
) -> None:
    with pytest.raises(psycopg.Error, match="lies in the future"):
        world.on_step(
            "complete_step", school.enrollment, school.first, today() + timedelta(days=2), "seen"
        )
    with pytest.raises(psycopg.Error, match="a reason is needed"):
        world.on_step("complete_step", school.enrollment, school.first, today(), "")
    with pytest.raises(psycopg.Error, match="in progress or failed"):
        world.on_step("complete_step", school.enrollment, school.courses[1], today(), "seen")


def test_staff_fail_a_step(world: World, school: School) -> None:
    with pytest.raises(psycopg.Error, match="lies in the future"):
        school.fail(today() + timedelta(days=2))

    school.fail(today())

    assert school.see() == "active: failed, pending, pending"
    assert world.value("select error_message from enrollment_steps where status = 'failed'") == (
        "did not come"
    )


def test_a_failure_is_of_the_day_that_staff_name(world: World, school: School) -> None:
    """What the partner reports of the day after it is the newer fact."""
    school.fail(today() - timedelta(days=3))

    world.report(
        "course.completed", school.ada, school.first, occurred_at=now() - timedelta(days=1)
    )

    assert school.see() == "active: completed, in_progress, pending"


def test_a_failure_of_today_is_not_later_than_now(world: World, school: School) -> None:
    school.fail(today())

    world.report("course.completed", school.ada, school.first, occurred_at=now())

    assert school.see() == "active: completed, in_progress, pending"


def test_a_failed_step_completes_when_the_same_run_reports_it_later(
    world: World, school: School
) -> None:
    at = now()
    world.report("course.failed", school.ada, school.first, occurred_at=at)
    outcome = world.report(
        "course.completed", school.ada, school.first, occurred_at=at - timedelta(minutes=1)
    )
    assert (outcome.outcome, school.see()) == ("ignored", "active: failed, pending, pending")

    world.report(
        "course.completed", school.ada, school.first, occurred_at=at + timedelta(minutes=1)
    )

    assert school.see() == "active: completed, in_progress, pending"
    assert see_changes(world, school.enrollment, school.first)[-1] == "failed > completed (webhook)"


def test_staff_complete_a_failed_step_whatever_the_dates(world: World, school: School) -> None:
    world.report("course.failed", school.ada, school.first)
    long_ago = today() - timedelta(days=9)
    world.on_step("complete_step", school.enrollment, school.first, long_ago, "paper of May")

    assert school.see() == "active: completed, in_progress, pending"


def test_an_older_failure_never_undoes_a_completion(world: World, school: School) -> None:
    at = now()
    world.report("course.completed", school.ada, school.first, occurred_at=at)
    older = world.report(
        "course.failed", school.ada, school.first, occurred_at=at - timedelta(minutes=1)
    )

    assert older.outcome == "ignored"
    assert school.see() == "active: completed, in_progress, pending"
    assert see_attention(world) == []


def test_a_failure_after_the_completion_goes_to_a_person(world: World, school: School) -> None:
    at = now()
    world.report("course.completed", school.ada, school.first, occurred_at=at)
    newer = world.report(
        "course.failed", school.ada, school.first, occurred_at=at + timedelta(minutes=1)
    )

    assert newer.outcome == "applied"
    assert school.see() == "active: completed, in_progress, pending"
    assert see_attention(world) == ["completion_revoked"]


def test_a_retry_is_a_new_attempt_at_a_new_run(world: World, school: School) -> None:
    world.answer_calls()
    world.report("course.failed", school.ada, school.first, reason="exam")
    world.on_step("retry_step", school.enrollment, school.first, "second try")

    assert school.see() == "active: in_progress #2, pending, pending"
    assert see_runs(world, school.ada, school.first) == ["failed", "provisioning"]
    assert see_calls(world, school.ada)[-1] == "enroll queued"
    assert world.rows("select error_message, progress from enrollment_steps where attempt = 2") == [
        ("", 0)
    ]


def test_only_a_failed_step_of_an_active_enrollment_is_retried(
    world: World, school: School
) -> None:
    with pytest.raises(psycopg.Error, match="Only a failed step"):
        world.on_step("retry_step", school.enrollment, school.first, "again")
    world.report("course.failed", school.ada, school.first)
    world.call("suspend_enrollment", school.enrollment.id, "ill")
    with pytest.raises(psycopg.Error, match="of an active enrollment"):
        world.on_step("retry_step", school.enrollment, school.first, "again")


def test_a_late_completion_of_the_failed_run_does_not_end_the_new_attempt(
    world: World, school: School
) -> None:
    world.answer_calls()
    event = world.event("course.completed", school.ada, school.first, by="external")
    world.report("course.failed", school.ada, school.first)
    world.on_step("retry_step", school.enrollment, school.first, "again")

    world.apply(event)

    assert school.see() == "active: in_progress #2, pending, pending"
    assert see_runs(world, school.ada, school.first) == ["completed", "provisioning"]
