"""Two imports, or an import and somebody else, at the same time."""

import threading
from collections.abc import Callable

import pytest
from django.db import connection

from handrail.enrollments import roster
from handrail.enrollments.models import Enrollment
from handrail.enrollments.roster import RosterReport
from handrail.organizations.models import Organization
from handrail.people.models import Learner
from tests.databases import Database
from tests.enrollments.racing import wait_for_lock
from tests.enrollments.rosters import HEADER, ROSTER, Told, make_northside, take


@pytest.fixture
def northside(database: Database) -> Organization:
    return make_northside()


def test_two_imports_at_once_enroll_everybody_once(
    northside: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "BATCH", 5)
    lines = ROSTER.splitlines(keepends=True)
    backwards = b"".join([lines[0], *reversed(lines[1:])])
    reports: list[RosterReport] = []

    run_at_once(
        lambda: reports.append(take(northside, ROSTER).report),
        lambda: reports.append(take(northside, backwards).report),
    )

    assert (Learner.objects.count(), Enrollment.objects.count()) == (61, 62)
    assert sum(each.enrollments_added for each in reports) == 62
    assert sum(each.people_added for each in reports) == 61


def test_somebody_enrolled_by_another_in_the_same_moment_is_known(
    database: Database, northside: Organization
) -> None:
    take(northside, f"{HEADER}Ann,Lee,ann@example.org,esthetics,WIOA,2026-09-01,,\n")
    told: list[Told] = []
    rows = f"{HEADER}Ann,Lee,ann@example.org,barber-apprenticeship,WIOA,2026-09-01,,\n"
    with database.connect("worker", autocommit=False) as other:
        other.execute(
            "select create_enrollment(l.id, p.id, 'WIOA', '2026-09-01') from learners l, programs p"
            " where p.slug = 'barber-apprenticeship'"
        )
        importing = threading.Thread(
            target=lambda: told.append(close_after(lambda: take(northside, rows)))
        )
        importing.start()
        wait_for_lock(database)
        other.commit()
        importing.join()

    assert told[0].report == RosterReport(rows_taken=1, rows_known=1)
    assert Enrollment.objects.count() == 2


def close_after(work: Callable[[], Told]) -> Told:
    """Do it with this thread's own connection, and close that."""
    try:
        return work()
    finally:
        connection.close()


def run_at_once(*works: Callable[[], object]) -> None:
    def run(work: Callable[[], object]) -> None:
        try:
            work()
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
