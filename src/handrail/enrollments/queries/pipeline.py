"""The pipeline of an organization: where people are, who is stuck, how long things take.

Active enrollments count. Figures are counted over what is under way (indexes enrollments_program and
enrollment_steps_status), never over all steps there ever were; times over the newest enrollments.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from handrail.core.paging import Keyset, Page
from handrail.enrollments.queries.steps import STEP_COLUMNS, STEP_TABLES, add_calls, make_step
from handrail.enrollments.words import Step, tell_staff

STUCK_DAYS = 7
TIMED_ENROLLMENTS = 200
"""Times are averages over so many of the newest completed and as many active enrollments a program."""
STUCK_PAGE = 25
AT_STEP_PAGE = 25

# Index-only over enrollments_program (organization_id, program_id, status, id).
_PROGRAMS = """
select p.id, p.title, coalesce(e.status, ''), count(e.status)
from programs p
left join enrollments e on e.organization_id = p.organization_id and e.program_id = p.id
where p.organization_id = %(organization)s and p.archived_at is null
group by p.id, e.status order by p.title, p.id
"""
# Active, and the start date is to come: by enrollments_not_started.
_BEGIN_LATER = """
select program_id, count(*) from enrollments
where organization_id = %(organization)s and status = 'active' and started_at is null group by program_id
"""
# The steps of published versions; the same course of several versions is one line.
_BLUEPRINT = """
select v.program_id, b.course_id, c.title, pr.name, min(b.sequence_order), bool_and(b.required)
from program_versions v
join program_partner_lms b on b.organization_id = v.organization_id and b.program_version_id = v.id
join partner_lms_courses c on c.id = b.course_id
join partner_lms_providers pr on pr.id = b.provider_id
where v.organization_id = %(organization)s and v.published_at is not null
group by v.program_id, b.course_id, c.id, pr.id order by 5, 3
"""
_PEOPLE_AT_STEPS = """
select v.program_id, s.course_id, s.status, count(*)
from enrollment_steps s
join enrollments e on e.id = s.enrollment_id and e.organization_id = s.organization_id and e.status = 'active'
join program_partner_lms b on b.id = s.program_step_id and b.organization_id = s.organization_id
join program_versions v on v.id = b.program_version_id and v.organization_id = s.organization_id
where s.organization_id = %(organization)s and s.status in ('in_progress', 'failed')
group by v.program_id, s.course_id, s.status
"""
_TIMES = """
select t.id, s.course_id, extract(epoch from avg(s.completed_at - s.started_at))::double precision, count(*)
from programs t
cross join lateral (
  (select id from enrollments where organization_id = t.organization_id and program_id = t.id and status = 'completed'
   order by id desc limit %(newest)s)
  union all
  (select id from enrollments where organization_id = t.organization_id and program_id = t.id and status = 'active'
   order by id desc limit %(newest)s)
) e
join enrollment_steps s on s.enrollment_id = e.id and s.organization_id = t.organization_id
where t.organization_id = %(organization)s and t.archived_at is null
  and s.status = 'completed' and s.completed_at >= s.started_at
