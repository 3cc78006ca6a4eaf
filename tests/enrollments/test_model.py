"""The machine against the model: random programs and people, random orders, repeats and batches."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.clocks import find_today
from tests.databases import Database
from tests.enrollments import model
from tests.enrollments.test_promises import find
from tests.enrollments.test_states_document import read_diagram
from tests.factories import Call, Course, Electives, Enrollment, Learner, Program, World, now

COURSES = range(4)
KINDS = (
    *(["course.completed"] * 5),
    *(["course.failed"] * 3),
    "completion.revoked",
    "progress.updated",
    "enrollment.created",
    "enrollment.ended",
    "certificate.issued",
)
PEOPLE = (0, 1)
RESULTS = ["done"] * 6 + ["failed", "unknown", "needs_person"]
REASON = "a reason"
T = TypeVar("T")


@st.composite
def programs(draw: st.DrawFn) -> model.Program:
    """One to three stages over some of the courses, each once; electives; new runs demanded."""
    courses = draw(st.permutations(COURSES))[: draw(st.integers(1, len(COURSES)))]
    made = []
    while courses:
        size = draw(st.integers(1, len(courses)))
        here, courses = courses[:size], courses[size:]
        electives = frozenset(
            here[draw(st.integers(0, min(1, size))) :] if draw(st.booleans()) else ()
        )
        choose = draw(st.integers(1, len(electives))) if electives else 0
        made.append(model.Stage(frozenset(here) - electives, electives, choose))
    every = [course for stage in made for course in stage.courses()]
    new_runs = draw(st.sets(st.sampled_from(every), max_size=2))
    return model.Program(tuple(made), frozenset(new_runs))


@st.composite
def times(draw: st.DrawFn) -> model.Time | None:
    """When the partner says it was: long ago, some days ago, or no time at all (now)."""
    return draw(st.one_of(st.none(), st.tuples(st.sampled_from([-1, 0]), st.integers(0, 9))))


class Pair:
    """One person in the database and in the model."""

    def __init__(self, learner: Learner, person: model.Person) -> None:
        self.learner = learner
        self.person = person
        self.enrollments: dict[model.Enrollment, Enrollment] = {}


class MachineAgainstModel(RuleBasedStateMachine):
    """Two people in up to three programs; after each transaction both sides say the same."""

    world: World
    database: Database

    @initialize(
        drawn=st.lists(programs(), min_size=1, max_size=3),
        how=st.lists(
            st.sampled_from(["active", "active", "not due", "pending", "none"]),
            min_size=6,
            max_size=6,
        ),
    )
    def begin_world(self, drawn: list[model.Program], how: list[str]) -> None:
        world = self.world
        self.tick = 0
        self.began = now()
        organization = world.organization()
        partner = world.provider(organization)
        self.courses: list[Course] = [
            world.course(partner, valid_months=None if number % 2 else 1) for number in COURSES
        ]
        self.programs = {each: self.publish(each) for each in drawn}
        self.pairs = [
            Pair(world.learner(organization), model.Person(lambda course: course % 2 == 1))
            for _ in PEOPLE
        ]

        places = [(pair, program) for pair in self.pairs for program in self.programs]
        for (pair, program), state in zip(places, how, strict=False):
            if state != "none":
                self.enroll_one(
                    pair, program, is_due=state != "not due", approved=state != "pending"
                )

    def publish(self, program: model.Program) -> Program:
        drawn = []
        for stage in program.stages:
            parts: list[Course | Electives] = [
                self.courses[each] for each in sorted(stage.required)
            ]
            if stage.electives:
                electives = [self.courses[each] for each in sorted(stage.electives)]
                parts.append(Electives(stage.choose, electives))
            drawn.append(parts)
        new_runs = [self.courses[each] for each in program.new_runs]
        return self.world.program(self.courses[0].provider.organization, *drawn, new_runs=new_runs)

    # Doing the same on both sides.

    def do(
        self, pair: Pair, expected: Callable[[], Any], real: Callable[[], Any]
    ) -> tuple[Any, Any]:
        """Both do it, or both refuse."""
        self.tick += 1
        pair.person.now = (1, self.tick)
        try:
            wanted = expected()
        except model.Refused:
            with pytest.raises(psycopg.Error) as refused:
                real()
            assert refused.value.sqlstate in ("HR001", "23505"), refused.value
            return None, None
        return wanted, real()

    def act(
        self, data: st.DataObject, method: str, function: str, *more: Any, of: Sequence[str]
    ) -> None:
        """An action on an enrollment, mostly one of these statuses: the model's, the machine's."""
        found = [(p, e) for p in self.pairs for e in p.enrollments]
        if not found:
            return
        pair, enrollment = pick(data, prefer(data, found, lambda each: each[1].status in of))
        self.do(
            pair,
            lambda: getattr(pair.person, method)(enrollment),
            lambda: self.world.call(function, pair.enrollments[enrollment].id, *more),
        )

    def act_on_step(
        self,
        data: st.DataObject,
        method: str,
        function: str,
        *more: Any,
        of: Callable[[model.Step], bool],
        given: tuple[Any, ...] = (),
    ) -> None:
        """An action on a step, mostly one of this kind."""
        found = [(p, e, s) for p in self.pairs for e in p.enrollments for s in e.steps.values()]
        if not found:
            return
        pair, enrollment, step = pick(data, prefer(data, found, lambda each: of(each[2])))
        self.do(
            pair,
            lambda: getattr(pair.person, method)(enrollment, step, *given),
            lambda: self.world.on_step(
                function, pair.enrollments[enrollment], self.courses[step.course], *more
            ),
        )

    # Enrollments.

    @rule(data=st.data())
    def administer(self, data: st.DataObject) -> None:
        """Enroll, approve, or let a start date come."""
        match pick(data, ["enroll", "approve", "begin"]):
            case "enroll":
                self.enroll_one(
                    pick(data, self.pairs),
                    pick(data, list(self.programs)),
                    is_due=pick(data, [True, True, True, False]),
                    approved=pick(data, [True, False]),
                )
            case "approve":
                self.act(
                    data, "approve", "meet_requirement", "approved", "approval", of=["pending"]
                )
            case _:
                self.begin(data)

    def enroll_one(
        self,
        pair: Pair,
        program: model.Program,
        *,
        is_due: bool,
        approved: bool,
    ) -> None:
        start = self.began.date() + timedelta(days=-9 if is_due else 2)
        wanted, made = self.do(
            pair,
            lambda: pair.person.enroll(program, is_due=is_due),
            lambda: self.world.create(pair.learner, self.programs[program], start=start),
        )
        if wanted is not None:
            pair.enrollments[wanted] = made
            if approved:
                self.do(pair, lambda: pair.person.approve(wanted), lambda: self.world.approve(made))

    def begin(self, data: st.DataObject) -> None:
        found = [(p, e) for p in self.pairs for e in p.enrollments]
        if not found:
            return
        pair, enrollment = pick(data, prefer(data, found, lambda each: not each[1].is_due))
        id = pair.enrollments[enrollment].id
        self.world.admin.execute(
            "update enrollments set start_at = now(), start_date = current_date where id = %s", [id]
        )
        self.do(
            pair,
            lambda: pair.person.begin(enrollment),
            lambda: self.world.call("start_due_enrollments", 10),
        )

    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        if pick(data, [True, False]):
            self.act(data, "suspend", "suspend_enrollment", REASON, of=["active"])
        else:
            self.act(data, "resume", "resume_enrollment", REASON, of=["suspended"])

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Withdraw, come back, or change the program."""
        match pick(data, ["withdraw", "undo", "transfer"]):
            case "withdraw":
                self.act(
                    data, "withdraw", "withdraw_enrollment", REASON, of=["active", "suspended"]
                )
            case "undo":
                self.act(data, "undo_withdrawal", "undo_withdrawal", REASON, of=["withdrawn"])
            case _:
                self.transfer(data)

    def transfer(self, data: st.DataObject) -> None:
        found = [(p, e) for p in self.pairs for e in p.enrollments]
        if not found:
            return
        pair, enrollment = pick(data, prefer(data, found, lambda each: each[1].status == "active"))
        program = pick(data, list(self.programs))
        target = self.programs[program]
        wanted, id = self.do(
            pair,
            lambda: pair.person.transfer(enrollment, program),
            lambda: self.world.call(
                "transfer_enrollment", pair.enrollments[enrollment].id, target.id, REASON
            ),
        )
        if wanted is not None:
            pair.enrollments[wanted] = Enrollment(id, pair.learner, target)

    # Steps.

    @rule(data=st.data())
    def choose(self, data: st.DataObject) -> None:
        self.act_on_step(
            data, "choose", "choose_elective", of=lambda s: not s.required and s.status == "pending"
        )

    @rule(data=st.data())
    def unchoose(self, data: st.DataObject) -> None:
        self.act_on_step(data, "unchoose", "unchoose_elective", of=lambda s: s.chosen)

    @rule(data=st.data())
    def mark(self, data: st.DataObject) -> None:
        """Staff say how a step ended."""
        if pick(data, [True, False]):
            self.act_on_step(
                data,
                "mark",
                "complete_step",
                find_today(),
                REASON,
                of=lambda s: s.status in ("in_progress", "failed"),
                given=("course.completed",),
            )
        else:
            self.act_on_step(
                data,
                "mark",
                "fail_step",
                find_today(),
                REASON,
                of=lambda s: s.status == "in_progress",
                given=("course.failed",),
            )

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        self.act_on_step(data, "retry", "retry_step", REASON, of=lambda s: s.status == "failed")

    @rule(data=st.data())
    def waive(self, data: st.DataObject) -> None:
        self.act_on_step(
            data,
            "waive",
            "skip_step",
            "tested_out",
            REASON,
            of=lambda s: s.status in ("pending", "in_progress", "failed"),
        )

    @rule(data=st.data())
    def reopen(self, data: st.DataObject) -> None:
        self.act_on_step(
            data, "reopen", "reopen_step", REASON, of=lambda s: s.status == "completed" or s.waived
        )

    # The partner.

    @rule(results=st.lists(st.sampled_from(RESULTS), min_size=1, max_size=6))
    def answer_calls(self, results: list[str]) -> None:
        """The partner does what it is asked, or does not; no step's status depends on it.

        Persons let every call that waits for them be tried again.
        """
        for intent in self.world.column("select id from intents where status = 'needs_person'"):
            self.world.call("retry_call", intent, False, "")
        order = self.world.column(
            "select i.id from intents i join partner_accounts a on a.id = i.partner_account_id "
            "left join partner_lms_enrollments r on r.id = i.partner_enrollment_id "
            "order by array_position(%s::uuid[], a.learner_id), i.kind, "
            "array_position(%s::uuid[], r.course_id), r.run, i.id",
            [pair.learner.id for pair in self.pairs],
            [course.id for course in self.courses],
        )
        calls = sorted(self.world.claim(), key=lambda each: order.index(each.intent))
        for call, result in zip(calls, results * 50, strict=False):
            self.world.record(call, **answer(call, result))

    @rule(
        data=st.data(),
        said=st.lists(
            st.tuples(st.sampled_from(KINDS), times(), st.sampled_from(["run", "account"])),
            min_size=1,
            max_size=5,
        ),
    )
    def report(self, data: st.DataObject, said: list[tuple[str, model.Time | None, str]]) -> None:
        """A batch of reports about both people's runs; sometimes all of it twice."""
        self.tick += 1
        events: list[dict[str, Any]] = []
        reports: dict[Pair, list[tuple[model.Run, str, model.Time, bool]]] = {}
        known = {pair: pair.person.all_runs() for pair in self.pairs}
        for kind, at, by in said:
            pair = pick(data, self.pairs)
            found = self.address(data, pair, by, known[pair])
            if found is None:
                continue
            run, event = found
            when = {} if at is None else {"occurred_at": self.to_real(at)}
            event |= {"kind": kind, "percent": 30, "reason": REASON, **when}
            if kind == "certificate.issued":
                event["certificate"] = {"external_id": "c-1"}
            events.append(event)
            reports.setdefault(pair, []).append((run, kind, at or (1, self.tick), by == "run"))
        if not events:
            return
        for pair, own in reports.items():
            pair.person.now = (1, self.tick)
            pair.person.report(own)
        self.world.apply(*events)

    @rule(
        data=st.data(),
        kinds=st.lists(
            st.sampled_from(["course.completed"] * 4 + ["course.failed"]), min_size=1, max_size=4
        ),
    )
    def finish(self, data: st.DataObject, kinds: list[str]) -> None:
        """Reports of today about courses that are under way."""
        self.tick += 1
        batch = []
        for kind in kinds:
            pair = pick(data, self.pairs)
            runs = [each for each in pair.person.all_runs() if each.status == "open"]
            if runs:
                batch.append((pair, pick(data, runs), kind))
        if batch:
            for pair in {pair: None for pair, *_ in batch}:
                pair.person.now = (1, self.tick)
                pair.person.report([(r, k, (1, self.tick), True) for p, r, k in batch if p is pair])
            self.world.apply(*[{**self.name_run(p, r), "kind": k} for p, r, k in batch])

    def name_run(self, pair: Pair, run: model.Run) -> dict[str, Any]:
        """A report that echoes our own id of the run."""
        id = self.world.value(
            "select id from partner_lms_enrollments where learner_id = %s and course_id = %s and run = %s",
            pair.learner.id,
            self.courses[run.course].id,
            run.number,
        )
        return {**self.world.event("", pair.learner, self.courses[run.course]), "run_id": id}

    def address(
        self, data: st.DataObject, pair: Pair, by: str, runs: list[model.Run]
    ) -> tuple[model.Run, dict[str, Any]] | None:
        """A run of the model, and how the partner names it."""
        if by == "account":
            course = data.draw(st.sampled_from(COURSES))
            event = self.world.event("", pair.learner, self.courses[course], by="account")
            newest = pair.person.find_newest(course) if event["account_external_id"] else None
            return None if newest is None else (newest, event)
        if not runs:
            return None
        run = pick(data, runs)
        return run, self.name_run(pair, run)

    def to_real(self, at: model.Time) -> datetime:
        days = {-1: 90, 0: 10}[at[0]]
        return self.began - timedelta(days=days) + timedelta(seconds=at[1])

    # What must hold after each transaction.

    @rule()
    def settling_again_changes_nothing(self) -> None:
        for pair in self.pairs:
            for enrollment in pair.enrollments.values():
                self.world.call("start_enrollment", enrollment.id)

    @invariant()
    def both_say_the_same(self) -> None:
        for pair in self.pairs:
            assert self.see(pair) == tell(pair, self.courses)

    def see(self, pair: Pair) -> dict[str, Any]:
        """What the database says of this person."""
        world, learner = self.world, pair.learner.id
        steps = world.rows(
            "select s.enrollment_id, s.course_id, s.status, s.attempt, s.chosen_at is not null, "
            "coalesce(s.skip_reason <> 'not_chosen', false), case when s.status <> 'pending' then r.run end "
            "from enrollment_steps s left join partner_lms_enrollments r on r.id = s.partner_enrollment_id "
            "where s.learner_id = %s",
            learner,
        )
        return {
            "enrollments": dict(
                world.rows("select id, status from enrollments where learner_id = %s", learner)
            ),
            "steps": {(enrollment, course): rest for enrollment, course, *rest in steps},
            "runs": dict(
                world.rows(
                    "select course_id, array_agg(case status when 'completed' then status when 'failed' then status "
                    "when 'cancelling' then 'left' when 'cancelled' then 'left' else 'open' end order by run) "
                    "from partner_lms_enrollments where learner_id = %s group by 1",
                    learner,
                )
            ),
            "credentials": dict(
                world.rows(
                    "select enrollment_id, array_agg(case when revoked_at is null then 'valid' else 'revoked' end "
                    "order by issued_at) from credentials where learner_id = %s group by 1",
                    learner,
                )
            ),
        }

    def teardown(self) -> None:
        for title, is_step in (("Step", True), ("Enrollment", False)):
            gone = self.world.rows(
                "select distinct from_status, to_status from step_events "
                "where (step_id is not null) = %s and from_status is distinct from to_status",
                is_step,
            )
            assert set(gone) <= read_diagram(title)
        with self.database.connect("superuser", autocommit=False) as connection:
            assert find(connection) == []


