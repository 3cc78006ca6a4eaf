"""Calling a function of the database that changes something, and hearing its refusals.

It runs in the caller's transaction as its identity. An action that is refused changes nothing and
leaves the transaction usable.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import psycopg
from django.db import DatabaseError, OperationalError, connection, transaction


class Refused(Exception):
    """The state does not allow it; `words` tell the person why. Show them; change nothing."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class NotAllowed(Exception):
    """This person may not do that, there or at all."""


class NotFound(Exception):
    """There is no such thing, or not any more."""


def run_action(call: str, *values: Any) -> Any:
    """Call a function of the database that changes something: `"skip_step(%s, %s, %s)"`.

    Returns what it returns. A deadlock is tried again, once: undoing the call alone lets go of the
    locks that it took.

    Raises:
        Refused, NotAllowed, NotFound: see there.
    """
    try:
        return _call(call, values)
    except OperationalError as error:
        if not isinstance(error.__cause__, psycopg.errors.DeadlockDetected):
            raise
    return _call(call, values)


def _call(call: str, values: Sequence[Any]) -> Any:
    try:
        # In a savepoint: what was refused is undone alone.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"select {call}", values)
            return cursor.fetchone()[0]
    except DatabaseError as error:
        _translate(error)


def _translate(error: DatabaseError) -> NoReturn:
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error):
        raise error
    match cause.sqlstate:
        case "HR001":
            raise Refused(cause.diag.message_primary or "") from error
        case "23514" if cause.diag.constraint_name is None:  # raised by a function, in words
            words = ": ".join(filter(None, (cause.diag.message_primary, cause.diag.message_hint)))
            raise Refused(f"{words[:1].upper()}{words[1:]}.") from error
        case "42501":
            raise NotAllowed(cause.diag.message_primary) from error
        case "P0002":
            raise NotFound(cause.diag.message_primary) from error
    raise error
