"""What a demo came to, in figures."""

import json
import sqlite3
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from handrail.config.demo.asking import fetch

# The calls that a step's start brings, not the reconciler's questions.
_CALLS = (
    *("find_account", "create_account", "find_enrollment", "enroll"),
    *("find_voucher", "buy_voucher"),
)
# Steps that started because a webhook had completed the one before.
_ADVANCES = """
select extract(epoch from w.received_at)::double precision, p.adapter, l.email_normalized, a.external_id, c.code
from step_events n
join step_events d on d.enrollment_id = n.enrollment_id and d.step_id = n.cause_id
  and d.to_status = 'completed' and d.cause_kind = 'webhook'
join webhook_events w on w.id = d.cause_id
join enrollment_steps s on s.id = n.step_id
join partner_lms_enrollments r on r.id = s.partner_enrollment_id
join partner_accounts a on a.id = r.partner_account_id
join partner_lms_providers p on p.id = r.provider_id and p.mode <> 'link'
join partner_lms_courses c on c.id = r.course_id
join learners l on l.id = r.learner_id
where n.to_status = 'in_progress' and n.cause_kind = 'step'
"""
_COUNTS = """
select (select count(*) from step_events where step_id is not null and to_status = 'completed'),
       (select count(*) from webhook_events),
       (select coalesce(sum(repeated_count), 0)::bigint from webhook_endpoints),
       (select count(*) from attention_items where resolved_by is not null)
"""
_SLOWEST = """
select p.name,
       percentile_cont(0.5) within group
         (order by extract(epoch from d.created_at - s.started_at)::double precision) as median
from enrollment_steps s
join step_events d on d.enrollment_id = s.enrollment_id and d.step_id = s.id and d.to_status = 'completed'
join partner_lms_providers p on p.id = s.provider_id
where s.started_at is not null group by p.id, p.name order by median desc limit 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The figures of a demo; times in milliseconds, `seconds` from the command to the end."""

    rows_taken: int
    rows_refused: int
    enrollments: int
    completed: int
    certificates: int
    steps_advanced: int
    """Steps completed."""
    webhooks_received: int
    """Stored; one that came again is counted once."""
    webhooks_repeated: int
    resolved_by_person: int
    violations: int
    """Of the promises, and differences with the partners' own records."""
    advance_ms_p50: float | None
    """From a webhook's arrival to the first call at the next partner; None: there was none."""
    advance_ms_p99: float | None
    seconds: float

    @property
    def is_good(self) -> bool:
        """Everybody has completed, everybody has a certificate, every promise holds."""
        everybody = self.enrollments == self.completed == self.certificates > 0
        return everybody and not self.violations

    def write(self, path: Path) -> None:
        """Write the figures as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


@dataclass(frozen=True, slots=True)
class Counts:
    """What the database counts at the end."""

    steps_advanced: int
    webhooks_received: int
    webhooks_repeated: int
    resolved_by_person: int


def read_counts() -> Counts:
    """Count what happened."""
    ((*counts,),) = fetch(_COUNTS)
    return Counts(*counts)


def find_slowest_partner() -> tuple[str, float] | None:
    """Return the partner whose steps took longest, with the median in seconds."""
    for name, median in fetch(_SLOWEST):
        return str(name), float(median)
    return None


def measure_advances(state: Path) -> list[float]:
    """Return, sorted, the milliseconds from each webhook to the next partner's first call.

    The call's time is when the partner received it, by the sandbox's record in `state`.
    """
    calls = _read_calls(state)
    found = []
    for received, partner, email, account, course in fetch(_ADVANCES):
        times = [*calls.get((partner, email, ""), ()), *calls.get((partner, account, ""), ())]
        times = sorted([*times, *calls.get((partner, account, course), ())])
        place = bisect_left(times, received)
        if place < len(times):
            found.append(1000 * (times[place] - received))
    return sorted(found)


def pick_percentile(values: Sequence[float], percent: float) -> float | None:
    """Return the value below which so many percent of the sorted values are; None of nothing."""
    if not values:
        return None
    return round(values[min(len(values) - 1, int(len(values) * percent / 100))], 1)


def _read_calls(state: Path) -> Mapping[tuple[str, str, str], list[float]]:
    """The times of calls by partner, account (or the address looked for) and course (or '')."""
    calls: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    marks = ",".join("?" * len(_CALLS))
    query = f"select partner, at, account, course, path from ledger where operation in ({marks})"  # noqa: S608
    with closing(sqlite3.connect(f"file:{state}?mode=ro", uri=True, timeout=10)) as theirs:
        for partner, at, account, course, path in theirs.execute(query, _CALLS):
            whose = account or parse_qs(urlsplit(path).query).get("email", [""])[0].casefold()
            calls[partner, whose, course].append(at)
    return calls
