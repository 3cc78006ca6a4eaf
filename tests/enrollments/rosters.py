"""Rosters for tests: the example, and rows of one's own."""

import io
from datetime import date
from pathlib import Path

from handrail.enrollments.batches import Finding
from handrail.enrollments.models import Enrollment
from handrail.enrollments.roster import RosterReport, import_roster
from handrail.organizations.models import Organization
from handrail.programs.catalog import import_catalog
from handrail.programs.catalog_file import read_catalog

EXAMPLES = Path(__file__).parents[2] / "examples"
ROSTER = (EXAMPLES / "roster.csv").read_bytes()
HEADER = "first_name,last_name,email,program,funding_source,start_date,phone,birth_date\n"


def make_northside() -> Organization:
    """The organization of the example catalog."""
    return import_catalog(read_catalog((EXAMPLES / "catalog.toml").read_bytes())).organization


class Told(list[Finding]):
    """What an import told, and what it came to."""

    report: RosterReport


def take(
    organization: Organization, content: bytes | str, *, dry_run: bool = False, now: bool = False
) -> Told:
    told = Told()
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    told.report = import_roster(
        stream, organization=organization, tell=told.append, dry_run=dry_run, start_all_now=now
    )
    return told


def describe() -> list[tuple[str, str, str, str, date]]:
    """Who is enrolled where, and how."""
    found = Enrollment.objects.order_by("learner__email_normalized", "program__slug")
    names = ("learner__email_normalized", "program__slug", "status", "funding_source", "start_date")
    return list(found.values_list(*names))
