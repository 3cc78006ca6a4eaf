"""A small model of docs/reference/states.md for one person, written from the words and not from the SQL.

Times are pairs that compare as the machine's times do: a report's date from long ago (-1, n) or some
days ago (0, n), or the transaction (1, n) in which something happens now. A run is open (whatever the
partner answered so far), left (canceled, or about to be), completed or failed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

Time = tuple[int, int]
LIVE = ("pending", "active", "suspended")
VALID_FROM: Time = (0, 0)
"""A completion from before counts as equivalent only for courses that are valid for ever."""


class Refused(Exception):
    """The machine says no, and nothing changes."""


@dataclass(frozen=True)
class Stage:
    required: frozenset[int]
    electives: frozenset[int] = frozenset()
    choose: int = 0

    def courses(self) -> list[int]:
        return sorted(self.required | self.electives)


@dataclass(frozen=True)
class Program:
    stages: tuple[Stage, ...]
    new_runs: frozenset[int] = frozenset()


@dataclass(eq=False)
class Run:
    course: int
    number: int
    status: str = "open"
    counts_from: Time | None = None
    completed_at: Time | None = None
    failed_at: Time | None = None
    revoked_at: Time | None = None

    @property
    def is_done(self) -> bool:
        return self.status == "completed" and self.revoked_at is None


@dataclass(eq=False)
class Step:
    course: int
    stage: int
    required: bool
    choose: int
    demands_new_run: bool
    status: str = "pending"
    attempt: int = 1
    chosen: bool = False
    waived: bool = False
    run: Run | None = None
    began: Time = (1, 0)
    """When its newest attempt did."""

    @property
    def is_asked_for(self) -> bool:
        return self.required or self.chosen

    @property
    def wants_run(self) -> bool:
        return self.status in ("in_progress", "failed") or (
            self.status == "pending" and self.is_asked_for
        )


@dataclass(eq=False)
class Enrollment:
    program: Program
    steps: dict[int, Step]
    status: str = "pending"
    is_approved: bool = False
    is_due: bool = True
    """Its start date has come."""
    has_begun: bool = False
    credentials: list[str] = field(default_factory=list)

    def stage(self, number: int) -> list[Step]:
        return [each for each in self.steps.values() if each.stage == number]

    def stages(self) -> Iterator[list[Step]]:
        return (self.stage(number) for number in range(len(self.program.stages)))


def count_gained(stage: Sequence[Step]) -> int:
    """Electives that are completed or waived."""
    return sum(not s.required and (s.status == "completed" or s.waived) for s in stage)


def count_taken(stage: Sequence[Step]) -> int:
    """Electives that are chosen, completed or waived; a failed one is not taken."""
    under_way = sum(
        not s.required and s.chosen and s.status in ("pending", "in_progress") for s in stage
    )
    return count_gained(stage) + under_way


def has_electives(stage: Sequence[Step]) -> bool:
    return count_gained(stage) >= max(each.choose for each in stage)


def is_finished(stage: Sequence[Step]) -> bool:
    required = all(s.status in ("completed", "skipped") for s in stage if s.required)
    return required and has_electives(stage)


class Person:
    """Everything of one person; each public method is one transaction at time `self.now`."""

    def __init__(self, valid_for_ever: Callable[[int], bool]) -> None:
        self.enrollments: list[Enrollment] = []
        self.runs: dict[int, list[Run]] = {}
        self._valid_for_ever = valid_for_ever
        self.now: Time = (1, 0)

    # Enrollments.

    def enroll(self, program: Program, *, is_due: bool) -> Enrollment:
        if any(e.program is program and e.status in LIVE for e in self.enrollments):
            raise Refused
        steps = {
            course: Step(
                course,
                number,
                course in stage.required,
                0 if course in stage.required else stage.choose,
                course in program.new_runs,
            )
            for number, stage in enumerate(program.stages)
            for course in stage.courses()
        }
        enrollment = Enrollment(program, steps, is_due=is_due)
        self.enrollments.append(enrollment)
        return enrollment

    def approve(self, enrollment: Enrollment) -> None:
        enrollment.is_approved = True
        if enrollment.status == "pending":
            self._activate(enrollment)

    def begin(self, enrollment: Enrollment) -> None:
        """Its start date comes."""
        enrollment.is_due = True
        self._settle(enrollment)

    def suspend(self, enrollment: Enrollment) -> None:
        _require(enrollment.status in ("active", "suspended"))
        enrollment.status = "suspended"

    def resume(self, enrollment: Enrollment) -> None:
        _require(enrollment.status in ("active", "suspended"))
        if enrollment.status == "suspended":
            enrollment.status = "active"
            self._settle(enrollment)

    def withdraw(self, enrollment: Enrollment) -> None:
        _require(enrollment.status in (*LIVE, "withdrawn"))
        if enrollment.status != "withdrawn":
            enrollment.status = "withdrawn"
            self._leave_all(enrollment)

    def undo_withdrawal(self, enrollment: Enrollment) -> None:
        _require(enrollment.status == "withdrawn")
        self._require_only_live(enrollment)
        enrollment.status = "pending"
        self._activate(enrollment)

    def transfer(self, old: Enrollment, program: Program) -> Enrollment:
        _require(old.status in LIVE and program is not old.program)  # it has one version
        before, old.status = old.status, "transferred"
        try:
            new = self.enroll(program, is_due=old.is_due)
        except Refused:
            old.status = before
            raise
        new.is_approved = old.is_approved
        taken = []
        for course in sorted(new.steps.keys() & old.steps.keys()):
            ours, theirs = new.steps[course], old.steps[course]
            if theirs.waived:
                ours.status, ours.waived = "skipped", True
            elif ours.required:
                ours.run = theirs.run if theirs.status in ("in_progress", "failed") else None
            elif theirs.status in ("completed", "in_progress") or (
                theirs.chosen and theirs.status in ("pending", "failed")
            ):
                furthest_first = ("completed", "in_progress", "pending", "failed")
                taken.append((furthest_first.index(theirs.status), course))
        for _, course in sorted(taken):
            ours, theirs = new.steps[course], old.steps[course]
            if count_taken(new.stage(ours.stage)) < ours.choose:
                ours.chosen = True
                ours.run = theirs.run if theirs.status in ("in_progress", "failed") else None
        self._leave_all(old)
        self._activate(new)
        return new

    # Steps.

    def choose(self, enrollment: Enrollment, step: Step) -> None:
        _require(not step.required and enrollment.status in LIVE)
        if step.chosen and step.status in ("pending", "in_progress", "completed"):
            return
        _require(
            step.status == "pending" and count_taken(enrollment.stage(step.stage)) < step.choose
        )
        step.chosen = True
        self._settle(enrollment)

    def unchoose(self, enrollment: Enrollment, step: Step) -> None:
        _require(not step.required and enrollment.status in LIVE)
        _require(step.status in ("pending", "in_progress", "failed"))
        step.status, step.chosen = "pending", False
        self._leave(step.run)

    def mark(self, enrollment: Enrollment, step: Step, result: str) -> None:
        allowed = ("in_progress", "failed") if result == "course.completed" else ("in_progress",)
        _require(step.status in allowed and step.run is not None)
        assert step.run is not None
        # Who marks may have begun before the new attempt did, which came first all the same.
        _require(step.attempt == 1 or self.now >= step.began)
        _require(self._take_over(step.run, result, self.now, is_forced=True))
        self._spread([step.run])

    def retry(self, enrollment: Enrollment, step: Step) -> None:
        _require(step.status == "failed" and enrollment.status == "active")
        _require(step.required or count_taken(enrollment.stage(step.stage)) < step.choose)
        self._start(step, is_new_attempt=True)
        self._settle(enrollment)

    def waive(self, enrollment: Enrollment, step: Step) -> None:
        _require(step.status in ("pending", "in_progress", "failed") and enrollment.status in LIVE)
        step.status, step.waived = "skipped", True
        self._leave(step.run)
        self._settle(enrollment)

    def reopen(self, enrollment: Enrollment, step: Step) -> None:
        _require(step.status == "completed" or step.waived)
        _require(enrollment.status in ("active", "completed") and enrollment.has_begun)
        others = [each for each in enrollment.stage(step.stage) if each is not step]
        _require(step.required or count_gained(others) < step.choose)
        if enrollment.status == "completed":
            self._require_only_live(enrollment)
            enrollment.status = "active"
            enrollment.credentials[-1] = "revoked"
        if not step.required:
            for each in enrollment.stage(step.stage):
                if each.status == "skipped" and not each.waived:
                    each.status, each.chosen = "pending", False
            step.chosen = True
        self._start(step, is_new_attempt=True)
        self._settle(enrollment)

    # Reports.

    def all_runs(self) -> list[Run]:
        return [each for own in self.runs.values() for each in own]

    def find_newest(self, course: int) -> Run | None:
        """The run that a report names by account and course; it makes one for a step without any."""
        runs = self.runs.setdefault(course, [])
        if not runs and any(course in each.steps for each in self.enrollments):
            runs.append(Run(course, 1))
        return runs[-1] if runs else None

    def report(self, reports: Sequence[tuple[Run, str, Time, bool]]) -> None:
        """Reports of one batch: the run, what is said, when, and whether the run was surely meant."""
        for run, kind, at, is_sure in reports:
            before_this_attempt = run.counts_from is not None and at < run.counts_from
            if is_sure or not (before_this_attempt or self._is_of_former(run, kind, at)):
                self._take_over(run, kind, at)
        self._spread([run for run, *_ in reports])

    def _take_over(self, run: Run, kind: str, at: Time, *, is_forced: bool = False) -> bool:
        """Write down what is said of a run; False: it changes nothing."""
        if kind == "course.completed" and not run.is_done:
            failed_later = run.failed_at is not None and run.failed_at > at
            revoked_later = run.revoked_at is not None and run.revoked_at > at
            if not is_forced and (failed_later or revoked_later):
                return False
            run.status, run.completed_at, run.revoked_at = "completed", at, None
        elif kind == "course.failed":
            completed_later = (
                run.completed_at is not None and run.completed_at >= at and run.revoked_at is None
            )
            known = run.status == "failed" and run.failed_at is not None and run.failed_at >= at
            if completed_later or known:
                return False
            if not run.is_done:  # else a person hears of it
                run.status, run.failed_at = "failed", at
        elif kind == "completion.revoked" and not (
            run.completed_at is not None and run.completed_at > at
        ):
            run.revoked_at = at
        else:
            return False
        return True

    def _is_of_former(self, run: Run, kind: str, at: Time) -> bool:
        """A completion that says no more than that of an earlier run."""
        return kind == "course.completed" and any(
            each.completed_at is not None and each.completed_at >= at
            for each in self.runs[run.course]
            if each.number < run.number
        )

    def _spread(self, runs: Sequence[Run]) -> None:
        for enrollment in self.enrollments:
            for step in enrollment.steps.values():
                for run in runs:
                    before_its_turn = step.status == "pending" and step.is_asked_for
                    if run.course == step.course and before_its_turn and self._is_equivalent(run):
                        step.run = step.run if step.demands_new_run else run
        self._settle(*self.enrollments)

    # What follows.

    def _activate(self, enrollment: Enrollment) -> None:
        if not enrollment.is_approved:
            return
        enrollment.status = "active"
        for step in enrollment.steps.values():
            if step.status == "in_progress" and step.run is not None and step.run.status == "left":
                self._start(step, is_new_attempt=True)
        self._settle(enrollment)

    def _settle(self, *enrollments: Enrollment) -> None:
        moving = [each for each in enrollments if each.status == "active" and each.is_due]
        for each in moving:
            each.has_begun = True
        changed = bool(moving)
        while changed:
            changed = sum(self._take_results(each) + self._end_choices(each) for each in moving) > 0
            changed |= self._go_on([each for each in moving if each.status == "active"])

    def _take_results(self, enrollment: Enrollment) -> bool:
        before = [each.status for each in enrollment.steps.values()]
        for step in enrollment.steps.values():
            if step.run is not None and step.run.is_done and step.wants_run:
                step.status = "completed"
            elif (
                step.run is not None
                and step.run.status == "failed"
                and step.status == "in_progress"
            ):
                step.status = "failed"
        return before != [each.status for each in enrollment.steps.values()]

    def _end_choices(self, enrollment: Enrollment) -> bool:
        """Where a stage has its electives, the others are not chosen."""
        ended = [
            step
            for stage in enrollment.stages()
            for step in stage
            if not step.required
            and has_electives(stage)
            and step.status not in ("completed", "skipped")
        ]
        for step in ended:
            step.status = "skipped"
            self._leave(step.run)
        return bool(ended)

    def _go_on(self, enrollments: Sequence[Enrollment]) -> bool:
        """Start the steps of each one's stage, or end it."""
        starting = []
        for enrollment in enrollments:
            stage_now = next((each for each in enrollment.stages() if not is_finished(each)), None)
            if stage_now is None:
                enrollment.status = "completed"
                enrollment.credentials.append("valid")
                continue
            starting += [
                each for each in stage_now if each.status == "pending" and each.is_asked_for
            ]
        early = [each for each in self.all_runs() if self._failed_early(each)]
        for step in starting:
            self._start(step, is_new_attempt=False, early=early)
        return bool(starting)

    def _start(self, step: Step, *, is_new_attempt: bool, early: Sequence[Run] = ()) -> None:
        """`early`: runs that failed before anybody's turn."""
        runs = self.runs.setdefault(step.course, [])
        if not is_new_attempt and not step.demands_new_run:
            same = [each for each in runs if self._is_equivalent(each)]
            if same:
                step.status, step.run = (
                    "completed",
                    max(same, key=lambda r: r.completed_at or (0, 0)),
                )
                return
        newest = runs[-1] if runs else None
        if newest is None or (newest.status != "open" and newest not in early):
            newest = Run(step.course, len(runs) + 1)
            newest.counts_from = self.now if is_new_attempt else None
            runs.append(newest)
        step.status, step.run, step.waived = "in_progress", newest, False
        step.began = self.now
        step.attempt += is_new_attempt

    def _failed_early(self, run: Run) -> bool:
        steps = (step for each in self.enrollments for step in each.steps.values())
        return run.status == "failed" and not any(step.run is run for step in steps)

    def _is_equivalent(self, run: Run) -> bool:
        reopened = any(each.counts_from for each in self.runs[run.course][run.number :])
        in_time = self._valid_for_ever(run.course) or (run.completed_at or (-9, 0)) >= VALID_FROM
        return run.is_done and in_time and not reopened

    def _leave_all(self, enrollment: Enrollment) -> None:
        for step in enrollment.steps.values():
            if step.status in ("pending", "in_progress", "failed"):
                self._leave(step.run)

    def _leave(self, run: Run | None) -> None:
        """Cancel it when no step of a live enrollment wants it any more."""
        if run is None or run.status != "open":
            return
        live = (e for e in self.enrollments if e.status in LIVE)
        if not any(s.run is run and s.wants_run for e in live for s in e.steps.values()):
            run.status = "left"

    def _require_only_live(self, enrollment: Enrollment) -> None:
        others = (e for e in self.enrollments if e is not enrollment and e.status in LIVE)
        _require(not any(each.program is enrollment.program for each in others))


def _require(condition: object) -> None:
    if not condition:
        raise Refused
