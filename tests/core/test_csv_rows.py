"""Files that people send: every way they can be wrong, and what still comes through."""

import csv
import io
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.core.csv_rows import (
    LONGEST_LINE,
    MOST_LINES,
    BadRow,
    Columns,
    Row,
    UnreadableFile,
    read_rows,
)

COLUMNS = Columns(required=("email", "course"), optional=("note",))


def read(content: bytes, columns: Columns = COLUMNS) -> list[Row | BadRow]:
    return list(read_rows(io.BytesIO(content), columns))


def row(line: int, email: str, course: str, note: str = "") -> Row:
    return Row(line, {"email": email, "course": course, "note": note})


@pytest.mark.parametrize(
    "content",
    [
        b"email,course\na@example.org,C-1\n",
        b"\xef\xbb\xbfemail,course\na@example.org,C-1\n",  # a byte order mark
        b"email;course\na@example.org;C-1\n",
        b"email,course\r\na@example.org,C-1\r\n",
        b"email,course\na@example.org,C-1",  # no line break at the end
        b"course,email\nC-1,a@example.org\n",
        b'"email","course"\n"a@example.org","C-1"\n',
        b" Email , COURSE\na@example.org,C-1\n",
    ],
)
def test_every_dialect_reads_the_same(content: bytes) -> None:
    assert read(content) == [row(2, "a@example.org", "C-1")]


def test_a_separator_of_the_other_kind_stays_in_the_field() -> None:
    assert read(b"email;course;note\na@example.org;C-1;1,5 hours\n") == [
        row(2, "a@example.org", "C-1", "1,5 hours")
    ]


def test_quotation_marks_hold_separators_marks_and_line_breaks() -> None:
    content = b'email,course,note\na@example.org,"C,1","says ""hi""\nand bye"\nb@example.org,C-2,\n'

    assert read(content) == [
        row(2, "a@example.org", "C,1", 'says "hi"\nand bye'),
        row(4, "b@example.org", "C-2"),
    ]


def test_empty_rows_are_passed_over_and_keep_their_numbers() -> None:
    assert read(b"email,course\n\n,\n   ,\t\na@example.org,C-1\n") == [
        row(5, "a@example.org", "C-1")
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a@example.org", "has 1 fields, the header has 2"),
        (
            b"a@example.org,C-1,more",
            "has 3 fields, the header has 2; put a field that holds the separator in quotation marks",
        ),
        (b"a\xe9@example.org,C-1", "is not UTF-8 (byte 2 is 0xE9); save the file as UTF-8"),
        (
            b'"a"@example.org,C-1',
            "a quotation mark inside a field in quotation marks must be written twice",
        ),
        (b"a@example.org,C\r-1", "a carriage return stands alone inside the line"),
        (b"x" * (LONGEST_LINE + 1), "is longer than 64 KiB"),
    ],
)
def test_a_bad_row_is_told_and_its_neighbors_are_read(line: bytes, reason: str) -> None:
    content = b"email,course\nb@example.org,C-1\n" + line + b"\nc@example.org,C-1\n"

    assert read(content) == [
        row(2, "b@example.org", "C-1"),
        BadRow(3, reason),
        row(4, "c@example.org", "C-1"),
    ]


def test_a_null_byte_is_left_to_whoever_knows_the_field() -> None:
    assert read(b"email,course\na\0@example.org,C-1\n") == [row(2, "a\0@example.org", "C-1")]


def test_a_mark_that_is_never_closed_costs_its_own_row_only() -> None:
    people = [b"p%d@example.org,C-1" % number for number in range(3, 3 + 2 * MOST_LINES)]
    content = b'email,course\n"a@example.org,C-1\n' + b"\n".join(people)

    found = read(content)

    assert found[0] == BadRow(2, f"a quotation mark is not closed within {MOST_LINES} lines")
    assert [each.line for each in found[1:]] == list(range(3, 3 + 2 * MOST_LINES))
    assert all(isinstance(each, Row) for each in found[1:])


def test_a_mark_that_is_not_closed_at_the_end_costs_its_own_row_only() -> None:
    assert read(b'email,course\n"a@example.org,C-1\nb@example.org,C-1\n') == [
        BadRow(2, "a quotation mark is not closed"),
        row(3, "b@example.org", "C-1"),
    ]


