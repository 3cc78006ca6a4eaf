"""Reads tables of a TOML or JSON file; every problem is kept with its place."""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from handrail.core.slugs import SLUG_RULE, is_slug


class Table:
    """One table of the file. A value that cannot be used is told and answered by the default."""

    def __init__(self, raw: Mapping[str, Any], place: str, problems: list[str]) -> None:
        self.raw = raw
        self.place = place
        self.problems = problems
        self._left = set(raw)

    def complain(self, name: str, what: str) -> None:
        """Keep a problem with a key of this table; with an empty name, with the table itself."""
        where = ", ".join(filter(None, (self.place, name)))
        self.problems.append(f"{where}: {what}" if where else what)

    def take_text(self, name: str, *, default: str | None = None) -> str:
        """A text without space around it; required where there is no default."""
        value = self._take(name)
        if value is None:
            if default is None:
                self.complain(name, "is missing")
            return default or ""
        if isinstance(value, str) and not _holds_control(value):
            text = value.strip()
            if text or default is not None:
                return text
        self.complain(name, "write a text")
        return default or ""

    def take_slug(self, name: str = "slug") -> str:
        """A short name for addresses and commands."""
        slug = self.take_text(name)
        if slug and not is_slug(slug):
            self.complain(name, f"{slug!r} cannot be one; write {SLUG_RULE}")
        return slug

    def take_choice(
        self, name: str, choices: tuple[str, ...], *, default: str | None = None
    ) -> str:
        """One of some words."""
        value = self.take_text(name, default=default)
        if value and value not in choices and value != default:
            self.complain(name, f"{value!r} is not known; write one of {', '.join(choices)}")
        return value

    def take_whole(
        self, name: str, *, least: int, most: int = 2**31 - 1, default: int | None
    ) -> int | None:
        """A whole number."""
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.complain(name, f"write a whole number from {least} to {most}")
            return default
        return value

    def take_number(self, name: str, *, most: float, default: float) -> float:
        """A number of 0 or more."""
        value = self._take(name)
        if value is None:
            return default
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= most:
            self.complain(name, f"write a number from 0 to {most}")
            return default
        return float(value)

    def take_flag(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self._take(name)
        if value is not None and not isinstance(value, bool):
            self.complain(name, "write true or false")
            return default
        return default if value is None else value

    def take_table(self, name: str) -> "Table":
        """The table of this name; it must be there."""
        value = self._take(name)
        if not isinstance(value, Mapping):
            self.complain(f"[{name}]", "is missing")
            return Table({}, name, [])
        return Table(value, name, self.problems)

    def take_tables(self, name: str, *, each: str) -> Iterator["Table"]:
        """The tables of a list, placed as `each` and its number; none when it is not there."""
        value = self._take(name)
        if value is not None and not isinstance(value, list):
            self.complain(name, "write a list of tables")
            return
        for number, raw in enumerate(value or [], start=1):
            place = ", ".join(filter(None, (self.place, f"{each} {number}")))
            if isinstance(raw, Mapping):
                yield Table(raw, place, self.problems)
            else:
                self.problems.append(f"{place}: write a table")

    def finish(self) -> None:
        """Complain of keys that nobody knows: mostly they are misspelled."""
        for name in sorted(self._left):
            self.complain(name, "is not known here")

    def _take(self, name: str) -> Any:
        self._left.discard(name)
        return self.raw.get(name)


def _holds_control(text: str) -> bool:
    """Whether it holds what a terminal obeys and a database refuses."""
    return any(unicodedata.category(letter) == "Cc" for letter in text)