def pick(data: st.DataObject, choices: Sequence[T]) -> T:
    index: int = data.draw(st.integers(0, len(choices) - 1))
    return choices[index]


def prefer(data: st.DataObject, found: list[T], is_good: Callable[[T], bool]) -> list[T]:
    """Those that are good, where there are any; one time in eight all of them."""
    good = [each for each in found if is_good(each)]
    is_usual = data.draw(st.sampled_from([True] * 7 + [False]))
    return good if good and is_usual else found


def answer(call: Call, result: str) -> dict[str, Any]:
    match result:
        case "done":
            return {"result": "done", "external_id": f"id-{call.intent}"}
        case "needs_person":
            return {
                "result": result,
                "cause": "refused",
                "error": "no",
                "uncertain": call.uncertain,
            }
        case _:
            return {
                "result": result,
                "after_seconds": 0,
                "error": result,
                "uncertain": result == "unknown",
            }


def tell(pair: Pair, courses: list[Course]) -> dict[str, Any]:
    """What the model says of this person, in the same shape."""
    return {
        "enrollments": {real.id: each.status for each, real in pair.enrollments.items()},
        "steps": {
            (real.id, courses[step.course].id): [
                step.status,
                step.attempt,
                step.chosen,
                step.waived and step.status == "skipped",
                step.run.number if step.run and step.status != "pending" else None,
            ]
            for each, real in pair.enrollments.items()
            for step in each.steps.values()
        },
        "runs": {
            courses[course].id: [each.status for each in runs]
            for course, runs in pair.person.runs.items()
            if runs
        },
        "credentials": {
            real.id: each.credentials for each, real in pair.enrollments.items() if each.credentials
        },
    }


def test_the_machine_does_what_the_model_does(world: World, database: Database) -> None:
    MachineAgainstModel.world, MachineAgainstModel.database = world, database
    run_state_machine_as_test(
        MachineAgainstModel,
        settings=settings(
            max_examples=80,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
