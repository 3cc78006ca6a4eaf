"""Transfer to another program or version: one closes, the other opens, in one transaction."""

import psycopg
import pytest

from tests.enrollments.look import see, see_calls, see_changes, see_runs
from tests.factories import Course, Electives, Enrollment, Program, World


@pytest.fixture
def courses(world: World) -> list[Course]:
    return world.courses(world.provider(world.organization()), 5)


def enroll(world: World, *stages: Course | Electives) -> Enrollment:
    organization = world.value("select id from organizations")
    first = stages[0] if isinstance(stages[0], Course) else stages[0].courses[0]
    assert first.provider.organization.id == organization
    program = world.program(first.provider.organization, *stages)
    return world.enroll(world.learner(first.provider.organization), program)


def transfer(world: World, enrollment: Enrollment, program: Program) -> Enrollment:
    id = world.call("transfer_enrollment", enrollment.id, program.id, "suits her better")
    return Enrollment(id, enrollment.learner, program)


@pytest.mark.every_postgres
def test_completed_steps_come_over_as_equivalent_and_waivers_as_waivers(
    world: World, courses: list[Course]
) -> None:
    a, b, c, d, _ = courses
    old = enroll(world, a, b, c)
    world.complete(old, a)
    world.on_step("skip_step", old, b, "tested_out", "exam")
    new = transfer(world, old, world.program(old.program.organization, a, b, d))

    assert see(world, old) == "transferred: completed, skipped, in_progress"
    assert see(world, new) == "active: completed, skipped, in_progress"
    assert see_changes(world, old)[-1] == "active > transferred (person)"
    assert see_changes(world, new) == ["pending > active (person)"]
    assert see_changes(world, new, a) == ["pending > completed (equivalent)"]
    assert see_changes(world, new, b) == ["pending > skipped (equivalent)"]
    assert world.value("select transferred_from from enrollments where id = %s", new.id) == old.id


def test_shared_runs_stay_open_and_others_are_left(world: World, courses: list[Course]) -> None:
    a, b, c, _, _ = courses
    organization = a.provider.organization
    old = world.enroll(world.learner(organization), world.program(organization, [a, b]))
    world.answer_calls()
    new = transfer(world, old, world.program(organization, a, c))

    assert see(world, new) == "active: in_progress, pending"
    assert see_runs(world, old.learner, a) == ["active"]
    assert see_runs(world, old.learner, b) == ["cancelling"]
    assert see_calls(world, old.learner).count("enroll done") == 2

    world.complete(new, a)
    assert see(world, new) == "active: completed, in_progress"
    assert see(world, old) == "transferred: in_progress, in_progress"


def test_a_run_waits_open_for_its_turn_in_the_new_program(
    world: World, courses: list[Course]
) -> None:
    a, b, *_ = courses
    old = enroll(world, a)
    world.answer_calls()
    new = transfer(world, old, world.program(old.program.organization, b, a))
    assert see_runs(world, old.learner, a) == ["active"]

    world.complete(new, b)

    assert see(world, new) == "active: completed, in_progress"
    assert see_runs(world, old.learner, a) == ["active"]


def test_the_choice_of_an_elective_comes_over(world: World, courses: list[Course]) -> None:
    a, b, c, d, _ = courses
    old = enroll(world, Electives(1, [a, b]))
    world.on_step("choose_elective", old, a)
    new = transfer(world, old, world.program(old.program.organization, c, Electives(1, [a, d])))
    world.complete(new, c)

    assert see(world, new) == "active: completed, in_progress, pending"


def test_a_completed_elective_comes_over_as_equivalent(world: World, courses: list[Course]) -> None:
    a, b, c, *_ = courses
    old = enroll(world, Electives(1, [a, b]), c)
    world.on_step("choose_elective", old, a)
    world.complete(old, a)
    new = transfer(world, old, world.program(old.program.organization, Electives(1, [a, b])))

    assert see(world, new) == "completed: completed, skipped"
    assert see_changes(world, new, a) == ["pending > completed (equivalent)"]


def test_what_was_required_and_is_under_way_is_a_choice_in_the_new_program(
    world: World, courses: list[Course]
) -> None:
    a, b, *_ = courses
    old = enroll(world, a)
    new = transfer(world, old, world.program(old.program.organization, Electives(1, [a, b])))

    assert see(world, new) == "active: in_progress, pending"


@pytest.mark.parametrize("before", ["chosen", "required"])
def test_no_more_electives_come_over_than_the_new_stage_takes(
    world: World, courses: list[Course], before: str
) -> None:
    b, a, c, *_ = courses  # what is completed has not the first id
    old = enroll(world, *([Electives(2, [a, b, c])] if before == "chosen" else [a, b]))
    if before == "chosen":
        world.on_step("choose_elective", old, a)
        world.on_step("choose_elective", old, b)
    world.answer_calls()
    world.complete(old, a)
    world.answer_calls()
    new = transfer(world, old, world.program(old.program.organization, Electives(1, [b, a]), c))

    assert see(world, new).count("in_progress") == 1  # only c: what was completed comes first
    assert see_changes(world, new, a) == ["pending > completed (equivalent)"]
    assert see_runs(world, old.learner, b) == ["cancelling"]


