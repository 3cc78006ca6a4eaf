"""The machine against the model, two transactions at a time: they end as one after the other would."""

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Timer
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.clocks import find_today
from tests.databases import Database
from tests.enrollments import model
from tests.enrollments.racing import Work, doing, race, reporting
from tests.enrollments.test_model import REASON, MachineAgainstModel, Pair, programs, tell
from tests.factories import Enrollment, World

HELD_SECONDS = 0.03
REFUSALS = ("HR001", "23505")
TODAY = object()  # put in when it is told: this file may be read on the day before
# The model's method, the machine's function, and what both are told besides.
ON_ENROLLMENT = (
    ("suspend", "suspend_enrollment", (REASON,)),
    ("resume", "resume_enrollment", (REASON,)),
    ("withdraw", "withdraw_enrollment", (REASON,)),
    ("undo_withdrawal", "undo_withdrawal", (REASON,)),
    ("approve", "meet_requirement", ("approved", "approval")),
)
ON_STEP: Sequence[tuple[str, tuple[str, ...], str, tuple[Any, ...]]] = (
    ("choose", (), "choose_elective", ()),
    ("unchoose", (), "unchoose_elective", ()),
    ("retry", (), "retry_step", (REASON,)),
    ("reopen", (), "reopen_step", (REASON,)),
    ("waive", (), "skip_step", ("tested_out", REASON)),
    ("mark", ("course.completed",), "complete_step", (TODAY, REASON)),
    ("mark", ("course.failed",), "fail_step", (TODAY, REASON)),
)
REPORTS = ("course.completed", "course.failed", "completion.revoked", "enrollment.ended")


@dataclass(frozen=True)
class Move:
    """Something that can be done now. `tell` tells the model; it takes the person or a copy."""

    name: str
    course: int | None
    tell: Callable[[Pair], None]
    make: Callable[[], Work]


