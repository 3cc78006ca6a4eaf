"""The steps of enrollments with everything that a page says about them."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import connection

from handrail.enrollments.words import Call, Step

# Steps by their unique key (enrollment_id, sequence_order, ...), the rest by primary keys.
STEP_COLUMNS = """
  s.id, s.enrollment_id, s.sequence_order, s.required, s.elective_choose, s.status, s.attempt, s.chosen_at, s.progress,
  s.started_at, s.completed_at, s.error_message,
  case when s.status = 'failed' and r.status = 'failed' and r.failure_reason = s.error_message then r.fact_kind end,
  s.skip_reason, s.updated_at, c.title, c.kind, c.link_url,
  p.id, p.name, p.mode, p.link_url, r.id, r.status, r.external_enrollment_id, r.access_url, r.progress_at
"""
STEP_TABLES = """
  enrollment_steps s
  join partner_lms_courses c on c.id = s.course_id and c.organization_id = s.organization_id
  join partner_lms_providers p on p.id = s.provider_id and p.organization_id = s.organization_id
  left join partner_lms_enrollments r on r.id = s.partner_enrollment_id and r.organization_id = s.organization_id
"""
_BY_ENROLLMENT = f"""
select {STEP_COLUMNS} from {STEP_TABLES}
where s.enrollment_id = any (%s::uuid[]) order by s.enrollment_id, s.sequence_order, s.id
"""  # noqa: S608 - constants
_BY_ID = f"select {STEP_COLUMNS} from {STEP_TABLES} where s.id = %s"  # noqa: S608 - constants
_ENTERED = """
select r.id, case when r.entered_by_call is not null then r.external_enrollment_id else '' end,
  a.id, case when a.entered_by_call is not null then a.external_id else '' end
from partner_lms_enrollments r
join partner_accounts a on a.id = r.partner_account_id and a.organization_id = r.organization_id
where r.id = %s
"""
_SETTLED = {None, "active", "completed", "failed", "cancelled"}


def make_step(*columns: object) -> Step:
    """Make a step of a row with STEP_COLUMNS."""
    names = [name for name in Step.__dataclass_fields__ if name != "call"]
    return Step(**dict(zip(names, columns, strict=True)))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class EnteredIds:
    """The partner's ids of a step that a person entered; empty where the partner named them."""

    run_id: UUID | None = None
    enrollment: str = ""
    account_id: UUID | None = None
    account: str = ""


def get_entered_ids(run_id: UUID) -> EnteredIds:
    """Return what a person entered for a run."""
    with connection.cursor() as cursor:
        cursor.execute(_ENTERED, [run_id])
        row = cursor.fetchone()
    return EnteredIds(*row) if row else EnteredIds()


def list_steps(enrollments: Collection[UUID]) -> Mapping[UUID, Sequence[Step]]:
    """Return the steps of these enrollments, in their order, each with the call it waits for."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_ENROLLMENT, [list(enrollments)])
        found = add_calls([make_step(*row) for row in cursor.fetchall()])
    steps: dict[UUID, list[Step]] = defaultdict(list)
    for step in found:
        steps[step.enrollment_id].append(step)
    return steps


def get_step(step_id: UUID) -> Step | None:
    """Return a step; None: there is none, or it is not this reader's."""
    with connection.cursor() as cursor:
        cursor.execute(_BY_ID, [step_id])
        found = add_calls([make_step(*row) for row in cursor.fetchall()])
    return found[0] if found else None


def add_calls(steps: Iterable[Step]) -> list[Step]:
    """Return the steps with the calls that those wait for whose run is not settled."""
    given = list(steps)
    runs = [
        each.run_id
        for each in given
        if each.status == "in_progress" and each.run_status not in _SETTLED and each.run_id
    ]
    if not runs:
        return given
    with connection.cursor() as cursor:
        cursor.execute("select * from find_calls(%s::uuid[])", [runs])
        calls = {run: Call(**dict(zip(_CALL, row, strict=True))) for run, *row in cursor.fetchall()}
    return [replace(each, call=calls.get(each.run_id)) if each.run_id else each for each in given]


_CALL = tuple(Call.__dataclass_fields__)