def test_a_row_that_goes_on_in_a_bad_line_is_bad_and_so_is_that_line() -> None:
    assert read(b'email,course\n"a\n\xff",C-1\nb@example.org,C-1\n') == [
        BadRow(2, "goes on in line 3, which is not UTF-8 (byte 1 is 0xFF); save the file as UTF-8"),
        BadRow(3, "is not UTF-8 (byte 1 is 0xFF); save the file as UTF-8"),
        row(4, "b@example.org", "C-1"),
    ]


HELP = "The first line names the columns: email, course; if you like note."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", f"The file is empty. {HELP}"),
        (b"\n \n", f"The file is empty. {HELP}"),
        (b"sep=;\n", f"The file is empty. {HELP}"),
        (
            b"email\tcourse\na@example.org\tC-1\n",
            "The columns are separated by tabs. Save it with commas or semicolons.",
        ),
        (b"email\n", f"The header cannot be used: 'course' is missing. {HELP}"),
        (
            b"email,course,email,e mail,,note\n",
            (
                f"The header cannot be used: column 5 has no name; 'email' is there twice; "
                f"'e_mail' is not known. {HELP}"
            ),
        ),
        (
            b"a@example.org,C-1\n",
            (
                f"The header cannot be used: 'a@example.org' is not known; 'c_1' is not known; "
                f"'email' is missing; 'course' is missing. {HELP}"
            ),
        ),
        (b'"email,course\n', "The header (line 1): a quotation mark is not closed."),
        (
            b"\xe9mail,course\n",
            "The header (line 1) is not UTF-8 (byte 1 is 0xE9); save the file as UTF-8.",
        ),
        (b"x" * 70_000, "The header (line 1) is longer than 64 KiB."),
        ("email,course\n".encode("utf-16"), "The file is UTF-16. Save it as CSV in UTF-8."),
        (b"PK\x03\x04...", "This is a spreadsheet, no CSV file. Save it as CSV in UTF-8."),
        (b"\x7fELF\0\0", "This is no text file. Save it as CSV in UTF-8."),
    ],
)
def test_a_file_that_cannot_be_read_says_what_to_do(content: bytes, message: str) -> None:
    with pytest.raises(UnreadableFile) as refused:
        read(content)

    assert str(refused.value) == message


@pytest.mark.parametrize("first", [b"sep=;", b'"sep=;"', b"\xef\xbb\xbfSEP=;\r"])
def test_the_word_of_a_spreadsheet_on_the_separator_is_passed_over(first: bytes) -> None:
    content = first + b"\nemail;course\na@example.org;C-1\n"

    assert read(content) == [row(3, "a@example.org", "C-1")]


def test_only_a_header_is_no_rows() -> None:
    assert read(b"email,course\n") == []


def test_a_huge_line_costs_no_memory(tmp_path: Path) -> None:
    file = tmp_path / "huge.csv"
    with file.open("wb") as stream:
        stream.write(b"email,course\n")
        for _ in range(200):
            stream.write(b"x" * 1024 * 1024)
        stream.write(b"\nb@example.org,C-1\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with file.open("rb") as stream:
        found = list(read_rows(stream, COLUMNS))

    assert found == [BadRow(2, "is longer than 64 KiB"), row(3, "b@example.org", "C-1")]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024  # KiB


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20).filter(
    lambda text: text.count("\n") < MOST_LINES // 3
)


@given(
    rows=st.lists(st.tuples(cells.filter(str.strip), cells, cells), max_size=10),
    delimiter=st.sampled_from(",;"),
    end=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_a_spreadsheet_writes_is_read_back(
    rows: list[tuple[str, str, str]], delimiter: str, end: str, mark: bytes, quoting: int
) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]  # one of the two
    writer.writerows([("email", "course", "note"), *rows])

    found = read(mark + text.getvalue().encode())

    assert [tuple(each.fields.values()) for each in found if isinstance(each, Row)] == [
        (note, email, course) for email, course, note in rows
    ]


@given(st.binary(max_size=400))
def test_whatever_comes_is_read_or_refused_and_every_line_has_its_place(noise: bytes) -> None:
    found = read(b"email,course\n" + noise)

    lines = [each.line for each in found]
    assert lines == sorted(set(lines))
    assert all(2 <= line <= noise.count(b"\n") + 2 for line in lines)
