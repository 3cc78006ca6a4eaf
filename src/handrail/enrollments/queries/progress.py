"""A person's own enrollments, as the person alone: row security shows no others."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from itertools import groupby
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection

from handrail.enrollments.queries.steps import list_steps
from handrail.enrollments.words import Step, tell_standing

MOST_ENROLLMENTS = 50
"""A person has a few; so many are shown, those under way first."""
# By the indexes enrollments_learner and, below, the unique keys that begin with the run.
_ENROLLMENTS = """
select e.id, e.status, e.start_date, e.start_at > now(), e.completed_at, p.title, o.name, o.learner_word, o.time_zone,
  l.email
from enrollments e
join programs p on p.id = e.program_id and p.organization_id = e.organization_id
join organizations o on o.id = e.organization_id
join learners l on l.id = e.learner_id and l.organization_id = e.organization_id
where e.learner_id = any ((select own_learner_ids())::uuid[])
order by e.status in ('pending', 'active', 'suspended') desc, e.created_at desc, e.id
limit %s
"""
_CERTIFICATES = """
select partner_enrollment_id, number, issued_on, expires_on, download_url, verification_url
from partner_certificates where partner_enrollment_id = any (%s::uuid[]) order by issued_on, id
"""


@dataclass(frozen=True, slots=True)
class PartnerCertificateRow:
    """What a partner issued for a course."""

    number: str
    issued_on: date | None
    expires_on: date | None
    download_url: str
    verification_url: str


@dataclass(frozen=True)
class Stage:
    """Steps that run side by side: required ones, or electives of which N are to be done."""

    sequence_order: int
    steps: Sequence[Step]

    @cached_property
    def required(self) -> list[Step]:
        return [each for each in self.steps if each.required]

    @cached_property
    def electives(self) -> list[Step]:
        return [each for each in self.steps if not each.required]

    @cached_property
    def to_choose(self) -> int:
        """N of "N of M"; 0 where the stage has no electives."""
        return max((each.elective_choose or 0 for each in self.electives), default=0)

    @cached_property
    def taken(self) -> int:
        """How many are chosen, done or waived; a failed one does not count."""
        return sum(_is_taken(each) for each in self.electives)

    @cached_property
    def electives_done(self) -> int:
        return min(self.to_choose, sum(_is_done(each) for each in self.electives))

    @cached_property
    def done(self) -> int:
        """How many of `needed` are done."""
        return sum(_is_done(each) for each in self.required) + self.electives_done

    @cached_property
    def needed(self) -> int:
        return len(self.required) + self.to_choose


def _is_done(step: Step) -> bool:
    return step.status == "completed" or (
        step.status == "skipped" and step.skip_reason != "not_chosen"
    )


def _is_taken(step: Step) -> bool:
    return _is_done(step) or (
        step.status in ("pending", "in_progress") and step.chosen_at is not None
    )


@dataclass(frozen=True)
class Progress:
    """One enrollment of a person and how far it is."""

    id: UUID
    status: str
    start_date: date
    starts_later: bool
    completed_at: datetime | None
    program_title: str
    organization_name: str
    learner_word: str
    time_zone: str
    email: str
    """As the organization knows it."""
    stages: Sequence[Stage] = ()
    certificates: Mapping[UUID, Sequence[PartnerCertificateRow]] = field(default_factory=dict)
    """By run."""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def is_live(self) -> bool:
        return self.status in ("pending", "active", "suspended")

    @property
    def ended_early(self) -> bool:
        """Whether it ended before it was completed; what is open then stays so."""
        return self.status in ("withdrawn", "transferred")

    @cached_property
    def done(self) -> int:
        return sum(each.done for each in self.stages)

    @cached_property
    def needed(self) -> int:
        return sum(each.needed for each in self.stages)

    @cached_property
    def percent(self) -> int:
        """0 to 100, of steps."""
        return 100 * self.done // self.needed if self.needed else 0

    @property
    def notice(self) -> str:
        """What the enrollment waits for before its steps go on, or why it ended early."""
        return tell_standing(
            self.status,
            start_date=self.start_date,
            starts_later=self.starts_later,
            organization=self.organization_name,
        )


def list_own_progress() -> list[Progress]:
    """Return the enrollments of the person that the transaction runs as: those under way first."""
    with connection.cursor() as cursor:
        cursor.execute(_ENROLLMENTS, [MOST_ENROLLMENTS])
        rows = cursor.fetchall()
    steps = list_steps([row[0] for row in rows])
    runs = [each.run_id for found in steps.values() for each in found if each.run_id]
    certificates = list_run_certificates(runs)
    return [
        replace(
            Progress(*row), stages=group_stages(steps.get(row[0], ())), certificates=certificates
        )
        for row in rows
    ]


def group_stages(steps: Sequence[Step]) -> list[Stage]:
    """Return the stages of one enrollment's steps, which are in order."""
    grouped = groupby(steps, key=lambda each: each.sequence_order)
    return [Stage(order, list(found)) for order, found in grouped]


def list_run_certificates(
    runs: Collection[UUID],
) -> Mapping[UUID, Sequence[PartnerCertificateRow]]:
    """Return what partners issued for these runs, by run."""
    found: dict[UUID, list[PartnerCertificateRow]] = {}
    if runs:
        with connection.cursor() as cursor:
            cursor.execute(_CERTIFICATES, [list(runs)])
            for run, *row in cursor.fetchall():
                found.setdefault(run, []).append(PartnerCertificateRow(*row))
    return found
