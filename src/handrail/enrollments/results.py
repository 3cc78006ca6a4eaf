"""Imports a partner's results: a CSV file of completions, repeatable.

For partners without an interface (link mode), and for what got lost at others.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, BinaryIO, NamedTuple
from uuid import UUID

from django.db import connection

from handrail.core.csv_rows import BadRow, Columns, Row, read_rows
from handrail.enrollments.batches import Finding, Tell, chunk, run_batch
from handrail.enrollments.roster_rows import read_date
from handrail.partners.models import Course, Provider
from handrail.people.models import normalize_email
from handrail.people.text import clean_text, find_email_problem, shorten

COLUMNS = Columns(required=("email", "course", "completed_on"))
BATCH = 500
"""Rows in one transaction."""
_KNOWN = "already completed"

# Who has a step of which course; the end of a day in the organization's zone, but not after now.
_FIND_LEARNERS = """
select l.email_normalized, l.id, coalesce(array_agg(distinct s.course_id) filter (where s.id is not null), '{}')
from learners l
left join enrollments e on e.learner_id = l.id and e.organization_id = l.organization_id
left join enrollment_steps s on s.enrollment_id = e.id and s.provider_id = %s
where l.organization_id = %s and l.email_normalized = any (%s)
group by l.email_normalized, l.id
"""
_FIND_MOMENTS = """
select day, least((day + 1)::timestamp at time zone o.time_zone - interval '1 second', now()),
       day > (now() at time zone o.time_zone)::date