class AtOnce:
    """One person in the machine, and every state of the model that this person may be in.

    More than one: who came first is not always to be seen at once (a completion and its revocation).
    """

    def __init__(self, world: World, database: Database, drawn: list[model.Program]) -> None:
        MachineAgainstModel.world, MachineAgainstModel.database = world, database
        self.both = MachineAgainstModel()
        self.both.begin_world(drawn, ["active", "active", "none", "none", "none", "none"])
        self.possible = self.both.pairs[:1]
        self.database = database

    @property
    def pair(self) -> Pair:
        return self.possible[0]

    def take_turn(self, first: int, second: int, *, is_same: bool, is_held: bool) -> None:
        """Make two moves at the same moment; one of the orders must explain what came of them.

        `first` and `second` choose them from what can be done, `is_same` from what can be done
        about one course. `is_held`: somebody has the person locked until both have begun.
        """
        moves = self.list_moves()
        one = moves[first % len(moves)]
        if is_same:
            moves = [each for each in moves if each.course in (one.course, None)]
        chosen = (one, moves[second % len(moves)])
        with self.hold() if is_held else contextlib.nullcontext():
            outcomes = race(self.database, *[each.make() for each in chosen])
        refused = [each in REFUSALS for each in outcomes]
        # A function without a result gives an empty string; any other is an error.
        assert not [
            each for each in outcomes if isinstance(each, str) and each not in (*REFUSALS, "")
        ]
        self.explain(chosen, refused)

    def explain(self, chosen: Sequence[Move], refused: list[bool]) -> None:
        seen = self.both.see(self.pair)
        possible: dict[str, Pair] = {}
        expected = []
        orders = list(itertools.permutations(range(len(chosen))))
        for before, order, begun in itertools.product(self.possible, orders, orders):
            pair = self.copy(before)
            was_refused = self.play(pair, chosen, order, begun)
            expected.append((was_refused, tell(pair, self.both.courses)))
            if expected[-1] == (refused, seen):
                possible[repr((pair.person.enrollments, pair.person.runs))] = pair
        assert possible, (
            f"{[(each.name, each.course) for each in chosen]} at once made {(refused, seen)}, "
            f"one after the other makes one of {expected}"
        )
        self.possible = list(possible.values())
        self.both.tick += len(chosen)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        with self.database.connect("superuser", autocommit=False) as other:
            other.execute(
                "select from enrollments where learner_id = %s for update", [self.pair.learner.id]
            )
            release = Timer(HELD_SECONDS, other.rollback)
            release.start()
            yield
            release.join()

    def play(
        self, pair: Pair, chosen: Sequence[Move], order: Sequence[int], begun: Sequence[int]
    ) -> list[bool]:
        """Tell the model one after the other in this order; say which it refused.

        `begun`: in which order they began. Who began first may have had to wait for the other.
        """
        refused = [False] * len(chosen)
        for each in order:
            pair.person.now = (1, self.both.tick + 1 + begun[each])
            try:
                chosen[each].tell(pair)
            except model.Refused:
                refused[each] = True
        return refused

    def copy(self, before: Pair) -> Pair:
        programs = {id(each): each for each in self.both.programs}  # the model goes by identity
        person, keys = copy.deepcopy((before.person, list(before.enrollments)), programs)
        pair = Pair(before.learner, person)
        pair.enrollments = dict(zip(keys, before.enrollments.values(), strict=True))
        return pair

    def list_moves(self) -> list[Move]:
        """What would not be refused if it came alone."""
        found = []
        for move in self.list_thinkable():
            pair = self.copy(self.pair)
            pair.person.now = (1, self.both.tick + 1)
            with contextlib.suppress(model.Refused):
                move.tell(pair)
                found.append(move)
        return found

    def list_thinkable(self) -> Iterator[Move]:
        for place, (enrollment, real) in enumerate(self.pair.enrollments.items()):
            for method, function, more in ON_ENROLLMENT:
                make = partial(doing, function, real.id, *more)
                yield Move(method, None, partial(tell_enrollment, place, method), make)
            for course in enrollment.steps:
                for method, also, function, more in ON_STEP:
                    told = partial(tell_step, place, course, method, also)
                    make = partial(self.on_step, real, course, function, more)
                    yield Move(function, course, told, make)
        for run in self.pair.person.all_runs():
            for kind in REPORTS:
                told = partial(tell_report, run.course, run.number, kind)
                yield Move(kind, run.course, told, partial(self.report, run, kind))

    def on_step(self, real: Enrollment, course: int, function: str, more: tuple[Any, ...]) -> Work:
        told = [find_today() if each is TODAY else each for each in more]
        return doing(function, self.both.world.step_id(real, self.both.courses[course]), *told)

    def report(self, run: model.Run, kind: str) -> Work:
        event = self.both.name_run(self.pair, run)
        return reporting({**event, "kind": kind, "reason": REASON})


def tell_enrollment(place: int, method: str, pair: Pair) -> None:
    getattr(pair.person, method)(list(pair.enrollments)[place])


def tell_step(place: int, course: int, method: str, also: tuple[str, ...], pair: Pair) -> None:
    enrollment = list(pair.enrollments)[place]
    getattr(pair.person, method)(enrollment, enrollment.steps[course], *also)


def tell_report(course: int, number: int, kind: str, pair: Pair) -> None:
    run = pair.person.runs[course][number - 1]
    pair.person.report([(run, kind, pair.person.now, True)])


@given(
    drawn=st.lists(programs(), min_size=2, max_size=2, unique=True),
    turns=st.lists(
        st.tuples(st.integers(0, 999), st.integers(0, 999), st.booleans(), st.booleans()),
        min_size=1,
        max_size=12,
    ),
)
@settings(max_examples=60, suppress_health_check=list(HealthCheck), print_blob=True)
def test_two_at_once_end_as_one_after_the_other(
    world: World,
    database: Database,
    drawn: list[model.Program],
    turns: list[tuple[int, int, bool, bool]],
) -> None:
    at_once = AtOnce(world, database, drawn)
    for number, (first, second, is_same, is_held) in enumerate(turns):
        at_once.take_turn(first, second, is_same=is_same, is_held=is_held)
        if number % 3 == 2:
            at_once.both.answer_calls(["done"])
    at_once.both.teardown()
