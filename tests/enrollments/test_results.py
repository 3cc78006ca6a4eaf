"""Importing a partner's results: facts with the cause "file", repeatable."""

import io
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from handrail.enrollments import results
from handrail.enrollments.batches import Finding
from handrail.enrollments.models import Enrollment, EnrollmentStep, PartnerAccount, StepEvent
from handrail.enrollments.results import ResultsReport, import_results
from handrail.enrollments.roster import import_roster
from handrail.organizations.models import Organization
from handrail.partners.models import Provider
from handrail.programs.catalog import import_catalog
from handrail.programs.catalog_file import read_catalog
from tests.clocks import find_today
from tests.command_line import handrail
from tests.databases import Database

EXAMPLES = Path(__file__).parents[2] / "examples"
HEADER = "email,course,completed_on\n"
ZONE = ZoneInfo("America/Indiana/Indianapolis")
DAY = datetime.now(ZONE).date() - timedelta(days=30)


@pytest.fixture
def northside(database: Database) -> Organization:
    """Ann and Bo have JRI-WORK in progress; Cy has nothing at JRI; Dee has it twice."""
    organization = import_catalog(
        read_catalog((EXAMPLES / "catalog.toml").read_bytes())
    ).organization
    enroll(
        organization,
        *("ann barber-apprenticeship", "bo building-maintenance", "cy esthetics"),
        *("dee barber-apprenticeship", "dee building-maintenance"),
    )
    return organization


def enroll(organization: Organization, *people: str) -> None:
    rows = [
        f"{name.title()},Lee,{name}@example.org,{program},WIOA,2026-01-01"
        for name, program in map(str.split, people)
    ]
    head = "first_name,last_name,email,program,funding_source,start_date"
    stream = io.BytesIO("\n".join([head, *rows]).encode())
    assert import_roster(stream, organization=organization, tell=print).rows_refused == 0


@pytest.fixture
def jri(northside: Organization) -> Provider:
    return Provider.objects.get(organization=northside, slug="jri")


class Told(list[Finding]):
    report: ResultsReport


def take(provider: Provider, rows: str, source: str = "jri.csv") -> Told:
    told = Told()
    stream = io.BytesIO((HEADER + rows).encode())
    told.report = import_results(stream, provider=provider, tell=told.append, source=source)
    return told


def describe(name: str, program: str = "") -> list[tuple[str, str]]:
    """The person's steps in order with their states, of all programs or of one."""
    steps = EnrollmentStep.objects.filter(
        learner__email=f"{name}@example.org", enrollment__program__slug__contains=program
    )
    order = ("enrollment__program__slug", "sequence_order", "course__code")
    return list(steps.order_by(*order).values_list("course__code", "status"))


def end_of(day: date) -> datetime:
    return datetime.combine(day, time(23, 59, 59), ZONE)


def test_a_completion_completes_its_step_and_starts_the_next(jri: Provider) -> None:
    told = take(jri, f"Ann@Example.org,jri-work,{DAY}\n")

    assert (told, told.report) == ([], ResultsReport(completed=1))
    assert describe("ann") == [
        ("JRI-WORK", "completed"),
        ("RISE-CWS", "in_progress"),
        ("CS-INFCTL", "pending"),
        ("MS-BARB", "pending"),
    ]
    step = EnrollmentStep.objects.get(learner__email="ann@example.org", course__code="JRI-WORK")
    assert step.completed_at == end_of(DAY)
    event = StepEvent.objects.get(step_id=step.id, to_status="completed")
    assert (event.cause_kind, event.reason) == ("file", "jri.csv, line 2")


def test_a_completion_today_is_not_dated_after_now(jri: Provider) -> None:
    take(jri, f"ann@example.org,JRI-WORK,{find_today(ZONE)}\n")

    step = EnrollmentStep.objects.get(learner__email="ann@example.org", course__code="JRI-WORK")
    assert step.completed_at is not None
    assert step.completed_at <= datetime.now(UTC)


def test_one_completion_counts_for_both_programs(jri: Provider) -> None:
    take(jri, f"dee@example.org,JRI-WORK,{DAY}\n")

    assert [step for step in describe("dee") if step[0] == "JRI-WORK"] == [
        ("JRI-WORK", "completed")
    ] * 2


