"""Pages of lists by key: the next page is found by the index, however far one has leafed."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

from django.db import connection

Row = TypeVar("Row")


def _read_text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("no text")
    return value


def _read_bigint(value: object) -> int:
    number = int(_read_text(value))
    if number.bit_length() > 63:
        raise ValueError("no bigint")
    return number


_PARSERS: Final[Mapping[str, Callable[[Any], object]]] = {
    "bigint": _read_bigint,
    "text": _read_text,
    "timestamptz": datetime.fromisoformat,
    "uuid": UUID,
}


class BadPlace(ValueError):
    """A place in a list that no page gave: somebody changed the address."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows, and the places of the pages beside this one; empty where there is none."""

    rows: Sequence[Row]
    previous: str = ""
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyset:
    """The order of a list: SQL expressions that are unique together, each with its type."""

    columns: Mapping[str, str]
    newest_first: bool = False

    def fetch(
        self,
        query: str,
        values: Mapping[str, Any],
        *,
        make: Callable[..., Row],
        key: Callable[[Row], Sequence[object]],
        place: str,
        limit: int,
    ) -> Page[Row]:
        """Run `query`, which has `{place}`, `{order}` and `%(limit)s`, for one page.

        A function of the database takes `%(keys)s` (an array of text) and `%(backward)s` instead.
        `key` gives a row's values of the columns; `place` is "" for the first page, or what the
        page before gave.

        Raises:
            BadPlace: the place is none of ours.
        """
        backward, after = self._decode(place)
        given = dict(values) | {f"key_{n}": value for n, value in enumerate(after or ())}
        given |= {"limit": limit + 1, "backward": backward, "keys": after and [*map(str, after)]}
        falling = self.newest_first != backward
        text = query.format(
            place=self._compare("<" if falling else ">") if after is not None else "true",
            order=", ".join(f"{each} desc" if falling else each for each in self.columns),
        )
        with connection.cursor() as cursor:
            cursor.execute(text, given)
            found = [make(*row) for row in cursor.fetchall()]
        more, rows = len(found) > limit, found[:limit]
        if backward:
            rows.reverse()
        has_previous = more if backward else after is not None
        has_next = after is not None if backward else more
        return Page(
            rows,
            self._encode("b", key(rows[0])) if rows and has_previous else "",
            self._encode("a", key(rows[-1])) if rows and has_next else "",
        )

    def _compare(self, sign: str) -> str:
        given = ", ".join(f"%(key_{n})s::{kind}" for n, kind in enumerate(self.columns.values()))
        return f"({', '.join(self.columns)}) {sign} ({given})"

    def _encode(self, direction: str, key: Sequence[object]) -> str:
        text = json.dumps([direction, *map(str, key)], separators=(",", ":"), ensure_ascii=False)
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def _decode(self, place: str) -> tuple[bool, list[object] | None]:
        if not place:
            return False, None
        try:
            padded = place + "=" * (-len(place) % 4)
            direction, *texts = json.loads(base64.b64decode(padded, b"-_", validate=True))
            kinds = self.columns.values()
            key = [_PARSERS[kind](text) for kind, text in zip(kinds, texts, strict=True)]
        except (ValueError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
            raise BadPlace(place) from error
        if direction not in ("a", "b"):
            raise BadPlace(place)
        return direction == "b", key
