"""Times of the sandbox: seconds since 1970 (float, UTC) inside, text outside."""

from datetime import UTC, date, datetime, tzinfo


def to_iso(seconds: float) -> str:
    """Return UTC with milliseconds, as JavaScript's toISOString writes it."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_iso_or_none(seconds: float | None) -> str | None:
    return None if seconds is None else to_iso(seconds)


def parse_time(text: str) -> float:
    """Return seconds since 1970; ValueError for what is no ISO 8601 time with a zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time needs its zone, for example 2026-05-28T20:26:40Z")
    return moment.timestamp()


def to_date(seconds: float, zone: tzinfo) -> date:
    return datetime.fromtimestamp(seconds, zone).date()


def add_months(day: date, months: int) -> date:
    """Return the same day so many months later, or the last of a shorter month."""
    year, month0 = divmod(day.year * 12 + day.month - 1 + months, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month0 + 1, last)
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")
