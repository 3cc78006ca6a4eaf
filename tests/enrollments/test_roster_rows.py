"""Fields of a roster's row, good and bad."""

import io
from datetime import date
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from handrail.core.csv_rows import Row
from handrail.enrollments.batches import Finding
from handrail.enrollments.models import Enrollment
from handrail.enrollments.roster import RosterReport, import_roster
from handrail.enrollments.roster_rows import (
    COLUMNS,
    FUNDING_SOURCES,
    BadField,
    RosterRow,
    read_roster_row,
)
from handrail.people.models import Learner
from handrail.programs.catalog import import_catalog
from handrail.programs.catalog_file import read_catalog
from tests.databases import Database, Sql

EXAMPLES = Path(__file__).parents[2] / "examples"
PROGRAMS = {"barber": uuid4(), "esthetics": uuid4()}
ARABIC = "\u0662\u0660\u0662\u0666-09-01"  # digits all the same
GOOD = {
    "first_name": "Ana",
    "last_name": "López",
    "email": "ana@example.org",
    "program": "barber",
    "funding_source": "WIOA",
    "start_date": "2026-09-01",
    "phone": "317-555-0101",
    "birth_date": "2004-02-29",
}


def read(_programs: dict[str, UUID] | None = None, **fields: str) -> RosterRow:
    programs = _programs or PROGRAMS
    return read_roster_row(Row(2, GOOD | fields), programs=programs, today=date(2026, 10, 1))


def refuse(**fields: str) -> str:
    with pytest.raises(BadField) as refused:
        read(None, **fields)
    return str(refused.value)


def test_a_good_row() -> None:
    assert read() == RosterRow(
        line=2,
        first_name="Ana",
        last_name="López",
        email="ana@example.org",
        phone="317-555-0101",
        birth_date=date(2004, 2, 29),
        program="barber",
        program_id=PROGRAMS["barber"],
        funding_source="WIOA",
        start_date=date(2026, 9, 1),
    )


def test_space_and_case_do_not_matter_where_they_mean_nothing() -> None:
    row = read(
        email=" Ana@Example.ORG ", program=" BARBER", funding_source="Self Pay", start_date=" "
    )

    assert (row.email, row.email_normalized) == ("Ana@Example.ORG", "ana@example.org")
    assert (row.program, row.funding_source, row.start_date) == ("barber", "self_pay", None)


@pytest.mark.parametrize("source", FUNDING_SOURCES)
def test_every_funding_source_is_known_in_any_case(source: str) -> None:
    assert read(funding_source=source.swapcase()).funding_source == source


def test_the_funding_sources_are_those_of_the_database(sql: Sql) -> None:
    check = sql.value(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'enrollments_funding_source_check'"
    )

    assert list(check.split("'")[1::2]) == list(FUNDING_SOURCES)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("first_name", " ", "first_name is missing; a single name goes there"),
        ("first_name", "A\0na", "first_name holds a control character"),
        ("last_name", "x" * 201, "last_name is longer than 200 characters"),
        ("phone", "1" * 41, "phone is longer than 40 characters"),
        ("email", "", "email is missing"),
        ("email", "ana@", "email 'ana@' is not an e-mail address"),
        ("program", "", "program is missing; write one of barber, esthetics"),
        ("program", "babrer", "program 'babrer' is not known; did you mean barber?"),
        ("program", "welding", "program 'welding' is not known; write one of barber, esthetics"),
        (
            "funding_source",
            "",
            f"funding_source is missing; write one of {', '.join(FUNDING_SOURCES)}",
        ),
        ("start_date", "09/01/2026", "start_date '09/01/2026' is no date; write it as 2026-09-01"),
        ("start_date", "20260901", "start_date '20260901' is no date; write it as 2026-09-01"),
        ("start_date", "2026-02-29", "start_date '2026-02-29' is no date; write it as 2026-09-01"),
        ("start_date", "0001-01-01", "start_date '0001-01-01' is no date; write it as 2026-09-01"),
        ("start_date", ARABIC, f"start_date {ARABIC!r} is no date; write it as 2026-09-01"),
        ("start_date", "46266", "start_date '46266' is no date; write it as 2026-09-01"),
        ("birth_date", "2026-10-01", "birth_date 2026-10-01 lies in the future"),
    ],
)
def test_a_bad_field_says_what_to_write(field: str, value: str, reason: str) -> None:
    assert refuse(**{field: value}) == reason


