"""Importing a roster: the example as it was sent, repeats, differences, order."""

import io
import random
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handrail.enrollments import roster
from handrail.enrollments.models import Enrollment
from handrail.enrollments.roster import RosterReport, import_roster
from handrail.organizations.models import Organization
from handrail.people.models import Learner, Profile
from handrail.programs.catalog import import_catalog
from handrail.programs.catalog_file import read_catalog
from tests.clocks import find_today
from tests.command_line import handrail
from tests.databases import Database
from tests.enrollments.rosters import EXAMPLES, HEADER, ROSTER, describe, make_northside, take

TABLES = (
    *("learners", "enrollments", "enrollment_requirements", "enrollment_steps", "step_events"),
    *("partner_accounts", "partner_lms_enrollments", "intents"),
)
FUNDING = "self_pay, employer, WIOA, WRG, JRI, apprenticeship, scholarship"
PROGRAMS = "barber-apprenticeship, building-maintenance, esthetics, food-service-manager, medical-assistant"
EXPECTED = [
    (9, "refused", "email 'ben.at.example.org' is not an e-mail address"),
    (17, "refused", "email is missing"),
    (31, "refused", f"funding_source 'lottery' is not known; write one of {FUNDING}"),
    (39, "refused", "start_date '2026-13-45' is no date; write it as 2026-09-01"),
    (47, "kept", "ana.lopez@example.org: the name stays 'Ana María López', not 'Ana Maria Lopez'"),
    (47, "kept", "ana.lopez@example.org: the phone stays '(317) 555 0103', not '317-555-0103'"),
    (58, "kept", "ana.lopez@example.org: the name stays 'Ana María López', not 'Ana Maria Lopez'"),
    (58, "kept", "ana.lopez@example.org: the phone stays '(317) 555 0103', not '317-555-0103'"),
    (68, "refused", f"program 'underwater-welding' is not known; write one of {PROGRAMS}"),
]


@pytest.fixture
def northside(database: Database) -> Organization:
    return make_northside()


def count_rows(database: Database) -> dict[str, int]:
    with database.connect("superuser") as admin:
        return {
            table: admin.execute(f"select count(*) from {table}").fetchall()[0][0]
            for table in TABLES
        }


def test_the_example_is_taken_as_expected(northside: Organization) -> None:
    told = take(northside, ROSTER)

    assert told.report == RosterReport(
        rows_taken=63, rows_refused=5, people_added=61, enrollments_added=62, rows_known=1
    )
    assert told.report.rows == 68
    assert list(map(tuple, told)) == EXPECTED
    assert (Learner.objects.count(), Enrollment.objects.count()) == (61, 62)


def test_imports_make_learners_never_profiles(northside: Organization) -> None:
    take(northside, ROSTER)

    assert not Profile.objects.exists()
    assert not Learner.objects.exclude(profile=None).exists()


def test_names_come_through_unharmed(northside: Organization) -> None:
    take(northside, ROSTER)

    names = {
        each.email_normalized: (each.first_name, each.last_name) for each in Learner.objects.all()
    }
    assert {email.split("@")[0]: names[email] for email in NAMES} == {
        "ana.lopez": ("Ana", "María López"),
        "siobhan.obrien": ("Siobhán", "O'Brien-Núñez"),
        "mohammed.alahmad": ("محمد", "الأحمد"),
        "xiaoming.wang": ("小明", "王"),
        "aaliyah.yilmaz52": ("Aaliyah", "Yılmaz"),  # noqa: RUF001 - her name
        "prince": ("Prince", ""),
        "formula": ('=HYPERLINK("http://example.org")', "Formula"),
        "bold.tag": ("<b>Bold</b>", "Tag"),
    }


NAMES = [
    *("ana.lopez@example.org", "siobhan.obrien@example.org", "mohammed.alahmad@example.org"),
    *("xiaoming.wang@example.org", "aaliyah.yilmaz52@example.org", "prince@example.org"),
    *("formula@example.org", "bold.tag@example.org"),
]


def test_the_address_is_kept_as_entered_beside_the_one_compared(northside: Organization) -> None:
    take(northside, ROSTER)

    ana = Learner.objects.get(email_normalized="ana.lopez@example.org")
    assert (ana.email, ana.phone) == ("Ana.Lopez@Example.ORG", "(317) 555 0103")
    programs = Enrollment.objects.filter(learner=ana).order_by("program__slug")
    assert list(programs.values_list("program__slug", "start_date")) == [
        ("barber-apprenticeship", date(2026, 9, 5)),
        ("food-service-manager", date(2026, 9, 2)),
    ]


def test_everybody_is_approved_and_starts_when_the_day_has_come(northside: Organization) -> None:
    today = find_today(ZoneInfo(northside.time_zone))
    later = today + timedelta(days=3)
    people = f"Ann,Early,ann@example.org,esthetics,WIOA,{today},,\nBo,Late,bo@example.org,esthetics,JRI,{later},,\n"

    take(northside, HEADER + people)

    assert describe() == [
        ("ann@example.org", "esthetics", "active", "WIOA", today),
        ("bo@example.org", "esthetics", "active", "JRI", later),
    ]
    started = Enrollment.objects.exclude(started_at=None).values_list(
        "learner__first_name", flat=True
    )
    assert list(started) == ["Ann"]
    late = Enrollment.objects.get(learner__first_name="Bo")
    assert late.start_at == datetime(
        later.year, later.month, later.day, tzinfo=ZoneInfo(northside.time_zone)
    )