def test_a_repeat_changes_nothing_and_says_so(jri: Provider) -> None:
    rows = f"ann@example.org,JRI-WORK,{DAY}\nbo@example.org,JRI-WORK,{DAY}\n"
    take(jri, rows)
    events = StepEvent.objects.count()

    told = take(jri, rows + f"ann@example.org,JRI-WORK,{find_today(ZONE)}\n")

    assert (told, told.report) == ([], ResultsReport(known=3))
    assert StepEvent.objects.count() == events
    step = EnrollmentStep.objects.get(learner__email="ann@example.org", course__code="JRI-WORK")
    assert step.completed_at == end_of(DAY)


def test_bad_rows_are_told_with_their_line_and_good_ones_taken(jri: Provider) -> None:
    tomorrow = find_today(ZONE) + timedelta(days=1)
    told = take(
        jri,
        f"ann@example.org,JRI-WORK,{DAY}\n"
        f"nobody@example.org,JRI-WORK,{DAY}\n"
        f"cy@example.org,JRI-WORK,{DAY}\n"
        f"bo@example.org,RISE-CWS,{DAY}\n"
        f"bo@example.org,JRI-WORK,{tomorrow}\n"
        "bo@example.org,JRI-WORK,30.11.2026\n"
        "bo,,\n"
        f"bo@example.org,JRI-WORK,{DAY},x\n",
    )

    assert list(map(tuple, told)) == [
        (3, "refused", "nobody here has the address nobody@example.org"),
        (4, "refused", "cy@example.org has no step with JRI-WORK"),
        (
            5,
            "refused",
            "course 'RISE-CWS' is no course of this provider; write one of JRI-COMM, JRI-SELF, JRI-WORK",
        ),
        (6, "refused", f"completed_on {tomorrow} lies in the future"),
        (7, "refused", "completed_on '30.11.2026' is no date; write it as 2026-09-01"),
        (
            8,
            "refused",
            (
                "email 'bo' is not an e-mail address; course is missing; write one of JRI-COMM, JRI-SELF, "
                "JRI-WORK; completed_on is missing"
            ),
        ),
        (
            9,
            "refused",
            "has 4 fields, the header has 3; put a field that holds the separator in quotation marks",
        ),
    ]
    assert told.report == ResultsReport(completed=1, rows_refused=7)
    assert describe("bo")[0] == ("JRI-WORK", "in_progress")
    # Not even an account is made up for somebody who has no such step.
    assert not PartnerAccount.objects.filter(learner__email="cy@example.org", provider=jri).exists()


def test_a_step_that_was_reopened_needs_a_newer_completion(jri: Provider) -> None:
    row = f"ann@example.org,JRI-WORK,{DAY}\n"
    take(jri, row)
    step = EnrollmentStep.objects.get(learner__email="ann@example.org", course__code="JRI-WORK")
    with connection.cursor() as cursor:
        cursor.execute("select reopen_step(%s, 'graded by mistake')", [step.id])

    (finding,) = take(jri, row)
    assert finding == (2, "refused", "dated before this attempt")
    told = take(jri, f"ann@example.org,JRI-WORK,{find_today(ZONE)}\n")
    assert told.report == ResultsReport(completed=1)
    assert describe("ann")[0] == ("JRI-WORK", "completed")


def test_a_step_that_was_reopened_is_not_completed_by_the_row_of_that_day(jri: Provider) -> None:
    row = f"ann@example.org,JRI-WORK,{find_today(ZONE)}\n"
    take(jri, row)
    step = EnrollmentStep.objects.get(learner__email="ann@example.org", course__code="JRI-WORK")
    with connection.cursor() as cursor:
        cursor.execute("select reopen_step(%s, 'graded by mistake')", [step.id])

    (finding,) = take(jri, row)
    assert finding == (2, "refused", "dated before this attempt")
    assert describe("ann")[0] == ("JRI-WORK", "in_progress")


