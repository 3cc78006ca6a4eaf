"""The end of the demo: figures, certificates, and whether every promise was kept."""

import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from handrail.config.demo.certificates import export_certificates
from handrail.config.demo.figures import (
    Summary,
    find_slowest_partner,
    measure_advances,
    pick_percentile,
    read_counts,
)
from handrail.config.demo.state import Snapshot, describe_stuck
from handrail.enrollments.batches import Finding
from handrail.enrollments.promises import check_promises
from handrail.enrollments.roster import RosterReport

MOST_SHOWN = 20


@dataclass(slots=True)
class Intake:
    """What the rosters came to."""

    people: int = 0
    taken: int = 0
    refused: int = 0
    reasons: list[str] = field(default_factory=list)
    """Why rows were refused."""

    def add(self, report: RosterReport, findings: Iterable[Finding]) -> None:
        """Count one file."""
        self.people += report.people_added
        self.taken += report.rows_taken
        self.refused += report.rows_refused
        self.reasons += [str(each) for each in findings if each.kind == "refused"]


@dataclass(frozen=True, slots=True)
class Ending:
    """What to tell the person at the terminal."""

    is_good: bool
    lines: list[str]


def conclude(
    folder: Path,
    *,
    state: Path,
    snapshot: Snapshot,
    differences: list[str],
    intake: Intake,
    began: float,
) -> Ending:
    """Check the promises, write certificates and summary.json below `folder`, and sum it up.

    `state`: the sandbox's file. `differences`: between it and us. `began`: by the monotonic clock.
    """
    broken = check_promises()
    shutil.rmtree(folder / "certificates", ignore_errors=True)
    exported = export_certificates(folder / "certificates")
    counts = read_counts()
    advances = measure_advances(state)
    summary = Summary(
        rows_taken=intake.taken,
        rows_refused=intake.refused,
        enrollments=snapshot.enrollments,
        completed=snapshot.completed,
        certificates=exported,
        steps_advanced=counts.steps_advanced,
        webhooks_received=counts.webhooks_received,
        webhooks_repeated=counts.webhooks_repeated,
        resolved_by_person=counts.resolved_by_person,
        violations=len(differences) + sum(each.count for each in broken),
        advance_ms_p50=pick_percentile(advances, 50),
        advance_ms_p99=pick_percentile(advances, 99),
        seconds=round(time.monotonic() - began, 1),
    )
    summary.write(folder / "summary.json")
    lines = _describe(summary, folder, intake)
    if summary.violations:
        told = [f"promise {each.promise}: {each}" for each in broken] + differences
        lines += ["", "Not as it should be:", *(f"  {each}" for each in told[:MOST_SHOWN])]
    if not summary.is_good and (stuck := describe_stuck()):
        lines += ["", "Not finished, or not settled:", *(f"  {each}" for each in stuck)]
    return Ending(summary.is_good, lines)


def _describe(summary: Summary, folder: Path, intake: Intake) -> list[str]:
    slowest = find_slowest_partner()
    median, p99 = summary.advance_ms_p50, summary.advance_ms_p99
    advance = "no call followed a webhook"
    if median is not None:
        advance = f"{median} ms median, {p99} ms 99th percentile, to the next partner's call"
    received, repeated = summary.webhooks_received, summary.webhooks_repeated
    taken, refused = summary.rows_taken, summary.rows_refused
    rows = [
        ("People", f"{intake.people}, by {taken} rows taken; {refused} rows refused:"),
        *(("", f"  {reason}") for reason in intake.reasons[:MOST_SHOWN]),
        ("Enrollments", f"{summary.completed} of {summary.enrollments} completed"),
        ("Steps", f"{summary.steps_advanced} completed"),
        ("Webhooks", f"{received} received, {repeated} more that were repeats"),
        ("From webhook", advance),
        ("Slowest", f"{slowest[0]}, {slowest[1]:.1f} s a step (median)" if slowest else "nobody"),
        ("Cases", f"{summary.resolved_by_person} settled by the case manager"),
        ("Promises", f"{summary.violations} violations"),
        ("Certificates", f"{summary.certificates} in {folder / 'certificates'}"),
        ("Time", f"{summary.seconds} s"),
    ]
    return ["", *(f"{name:<13} {value}" for name, value in rows)]
