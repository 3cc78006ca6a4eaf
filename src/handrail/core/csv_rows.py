"""Reads CSV files that people send: row by row, with the line of everything that is wrong.

UTF-8 with or without a byte order mark, comma or semicolon, quotation marks (RFC 4180), line
breaks inside them. Nothing is kept but the row at hand, whatever the file holds.
"""

import csv
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import BinaryIO, NamedTuple

from handrail.core.refusal import Refusal

LONGEST_LINE = 64 * 1024
"""Bytes of a line; a longer one is a bad row."""
MOST_LINES = 20
"""Lines of one row (breaks inside quotation marks): more mean a mark that was never closed."""
_CHUNK = 64 * 1024
_DELIMITERS = (",", ";")


class UnreadableFile(Refusal):
    """No row of the file can be taken; the message says what to do."""


class Row(NamedTuple):
    """A row by the names of its columns; `line` is where it begins, the header's is 1."""

    line: int
    fields: Mapping[str, str]


class BadRow(NamedTuple):
    """A row that cannot be taken, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file, in any order: those that must be there, and those that may."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Every name that a header may have."""
        return self.required + self.optional


def read_rows(stream: BinaryIO, columns: Columns) -> Iterator[Row | BadRow]:
    """Yield the rows below the header, bad ones as such; empty ones are passed over.

    A column that may be left out and is reads as "".

    Raises:
        UnreadableFile: empty, no text, or the header names other columns.
    """
    lines = _Lines(stream)
    names, delimiter = _read_header(lines, columns)
    nothing = dict.fromkeys(columns.optional, "")
    while (record := _read_record(lines, delimiter)) is not None:
        if isinstance(record, BadRow):
            yield record
        elif not any(cell.strip() for cell in record.cells):
            continue
        elif len(record.cells) != len(names):
            yield BadRow(record.line, _describe_count(len(record.cells), len(names)))
        else:
            yield Row(record.line, nothing | dict(zip(names, record.cells, strict=True)))


class _Line(NamedTuple):
    number: int
    text: str
    problem: str = ""


class _Record(NamedTuple):
    line: int
    cells: list[str]


class _TooManyLines(Exception):
    pass


class _BadLine(Exception):
    """A line that cannot be read stands inside quotation marks."""


