"""What the reconciler asks about: runs in progress, and completed ones without a certificate."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from time import time
from typing import NamedTuple
from uuid import UUID

from handrail.core.service_connection import ServiceConnection

CERTIFICATE_DAYS = 3
"""A certificate that does not come by itself is asked for so long after its course was completed."""
_PAGE = 20
_ENROLLMENT_PAGE = 500
_SECONDS_BETWEEN_PAGES = 0.02

# By the index of steps in progress; the numbers need no row of the table itself.
_ASKED_STEPS = """
select p.id::text, p.slug, s.organization_id, s.program_step_id, s.steps
from (select organization_id, program_step_id, count(*) as steps
      from enrollment_steps where status = 'in_progress' group by organization_id, program_step_id) s
join program_partner_lms b on b.organization_id = s.organization_id and b.id = s.program_step_id
join partner_lms_providers p on p.organization_id = b.organization_id and p.id = b.provider_id
where p.offers_progress and p.mode <> 'link' and p.archived_at is null
"""
_RUNS = """
select s.started_at, s.id, r.id, r.external_enrollment_id, r.progress, clock_timestamp()
from enrollment_steps s
join enrollments e on e.id = s.enrollment_id and e.organization_id = s.organization_id
join partner_lms_enrollments r on r.id = s.partner_enrollment_id and r.organization_id = s.organization_id
where s.status = 'in_progress' and s.organization_id = %b and s.program_step_id = %b
  and (s.started_at, s.id) > (%b::timestamptz, %b::uuid)
  and e.status = 'active' and r.status = 'active' and r.external_enrollment_id is not null
order by s.started_at, s.id
limit %b
"""
_PROGRAMS = "select organization_id, id from programs"
_ACTIVE = """
select id from enrollments
where organization_id = %b and program_id = %b and status = 'active' and id > %b::uuid
order by id limit %b
"""
# The last course completes the enrollment: it is not active any more when its certificate is due.
_FINISHED = """
select c.id, c.enrollment_id from credentials c
where c.id > %b::uuid and c.revoked_at is null
order by c.id limit %b
"""
_WITHOUT_CERTIFICATE = """
select distinct r.provider_id::text, p.slug, r.id, r.external_enrollment_id, r.progress, clock_timestamp()
from enrollment_steps s
join partner_lms_enrollments r on r.id = s.partner_enrollment_id and r.organization_id = s.organization_id
join partner_lms_courses c on c.organization_id = r.organization_id and c.id = r.course_id
join partner_lms_providers p on p.organization_id = r.organization_id and p.id = r.provider_id
where s.enrollment_id = any (%b::uuid[]) and s.status = 'completed' and r.status = 'completed'
  and r.external_enrollment_id is not null and r.updated_at > now() - make_interval(days => %b)
  and c.credential_name <> '' and p.mode <> 'link' and p.archived_at is null
  and not exists (select from partner_certificates k where k.partner_enrollment_id = r.id)
"""


class AskedStep(NamedTuple):
    """A program step whose provider can be asked, and how many learners are at it."""

    provider_id: str
    slug: str
    organization_id: UUID
    program_step_id: UUID
    learners: int


class Run(NamedTuple):
    """A partner enrollment to ask about, and what we know of it."""

    id: UUID
    external_id: str
    progress: Decimal | None
    read_at: datetime
    """When it was read, by the database's clock."""
    read_at_tick: float
    """The same by the event loop's clock."""

    def get_time(self) -> datetime:
        """Now, by the database's clock."""
        return self.read_at + timedelta(
            seconds=asyncio.get_running_loop().time() - self.read_at_tick
        )


class CompletedRun(NamedTuple):
    """A completed partner enrollment whose certificate has not come."""

    provider_id: str
    slug: str
    run: Run


async def list_asked_steps(connection: ServiceConnection) -> list[AskedStep]:
    """The program steps at which somebody is in progress."""
    return [AskedStep._make(row) for row in await connection.fetch(_ASKED_STEPS)]


async def list_runs(connection: ServiceConnection, step: AskedStep) -> AsyncIterator[Run]:
    """The runs in progress at a program step, of active enrollments, a page at a time."""
    after: tuple[object, object] = ("-infinity", UUID(int=0))
    while True:
        keys = (step.organization_id, step.program_step_id)
        rows = await connection.fetch(_RUNS, (*keys, *after, _PAGE))
        tick = asyncio.get_running_loop().time()
        for *_, run_id, external_id, progress, read_at in rows:
            yield Run(run_id, external_id, progress, read_at, tick)
        if len(rows) < _PAGE:
            return
        after = rows[-1][:2]


async def list_without_certificate(connection: ServiceConnection) -> AsyncIterator[CompletedRun]:
    """The runs completed in the last days whose certificate has not come."""
    async for enrollments in _list_enrollments(connection):
        rows = await connection.fetch(_WITHOUT_CERTIFICATE, (enrollments, CERTIFICATE_DAYS))
        tick = asyncio.get_running_loop().time()
        for provider_id, slug, run_id, external_id, progress, read_at in rows:
            yield CompletedRun(provider_id, slug, Run(run_id, external_id, progress, read_at, tick))
        await asyncio.sleep(_SECONDS_BETWEEN_PAGES)


async def _list_enrollments(connection: ServiceConnection) -> AsyncIterator[list[UUID]]:
    """The active enrollments and the newly completed ones, in pages."""
    for organization_id, program_id in await connection.fetch(_PROGRAMS):
        last = UUID(int=0)
        while page := await connection.fetch(
            _ACTIVE, (organization_id, program_id, last, _ENROLLMENT_PAGE)
        ):
            yield [each for (each,) in page]
            last = page[-1][0]
    last = _make_first_uuid(time() - CERTIFICATE_DAYS * 86400)
    while page := await connection.fetch(_FINISHED, (last, _ENROLLMENT_PAGE)):
        yield [enrollment for _, enrollment in page]
        last = page[-1][0]


def _make_first_uuid(seconds: float) -> UUID:
    """The lowest UUIDv7 of a time (RFC 9562, section 5.7): ids that were made later are greater."""
    return UUID(int=int(seconds * 1000) << 80)
