"""The learners of an organization with their enrollments: list, search, and rows for a file."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from handrail.core.paging import Keyset, Page

PEOPLE_PAGE = 25
EXPORT_PAGE = 500
# By the index learners_name (organization_id, last_name, first_name, id).
_LEARNERS = """
select l.id, l.first_name, l.last_name, l.email, l.phone from learners l
where l.organization_id = %(organization)s and {place} order by {order} limit %(limit)s
"""
# By the index learners_search.
_SEARCH = """
select * from search_learners(%(organization)s, %(query)s, %(keys)s::text[], %(backward)s, %(limit)s)
"""
# By the index enrollments_program (organization_id, program_id, status, id).
_ENROLLED = """
select e.id, l.id, l.first_name, l.last_name, l.email, l.phone
from (select * from enrollments e
      where e.organization_id = %(organization)s and e.program_id = %(program)s and e.status = %(status)s and {place}
      order by {order} limit %(limit)s) e
join learners l on l.id = e.learner_id and l.organization_id = e.organization_id
order by {order}
"""
# As learner_document() does with addresses.
_PUNCTUATION = str.maketrans("@._+-\0", "      ")
_BY_NAME = Keyset(columns={"l.last_name": "text", "l.first_name": "text", "l.id": "uuid"})
_IN_ORDER = Keyset(columns={"e.id": "uuid"})
# By the index enrollments_learner.
_ENROLLMENTS = """
select e.learner_id, e.id, e.status, t.title
from enrollments e join programs t on t.id = e.program_id and t.organization_id = e.organization_id
where e.learner_id = any (%s::uuid[]) order by e.created_at desc, e.id
"""
_EXPORT = """
select l.id, l.last_name, l.first_name, l.email, l.phone, t.title, e.status, e.funding_source, e.start_date,
  e.completed_at, now_at.titles, now_at.partners, now_at.progress, done.steps, done.of_steps
from learners l
left join enrollments e on e.learner_id = l.id and e.organization_id = l.organization_id
left join programs t on t.id = e.program_id and t.organization_id = e.organization_id
left join lateral (
  select string_agg(c.title, '; ' order by s.sequence_order, s.id) as titles,
         string_agg(distinct p.name, '; ') as partners, round(avg(s.progress)) as progress
  from enrollment_steps s
  join partner_lms_courses c on c.id = s.course_id join partner_lms_providers p on p.id = s.provider_id
  where s.enrollment_id = e.id and s.organization_id = e.organization_id and s.status in ('in_progress', 'failed')
) now_at on true
left join lateral (
  -- As the page counts: the required steps, and N of a stage's electives.
  select coalesce(sum(required_done + least(choose, electives_done)), 0)::integer as steps,
         coalesce(sum(required + choose), 0)::integer as of_steps
  from (
    select count(*) filter (where s.required) as required, coalesce(max(s.elective_choose), 0) as choose,
           count(*) filter (where s.required and is_done) as required_done,
           count(*) filter (where not s.required and is_done) as electives_done
    from (select *, status in ('completed', 'skipped') and skip_reason is distinct from 'not_chosen' as is_done
          from enrollment_steps) s
    where s.enrollment_id = e.id and s.organization_id = e.organization_id
    group by s.sequence_order
  ) stage
) done on true
where l.id = any (%s::uuid[]) order by l.last_name, l.first_name, l.id, e.created_at
"""


@dataclass(frozen=True, slots=True)
class EnrollmentLine:
    """An enrollment in a list of people."""

    id: UUID
    status: str
    program_title: str


@dataclass(frozen=True, slots=True)
class LearnerRow:
    """A person of the organization."""

    id: UUID
    first_name: str
    last_name: str
    email: str
    phone: str
    enrollments: Sequence[EnrollmentLine] = ()

    @property
    def name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip()


def list_learners(organization_id: UUID, *, search: str = "", place: str = "") -> Page[LearnerRow]:
    """Return a page of learners by name, with all their enrollments, the newest first.

    `search`: the beginnings of words of name or address, in any order.

    Raises:
        BadPlace: `place` is none that a page gave.
    """
    query = make_search_query(search)
    page = _BY_NAME.fetch(
        _SEARCH if query else _LEARNERS,
        {"organization": organization_id, "query": query},
        make=LearnerRow,
        key=lambda row: (row.last_name, row.first_name, row.id),
        place=place,
        limit=PEOPLE_PAGE,
    )
    return _add_enrollments(page)


def list_enrolled(
    organization_id: UUID, *, program_id: UUID, status: str, place: str = ""
) -> Page[LearnerRow]:
    """Return a page of learners whose enrollment in a program has that status, the oldest first.

    Raises:
        BadPlace: `place` is none that a page gave.
    """
    page = _IN_ORDER.fetch(
        _ENROLLED,
        {"organization": organization_id, "program": program_id, "status": status},
        make=lambda enrollment, *learner: (enrollment, LearnerRow(*learner)),
        key=lambda row: (row[0],),
        place=place,
        limit=PEOPLE_PAGE,
    )
    return _add_enrollments(Page([row for _, row in page.rows], page.previous, page.next))


def _add_enrollments(page: Page[LearnerRow]) -> Page[LearnerRow]:
    enrollments: dict[UUID, list[EnrollmentLine]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_ENROLLMENTS, [[row.id for row in page.rows]])
        for learner, *line in cursor.fetchall():
            enrollments[learner].append(EnrollmentLine(*line))
    return replace(page, rows=[replace(r, enrollments=enrollments[r.id]) for r in page.rows])


def make_search_query(search: str) -> str:
    """Return the tsquery of what a person typed; "" when that is nothing."""
    words = search.translate(_PUNCTUATION).split()[:10]
    quoted = (word.replace("\\", "\\\\").replace("'", "''") for word in words)
    return " & ".join(f"'{word}':*" for word in quoted)


@dataclass(frozen=True, slots=True)
class ExportRow:
    """A line of the file: a learner and one enrollment, or none."""

    learner_id: UUID
    last_name: str
    first_name: str
    email: str
    phone: str
    program_title: str | None
    status: str | None
    funding_source: str | None
    start_date: date | None
    completed_at: datetime | None
    current_steps: str | None
    partners: str | None
    progress: Decimal | None
    steps_done: int
    steps: int


def read_export_page(organization_id: UUID, *, place: str = "") -> tuple[list[ExportRow], str]:
    """Return the rows of the next EXPORT_PAGE learners by name, and the place after them."""
    page = _BY_NAME.fetch(
        _LEARNERS,
        {"organization": organization_id},
        make=LearnerRow,
        key=lambda row: (row.last_name, row.first_name, row.id),
        place=place,
        limit=EXPORT_PAGE,
    )
    with connection.cursor() as cursor:
        cursor.execute(_EXPORT, [[row.id for row in page.rows]])
        return [ExportRow(*row) for row in cursor.fetchall()], page.next