class _Lines:
    """The physical lines of a file; some can be given back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._numbers = count(1)
        self._ahead: deque[_Line] = deque()

    def take(self) -> _Line | None:
        """The next line; None at the end of the file."""
        if self._ahead:
            return self._ahead.popleft()
        raw = self._stream.readline(LONGEST_LINE + 1)
        if not raw:
            return None
        number = next(self._numbers)
        if len(raw) > LONGEST_LINE:
            end = raw
            while end and not end.endswith(b"\n"):
                end = self._stream.readline(_CHUNK)
            return _Line(number, "", f"is longer than {LONGEST_LINE // 1024} KiB")
        if number == 1:
            _refuse_other_kinds(raw)
        try:
            return _Line(number, raw.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            what = f"is not UTF-8 (byte {error.start + 1} is 0x{raw[error.start]:02X})"
            return _Line(number, "", f"{what}; save the file as UTF-8")

    def give_back(self, lines: list[_Line]) -> None:
        """Have these lines come again."""
        self._ahead.extendleft(reversed(lines))


def _refuse_other_kinds(first: bytes) -> None:
    if first.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableFile("The file is UTF-16. Save it as CSV in UTF-8.")
    if first.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise UnreadableFile("This is a spreadsheet, no CSV file. Save it as CSV in UTF-8.")
    if b"\0" in first:
        raise UnreadableFile("This is no text file. Save it as CSV in UTF-8.")


def _read_record(lines: _Lines, delimiter: str) -> _Record | BadRow | None:
    """The next record; one that fails ends with its first line, and reading goes on below it."""
    first = lines.take()
    if first is None:
        return None
    if first.problem:
        return BadRow(first.number, first.problem)
    taken = [first]
    try:
        cells = next(csv.reader(_feed(taken, lines), delimiter=delimiter, strict=True))
    except _TooManyLines:
        reason = f"a quotation mark is not closed within {MOST_LINES} lines"
    except _BadLine:
        reason = f"goes on in line {taken[-1].number}, which {taken[-1].problem}"
    except csv.Error as error:
        reason = _describe_error(str(error))
    else:
        return _Record(first.number, cells)
    lines.give_back(taken[1:])
    return BadRow(first.number, reason)


def _feed(taken: list[_Line], lines: _Lines) -> Iterator[str]:
    """The text of the first line, then as many more as the parser asks for."""
    yield taken[0].text
    while (line := lines.take()) is not None:
        taken.append(line)
        if line.problem:
            raise _BadLine
        if len(taken) > MOST_LINES:
            raise _TooManyLines
        yield line.text


def _read_header(lines: _Lines, columns: Columns) -> tuple[list[str], str]:
    """The names of the columns in the file's order, and its delimiter."""
    first = lines.take()
    while first is not None and not first.problem and _says_nothing(first.text):
        first = lines.take()
    if first is None:
        raise UnreadableFile(f"The file is empty. {_list_columns(columns)}")
    if first.problem:
        raise UnreadableFile(f"The header (line {first.number}) {first.problem}.")
    best: list[str] = []
    delimiter = reason = ""
    for each in _DELIMITERS:
        try:
            cells = next(csv.reader([first.text], delimiter=each, strict=True))
        except csv.Error as error:  # with the other separator it may be fine
            reason = reason or _describe_error(str(error))
            continue
        names = [_normalize(cell) for cell in cells]
        if not delimiter or _count_known(names, columns) > _count_known(best, columns):
            best, delimiter = names, each
    if not delimiter:
        raise UnreadableFile(f"The header (line {first.number}): {reason}.")
    by_tabs = [_normalize(cell) for cell in first.text.split("\t")]
    if _count_known(by_tabs, columns) > _count_known(best, columns):
        raise UnreadableFile(
            "The columns are separated by tabs. Save it with commas or semicolons."
        )
    _check_header(best, columns)
    return best, delimiter


def _says_nothing(text: str) -> bool:
    """Whether a line above the header is empty, or Excel's word on the separator."""
    return text.strip().strip('"').lower() in ("", "sep=,", "sep=;", "sep=")


def _count_known(names: list[str], columns: Columns) -> int:
    return len(set(names) & set(columns.all))


def _check_header(names: list[str], columns: Columns) -> None:
    problems = [f"column {at} has no name" for at, name in enumerate(names, start=1) if not name]
    doubled = sorted({name for name in names if name and names.count(name) > 1})
    problems += [f"{name!r} is there twice" for name in doubled]
    unknown = dict.fromkeys(name for name in names if name and name not in columns.all)
    problems += [f"{name[:60]!r} is not known" for name in list(unknown)[:10]]
    problems += [f"{name!r} is missing" for name in columns.required if name not in names]
    if problems:
        raise UnreadableFile(
            f"The header cannot be used: {'; '.join(problems)}. {_list_columns(columns)}"
        )


def _normalize(name: str) -> str:
    return "_".join(name.casefold().replace("-", " ").replace("_", " ").split())


def _list_columns(columns: Columns) -> str:
    told = f"The first line names the columns: {', '.join(columns.required)}"
    return f"{told}; if you like {', '.join(columns.optional)}." if columns.optional else f"{told}."


def _describe_count(found: int, wanted: int) -> str:
    if found < wanted:
        return f"has {found} fields, the header has {wanted}"
    more = "put a field that holds the separator in quotation marks"
    return f"has {found} fields, the header has {wanted}; {more}"


def _describe_error(error: str) -> str:
    if "end of data" in error:
        return "a quotation mark is not closed"
    if "expected after" in error:
        return "a quotation mark inside a field in quotation marks must be written twice"
    if "new-line" in error:
        return "a carriage return stands alone inside the line"
    return f"cannot be read: {error}"
