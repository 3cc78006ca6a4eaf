"""What a row of a roster says: each field read and checked."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import TypeVar
from uuid import UUID

from handrail.core.csv_rows import Columns, Row
from handrail.people.models import normalize_email
from handrail.people.text import clean_text, find_email_problem, find_text_problem, shorten

COLUMNS = Columns(
    required=("first_name", "last_name", "email", "program", "funding_source"),
    optional=("start_date", "phone", "birth_date"),
)
FUNDING_SOURCES = (
    "self_pay",
    "employer",
    "WIOA",
    "WRG",
    "JRI",
    "apprenticeship",
    "scholarship",
)
LONGEST_PHONE = 40
FIRST_YEAR, _LAST_YEAR = 1900, 2200
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
T = TypeVar("T")
_FUNDING = {source.casefold(): source for source in FUNDING_SOURCES}


@dataclass(frozen=True, slots=True)
class RosterRow:
    """One person to be enrolled in one program. `start_date` None: at once."""

    line: int
    first_name: str
    last_name: str
    email: str
    phone: str
    birth_date: date | None
    program: str
    program_id: UUID
    funding_source: str
    start_date: date | None

    @property
    def email_normalized(self) -> str:
        """The address as it is compared."""
        return normalize_email(self.email)


class BadField(Exception):
    """A field that cannot be used; the message names it."""


def read_roster_row(row: Row, *, programs: Mapping[str, UUID], today: date) -> RosterRow:
    """Read a row; `programs` are those that can be enrolled in, by slug.

    Raises:
        BadField: with everything that is wrong with the row.
    """
    problems: list[str] = []

    def read(name: str, parse: Callable[[str], T]) -> T | None:
        try:
            return parse(clean_text(row.fields[name]))
        except ValueError as error:
            problems.append(f"{name} {error}")
            return None

    first_name = read("first_name", _read_first_name)
    last_name = read("last_name", _read_text)
    email = read("email", _read_email)
    phone = read("phone", _read_phone)
    birth_date = read("birth_date", lambda text: _read_birth_date(text, today))
    program = read("program", lambda text: _read_program(text, programs))
    funding_source = read("funding_source", _read_funding)
    start_date = read("start_date", read_date)
    if problems or not (first_name and email and program and funding_source):
        raise BadField("; ".join(problems))
    return RosterRow(
        line=row.line,
        first_name=first_name,
        last_name=last_name or "",
        email=email,
        phone=phone or "",
        birth_date=birth_date,
        program=program,
        program_id=programs[program],
        funding_source=funding_source,
        start_date=start_date,
    )


def read_date(text: str) -> date | None:
    """A date as 2026-09-01; None for an empty field. ValueError says what to write."""
    if not text:
        return None
    try:
        found = date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None or not FIRST_YEAR <= found.year <= _LAST_YEAR:
        raise ValueError(f"{shorten(text)!r} is no date; write it as 2026-09-01")
    return found


def _read_first_name(text: str) -> str:
    if not text:
        raise ValueError("is missing; a single name goes there")
    return _read_text(text)


def _read_text(text: str) -> str:
    if problem := find_text_problem(text):
        raise ValueError(problem)
    return text


def _read_phone(text: str) -> str:
    if problem := find_text_problem(text, longest=LONGEST_PHONE):
        raise ValueError(problem)
    return text


def _read_email(text: str) -> str:
    if not text:
        raise ValueError("is missing")
    if problem := find_email_problem(text):
        raise ValueError(problem)
    return text


def _read_birth_date(text: str, today: date) -> date | None:
    found = read_date(text)
    if found is not None and found >= today:
        raise ValueError(f"{text} lies in the future")
    return found


def _read_program(text: str, programs: Mapping[str, UUID]) -> str:
    slug = text.casefold()
    if slug in programs:
        return slug
    if not text:
        raise ValueError(f"is missing; write one of {_list(programs)}")
    near = get_close_matches(slug, programs, n=1)
    advice = f"did you mean {near[0]}?" if near else f"write one of {_list(programs)}"
    raise ValueError(f"{shorten(text)!r} is not known; {advice}")


def _read_funding(text: str) -> str:
    found = _FUNDING.get("_".join(text.casefold().replace("-", " ").split()))
    if found is None:
        told = f"{shorten(text)!r} is not known" if text else "is missing"
        raise ValueError(f"{told}; write one of {', '.join(FUNDING_SOURCES)}")
    return found


def _list(programs: Mapping[str, UUID]) -> str:
    some = sorted(programs)
    return ", ".join(some[:10]) + (" or another of the catalog" if len(some) > 10 else "")
