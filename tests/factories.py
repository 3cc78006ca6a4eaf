"""Organizations, partners, programs and people for tests of a committed database.

`World` makes rows as the superuser, calls the step machine as the service role or as a person, and
plays the partners: it answers the calls that the machine recorded and reports what learners did.
Each call of the machine is a transaction of its own, as in production, so that its clock moves.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from tests.databases import Database

Connection = psycopg.Connection[tuple[Any, ...]]
LONG_AGO = date(2025, 1, 1)
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Organization:
    id: UUID
    slug: str


@dataclass(frozen=True, slots=True)
class Provider:
    id: UUID
    organization: Organization
    slug: str


@dataclass(frozen=True, slots=True)
class Course:
    id: UUID
    provider: Provider
    code: str


@dataclass(frozen=True, slots=True)
class Electives:
    """`choose` of these."""

    choose: int
    courses: Sequence[Course]


Stage = Course | Electives | Sequence[Course | Electives]


@dataclass(frozen=True, slots=True)
class Program:
    id: UUID
    version: UUID
    organization: Organization


@dataclass(frozen=True, slots=True)
class Learner:
    id: UUID
    organization: Organization
    email: str


@dataclass(frozen=True, slots=True)
class Enrollment:
    id: UUID
    learner: Learner
    program: Program


@dataclass(frozen=True, slots=True)
class Call:
    """A claimed call to a partner."""

    intent: UUID
    fence: int
    kind: str
    account: str | None
    course: str | None
    enrollment: str | None
    uncertain: bool
    leaving: bool | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a report."""

    outcome: str
    reason: str


Answer = Callable[[Call], Mapping[str, Any]]


def claims_of(organization: Organization | None, role: str | None, profile: UUID) -> dict[str, str]:
    """The identity of somebody who works in an organization, or of a student (no organization)."""
    claims = {"sub": str(profile)}
    if organization is not None and role is not None:
        claims |= {"organization_id": str(organization.id), "org_role": role}
    return claims


