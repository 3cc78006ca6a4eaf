"""What imports share: rows in batches, each a transaction that is tried again, and what is told."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Literal, NamedTuple, TypeVar

import psycopg
from django.db import IntegrityError, OperationalError, transaction

T = TypeVar("T")
_TRIES = 3


class Finding(NamedTuple):
    """Something that a person should know of one line of the file."""

    line: int
    kind: Literal["refused", "kept"]
    """The row was not taken; or it was, and what was there before was kept."""
    text: str

    def __str__(self) -> str:
        """One line for the terminal."""
        return f"line {self.line}: {'not taken: ' if self.kind == 'refused' else ''}{self.text}"


Tell = Callable[[Finding], None]


def chunk(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    """The rows in lists of at most this size, read as they are asked for."""
    iterator = iter(rows)
    while some := list(islice(iterator, size)):
        yield some


def run_batch(work: Callable[[], T]) -> T:
    """Do `work` in a transaction; what somebody else's transaction spoiled is done again.

    Raises:
        django.db.Error: it fails by itself, or too often.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            with transaction.atomic():
                return work()
        except (OperationalError, IntegrityError) as error:
            if attempt == _TRIES or not _is_passing(error):
                raise
    raise AssertionError("unreachable")


def _is_passing(error: Exception) -> bool:
    """Deadlock, or the same person enrolled by somebody else in the same moment."""
    return isinstance(
        error.__cause__, psycopg.errors.DeadlockDetected | psycopg.errors.UniqueViolation
    )