@pytest.mark.parametrize(
    "why",
    [
        "update partner_lms_courses set valid_months = 1 where code = 'JRI-WORK'",
        "update program_partner_lms set demands_new_run = true",
    ],
)
def test_a_row_of_before_does_not_complete_the_course_anew(
    database: Database, jri: Provider, why: str
) -> None:
    """A completion for another program that does not count for this one any more, or at all."""
    row = f"ann@example.org,JRI-WORK,{DAY - timedelta(days=60)}\n"
    take(jri, row)
    with database.connect("superuser") as admin:
        admin.execute("set session_replication_role = replica")  # a published version never changes
        admin.execute(why.encode())
    enroll(jri.organization, "ann building-maintenance")

    told = take(jri, row)
    assert (told, told.report) == ([], ResultsReport(known=1))
    second = "building-maintenance"
    assert describe("ann", second)[0] == ("JRI-WORK", "in_progress")

    told = take(jri, row + f"ann@example.org,JRI-WORK,{DAY}\n")
    assert (told, told.report) == ([], ResultsReport(completed=1, known=1))
    assert describe("ann", second)[0] == ("JRI-WORK", "completed")


def test_a_completion_before_its_turn_is_kept_until_then(northside: Organization) -> None:
    careersafe = Provider.objects.get(organization=northside, slug="careersafe")

    assert take(careersafe, f"ann@example.org,CS-INFCTL,{DAY}\n").report == ResultsReport(
        completed=1
    )

    steps = dict(describe("ann"))
    assert (steps["JRI-WORK"], steps["CS-INFCTL"]) == ("in_progress", "completed")


def test_another_organization_learns_nothing(jri: Provider) -> None:
    southside = import_catalog(
        read_catalog(
            (EXAMPLES / "catalog.toml").read_bytes().replace(b'"northside"', b'"southside"')
        )
    ).organization
    theirs = Provider.objects.get(organization=southside, slug="jri")

    (finding,) = take(theirs, f"ann@example.org,JRI-WORK,{DAY}\n")

    assert finding.text == "nobody here has the address ann@example.org"
    assert describe("ann")[0] == ("JRI-WORK", "in_progress")


def test_many_rows_go_in_batches(
    northside: Organization, jri: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "BATCH", 7)
    enroll(northside, *(f"p{number} barber-apprenticeship" for number in range(50)))
    rows = [f"p{number}@example.org,JRI-WORK,{DAY}\n" for number in range(50)]

    told = take(jri, "".join([*rows, *rows[:10], f"x@example.org,JRI-WORK,{DAY}\n"]))

    assert told.report == ResultsReport(completed=50, known=10, rows_refused=1)
    assert [each.line for each in told] == [62]
    done = EnrollmentStep.objects.filter(course__code="JRI-WORK", status="completed")
    assert done.count() == 50


def test_the_last_step_completes_the_enrollment(northside: Organization) -> None:
    nrf = Provider.objects.get(organization=northside, slug="nrf")
    enroll(northside, "eve food-service-manager")
    with connection.cursor() as cursor:
        cursor.execute(
            "select choose_elective(s.id) from enrollment_steps s"
            " join partner_lms_courses c on c.id = s.course_id where c.code = 'SS-ALC'"
        )

    take(nrf, "".join(f"eve@example.org,{code},{DAY}\n" for code in ("SS-ALC", "SS-MGR", "SS-FH")))

    assert Enrollment.objects.get(program__slug="food-service-manager").status == "completed"


def test_the_command_names_the_file_as_the_cause(
    database: Database, jri: Provider, tmp_path: Path
) -> None:
    file = tmp_path / "november.csv"
    file.write_text(
        f"completed_on;course;email\n{DAY};JRI-WORK;ann@example.org\n{DAY};JRI-WORK;x@y.org\n"
    )

    said = handrail(database, "import-results", "jri", file)

    assert (said.code, said.err) == (0, "")
    assert said.lines == [
        "line 3: not taken: nobody here has the address x@y.org",
        "Completions taken over: 1. Completed before: 0. Not taken: 1.",
    ]
    assert StepEvent.objects.get(to_status="completed").reason == "november.csv, line 2"

    again = handrail(database, "import-results", "jri", file, "--organization", "northside")
    assert again.lines[-1] == "Completions taken over: 0. Completed before: 1. Not taken: 1."

    file.write_text(f"completed_on;course;email\n{DAY};JRI-WORK;x@y.org\n")
    said = handrail(database, "import-results", "jri", file)
    assert (said.code, said.err) == (1, "")
    assert said.lines[-1] == "Completions taken over: 0. Completed before: 0. Not taken: 1."

    said = handrail(database, "import-results", "jrl", file)
    assert (said.code, said.err) == (
        1,
        "handrail: There is no provider 'jrl'. They are listed by: handrail provider list\n",
    )