def test_a_repeat_adds_nothing(database: Database, northside: Organization) -> None:
    take(northside, ROSTER)
    before, counts = describe(), count_rows(database)

    told = take(northside, ROSTER)

    assert told.report == RosterReport(rows_taken=63, rows_refused=5, rows_known=63)
    assert list(map(tuple, told)) == EXPECTED
    assert (describe(), count_rows(database)) == (before, counts)


def test_a_dry_run_says_the_same_and_writes_nothing(
    database: Database, northside: Organization
) -> None:
    before = count_rows(database)

    dry = take(northside, ROSTER, dry_run=True)
    assert count_rows(database) == before
    real = take(northside, ROSTER)

    assert (dry, dry.report) == (real, real.report)


def test_a_dry_run_of_several_batches_says_the_same(
    database: Database, northside: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "BATCH", 7)

    dry = take(northside, ROSTER, dry_run=True)
    real = take(northside, ROSTER)

    assert (dry, dry.report) == (real, real.report)
    assert dry.report.enrollments_added == 62
    assert list(map(tuple, dry)) == EXPECTED


def test_without_a_date_everybody_starts_today(northside: Organization) -> None:
    today = find_today(ZoneInfo(northside.time_zone))
    columns = "email,program,funding_source,last_name,first_name\n"

    take(northside, f"{columns}ann@example.org,esthetics,WIOA,Lee,Ann\n")
    take(northside, f"{HEADER}Bo,Lee,bo@example.org,esthetics,WIOA,,,\n")

    assert [each[-1] for each in describe()] == [today, today]


def test_for_a_demonstration_all_start_now(northside: Organization) -> None:
    today = find_today(ZoneInfo(northside.time_zone))

    told = take(northside, ROSTER, now=True)

    assert told.report.enrollments_added == 62
    assert {each[-1] for each in describe()} == {today}
    assert list(map(tuple, told)) == EXPECTED


def test_what_a_later_row_says_otherwise_is_told_and_not_applied(northside: Organization) -> None:
    first = "Ann,Lee,ann@example.org,esthetics,WIOA,2026-09-01,317-1,2000-02-29\n"
    take(northside, HEADER + first)
    before = describe()

    told = take(
        northside, f"{HEADER}Anna,Lee,ANN@example.org,Esthetics,wrg,2026-09-02,317-2,2000-03-01\n"
    )

    assert list(map(tuple, told)) == [
        (2, "kept", "ANN@example.org: the birth date stays 2000-02-29"),
        (2, "kept", "ANN@example.org: the funding source stays WIOA, not WRG"),
        (2, "kept", "ANN@example.org: the name stays 'Ann Lee', not 'Anna Lee'"),
        (2, "kept", "ANN@example.org: the phone stays '317-1', not '317-2'"),
        (2, "kept", "ANN@example.org: the start date stays 2026-09-01, not 2026-09-02"),
    ]
    assert describe() == before
    ann = Learner.objects.get()
    assert (ann.first_name, ann.phone, ann.birth_date) == ("Ann", "317-1", date(2000, 2, 29))


def test_what_a_later_row_leaves_open_is_no_difference(northside: Organization) -> None:
    take(northside, f"{HEADER}Ann,Lee,ann@example.org,esthetics,WIOA,2026-09-01,317-1,2000-02-29\n")

    assert take(northside, f"{HEADER}Ann,Lee,ann@example.org,esthetics,WIOA,,,\n") == []


@pytest.mark.parametrize("ending", ["withdraw_enrollment", "suspend_enrollment", "complete"])
def test_a_person_with_any_enrollment_in_the_program_gets_no_other(
    northside: Organization, ending: str
) -> None:
    row = f"{HEADER}Ann,Lee,ann@example.org,esthetics,WIOA,2026-09-01,,\n"
    take(northside, row)
    enrollment = Enrollment.objects.get()
    with connection.cursor() as cursor:
        if ending == "complete":
            for _ in range(2):
                cursor.execute(
                    "select skip_step(id, 'tested_out', 'knows it') from enrollment_steps"
                    " where enrollment_id = %s and status = 'in_progress'",
                    [enrollment.id],
                )
        else:
            cursor.execute(f"select {ending}(%s, 'test')", [enrollment.id])

    told = take(northside, row)

    assert told.report == RosterReport(rows_taken=1, rows_known=1)
    assert Enrollment.objects.count() == 1


def test_the_same_address_elsewhere_is_another_person(northside: Organization) -> None:
    southside = import_catalog(
        read_catalog(
            (EXAMPLES / "catalog.toml").read_bytes().replace(b'"northside"', b'"southside"')
        )
    ).organization
    row = f"{HEADER}%s,Lee,ann@example.org,esthetics,WIOA,2026-09-01,,\n"

    take(northside, row % "Ann")
    assert take(southside, row % "Anna") == []

    names = Learner.objects.order_by("organization__slug").values_list(
        "organization__slug", "first_name"
    )
    assert list(names) == [("northside", "Ann"), ("southside", "Anna")]


