"""Imports a roster: learners and their enrollments, row by row, repeatable.

The first row of a person, and of a person in a program, stands: what a later one says otherwise is
told and not taken over. A person who has any enrollment in a program, finished or not, gets no
other one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import BinaryIO, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from handrail.core.csv_rows import BadRow, read_rows
from handrail.enrollments.batches import Finding, Tell, chunk, run_batch
from handrail.enrollments.roster_rows import COLUMNS, BadField, RosterRow, read_roster_row
from handrail.organizations.models import Organization
from handrail.programs.models import Program, ProgramVersion

BATCH = 500
"""Rows in one transaction."""
_DRY_RUN_PATIENCE = "set local idle_in_transaction_session_timeout = '10min'"

_ADD_LEARNERS = """
insert into learners (organization_id, email_normalized, first_name, last_name, email, phone, birth_date)
select %s, * from unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::date[]) as given
order by 2
on conflict (organization_id, email_normalized) do nothing
"""
# Locked, in the order of their ids: two imports of the same people wait for each other.
_FIND_LEARNERS = """
select email_normalized, id, first_name, last_name, phone, birth_date from learners
where organization_id = %s and email_normalized = any (%s) order by id for no key update
"""
_FIND_ENROLLMENTS = """
select distinct on (learner_id, program_id) learner_id, program_id, start_date, funding_source
from enrollments where learner_id = any (%s) order by learner_id, program_id, created_at desc
"""
_ENROLL = "select enroll_learners(%s::uuid[], %s::uuid[], %s::text[], %s::date[])"


@dataclass(slots=True)
class RosterReport:
    """What an import came to. A row is taken also where it says nothing new."""

    rows_taken: int = 0
    rows_refused: int = 0
    people_added: int = 0
    enrollments_added: int = 0
    rows_known: int = 0
    """Rows taken whose person had an enrollment in the program already."""

    @property
    def rows(self) -> int:
        """Rows read, empty ones apart."""
        return self.rows_taken + self.rows_refused


class _Learner(NamedTuple):
    id: UUID
    first_name: str
    last_name: str
    phone: str
    birth_date: date | None


class _Enrollment(NamedTuple):
    start_date: date
    funding_source: str


def import_roster(
    stream: BinaryIO,
    *,
    organization: Organization,
    tell: Tell,
    dry_run: bool = False,
    start_all_now: bool = False,
) -> RosterReport:
    """Take the rows of a CSV file over (columns: `roster_rows.COLUMNS`), as the service role.

    Each row makes the learner known and enrolls him or her, approved. `tell` hears of each row
    that was refused or says something else than what is known, in the file's order.

    Args:
        stream: the file, read once from where it stands.
        organization: whose learners they are.
        tell: called with each finding, after the batch it belongs to.
        dry_run: do everything and take it back: tells and returns the same.
        start_all_now: today is everybody's start date (for a demonstration).

    Raises:
        UnreadableFile: not one row can be taken.
    """
    importer = _Importer(organization, tell, start_all_now=start_all_now)
    if not dry_run:
        importer.run(stream)
        return importer.report
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_DRY_RUN_PATIENCE)
        importer.run(stream)
        transaction.set_rollback(True)
    return importer.report


class _Importer:
    def __init__(self, organization: Organization, tell: Tell, *, start_all_now: bool) -> None:
        self.organization = organization
        self.report = RosterReport()
        self._tell = tell
        self._start_all_now = start_all_now
        self._today = _read_today(organization)
        self._programs = _find_programs(organization)

    def run(self, stream: BinaryIO) -> None:
        for rows in chunk(self._read(stream), BATCH):
            batch = run_batch(_Batch(self, [row for row in rows if isinstance(row, RosterRow)]).run)
            refused = [row for row in rows if isinstance(row, Finding)]
            self.report.rows_refused += len(refused)
            self.report.rows_taken += len(rows) - len(refused)
            self.report.people_added += batch.people_added
            self.report.enrollments_added += batch.enrollments_added
            self.report.rows_known += batch.rows_known
            for finding in sorted([*refused, *batch.findings]):
                self._tell(finding)

    def get_start(self, row: RosterRow) -> date:
        """The day the enrollment begins."""
        return self._today if self._start_all_now else row.start_date or self._today

    def _read(self, stream: BinaryIO) -> Iterator[RosterRow | Finding]:
        for row in read_rows(stream, COLUMNS):
            if isinstance(row, BadRow):
                yield Finding(row.line, "refused", row.reason)
                continue
            try:
                yield read_roster_row(row, programs=self._programs, today=self._today)
            except BadField as error:
                yield Finding(row.line, "refused", str(error))


class _Batch:
    """Some rows in one transaction."""

    def __init__(self, importer: _Importer, rows: Sequence[RosterRow]) -> None:
        self._importer = importer
        self._organization_id = importer.organization.id
        self._rows = rows
        self.findings: list[Finding] = []
        self.people_added = 0
        self.enrollments_added = 0
        self.rows_known = 0

    def run(self) -> "_Batch":
        """Take the rows over; from the beginning when it is called again."""
        self.findings.clear()
        self.rows_known = 0
        learners = self._save_learners()
        enrollments = _find_enrollments([each.id for each in learners.values()])
        wanted: dict[tuple[UUID, UUID], RosterRow] = {}
        for row in self._rows:
            learner = learners[row.email_normalized]
            self._compare_person(row, learner)
            key = (learner.id, row.program_id)
            if key in enrollments:
                self.rows_known += 1
                self._compare_enrollment(row, enrollments[key])
            else:
                start = self._importer.get_start(row)
                enrollments[key] = _Enrollment(start, row.funding_source)
                wanted[key] = row
        self._enroll(wanted)
        return self

    def _save_learners(self) -> Mapping[str, _Learner]:
        first: dict[str, RosterRow] = {}
        for row in self._rows:
            first.setdefault(row.email_normalized, row)
        people = first.values()
        with connection.cursor() as cursor:
            cursor.execute(
                _ADD_LEARNERS,
                [
                    self._organization_id,
                    list(first),
                    [row.first_name for row in people],
                    [row.last_name for row in people],
                    [row.email for row in people],
                    [row.phone for row in people],
                    [row.birth_date for row in people],
                ],
            )
            self.people_added = cursor.rowcount
            cursor.execute(_FIND_LEARNERS, [self._organization_id, list(first)])
            return {email: _Learner(*rest) for email, *rest in cursor.fetchall()}

    def _enroll(self, wanted: Mapping[tuple[UUID, UUID], RosterRow]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                _ENROLL,
                [
                    [learner for learner, _ in wanted],
                    [program for _, program in wanted],
                    [row.funding_source for row in wanted.values()],
                    [self._importer.get_start(row) for row in wanted.values()],
                ],
            )
        self.enrollments_added = len(wanted)

    def _compare_person(self, row: RosterRow, known: _Learner) -> None:
        name = f"{row.first_name} {row.last_name}".strip()
        kept = f"{known.first_name} {known.last_name}".strip()
        if name != kept:
            self._keep(row, f"the name stays {kept!r}, not {name!r}")
        if row.phone and row.phone != known.phone:
            self._keep(row, f"the phone stays {known.phone!r}, not {row.phone!r}")
        if row.birth_date and row.birth_date != known.birth_date:
            self._keep(row, f"the birth date stays {known.birth_date or 'empty'}")

    def _compare_enrollment(self, row: RosterRow, known: _Enrollment) -> None:
        if row.start_date and self._importer.get_start(row) != known.start_date:
            self._keep(row, f"the start date stays {known.start_date}, not {row.start_date}")
        if row.funding_source != known.funding_source:
            told = f"stays {known.funding_source}, not {row.funding_source}"
            self._keep(row, f"the funding source {told}")

    def _keep(self, row: RosterRow, text: str) -> None:
        self.findings.append(Finding(row.line, "kept", f"{row.email}: {text}"))


def _find_enrollments(learners: list[UUID]) -> dict[tuple[UUID, UUID], _Enrollment]:
    """The newest enrollment of each of these people in each program, finished ones included."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND_ENROLLMENTS, [learners])
        return {
            (learner, program): _Enrollment(start, funding)
            for learner, program, start, funding in cursor.fetchall()
        }


def _find_programs(organization: Organization) -> dict[str, UUID]:
    """The programs that can be enrolled in, by slug."""
    published = ProgramVersion.objects.filter(program_id=OuterRef("id"), published_at__isnull=False)
    found = Program.objects.filter(organization=organization, archived_at__isnull=True)
    return dict(found.filter(Exists(published)).order_by("slug").values_list("slug", "id"))


def _read_today(organization: Organization) -> date:
    """Today in the organization's zone, as the database sees it."""
    with connection.cursor() as cursor:
        cursor.execute("select (now() at time zone %s)::date", [organization.time_zone])
        (today,) = cursor.fetchone() or (None,)
    if not isinstance(today, date):
        raise TypeError("the database returned no date")
    return today