group by t.id, s.course_id
"""


@dataclass(frozen=True, slots=True)
class StepLine:
    """A step of a program: who is there now, and how long it takes."""

    course_id: UUID
    course_title: str
    provider_name: str
    sequence_order: int
    required: bool
    in_progress: int = 0
    failed: int = 0
    average: timedelta | None = None
    """From its start to its completion."""
    timed: int = 0
    """How many completions the average is of."""


@dataclass(frozen=True, slots=True)
class ProgramLine:
    """A program: its enrollments by status, and its steps."""

    id: UUID
    title: str
    counts: Mapping[str, int]
    steps: Sequence[StepLine]
    begin_later: int = 0
    """How many of the active wait for their start date."""

    def count(self, *statuses: str) -> int:
        return sum(self.counts.get(each, 0) for each in statuses)

    @property
    def waiting(self) -> int:
        return self.count("pending")

    @property
    def active(self) -> int:
        return self.count("active")

    @property
    def on_hold(self) -> int:
        return self.count("suspended")

    @property
    def withdrawn(self) -> int:
        return self.count("withdrawn")

    @property
    def completed(self) -> int:
        return self.count("completed")

    @property
    def begun(self) -> int:
        """Those that could have completed: neither waiting for approval or a start date nor transferred."""
        return self.count("active", "suspended", "completed", "withdrawn") - self.begin_later

    @property
    def completion_percent(self) -> int | None:
        return round(100 * self.completed / self.begun) if self.begun else None


@dataclass(frozen=True, slots=True)
class Pipeline:
    """All programs of an organization."""

    programs: Sequence[ProgramLine]

    @property
    def active(self) -> int:
        return sum(each.active for each in self.programs)

    @property
    def slowest_step(self) -> tuple[ProgramLine, StepLine] | None:
        timed = [
            (program, step) for program in self.programs for step in program.steps if step.average
        ]
        return max(timed, key=lambda each: each[1].average or timedelta(), default=None)

    @property
    def slowest_partner(self) -> tuple[str, timedelta] | None:
        """The partner whose steps take longest on average, each completion counted once."""
        seconds: dict[str, float] = defaultdict(float)
        counts: dict[str, int] = defaultdict(int)
        for program in self.programs:
            for step in program.steps:
                if step.average is not None:
                    seconds[step.provider_name] += step.average.total_seconds() * step.timed
                    counts[step.provider_name] += step.timed
        averages = {name: timedelta(seconds=seconds[name] / counts[name]) for name in counts}
        return max(averages.items(), key=lambda each: each[1], default=None)


def get_pipeline(organization_id: UUID) -> Pipeline:
    """Return the figures of all programs that are not archived, in five queries."""
    values: dict[str, UUID | int] = {
        "organization": organization_id,
        "newest": TIMED_ENROLLMENTS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_PROGRAMS, values)
        programs = cursor.fetchall()
        cursor.execute(_BEGIN_LATER, values)
        later = dict(cursor.fetchall())
        cursor.execute(_BLUEPRINT, values)
        lines = {(row[0], row[1]): StepLine(*row[1:]) for row in cursor.fetchall()}
        cursor.execute(_PEOPLE_AT_STEPS, values)
        for program, course, status, count in cursor.fetchall():
            lines[program, course] = replace(lines[program, course], **{status: count})
        cursor.execute(_TIMES, values)
        for program, course, seconds, count in cursor.fetchall():
            found = lines[program, course]
            average = timedelta(seconds=seconds)
            lines[program, course] = replace(found, average=average, timed=count)
    joined = _join_programs(programs, lines)
    return Pipeline([replace(each, begin_later=later.get(each.id, 0)) for each in joined])


def _join_programs(
    rows: Iterable[tuple[UUID, str, str, int]], lines: Mapping[tuple[UUID, UUID], StepLine]
) -> Iterable[ProgramLine]:
    counts: dict[tuple[UUID, str], dict[str, int]] = defaultdict(dict)
    for program_id, title, status, count in rows:
        counts[program_id, title][status] = count
    for (program_id, title), found in counts.items():
        steps = [line for (program, _), line in lines.items() if program == program_id]
        yield ProgramLine(program_id, title, found, steps)


# Both branches look at what is under way only, by enrollment_steps_status and enrollments_program.
_STUCK = f"""
select w.enrollment_id, btrim(l.first_name || ' ' || l.last_name), t.title, w.since, w.place, {STEP_COLUMNS}
from (
  select * from (
    select s.id as step_id, s.enrollment_id, s.updated_at as since, s.id as place
    from enrollment_steps s
    join enrollments e on e.id = s.enrollment_id and e.organization_id = s.organization_id and e.status = 'active'
    where s.organization_id = %(organization)s
      and (s.status = 'failed'
           or s.status = 'in_progress' and s.started_at < %(before)s and s.updated_at < %(before)s)
    union all
    select null, e.id, latest.at, e.id
    from enrollments e
    cross join lateral (
      select max(s.updated_at) as at, bool_or(s.status in ('in_progress', 'failed')) as busy
      from enrollment_steps s where s.enrollment_id = e.id and s.organization_id = e.organization_id
    ) latest
    where e.organization_id = %(organization)s and e.status = 'active' and e.started_at is not null
      and not latest.busy and latest.at < %(before)s
  ) found
  where {{place}} order by {{order}} limit %(limit)s
) w
join enrollments e on e.id = w.enrollment_id
join programs t on t.id = e.program_id
join learners l on l.id = e.learner_id
left join ({STEP_TABLES}) on s.id = w.step_id
order by {{order}}
"""  # noqa: S608 - constants
_OLDEST_FIRST = Keyset(columns={"since": "timestamptz", "place": "uuid"})


@dataclass(frozen=True, slots=True)
class StuckRow:
    """Somebody for whom nothing has moved for STUCK_DAYS days, or whose step failed."""

    enrollment_id: UUID
    learner_name: str
    program_title: str
    since: datetime
    place: UUID
    step: Step | None
    """None: an elective is to be chosen."""

    @property
    def why(self) -> str:
        return tell_staff(self.step)


def list_stuck(organization_id: UUID, *, now: datetime, place: str = "") -> Page[StuckRow]:
    """Return a page of those who are stuck, the longest first.

    Raises:
        BadPlace: `place` is none that a page gave.
    """
    page = _OLDEST_FIRST.fetch(
        _STUCK,
        {"organization": organization_id, "before": now - timedelta(days=STUCK_DAYS)},
        make=_make_stuck,
        key=lambda row: (row.since, row.place),
        place=place,
        limit=STUCK_PAGE,
    )
    waiting = {step.id: step for step in add_calls(row.step for row in page.rows if row.step)}
    rows = [replace(row, step=waiting[row.step.id]) if row.step else row for row in page.rows]
    return replace(page, rows=rows)


def _make_stuck(*columns: Any) -> StuckRow:
    enrollment, name, title, since, place, *step = columns
    found = make_step(*step) if step[0] is not None else None
    return StuckRow(enrollment, name, title, since, place, found)


# By enrollment_steps_status (status, organization_id, program_step_id, started_at, id): of each version's step no
# more than a page is read.
_AT_STEP = f"""
select s.enrollment_id, btrim(l.first_name || ' ' || l.last_name), {STEP_COLUMNS}
from (
  select s.* from program_versions v
  join program_partner_lms b on b.organization_id = v.organization_id and b.program_version_id = v.id
  cross join lateral (
    select s.id, s.organization_id, s.started_at from enrollment_steps s
    join enrollments e on e.id = s.enrollment_id and e.organization_id = s.organization_id and e.status = 'active'
    where s.organization_id = %(organization)s and s.status = %(status)s and s.program_step_id = b.id and {{place}}
    order by {{order}} limit %(limit)s
  ) s
  where v.organization_id = %(organization)s and v.program_id = %(program)s and b.course_id = %(course)s
  order by {{order}} limit %(limit)s
) w
join ({STEP_TABLES}) on s.id = w.id and s.organization_id = w.organization_id
join learners l on l.id = s.learner_id and l.organization_id = s.organization_id
order by {{order}}
"""  # noqa: S608 - constants
_LONGEST_FIRST = Keyset(columns={"s.started_at": "timestamptz", "s.id": "uuid"})


@dataclass(frozen=True, slots=True)
class AtStepRow:
    """Somebody who is at a step now."""

    enrollment_id: UUID
    learner_name: str
    step: Step

    @property
    def why(self) -> str:
        return tell_staff(self.step)


def list_at_step(
    organization_id: UUID, *, program_id: UUID, course_id: UUID, status: str, place: str = ""
) -> Page[AtStepRow]:
    """Return a page of those whose step of that course is in_progress or failed, the longest first.

    Raises:
        BadPlace: `place` is none that a page gave.
    """
    page = _LONGEST_FIRST.fetch(
        _AT_STEP,
        {
            "organization": organization_id,
            "program": program_id,
            "course": course_id,
            "status": status,
        },
        make=lambda enrollment, name, *step: AtStepRow(enrollment, name, make_step(*step)),
        key=lambda row: (row.step.started_at, row.step.id),
        place=place,
        limit=AT_STEP_PAGE,
    )
    waiting = {step.id: step for step in add_calls(row.step for row in page.rows)}
    return replace(page, rows=[replace(row, step=waiting[row.step.id]) for row in page.rows])
