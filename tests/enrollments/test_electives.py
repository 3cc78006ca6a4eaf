"""Stages of electives: chosen late, early, changed, failed, waived; N of M."""

import psycopg
import pytest

from tests.enrollments.look import see, see_changes, see_runs
from tests.factories import Course, Electives, Enrollment, World


class Choice:
    """A first course, then `choose` of three electives, then a last course; Ada enrolled."""

    def __init__(self, world: World, *, choose: int = 1) -> None:
        self._world = world
        self.organization = world.organization()
        self.partner = world.provider(self.organization)
        self.first, self.a, self.b, self.c, self.last = world.courses(self.partner, 5)
        electives = Electives(choose, [self.a, self.b, self.c])
        self.program = world.program(self.organization, self.first, electives, self.last)
        self.ada = world.learner(self.organization)
        self.enrollment: Enrollment = world.enroll(self.ada, self.program)

    def do(self, action: str, course: Course, *more: object) -> None:
        self._world.on_step(action, self.enrollment, course, *more)

    def choose(self, *courses: Course) -> None:
        for course in courses:
            self.do("choose_elective", course)

    def complete(self, *courses: Course) -> None:
        self._world.complete(self.enrollment, *courses)

    def fail(self, course: Course) -> None:
        assert self._world.report("course.failed", self.ada, course).outcome == "applied"

    def see(self) -> str:
        return see(self._world, self.enrollment).removeprefix("active: ")


@pytest.fixture
def choice(world: World) -> Choice:
    return Choice(world)


@pytest.mark.every_postgres
def test_electives_wait_to_be_chosen(world: World, choice: Choice) -> None:
    choice.complete(choice.first)
    assert choice.see() == "completed, pending, pending, pending, pending"

    choice.choose(choice.b)
    assert choice.see() == "completed, pending, in_progress, pending, pending"
    assert see_changes(world, choice.enrollment, choice.b) == ["pending > in_progress (person)"]
    choice.complete(choice.b)

    assert choice.see() == "completed, skipped, completed, skipped, in_progress"
    assert see_changes(world, choice.enrollment, choice.a) == ["pending > skipped (step)"]
    choice.complete(choice.last)
    assert see(world, choice.enrollment) == (
        "completed: completed, skipped, completed, skipped, completed"
    )


def test_a_choice_before_its_stage_is_remembered_and_so_is_who_made_it(
    world: World, choice: Choice
) -> None:
    choice.choose(choice.c)
    choice.choose(choice.c)
    assert choice.see() == "in_progress, pending, pending, pending, pending"
    assert see_changes(world, choice.enrollment, choice.c) == ["pending > pending (person)"]

    choice.complete(choice.first)

    assert choice.see() == "completed, pending, pending, in_progress, pending"
    assert see_changes(world, choice.enrollment, choice.c)[1:] == ["pending > in_progress (step)"]


def test_a_choice_is_changed_before_its_stage(world: World, choice: Choice) -> None:
    choice.choose(choice.a)
    choice.do("unchoose_elective", choice.a)
    assert world.column("select reason from step_events where step_id is not null order by id")[
        1:
    ] == [
        "chosen",
        "choice taken back",
    ]
    choice.choose(choice.b)
    choice.complete(choice.first)

    assert choice.see() == "completed, pending, in_progress, pending, pending"


def test_a_choice_is_changed_while_it_runs(world: World, choice: Choice) -> None:
    choice.complete(choice.first)
    choice.choose(choice.a)
    world.answer_calls()
    choice.do("unchoose_elective", choice.a)
    choice.choose(choice.b)

    assert choice.see() == "completed, pending, in_progress, pending, pending"
    assert see_runs(world, choice.ada, choice.a) == ["cancelling"]
    assert see_changes(world, choice.enrollment, choice.a)[-1] == "in_progress > pending (person)"
    world.answer_calls()
    assert see_runs(world, choice.ada, choice.a) == ["cancelled"]


def test_choosing_again_what_was_left_makes_a_new_run(world: World, choice: Choice) -> None:
    choice.complete(choice.first)
    choice.choose(choice.a)
    world.answer_calls()
    choice.do("unchoose_elective", choice.a)
    choice.choose(choice.a)
    assert see_runs(world, choice.ada, choice.a) == ["cancelling", "requested"]

    world.answer_calls()

    assert choice.see() == "completed, in_progress, pending, pending, pending"
    assert see_runs(world, choice.ada, choice.a) == ["cancelled", "active"]


def test_choosing_again_what_failed_makes_a_new_run(world: World, choice: Choice) -> None:
    choice.complete(choice.first)
    choice.choose(choice.a)
    choice.fail(choice.a)
    choice.do("unchoose_elective", choice.a)
    assert choice.see() == "completed, pending, pending, pending, pending"

    choice.choose(choice.a)

    assert choice.see() == "completed, in_progress, pending, pending, pending"
    assert see_runs(world, choice.ada, choice.a) == ["failed", "requested"]


def test_choosing_is_repeatable_and_bounded(choice: Choice) -> None:
    choice.choose(choice.a, choice.a)
    with pytest.raises(psycopg.Error, match="Enough electives are chosen"):
        choice.choose(choice.b)
    with pytest.raises(psycopg.Error, match="only electives are chosen"):
        choice.choose(choice.first)
    choice.do("unchoose_elective", choice.b)  # not chosen: nothing to take back


def test_a_failed_elective_does_not_count_as_taken(choice: Choice) -> None:
    choice.complete(choice.first)
    choice.choose(choice.a)
    choice.fail(choice.a)
    choice.choose(choice.b)
    assert choice.see() == "completed, failed, in_progress, pending, pending"

    with pytest.raises(psycopg.Error, match="Enough electives are chosen"):
        choice.do("retry_step", choice.a, "and this one too")
    choice.complete(choice.b)

    assert choice.see() == "completed, skipped, completed, skipped, in_progress"


