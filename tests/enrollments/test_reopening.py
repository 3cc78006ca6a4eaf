"""Completed and waived steps opened again by an administrator."""

from datetime import timedelta

import psycopg
import pytest

from tests.enrollments.look import find_run, see, see_changes, see_credentials, see_runs
from tests.factories import LONG_AGO, Course, Electives, Enrollment, World, now


@pytest.fixture
def courses(world: World) -> list[Course]:
    return world.courses(world.provider(world.organization()), 4)


def enroll(world: World, *stages: Course | Electives) -> Enrollment:
    first = stages[0]
    organization = (first if isinstance(first, Course) else first.courses[0]).provider.organization
    return world.enroll(world.learner(organization), world.program(organization, *stages))


@pytest.mark.every_postgres
def test_reopening_after_the_certificate_revokes_it_and_the_next_supersedes_it(
    world: World, courses: list[Course]
) -> None:
    enrollment = enroll(world, *courses[:2])
    world.answer_calls()
    world.complete(enrollment, *courses[:2])
    assert see_credentials(world, enrollment) == ["valid"]

    world.on_step("reopen_step", enrollment, courses[0], "the exam was not hers")

    assert see(world, enrollment) == "active: in_progress #2, completed"
    assert see_credentials(world, enrollment) == ["revoked"]
    assert see_changes(world, enrollment)[-1] == "completed > active (person)"
    assert see_changes(world, enrollment, courses[0])[-1] == "completed > in_progress (person)"
    assert world.value("select revoke_reason from credentials") == "the exam was not hers"

    world.answer_calls()
    world.complete(enrollment, courses[0])

    assert see(world, enrollment) == "completed: completed #2, completed"
    assert see_credentials(world, enrollment) == ["revoked", "valid"]
    old, new = world.column("select id from credentials order by issued_at")
    assert world.value("select supersedes from credentials where id = %s", new) == old


def test_facts_from_before_the_reopening_do_not_count(world: World, courses: list[Course]) -> None:
    enrollment = enroll(world, *courses[:2])
    world.answer_calls()
    before = now()
    old = world.event("course.completed", enrollment.learner, courses[0], by="external")
    world.complete(enrollment, courses[0])
    world.on_step("reopen_step", enrollment, courses[0], "once more")

    by_account = world.event("course.completed", enrollment.learner, courses[0], by="account")
    outcomes = world.apply({**old, "cause_id": None}, {**by_account, "occurred_at": before})

    assert [each.reason for each in outcomes] == ["already completed", "dated before this attempt"]
    assert see(world, enrollment) == "active: in_progress #2, in_progress"
    assert see_runs(world, enrollment.learner, courses[0]) == ["completed", "provisioning"]


@pytest.mark.parametrize("function", ["complete_step", "fail_step"])
def test_a_day_before_the_new_attempt_is_refused(
    world: World, courses: list[Course], function: str
) -> None:
    enrollment = enroll(world, *courses[:2])
    world.answer_calls()
    world.complete(enrollment, courses[0])
    world.on_step("reopen_step", enrollment, courses[0], "once more")
    with pytest.raises(psycopg.Error, match="before this attempt began"):
        world.on_step(function, enrollment, courses[0], LONG_AGO, "paper seen")

    world.on_step(function, enrollment, courses[0], now().date(), "paper seen")
    assert see(world, enrollment).startswith("active: " + function.split("_", maxsplit=1)[0])


def test_the_next_stage_waits_for_a_reopened_step(world: World, courses: list[Course]) -> None:
    enrollment = enroll(world, *courses[:3])
    world.complete(enrollment, courses[0])
    world.on_step("reopen_step", enrollment, courses[0], "once more")
    world.complete(enrollment, courses[1])
    assert see(world, enrollment) == "active: in_progress #2, completed, pending"

    world.complete(enrollment, courses[0])

    assert see(world, enrollment) == "active: completed #2, completed, in_progress"


def test_a_waiver_is_taken_back(world: World, courses: list[Course]) -> None:
    enrollment = enroll(world, *courses[:2])
    world.answer_calls()
    world.on_step("skip_step", enrollment, courses[0], "tested_out", "exam")
    world.answer_calls()
    world.on_step("reopen_step", enrollment, courses[0], "the exam was another one")

    assert see(world, enrollment) == "active: in_progress #2, in_progress"
    assert see_runs(world, enrollment.learner, courses[0]) == ["cancelled", "provisioning"]
    assert world.rows("select skip_reason, waived_by from enrollment_steps where attempt = 2") == [
        (None, None)
    ]


def test_a_waiver_taken_back_while_the_old_run_is_being_left(
    world: World, courses: list[Course]
) -> None:
    enrollment = enroll(world, *courses[:2])
    world.answer_calls()
    world.on_step("skip_step", enrollment, courses[0], "tested_out", "exam")
    world.on_step("reopen_step", enrollment, courses[0], "the exam was another one")
    assert see_runs(world, enrollment.learner, courses[0]) == ["cancelling", "requested"]

    world.answer_calls()

    assert see_runs(world, enrollment.learner, courses[0]) == ["cancelled", "active"]