def test_a_program_without_a_published_version_cannot_be_enrolled_in(
    northside: Organization,
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into programs (organization_id, slug, title) values (%s, 'draft', 'Draft')",
            [northside.id],
        )

    (finding,) = take(northside, f"{HEADER}Ann,Lee,ann@example.org,draft,WIOA,,,\n")

    assert finding == (2, "refused", f"program 'draft' is not known; write one of {PROGRAMS}")


def test_an_archived_program_is_not_offered_and_stops_nobody_else(
    database: Database, northside: Organization
) -> None:
    with database.connect("superuser") as admin:
        admin.execute("update programs set archived_at = now() where slug = 'esthetics'")

    told = take(
        northside,
        f"{HEADER}Ann,Lee,ann@example.org,esthetics,WIOA,2026-09-01,,\n"
        "Bo,Lee,bo@example.org,medical-assistant,WIOA,2026-09-01,,\n",
    )

    others = PROGRAMS.replace("esthetics, ", "")
    assert told == [(2, "refused", f"program 'esthetics' is not known; write one of {others}")]
    assert [each[:2] for each in describe()] == [("bo@example.org", "medical-assistant")]


def test_batches_are_taken_as_they_are_read(
    northside: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "BATCH", 10)

    class Torn(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            line = super().readline(size)
            if line.startswith(b"P25"):
                raise OSError("the disk is gone")
            return line

    rows = "".join(f"P{n},Lee,p{n}@example.org,esthetics,WIOA,,,\n" for n in range(40))

    with pytest.raises(OSError, match="the disk is gone"):
        import_roster(Torn((HEADER + rows).encode()), organization=northside, tell=print)

    assert Enrollment.objects.count() == 20


people = st.tuples(
    st.sampled_from(["ann", "bo", "cy", "ANN", "d'arcy"]),
    st.sampled_from(["esthetics", "barber-apprenticeship", "medical-assistant", "nowhere"]),
    st.sampled_from(["WIOA", "self_pay", "lottery"]),
    st.sampled_from(["2026-09-01", "2026-10-01", "", "soon"]),
)


def write_csv(rows: list[tuple[str, str, str, str]]) -> str:
    return HEADER + "".join(
        f"{name},Lee,{name}@example.org,{program},{funding},{start},,\n"
        for name, program, funding, start in rows
    )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(people, max_size=12), chance=st.randoms(use_true_random=False))
def test_twice_is_once_and_the_order_does_not_matter(
    northside: Organization, rows: list[tuple[str, str, str, str]], chance: random.Random
) -> None:
    shuffled = chance.sample(rows, len(rows))
    seen = []
    for order in (rows, shuffled):
        with transaction.atomic():
            first = take(northside, write_csv(order))
            once = describe()
            again = take(northside, write_csv(order))
            assert describe() == once
            assert again.report.people_added == again.report.enrollments_added == 0
            assert again.report.rows_taken == first.report.rows_taken == again.report.rows_known
            seen.append(({each[:2] for each in once}, first.report.rows_refused))
            transaction.set_rollback(True)

    assert seen[0] == seen[1]


def test_the_command_tells_every_finding_and_the_sum(
    database: Database, northside: Organization
) -> None:
    dry = handrail(database, "import-roster", EXAMPLES / "roster.csv", "--dry-run")
    assert (dry.code, dry.lines[-1]) == (0, "Nothing was changed. Do it without --dry-run.")
    assert Enrollment.objects.count() == 0

    said = handrail(database, "import-roster", EXAMPLES / "roster.csv")

    assert (said.code, said.err) == (0, "")
    assert said.lines == dry.lines[:-1]
    assert said.lines == [
        *(
            f"line {line}: {'not taken: ' if kind == 'refused' else ''}{text}"
            for line, kind, text in EXPECTED
        ),
        "Rows taken: 63 of 68. Not taken: 5. Known before: 1. Added: people 61, enrollments 62.",
    ]


def test_the_command_says_what_to_do(
    database: Database, northside: Organization, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.csv"
    empty.touch()
    said = handrail(database, "import-roster", empty)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(
        "handrail: The file is empty. The first line names the columns: first_name, "
    )

    bad = tmp_path / "bad.csv"
    bad.write_text(f"{HEADER}Ann,,ann.at.example.org,barbering,WIOA\n")
    said = handrail(database, "import-roster", bad)
    assert (said.code, said.err) == (1, "")
    assert said.lines[-1].startswith("Rows taken: 0 of 1. Not taken: 1. ")

    said = handrail(
        database, "import-roster", EXAMPLES / "roster.csv", "--organization", "eastside"
    )
    assert said.err == "handrail: There is no organization 'eastside'. There are: northside.\n"

    said = handrail(database, "import-roster", tmp_path / "gone.csv")
    assert (said.code, "does not exist" in said.err) == (2, True)
