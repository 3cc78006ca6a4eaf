"""What became of everybody in the example: who studied what when, and how far.

Pure: people with their steps go in, what happens on which day comes out. The same people have the
same fate on every day it is asked; only the dates move along.
"""

import math
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import groupby
from typing import Literal

PORTAL = "jri"  # whose results come as a file
_PACES = (0.7, 1.35)
_PRACTICE = ("certiport",)  # practice tests count up to a half; the exam is all or nothing


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """A step as the program has it; `platform` is the adapter of its provider."""

    order: int
    required: bool
    platform: str
    course: str
    hours: float


@dataclass(frozen=True, slots=True)
class Enrollee:
    """One person in one program."""

    email: str
    program: str
    start: date
    steps: Sequence[PlannedStep]


Action = Literal["sign_up", "progress", "complete", "fail", "choose"]


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """Something that one person does, or that becomes of it, on a day."""

    day: date
    email: str
    program: str
    course: str
    action: Action
    percent: float = 0.0


@dataclass(frozen=True, slots=True)
class Phase:
    """The days of one step; `ends` None: it is in progress today, or it failed."""

    step: PlannedStep
    begins: date
    ends: date | None


@dataclass(frozen=True, slots=True)
class Fate:
    """What the person does until today, step by step."""

    who: Enrollee
    events: tuple[Event, ...]
    phases: tuple[Phase, ...]
    completed: bool

    @property
    def key(self) -> tuple[str, str]:
        """Person and program."""
        return self.who.email, self.who.program

    def stop_at(self, day: date) -> "Fate":
        """The same fate, of which nothing happens after that day."""
        return replace(self, events=tuple(each for each in self.events if each.day <= day))


@dataclass(frozen=True, slots=True)
class Wish:
    """How somebody's fate differs from chance; by (email, program)."""

    pace: float | None = None
    chooses: bool = True
    """False: the choice of electives is left to the visitor."""
    fails: str = ""
    """The course that is failed."""
    elective: str = ""
    """The course that is chosen; empty: any but those to be avoided."""


NO_WISH = Wish()


def plan_fate(
    who: Enrollee, *, today: date, wish: Wish = NO_WISH, avoid: Collection[str] = ()
) -> Fate:
    """Plan everything that happens to one enrollment before `today`.

    `avoid`: electives that nobody chooses without wishing so.
    """
    return _Planner(who, today, wish, avoid).plan()


@dataclass(slots=True)
class _Planner:
    who: Enrollee
    today: date
    wish: Wish
    avoid: Collection[str]
    events: list[Event] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)

    def plan(self) -> Fate:
        day: date | None = self.who.start
        for _, stage in groupby(self.who.steps, key=lambda step: step.order):
            if day is None or day >= self.today:
                break
            day = self._go_through(list(stage), day)
        else:
            return self._conclude(completed=day is not None and day < self.today)
        return self._conclude(completed=False)

    def _conclude(self, *, completed: bool) -> Fate:
        events = tuple(sorted(self.events))
        return Fate(self.who, events, tuple(self.phases), completed)

    def _go_through(self, stage: list[PlannedStep], day: date) -> date | None:
        """Plan a stage from `day` on; return when the next can begin, None: not before today."""
        taken = [step for step in stage if step.required]
        electives = [step for step in stage if not step.required]
        if electives and not self.wish.chooses:
            return None
        if electives:
            day += timedelta(days=1)
            taken.append(self._choose(electives))
            self._note(day, taken[-1], "choose")
        ends = [self._study(step, day) for step in taken if day < self.today]
        done = [end for end in ends if end is not None]
        return max(done) if done and len(done) == len(taken) else None

    def _choose(self, electives: list[PlannedStep]) -> PlannedStep:
        wished = [step for step in electives if step.course == self.wish.elective]
        usual = [step for step in electives if step.course not in self.avoid]
        return _draw(self.who, "choice").choice(wished or usual or electives)

    def _study(self, step: PlannedStep, begins: date) -> date | None:
        """Plan a step; return the day on which we hear of its completion, None: not before today."""
        pace = self.wish.pace or _draw(self.who, "pace").uniform(*_PACES)
        chance = _draw(self.who, step.course)
        days = max(2, round(_count_days(step) * pace * chance.uniform(0.8, 1.2)))
        ends = begins + timedelta(days=days)
        fails = self.wish.fails == step.course
        if step.platform == PORTAL:
            self._note(begins + timedelta(days=1), step, "sign_up")
        for day, percent in self._list_reports(step, begins, days):
            self._note(day, step, "progress", percent)
        self._note(ends, step, "fail" if fails else "complete")
        # A portal's results come as a file, which is imported a day later.
        heard = ends + timedelta(days=1) if step.platform == PORTAL else ends
        is_over = heard < self.today and not fails
        self.phases.append(Phase(step, begins, heard if is_over else None))
        return heard if is_over else None

    def _list_reports(
        self, step: PlannedStep, begins: date, days: int
    ) -> Iterator[tuple[date, float]]:
        """Days with what the partner says then: at a third, at two, and lately."""
        if step.platform == "nds":
            return
        most = 50.0 if step.platform in _PRACTICE else 100.0
        told = {begins + timedelta(days=round(days * share)) for share in (1 / 3, 2 / 3)}
        lately = self.today - timedelta(days=_draw(self.who, f"{step.course} lately").randint(1, 4))
        if begins + timedelta(days=days) >= self.today > begins + timedelta(days=1):
            told.add(lately)
        for day in sorted(told):
            if begins < day < min(self.today, begins + timedelta(days=days)):
                yield day, round(most * (day - begins).days / days, 1)

    def _note(self, day: date, step: PlannedStep, action: Action, percent: float = 0.0) -> None:
        if day < self.today:
            self.events.append(
                Event(day, self.who.email, self.who.program, step.course, action, percent)
            )


def _count_days(step: PlannedStep) -> float:
    """How many days people take beside their work: few for a short course, months for a long one."""
    return 2 * (3 + min(35.0, math.pow(step.hours, 0.55)))


def _draw(who: Enrollee, what: str) -> random.Random:
    """Chance that is the same each time for this person, program and question."""
    return random.Random(f"{who.email} {who.program} {what}")  # noqa: S311 - plays chance