def test_all_bad_fields_of_a_row_are_told_together() -> None:
    assert refuse(first_name="", email="ana", start_date="soon") == (
        "first_name is missing; a single name goes there; email 'ana' is not an e-mail address; "
        "start_date 'soon' is no date; write it as 2026-09-01"
    )


def test_of_many_programs_some_are_named() -> None:
    with pytest.raises(BadField) as refused:
        read({f"program-{n:02}": uuid4() for n in range(30)}, program="welding")

    assert str(refused.value).endswith("program-08, program-09 or another of the catalog")


def test_a_hostile_file_costs_only_its_bad_rows(database: Database, tmp_path: Path) -> None:
    organization = import_catalog(
        read_catalog((EXAMPLES / "catalog.toml").read_bytes())
    ).organization
    file = tmp_path / "roster.csv"
    rest = b"@example.org;esthetics;WIOA;2026-09-01;;"
    with file.open("wb") as stream:
        stream.write(b"\xef\xbb\xbf" + ";".join(COLUMNS.all).upper().encode() + b"\r\n")
        stream.write(b"Ann;Lee;ann" + rest + b"\r\n")
        stream.write(b"N\0ul;Lee;nul" + rest + b"\r\n")
        stream.write(b"Ren\xe9;Latin1;rene" + rest + b"\r\n")
        stream.write(b"Big;" + b"x" * 10 * 1024 * 1024 + b";big" + rest + b"\r\n")
        stream.write(b'"Open;Mark;open' + rest + b"\r\n")
        stream.write(b'"Bo\nTwo ""Lines""";\'; drop table learners; --;bo' + rest + b"\r\n")
        stream.write("Cy;\u202eRight;cy".encode() + rest)
    told: list[Finding] = []

    with file.open("rb") as stream:
        report = import_roster(stream, organization=organization, tell=told.append)

    assert [(each.line, each.text) for each in told] == [
        (3, "first_name holds a control character"),
        (4, "is not UTF-8 (byte 4 is 0xE9); save the file as UTF-8"),
        (5, "is longer than 64 KiB"),
        (6, "a quotation mark inside a field in quotation marks must be written twice"),
        (
            7,
            "has 10 fields, the header has 8; put a field that holds the separator in quotation marks",
        ),
    ]
    assert report == RosterReport(rows_taken=2, rows_refused=5, people_added=2, enrollments_added=2)
    names = Learner.objects.order_by("email").values_list("first_name", "last_name")
    assert list(names) == [("Ann", "Lee"), ("Cy", "Right")]
    assert Enrollment.objects.count() == 2


def test_a_quoted_name_of_two_lines_is_one_name(database: Database) -> None:
    organization = import_catalog(
        read_catalog((EXAMPLES / "catalog.toml").read_bytes())
    ).organization
    content = (
        ";".join(COLUMNS.required)
        + '\n"Bo\n""Two""";"\'; drop table learners; --";bo@example.org;esthetics;WIOA\n'
        + "Zoe;Last;zoe@;esthetics;WIOA\n"
    )
    told: list[Finding] = []

    import_roster(io.BytesIO(content.encode()), organization=organization, tell=told.append)

    learner = Learner.objects.get()
    assert (learner.first_name, learner.last_name) == ('Bo "Two"', "'; drop table learners; --")
    assert [each.line for each in told] == [4]