class World:
    """See the module; `admin` and `service` are connections of the superuser and the service role."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.admin = database.connect("superuser")
        self.service = database.connect("worker")

    def close(self) -> None:
        self.admin.close()
        self.service.close()

    # Rows.

    def insert(self, table: str, **values: Any) -> UUID:
        """Insert a row as the superuser and return its id."""
        statement = sql.SQL("insert into {} ({}) values ({}) returning id").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
        )
        return self._one(self.admin.execute(statement, values))

    def organization(self, *, zone: str = "UTC") -> Organization:
        slug = f"school-{next(_numbers)}"
        id = self.insert("organizations", slug=slug, name=slug.title(), time_zone=zone)
        return Organization(id, slug)

    def provider(
        self, organization: Organization, *, mode: str = "api", unenroll: bool = True, **more: Any
    ) -> Provider:
        slug = f"partner-{next(_numbers)}"
        values = {"name": slug.title(), "adapter": "milady", "mode": mode, **more}
        values |= {"offers_unenroll": unenroll, "offers_lookup": True, "offers_progress": True}
        id = self.insert(
            "partner_lms_providers", organization_id=organization.id, slug=slug, **values
        )
        return Provider(id, organization, slug)

    def course(self, provider: Provider, *, valid_months: int | None = None) -> Course:
        code = f"course-{next(_numbers)}"
        id = self.insert(
            "partner_lms_courses",
            organization_id=provider.organization.id,
            provider_id=provider.id,
            code=code,
            title=code.title(),
            valid_months=valid_months,
        )
        return Course(id, provider, code)

    def courses(self, provider: Provider, count: int) -> list[Course]:
        return [self.course(provider) for _ in range(count)]

    def program(
        self, organization: Organization, *stages: Stage, new_runs: Sequence[Course] = ()
    ) -> Program:
        """A published program; the steps of `new_runs` accept no completion of another program."""
        slug = f"program-{next(_numbers)}"
        program = self.insert(
            "programs", organization_id=organization.id, slug=slug, title=slug.title()
        )
        return self.version(Program(program, program, organization), 1, *stages, new_runs=new_runs)

    def version(
        self, program: Program, number: int, *stages: Stage, new_runs: Sequence[Course] = ()
    ) -> Program:
        """One more published version of a program."""
        organization = program.organization.id
        version = self.insert(
            "program_versions", organization_id=organization, program_id=program.id, number=number
        )
        for order, stage in enumerate(stages, start=1):
            for course, choose in _flatten(stage):
                self.insert(
                    "program_partner_lms",
                    organization_id=organization,
                    program_version_id=version,
                    provider_id=course.provider.id,
                    course_id=course.id,
                    sequence_order=order,
                    required=choose is None,
                    elective_choose=choose,
                    demands_new_run=course in new_runs,
                )
        self.call("publish_program_version", version)
        return Program(program.id, version, program.organization)

    def learner(self, organization: Organization, *, profile: UUID | None = None) -> Learner:
        email = f"learner-{next(_numbers)}@example.org"
        id = self.insert(
            "learners",
            organization_id=organization.id,
            first_name="Ada",
            last_name="Learner",
            email=email,
            email_normalized=email,
            profile_id=profile,
        )
        return Learner(id, organization, email)

    def profile(self, organization: Organization | None = None, role: str | None = None) -> UUID:
        """Somebody who can sign in, with a role in the organization."""
        profile = self.insert(
            "profiles", email=f"profile-{next(_numbers)}@example.org", password="!"
        )
        if organization is not None:
            self.insert(
                "memberships", organization_id=organization.id, profile_id=profile, role=role
            )
        return profile

    # The machine, as the service role.

    def call(self, function: str, *arguments: Any) -> Any:
        """Call a function of the machine as the service role, in a transaction of its own."""
        return call(self.service, function, *arguments)

    def create(self, learner: Learner, program: Program, *, start: date = LONG_AGO) -> Enrollment:
        """An enrollment that waits for its approval."""
        id = self.call("create_enrollment", learner.id, program.id, "self_pay", start)
        return Enrollment(id, learner, program)

    def approve(self, enrollment: Enrollment) -> None:
        self.call("meet_requirement", enrollment.id, "approved", "approval")

    def enroll(self, learner: Learner, program: Program, *, start: date = LONG_AGO) -> Enrollment:
        """An active enrollment."""
        enrollment = self.create(learner, program, start=start)
        self.approve(enrollment)
        return enrollment

    def step_id(self, enrollment: Enrollment, course: Course) -> UUID:
        id: UUID = self.value(
            "select id from enrollment_steps where enrollment_id = %s and course_id = %s",
            enrollment.id,
            course.id,
        )
        return id

    def on_step(self, function: str, enrollment: Enrollment, course: Course, *more: Any) -> Any:
        """Call a function of the machine that begins with a step: `retry_step`, "again"."""
        return self.call(function, self.step_id(enrollment, course), *more)

    @contextlib.contextmanager
    def as_person(self, claims: Mapping[str, str]) -> Iterator[Connection]:
        """A transaction of the web process with these claims, committed at the end."""
        with self._database.connect("web", autocommit=False) as web:
            web.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps(claims)])
            yield web

    # The partners: answers to calls.

    def claim(self, *, limit: int = 1000) -> list[Call]:
        """Claim the calls that are due, as a worker does."""
        rows = self.service.execute(
            "select intent_id, fence, kind, account_id, course_code, enrollment_id, uncertain, leaving "
            "from claim_intents(%s, 60, 1000, '{}', '{}')",
            [limit],
        )
        return [Call(*row) for row in rows]

    def record(self, call: Call, result: str = "done", **facts: Any) -> bool:
        """Record how a call ended; False when somebody else has it now."""
        found = {"intent_id": str(call.intent), "fence": call.fence, "result": result, **facts}
        rows = self.service.execute("select record_call_results(%s::jsonb)", [json.dumps([found])])
        return rows.fetchall() == [(call.intent,)]

    def answer_calls(self, answer: Answer | None = None) -> list[Call]:
        """Answer every call until none is due; a new id for each by default."""
        answered: list[Call] = []
        while calls := self.claim():
            for each in calls:
                self.record(each, **(answer or answer_done)(each))
            answered += calls
        return answered

    # The partners: reports.

    def event(
        self, kind: str, learner: Learner, course: Course, *, by: str = "run", **more: Any
    ) -> dict[str, Any]:
        """A report about the newest run; `by` says how it names it: run, external, account."""
        event = {"kind": kind, "provider_id": course.provider.id, "cause_kind": "webhook", **more}
        event.setdefault("cause_id", uuid4())
        if by == "account":
            event["course_code"] = course.code
            known = self.column(
                "select external_id from partner_accounts where learner_id = %s and provider_id = %s",
                learner.id,
                course.provider.id,
            )
            event["account_external_id"] = known[0] if known else None
            return event
        newest = self.admin.execute(
            "select id, external_enrollment_id from partner_lms_enrollments "
            "where learner_id = %s and course_id = %s order by run desc limit 1",
            [learner.id, course.id],
        ).fetchone()
        assert newest is not None, "there is no run yet"
        if by == "external":
            event["external_enrollment_id"] = newest[1]
        else:
            event["run_id"] = newest[0]
        return event

    def apply(self, *events: Mapping[str, Any]) -> list[Outcome]:
        """Apply a batch of reports; what became of each, in their order."""
        return apply_events(self.service, events)

    def report(self, kind: str, learner: Learner, course: Course, **more: Any) -> Outcome:
        """Apply one report about the newest run of that person and course."""
        (outcome,) = self.apply(self.event(kind, learner, course, **more))
        return outcome

    def complete(self, enrollment: Enrollment, *courses: Course) -> None:
        """Let the partners report these courses as completed, one after the other."""
        for course in courses:
            assert self.report("course.completed", enrollment.learner, course).outcome == "applied"

    # Reading, as the superuser.

    def rows(self, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
        return self.admin.execute(query.encode(), arguments).fetchall()

    def value(self, query: str, *arguments: Any) -> Any:
        ((value,),) = self.rows(query, *arguments)
        return value

    def column(self, query: str, *arguments: Any) -> list[Any]:
        return [value for (value,) in self.rows(query, *arguments)]

    def objects(self, made: type[Any], query: str, *arguments: Any) -> list[Any]:
        """Rows as objects of a dataclass."""
        with self.admin.cursor(row_factory=class_row(made)) as cursor:
            return cursor.execute(query.encode(), arguments).fetchall()

    @staticmethod
    def _one(cursor: psycopg.Cursor[tuple[Any, ...]]) -> UUID:
        ((id,),) = cursor.fetchall()
        assert isinstance(id, UUID)
        return id


def call(connection: Connection, function: str, *arguments: Any) -> Any:
    """Call a function of the database; a function without a result gives an empty string."""
    marks = ", ".join(["%s"] * len(arguments))
    ((value,),) = connection.execute(f"select {function}({marks})".encode(), arguments).fetchall()
    return value


def apply_events(connection: Connection, events: Sequence[Mapping[str, Any]]) -> list[Outcome]:
    """Apply a batch over this connection; what became of each, in their order."""
    batch = [{**event, "ref": str(number)} for number, event in enumerate(events)]
    rows = connection.execute(
        "select ref, outcome, reason from apply_partner_events(%s::jsonb)",
        [json.dumps(batch, default=_to_text)],
    )
    found = {int(ref): Outcome(outcome, reason) for ref, outcome, reason in rows}
    return [found[number] for number in range(len(batch))]


def answer_done(call: Call) -> dict[str, Any]:
    """A partner that does what it is asked, with an id of its own."""
    return {"result": "done", "external_id": f"{call.kind}-{next(_numbers)}"}


def now() -> datetime:
    return datetime.now(UTC)


def _flatten(stage: Stage) -> Iterator[tuple[Course, int | None]]:
    for part in [stage] if isinstance(stage, Course | Electives) else stage:
        if isinstance(part, Course):
            yield part, None
        else:
            yield from ((course, part.choose) for course in part.courses)


def _to_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)