from organizations o, unnest(%s::date[]) as day where o.id = %s
"""
# The newest completion of a day: a file knows only the day, and would say the same again after the step was reopened.
_FIND_COMPLETIONS = """
select r.learner_id, r.course_id, (r.completed_at at time zone o.time_zone)::date, max(r.completed_at)
from partner_accounts a
join organizations o on o.id = a.organization_id
join partner_lms_enrollments r on r.partner_account_id = a.id
where a.learner_id = any (%s) and a.provider_id = %s and r.completed_at is not null
group by 1, 2, 3
"""
_APPLY = "select ref, outcome, reason from apply_partner_events(%s::jsonb)"


@dataclass(slots=True)
class ResultsReport:
    """What an import came to: completions taken over, known before, and rows refused."""

    completed: int = 0
    known: int = 0
    rows_refused: int = 0


class _Result(NamedTuple):
    line: int
    email: str
    course: Course
    completed_on: date


class _Refused(Exception):
    pass


def import_results(
    stream: BinaryIO, *, provider: Provider, tell: Tell, source: str = "results file"
) -> ResultsReport:
    """Take the completions of a CSV file over (columns: email, course, completed_on).

    Each is a fact from the partner, dated at the end of that day in the organization's zone, or
    when it was completed where we knew that it was on that day, with the cause "file" and `source`
    with its line as the reason. `tell` hears of each row that was
    not taken; what was completed before is counted only.

    Raises:
        UnreadableFile: not one row can be taken.
    """
    courses = {each.code.casefold(): each for each in Course.objects.filter(provider=provider)}
    report = ResultsReport()
    for rows in chunk(_read(stream, courses), BATCH):
        results = [row for row in rows if isinstance(row, _Result)]
        findings = [row for row in rows if isinstance(row, Finding)]
        batch = _Batch(provider, results, source)
        run_batch(batch.run)
        findings = sorted([*findings, *batch.findings])
        report.rows_refused += len(findings)
        report.known += batch.known
        report.completed += len(rows) - len(findings) - batch.known
        for finding in findings:
            tell(finding)
    return report


def _read(stream: BinaryIO, courses: Mapping[str, Course]) -> Iterator[_Result | Finding]:
    for row in read_rows(stream, COLUMNS):
        try:
            yield _read_row(row, courses)
        except _Refused as error:
            yield Finding(row.line, "refused", str(error))


def _read_row(row: Row | BadRow, courses: Mapping[str, Course]) -> _Result:
    if isinstance(row, BadRow):
        raise _Refused(row.reason)
    email = clean_text(row.fields["email"])
    code = clean_text(row.fields["course"])
    course = courses.get(code.casefold())
    problems = [] if email else ["email is missing"]
    if email and (problem := find_email_problem(email)):
        problems.append(f"email {problem}")
    if course is None:
        known = ", ".join(sorted(each.code for each in courses.values())[:20])
        told = f"{shorten(code)!r} is no course of this provider" if code else "is missing"
        problems.append(f"course {told}; write one of {known}")
    completed_on = None
    try:
        completed_on = read_date(clean_text(row.fields["completed_on"]))
    except ValueError as error:
        problems.append(f"completed_on {error}")
    else:
        if completed_on is None:
            problems.append("completed_on is missing")
    if problems or course is None or completed_on is None:
        raise _Refused("; ".join(problems))
    return _Result(row.line, normalize_email(email), course, completed_on)


class _Batch:
    """Some results in one transaction."""

    def __init__(self, provider: Provider, results: Sequence[_Result], source: str) -> None:
        self._provider = provider
        self._results = results
        self._source = source
        self.findings: list[Finding] = []
        self.known = 0

    def run(self) -> None:
        """Take the results over; from the beginning when it is called again."""
        self.findings.clear()
        self.known = 0
        learners = self._find_learners()
        moments = self._find_moments()
        completions = self._find_completions([learner for learner, _ in learners.values()])
        events = []
        for result in self._results:
            moment, is_future = moments[result.completed_on]
            learner, courses = learners.get(result.email, (None, []))
            if is_future:
                self._refuse(result, f"completed_on {result.completed_on} lies in the future")
            elif learner is None:
                self._refuse(result, f"nobody here has the address {result.email}")
            elif result.course.id not in courses:
                self._refuse(result, f"{result.email} has no step with {result.course.code}")
            else:
                known = completions.get((learner, result.course.id, result.completed_on))
                events.append(self._describe(result, learner, known or moment))
        self._apply(events)

    def _apply(self, events: list[dict[str, Any]]) -> None:
        by_line = {result.line: result for result in self._results}
        with connection.cursor() as cursor:
            cursor.execute(_APPLY, [json.dumps(events)])
            for line, outcome, reason in cursor.fetchall():
                if outcome == "applied":
                    continue
                if reason == _KNOWN:
                    self.known += 1
                else:
                    self._refuse(by_line[int(line)], reason)

    def _describe(self, result: _Result, learner: UUID, moment: str) -> dict[str, Any]:
        return {
            "ref": str(result.line),
            "kind": "course.completed",
            "provider_id": str(self._provider.id),
            "learner_id": str(learner),
            "course_id": str(result.course.id),
            "occurred_at": moment,
            "cause_kind": "file",
            "cause_reason": f"{self._source}, line {result.line}",
        }

    def _find_learners(self) -> dict[str, tuple[UUID, list[UUID]]]:
        emails = list({result.email for result in self._results})
        with connection.cursor() as cursor:
            cursor.execute(
                _FIND_LEARNERS, [self._provider.id, self._provider.organization_id, emails]
            )
            return {email: (learner, courses) for email, learner, courses in cursor.fetchall()}

    def _find_moments(self) -> dict[date, tuple[str, bool]]:
        days = list({result.completed_on for result in self._results})
        with connection.cursor() as cursor:
            cursor.execute(_FIND_MOMENTS, [days, self._provider.organization_id])
            return {day: (moment.isoformat(), late) for day, moment, late in cursor.fetchall()}

    def _find_completions(self, learners: list[UUID]) -> dict[tuple[UUID, UUID, date], str]:
        with connection.cursor() as cursor:
            cursor.execute(_FIND_COMPLETIONS, [learners, self._provider.id])
            return {tuple(found): moment.isoformat() for *found, moment in cursor.fetchall()}

    def _refuse(self, result: _Result, text: str) -> None:
        self.findings.append(Finding(result.line, "refused", text))