def test_a_failed_elective_is_tried_again(choice: Choice) -> None:
    choice.complete(choice.first)
    choice.choose(choice.a)
    choice.fail(choice.a)
    choice.do("retry_step", choice.a, "second try")
    choice.complete(choice.a)

    assert choice.see() == "completed, completed #2, skipped, skipped, in_progress"


def test_n_of_m_counts_completions_and_waivers(world: World) -> None:
    choice = Choice(world, choose=2)
    choice.complete(choice.first)
    choice.choose(choice.a, choice.b)
    choice.complete(choice.a)
    assert choice.see() == "completed, completed, in_progress, pending, pending"

    choice.do("skip_step", choice.c, "equivalent_course", "took it elsewhere")

    assert choice.see() == "completed, completed, skipped, skipped, in_progress"
    assert see_changes(world, choice.enrollment, choice.b)[-1] == "in_progress > skipped (person)"
    assert world.column(
        "select skip_reason from enrollment_steps where status = 'skipped' order by sequence_order, id"
    ) == ["not_chosen", "equivalent_course"]


def test_a_waived_elective_is_taken(world: World) -> None:
    choice = Choice(world, choose=2)
    choice.do("skip_step", choice.a, "equivalent_course", "took it elsewhere")
    choice.choose(choice.b)

    with pytest.raises(psycopg.Error, match="Enough electives are chosen"):
        choice.choose(choice.c)


def test_what_is_not_chosen_leaves_its_run(world: World) -> None:
    choice = Choice(world, choose=2)
    choice.complete(choice.first)
    choice.choose(choice.a, choice.b)
    world.answer_calls()
    choice.complete(choice.a)
    choice.do("skip_step", choice.c, "equivalent_course", "took it elsewhere")

    assert see_runs(world, choice.ada, choice.b) == ["cancelling"]


def test_an_elective_done_before_it_is_chosen_counts_once_it_is_chosen(
    world: World, choice: Choice
) -> None:
    world.answer_calls()
    world.apply(world.event("course.completed", choice.ada, choice.b, by="account"))
    choice.complete(choice.first)
    assert choice.see() == "completed, pending, pending, pending, pending"

    choice.choose(choice.b)

    assert choice.see() == "completed, skipped, completed, skipped, in_progress"
    assert see_changes(world, choice.enrollment, choice.b) == ["pending > completed (equivalent)"]


def test_an_elective_done_after_it_was_taken_back_counts_once_it_is_chosen_again(
    world: World, choice: Choice
) -> None:
    choice.complete(choice.first)
    choice.choose(choice.b)
    world.answer_calls()
    choice.do("unchoose_elective", choice.b)
    choice.complete(choice.b)
    assert choice.see() == "completed, pending, pending, pending, pending"

    choice.choose(choice.b)

    assert choice.see() == "completed, skipped, completed, skipped, in_progress"


def test_a_chosen_elective_done_before_its_stage_ends_the_choice(
    world: World, choice: Choice
) -> None:
    world.answer_calls()
    choice.choose(choice.b)
    world.apply(world.event("course.completed", choice.ada, choice.b, by="account"))
    assert choice.see() == "in_progress, skipped, completed, skipped, pending"

    choice.complete(choice.first)

    assert choice.see() == "completed, skipped, completed, skipped, in_progress"


def test_what_is_completed_or_required_is_not_taken_back(choice: Choice) -> None:
    choice.complete(choice.first)
    choice.choose(choice.a)
    choice.complete(choice.a)
    for course in (choice.a, choice.first, choice.b):
        with pytest.raises(psycopg.Error, match="Only an elective that is not completed"):
            choice.do("unchoose_elective", course)


def test_a_stage_mixes_required_steps_and_electives(world: World) -> None:
    organization = world.organization()
    required, a, b, last = world.courses(world.provider(organization), 4)
    program = world.program(organization, [required, Electives(1, [a, b])], last)
    enrollment = world.enroll(world.learner(organization), program)
    world.on_step("choose_elective", enrollment, a)
    assert see(world, enrollment) == "active: in_progress, in_progress, pending, pending"

    world.complete(enrollment, a)
    assert see(world, enrollment) == "active: in_progress, completed, skipped, pending"
    world.complete(enrollment, required)
    assert see(world, enrollment) == "active: completed, completed, skipped, in_progress"


def test_nothing_is_chosen_or_taken_back_when_the_enrollment_is_over(
    world: World, choice: Choice
) -> None:
    choice.choose(choice.a)
    world.call("withdraw_enrollment", choice.enrollment.id, "moved away")

    for action, course in (("choose_elective", choice.b), ("unchoose_elective", choice.a)):
        with pytest.raises(psycopg.Error, match="This enrollment is finished"):
            choice.do(action, course)


def test_choosing_while_suspended_starts_at_the_resume(world: World, choice: Choice) -> None:
    choice.complete(choice.first)
    world.call("suspend_enrollment", choice.enrollment.id, "ill")
    choice.choose(choice.a)
    assert see(world, choice.enrollment) == (
        "suspended: completed, pending, pending, pending, pending"
    )

    world.call("resume_enrollment", choice.enrollment.id, "well again")

    assert choice.see() == "completed, in_progress, pending, pending, pending"


def test_waiving_a_whole_stage_of_electives(world: World) -> None:
    choice = Choice(world, choose=2)
    for course in (choice.a, choice.b):
        choice.do("skip_step", course, "administrative", "no place this year")
    assert choice.see() == "in_progress, skipped, skipped, skipped, pending"

    choice.complete(choice.first, choice.last)

    assert see(world, choice.enrollment).startswith("completed: ")
