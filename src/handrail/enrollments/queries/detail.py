"""One enrollment as staff see it, with its history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db import connection

from handrail.core.paging import Keyset, Page
from handrail.enrollments.words import Change

HISTORY_PAGE = 50
_ENROLLMENT = """
select e.id, e.status, e.funding_source, e.start_date, e.start_at > now(), e.started_at, e.activated_at, e.completed_at,
  e.created_at, p.title, l.id, btrim(l.first_name || ' ' || l.last_name), l.email, l.phone, l.profile_id,
  array(select r.kind from enrollment_requirements r where r.enrollment_id = e.id and r.met_at is null order by r.kind),
  e.program_version_id, e.transferred_from,
  (select n.id from enrollments n where n.transferred_from = e.id and n.organization_id = e.organization_id limit 1),
  l.first_name, l.last_name
from enrollments e
join programs p on p.id = e.program_id and p.organization_id = e.organization_id
join learners l on l.id = e.learner_id and l.organization_id = e.organization_id
where e.id = %s
"""
# By the primary key of step_events (enrollment_id, id); ids grow with time.
_HISTORY = """
select h.id, h.created_at, coalesce(c.title, ''), h.attempt, h.from_status, h.to_status, h.cause_kind, h.cause_id,
  h.actor_id, h.reason, coalesce(p.name, ''), coalesce(before.title, '')
from (
  select * from step_events h where h.enrollment_id = %(enrollment)s and {place} order by {order} limit %(limit)s
) h
left join enrollment_steps s on s.id = h.step_id and s.organization_id = h.organization_id
left join partner_lms_courses c on c.id = s.course_id and c.organization_id = h.organization_id
left join partner_lms_providers p on p.id = s.provider_id and p.organization_id = h.organization_id
left join enrollment_steps cause on h.cause_kind = 'step' and cause.id = h.cause_id
  and cause.organization_id = h.organization_id
left join partner_lms_courses before on before.id = cause.course_id and before.organization_id = h.organization_id
order by {order}
"""
_NEWEST_FIRST = Keyset(columns={"h.id": "bigint"}, newest_first=True)
_RESULTS = """
select result, reported_at from sensitive_results where partner_enrollment_id = %s order by reported_at desc
"""


@dataclass(frozen=True, slots=True)
class EnrollmentDetail:
    """An enrollment and the person it is about."""

    id: UUID
    status: str
    funding_source: str
    start_date: date
    starts_later: bool
    started_at: datetime | None
    activated_at: datetime | None
    completed_at: datetime | None
    created_at: datetime
    program_title: str
    learner_id: UUID
    learner_name: str
    learner_email: str
    learner_phone: str
    profile_id: UUID | None
    open_requirements: Sequence[str]
    program_version_id: UUID
    transferred_from: UUID | None
    transferred_to: UUID | None
    first_name: str
    last_name: str

    @property
    def is_live(self) -> bool:
        return self.status in ("pending", "active", "suspended")


def get_enrollment(enrollment_id: UUID) -> EnrollmentDetail | None:
    """Return an enrollment; None: there is none, or it is not this reader's."""
    with connection.cursor() as cursor:
        cursor.execute(_ENROLLMENT, [enrollment_id])
        row = cursor.fetchone()
    return EnrollmentDetail(*row) if row else None


def list_changes(enrollment_id: UUID, *, place: str = "") -> Page[Change]:
    """Return a page of the history, the newest first.

    Raises:
        BadPlace: `place` is none that a page gave.
    """
    return _NEWEST_FIRST.fetch(
        _HISTORY,
        {"enrollment": enrollment_id},
        make=_make_change,
        key=lambda change: (change.id,),
        place=place,
        limit=HISTORY_PAGE,
    )


def _make_change(*columns: object) -> Change:
    return Change(**dict(zip(Change.__dataclass_fields__, columns, strict=True)))  # type: ignore[arg-type]


def list_actor_names(organization_id: UUID) -> Mapping[UUID, str]:
    """Return the names of those who work in the organization, by profile; the address where empty."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select profile_id, coalesce(nullif(name, ''), email) from list_members(%s)",
            [organization_id],
        )
        return dict(cursor.fetchall())


def list_sensitive_results(run_id: UUID) -> list[tuple[str, datetime]]:
    """Return the results of a screening with their times; for administrators, others get none."""
    with connection.cursor() as cursor:
        cursor.execute(_RESULTS, [run_id])
        return [(result, at) for result, at in cursor.fetchall()]
