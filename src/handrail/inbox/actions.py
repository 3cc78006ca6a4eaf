"""What people and commands do with stored messages.

Each runs in the caller's transaction, as its database role and claims allow.
"""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from django.db import transaction

from handrail.core.actions import NotFound, Refused, run_action


def replay_events(events: Sequence[UUID], *, reason: str) -> None:
    """Have events that need attention or were ignored looked at again.

    The reason is kept, with the name of the person from the claims.

    Raises:
        Refused, NotAllowed, NotFound: as every action; none is replayed when one cannot be.
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
    except Refused as refused:
        why = refused.words
    except NotFound:
        why = f"There is no event {events[0]}."
    else:
        return []
    if len(events) == 1:
        return [why]
    return [
        line
        for event in events
        for line in replay_possible([event], reason=reason, dry_run=dry_run)
    ]


def ignore_events(events: Sequence[UUID], *, reason: str) -> None:
    """Settle events that need attention: a person says that they change nothing.

    Raises:
        Refused, NotAllowed, NotFound: as `replay_events`.
    """
    _decide(events, "ignore", reason)


def _decide(events: Sequence[UUID], decision: Literal["replay", "ignore"], reason: str) -> None:
    run_action("decide_webhook_events(%s::uuid[], %s, %s)", list(events), decision, reason)


def dismiss_conflict(conflict: UUID, *, reason: str) -> None:
    """Take a message with the id of another one off the attention list; the first one stands.

    Raises:
        NotAllowed, NotFound: as every action.
    """
    run_action("dismiss_webhook_conflict(%s, %s)", conflict, reason)