def test_reopening_an_elective_offers_the_others_again(world: World, courses: list[Course]) -> None:
    enrollment = enroll(world, Electives(1, courses[:3]), courses[3])
    world.on_step("choose_elective", enrollment, courses[0])
    world.complete(enrollment, courses[0])
    assert see(world, enrollment) == "active: completed, skipped, skipped, in_progress"

    world.on_step("reopen_step", enrollment, courses[0], "regraded")
    assert see(world, enrollment) == "active: in_progress #2, pending, pending, in_progress"
    assert see_changes(world, enrollment, courses[1]) == [
        "pending > skipped (step)",
        "skipped > pending (person)",
    ]
    world.on_step("unchoose_elective", enrollment, courses[0])
    world.on_step("choose_elective", enrollment, courses[1])
    assert see(world, enrollment) == "active: pending #2, in_progress, pending, in_progress"

    world.complete(enrollment, courses[1])
    assert see(world, enrollment) == "active: skipped #2, completed, skipped, in_progress"


def test_no_reopening_of_an_elective_that_is_not_needed(
    world: World, courses: list[Course]
) -> None:
    enrollment = enroll(world, Electives(1, courses[:2]), courses[2])
    for course in courses[:2]:
        world.on_step("choose_elective", enrollment, course)
        world.answer_calls()
        world.report("course.failed", enrollment.learner, course)
    both = [world.event("course.completed", enrollment.learner, each) for each in courses[:2]]
    world.apply(*both)
    before = "active: completed, completed, in_progress"
    assert see(world, enrollment) == before

    with pytest.raises(psycopg.Error, match="Enough other electives of this stage are completed"):
        world.on_step("reopen_step", enrollment, courses[0], "cheated")
    assert see(world, enrollment) == before


def test_a_reopened_elective_chosen_again_starts_anew(world: World, courses: list[Course]) -> None:
    enrollment = enroll(world, Electives(1, courses[:2]))
    world.on_step("choose_elective", enrollment, courses[0])
    world.complete(enrollment, courses[0])
    world.on_step("reopen_step", enrollment, courses[0], "not hers")
    world.on_step("unchoose_elective", enrollment, courses[0])

    world.on_step("choose_elective", enrollment, courses[0])

    assert see(world, enrollment) == "active: in_progress #2, pending"


def test_a_reopened_completion_does_not_come_back_by_a_transfer(
    world: World, courses: list[Course]
) -> None:
    enrollment = enroll(world, *courses[:2])
    world.complete(enrollment, courses[0])
    world.on_step("reopen_step", enrollment, courses[0], "not hers")
    other = world.program(enrollment.program.organization, courses[0], courses[2])

    id = world.call("transfer_enrollment", enrollment.id, other.id, "moved")

    new = Enrollment(id, enrollment.learner, other)
    assert see(world, new) == "active: in_progress, pending"


def test_what_is_not_finished_cannot_be_reopened(world: World, courses: list[Course]) -> None:
    enrollment = enroll(world, Electives(1, courses[:2]), courses[2])
    with pytest.raises(psycopg.Error, match="Only a completed or waived step"):
        world.on_step("reopen_step", enrollment, courses[0], "why not")
    world.on_step("choose_elective", enrollment, courses[0])
    world.complete(enrollment, courses[0])
    with pytest.raises(psycopg.Error, match="Only a completed or waived step"):
        world.on_step("reopen_step", enrollment, courses[1], "it was only not chosen")


def test_no_reopening_beside_another_live_enrollment(world: World, courses: list[Course]) -> None:
    enrollment = enroll(world, courses[0])
    world.complete(enrollment, courses[0])
    world.create(enrollment.learner, enrollment.program)

    with pytest.raises(psycopg.Error, match="another enrollment in this program"):
        world.on_step("reopen_step", enrollment, courses[0], "why not")
    assert see_credentials(world, enrollment) == ["valid"]


@pytest.mark.parametrize("function", ["suspend_enrollment", "withdraw_enrollment"])
def test_no_reopening_while_nothing_may_start(
    world: World, courses: list[Course], function: str
) -> None:
    enrollment = enroll(world, *courses[:2])
    world.complete(enrollment, courses[0])
    world.call(function, enrollment.id, "a reason")

    with pytest.raises(psycopg.Error, match="while it is active or completed"):
        world.on_step("reopen_step", enrollment, courses[0], "why not")


def test_reopening_keeps_the_old_run_and_its_number(world: World, courses: list[Course]) -> None:
    enrollment = enroll(world, *courses[:2])
    world.answer_calls()
    old = find_run(world, enrollment.learner, courses[0])
    world.complete(enrollment, courses[0])
    world.on_step("reopen_step", enrollment, courses[0], "once more")

    assert world.rows(
        "select id = %s, run, counts_from is null from partner_lms_enrollments "
        "where course_id = %s order by run",
        old,
        courses[0].id,
    ) == [(True, 1, True), (False, 2, False)]


def test_no_reopening_before_the_start_date(world: World, courses: list[Course]) -> None:
    organization = courses[0].provider.organization
    program = world.program(organization, courses[0])
    later = now().date() + timedelta(days=2)
    enrollment = world.enroll(world.learner(organization), program, start=later)
    world.on_step("skip_step", enrollment, courses[0], "tested_out", "exam")

    with pytest.raises(psycopg.Error, match="has not begun"):
        world.on_step("reopen_step", enrollment, courses[0], "why not")
