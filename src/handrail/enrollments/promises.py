"""The ten promises (docs/architecture.md), counted in a live database."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from handrail.core.migrations_sql import read_sql

PROMISES: Mapping[int, str] = {
    1: "Nothing received is lost",
    2: "Nothing happens twice",
    3: "The chain does not break",
    4: "Nothing is invented",
    5: "A call has a recorded intent and four results",
    6: "Completed means completed",
    7: "Every change has a cause",
    8: "No one sees another organization",
    9: "Only the machine writes states",
    10: "Secrets stay secret",
}
_HEADER = re.compile(r"^-- (\d+): (.+)$", re.MULTILINE)
_COUNT = """
with found (what) as materialized ({query})
select count(*), array(select what from found order by what limit 3) from found
"""


class Cursor(Protocol):
    """Django's cursor and psycopg's."""

    def execute(self, query: Any, params: Any = ..., /) -> object: ...

    def fetchone(self) -> tuple[Any, ...] | None: ...


@dataclass(frozen=True, slots=True)
class Check:
    """A query that selects, a text a row, what breaks a promise in one way."""

    promise: int
    words: str
    query: str


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise broken in one way: how often, and up to three examples."""

    promise: int
    words: str
    count: int
    examples: tuple[str, ...]

    def __str__(self) -> str:
        """One line for a person."""
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.words}: {self.count} ({', '.join(self.examples)}{more})"


@cache
def read_checks() -> tuple[Check, ...]:
    """Return the checks of sql/promises.sql in their order."""
    _, *parts = _HEADER.split(read_sql("enrollments", "promises.sql"))
    blocks = zip(parts[0::3], parts[1::3], parts[2::3], strict=True)
    return tuple(
        Check(int(number), words, query.strip().removesuffix(";"))
        for number, words, query in blocks
    )


def find_violations(
    cursor: Cursor, *, waiting_hours: float, key_ids: Sequence[str]
) -> Iterator[Violation]:
    """Find what breaks a promise, in the order of the promises; nothing on a healthy database.

    `cursor`: of the service role. `waiting_hours`: how long an event may wait. `key_ids`: of the
    secret keys that are configured.
    """
    parameters = {"waiting_hours": int(waiting_hours), "key_ids": list(key_ids)}
    for check in read_checks():
        cursor.execute(_COUNT.format(query=check.query), parameters)
        row = cursor.fetchone()
        if row is not None and row[0]:
            yield Violation(check.promise, check.words, row[0], tuple(row[1]))


def check_promises() -> list[Violation]:
    """Find what breaks a promise in the database of the settings."""
    from django.conf import settings  # noqa: PLC0415 - the rest of this module needs no settings
    from django.db import connection  # noqa: PLC0415

    with connection.cursor() as cursor:
        found = find_violations(
            cursor,
            waiting_hours=settings.HANDRAIL_WAITING_HOURS,
            key_ids=[key_id for key_id, _ in settings.HANDRAIL_SECRET_KEYS],
        )
        return list(found)


def describe(violations: Sequence[Violation]) -> list[str]:
    """A line a promise with the count of its violations; below it what they are."""
    lines = []
    for number, words in PROMISES.items():
        own = [each for each in violations if each.promise == number]
        lines.append(f"{sum(each.count for each in own):>7}  {number}. {words}")
        lines += [f"{'':>9}   {each}" for each in own]
    return lines