def test_a_waiver_leaves_less_to_choose(world: World, courses: list[Course]) -> None:
    a, b, c, *_ = courses
    organization = a.provider.organization
    old = world.enroll(world.learner(organization), world.program(organization, [a, b, c]))
    world.on_step("skip_step", old, a, "tested_out", "exam")
    new = transfer(world, old, world.program(old.program.organization, Electives(2, [a, b, c])))

    assert see(world, new) == "active: skipped, in_progress, pending"


def test_a_pending_enrollment_stays_pending(world: World, courses: list[Course]) -> None:
    a, b, *_ = courses
    organization = a.provider.organization
    old = world.create(world.learner(organization), world.program(organization, a))
    new = transfer(world, old, world.program(organization, b))
    assert (see(world, old), see(world, new)) == ("transferred: pending", "pending: pending")

    world.approve(new)

    assert see(world, new) == "active: in_progress"


def test_a_suspended_enrollment_goes_on_in_the_new_program(
    world: World, courses: list[Course]
) -> None:
    a, *_ = courses
    old = enroll(world, a)
    world.call("suspend_enrollment", old.id, "ill")
    new = transfer(world, old, world.program(old.program.organization, a))

    assert see(world, new) == "active: in_progress"
    assert [each.kind for each in world.claim()] == ["create_account"]


def test_what_a_suspended_enrollment_held_goes_out_for_the_new_one(
    world: World, courses: list[Course]
) -> None:
    a, b, *_ = courses
    old = enroll(world, a)
    (account,) = world.claim()
    world.record(account, external_id="ada-1")
    world.call("suspend_enrollment", old.id, "ill")
    assert see_calls(world, old.learner) == ["create_account done", "enroll queued held"]
    new = transfer(world, old, world.program(old.program.organization, b, a))
    world.answer_calls()

    assert see(world, new) == "active: in_progress, pending"
    assert see_runs(world, old.learner, a) == ["active"]


def test_to_a_newer_version_of_the_same_program(world: World, courses: list[Course]) -> None:
    a, b, c, *_ = courses
    old = enroll(world, a, b)
    world.complete(old, a)
    newer = world.version(old.program, 2, a, c)
    new = transfer(world, old, newer)

    assert see(world, new) == "active: completed, in_progress"
    assert world.value("select program_version_id from enrollments where id = %s", new.id) == (
        newer.version
    )


def test_an_enrollment_is_transferred_once(world: World, courses: list[Course]) -> None:
    a, b, *_ = courses
    old = enroll(world, a)
    other = world.program(old.program.organization, b)
    transfer(world, old, other)

    with pytest.raises(psycopg.Error, match="is transferred and cannot be transferred"):
        transfer(world, old, other)
    with pytest.raises(psycopg.Error, match="is transferred and cannot be withdrawn"):
        world.call("withdraw_enrollment", old.id, "late")
    with pytest.raises(psycopg.Error, match="Only a withdrawn enrollment"):
        world.call("undo_withdrawal", old.id, "late")


def test_a_transfer_that_cannot_be_changes_nothing(world: World, courses: list[Course]) -> None:
    a, b, *_ = courses
    old = enroll(world, a)
    other = world.program(old.program.organization, b)
    world.create(old.learner, other)

    with pytest.raises(psycopg.Error, match="has another enrollment in that program"):
        transfer(world, old, other)
    assert see(world, old) == "active: in_progress"


def test_where_nobody_can_be_transferred(world: World, courses: list[Course]) -> None:
    a, b, *_ = courses
    old = enroll(world, a)
    with pytest.raises(psycopg.Error, match="in the newest version of that program already"):
        transfer(world, old, old.program)
    draft = world.insert(
        "programs", organization_id=old.program.organization.id, slug="draft", title="Draft"
    )
    with pytest.raises(psycopg.Error, match="no published version"):
        transfer(world, old, Program(draft, draft, old.program.organization))
    archived = world.program(old.program.organization, b)
    world.admin.execute("update programs set archived_at = now() where id = %s", [archived.id])
    with pytest.raises(psycopg.Error, match="archived"):
        transfer(world, old, archived)
    elsewhere = world.organization()
    foreign = world.program(elsewhere, world.course(world.provider(elsewhere)))
    with pytest.raises(psycopg.Error, match="no published version"):
        transfer(world, old, foreign)
    world.complete(old, a)
    with pytest.raises(psycopg.Error, match="is completed and cannot be transferred"):
        transfer(world, old, world.program(old.program.organization, b))
