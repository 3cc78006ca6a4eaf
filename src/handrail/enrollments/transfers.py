"""A transfer shown before it is made: it is made, looked at, and undone."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction

from handrail.core.actions import NotFound
from handrail.enrollments.actions import transfer_enrollment
from handrail.enrollments.queries.detail import EnrollmentDetail, get_enrollment
from handrail.enrollments.queries.steps import list_steps
from handrail.enrollments.words import Step

# By program_versions (organization_id, program_id, number).
_TARGETS = """
select p.id, p.title, v.number, v.id
from programs p
cross join lateral (
  select v.id, v.number from program_versions v
  where v.organization_id = p.organization_id and v.program_id = p.id and v.published_at is not null
  order by v.number desc limit 1) v
where p.organization_id = %s and p.archived_at is null and v.id <> %s
order by p.title, p.id
"""
_LEAVING = ("cancelling", "cancelled")


@dataclass(frozen=True, slots=True)
class Target:
    """A program to which one can be transferred: its newest published version."""

    program_id: UUID
    title: str
    number: int
    version_id: UUID


@dataclass(frozen=True, slots=True)
class Preview:
    """What a transfer would bring about."""

    enrollment: EnrollmentDetail
    """The new one."""
    steps: Sequence[tuple[Step, str]]
    """Its steps, each with what becomes of it, in words."""
    left: Sequence[tuple[Step, str]]
    """Steps of the old one whose place at the partner is given up."""


def list_targets(organization_id: UUID, *, version_id: UUID) -> list[Target]:
    """Return the programs of an organization with a published version other than `version_id`."""
    with connection.cursor() as cursor:
        cursor.execute(_TARGETS, [organization_id, version_id])
        return [Target(*row) for row in cursor.fetchall()]


class _Undo(Exception):
    """The preview is read; nothing of it stays."""


def preview_transfer(enrollment_id: UUID, program_id: UUID) -> Preview:
    """Return what the transfer would bring about, by the machine's own rules; nothing is changed.

    Raises:
        Refused, NotAllowed, NotFound: as the transfer itself would.
    """
    before = list_steps([enrollment_id]).get(enrollment_id, ())
    found: list[Preview] = []
    try:
        with transaction.atomic():
            new = transfer_enrollment(enrollment_id, program_id, reason="preview")
            found.append(_read(new, enrollment_id, before))
            raise _Undo
    except _Undo:
        return found[0]


def _read(new: UUID, old: UUID, before: Sequence[Step]) -> Preview:
    enrollment = get_enrollment(new)
    if enrollment is None:
        raise NotFound
    runs = {step.run_id for step in before if step.run_id}
    statuses = {step.id: step.run_status for step in before}
    left = [
        (step, _tell_leaving(step))
        for step in list_steps([old]).get(old, ())
        if step.run_status in _LEAVING and statuses[step.id] not in _LEAVING
    ]
    steps = [(step, _tell(step, runs)) for step in list_steps([new]).get(new, ())]
    return Preview(enrollment, steps, left)


def _tell(step: Step, runs: set[UUID]) -> str:
    match step.status:
        case "completed":
            return "Counts as completed"
        case "skipped":
            return "Not needed" if step.skip_reason == "not_chosen" else "Stays waived"
        case "in_progress":
            return "Goes on where it is" if step.run_id in runs else "Starts at once"
        case _:
            return _tell_later(step, runs)


def _tell_later(step: Step, runs: set[UUID]) -> str:
    if step.run_id in runs:
        return "Goes on at the partner; counts when its turn comes"
    if not step.required:
        return "Chosen, comes later" if step.chosen_at else "Can be chosen"
    return "Comes later"


def _tell_leaving(step: Step) -> str:
    if step.run_status == "cancelling":
        return f"{step.provider_name} is asked to end it"
    if step.run_external_id or step.by_link:
        return f"{step.provider_name} cannot be told: an entry on the attention list asks you to"
    return "Not asked for any more"
