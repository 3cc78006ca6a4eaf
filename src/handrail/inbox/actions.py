"""What people and commands do with stored messages.

Each runs in the caller's transaction, as its database role and claims allow.
"""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from django.db import connection


def replay_events(events: Sequence[UUID], *, reason: str) -> None:
    """Have events that need attention or were ignored looked at again.

    The reason is kept, with the name of the person from the claims.

    Raises:
        django.db.Error: one is not there, not this person's, in another state, or erased; none is
            replayed then.
    """
    _decide(events, "replay", reason)


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
