"""What people and commands do with stored messages.

Each runs in the caller's transaction, as its database role and claims allow.
"""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import psycopg
from django.db import DatabaseError, connection, transaction


def replay_events(events: Sequence[UUID], *, reason: str) -> None:
    """Have events that need attention or were ignored looked at again.

    The reason is kept, with the name of the person from the claims.

    Raises:
        django.db.Error: one is not there, not this person's, in another state, or erased; none is
            replayed then.
    """
    _decide(events, "replay", reason)


def replay_possible(events: Sequence[UUID], *, reason: str, dry_run: bool = False) -> Sequence[str]:
    """Replay the events that can be; return why each of the others cannot, one line each.

    All in one transaction if possible, otherwise each in its own. A dry run returns the same and
    changes nothing.
    """
    try:
        with transaction.atomic():
            replay_events(events, reason=reason)
            transaction.set_rollback(dry_run)
    except DatabaseError as error:
        why = _tell_refusal(error)
    else:
        return []
    if len(events) == 1:
        return [why or f"there is no event {events[0]}"]
    return [
        line
        for event in events
        for line in replay_possible([event], reason=reason, dry_run=dry_run)
    ]


def _tell_refusal(error: DatabaseError) -> str:
    """Return what decide_webhook_events says of an event; "" when it is not there."""
    match error.__cause__:
        case psycopg.errors.NoDataFound():
            return ""
        case psycopg.errors.CheckViolation(diag=said) if said.constraint_name is None:
            return f"{said.message_primary}: {said.message_hint}"
    raise error


def ignore_events(events: Sequence[UUID], *, reason: str) -> None:
    """Settle events that need attention: a person says that they change nothing.

    Raises:
        django.db.Error: as `replay_events`.
    """
    _decide(events, "ignore", reason)


def _decide(events: Sequence[UUID], decision: Literal["replay", "ignore"], reason: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select decide_webhook_events(%s::uuid[], %s, %s)", [list(events), decision, reason]
        )


def dismiss_conflict(conflict: UUID, *, reason: str) -> None:
    """Take a message with the id of another one off the attention list; the first one stands.

    Raises:
        django.db.Error: it is not there, dismissed already, or not this person's.
    """
    with connection.cursor() as cursor:
        cursor.execute("select dismiss_webhook_conflict(%s, %s)", [conflict, reason])
