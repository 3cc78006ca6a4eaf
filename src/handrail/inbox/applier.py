"""The applier: takes stored events in batches, has them applied, writes down what became of them.

One batch is one transaction: claim, read, hand to the registered handler, settle, commit. So an
event is applied and marked applied together, or neither; a process that dies leaves nothing behind.

Order. A batch is claimed in the order of arrival and handed on in it, so events of one enrollment
that are due together keep their order. An event that waits, is tried again later, or is held by a
second applier may be overtaken by younger ones. That does no harm: the step machine orders what it
is told by the partner's own time (an older failure does not undo a completion, progress is the
newest by that time), and each transition happens once.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import psycopg

from handrail.core.direct_connection import DirectConnection
from handrail.inbox import claims
from handrail.inbox.claims import Claimed, Settlement
from handrail.inbox.parsing import Unreadable, parse_message
from handrail.inbox.registry import Handler, Outcome, ParsedEvent, find_handler
from handrail.inbox.wire import register_wire_array

logger = logging.getLogger(__name__)

BATCH = 1000
POLL_SECONDS = 1.0
"""Notifications only wake; this guarantees."""
SOON_SECONDS = 0.1
LATE = timedelta(seconds=5)
"""A transaction may commit an event that is due since it began: so far back each claim looks."""
LOOK_BACK_SECONDS = 10.0
"""And so often one looks for those that came even later."""
RETRY_DELAYS = (1, 10, 60, 600, 3600)
"""Seconds until an event that raised is tried again; after the last it needs a person."""

Handle = Callable[[Handler, Sequence[ParsedEvent]], Sequence[Settlement]]


class Applier:
    """Applies events over one connection at a time, which it has for itself."""

    def __init__(
        self,
        *,
        waiting: timedelta,
        batch: int = BATCH,
        on_backlog: Callable[[], object] = lambda: None,
    ) -> None:
        """An event waits for its enrollment at most `waiting`; `batch` events at a time.

        `on_backlog` is called as soon as a batch is as large as it may be: there is probably more.
        """
        self._waiting = waiting
        self._on_backlog = on_backlog
        self._batch = batch
        self._limit = batch
        self._rhythm = POLL_SECONDS
        self._swept_at = float("-inf")
        self._since: datetime | None = None
        self._looked_back_at = float("-inf")
        self._at_work: Sequence[Claimed] = ()
        self.has_backlog = False
        """Whether more may be due already, of which nobody notifies any more."""
        self._connection: DirectConnection

    def use(self, connection: DirectConnection) -> None:
        """Work over this connection from now on: in autocommit mode, as handrail_worker."""
        self._connection = connection
        register_wire_array(connection)
        if len(self._at_work) == 1:  # It was lost under this event alone: the event may be why.
            event = self._at_work[0]
            failure = make_failure(event.id, event.attempts, "the connection was lost")
            claims.begin(connection)
            claims.settle(connection, [failure], waiting=self._waiting)
        self._at_work = ()

    def apply_due(self) -> bool:
        """Apply one batch, and look again at what waits when it is time; tell if there was anything."""
        if time.monotonic() - self._swept_at >= self._rhythm:
            self._swept_at = time.monotonic()
            claims.sweep_waiting(self._connection)
            claims.tell_attention_list(self._connection)
        return self.apply_batch()

    def apply_batch(self) -> bool:
        """Apply one batch; tell if there was anything."""
        claimed, settlements = self._apply_batch()
        waiting = {each.id for each in settlements if each.status == "waiting"}
        parked = [each.id for each in claimed if each.is_first_look and each.id in waiting]
        if parked:
            # Their enrollment may have been stored while they were being parked.
            claims.look_again(self._connection, parked)
            self.has_backlog = True
        self._rhythm = SOON_SECONDS if waiting else POLL_SECONDS
        return bool(claimed)

    def wait(self) -> None:
        """Sleep until somebody notifies, at most until it is time to look again."""
        self._connection.wait_for_notification(self._rhythm)

    def _apply_batch(self) -> tuple[Sequence[Claimed], Sequence[Settlement]]:
        """Apply a batch as a whole; if that fails, so that one event cannot harm another."""
        try:
            done = self._transact(self._handle_together)
        except Exception as error:
            self._limit = max(1, self._limit // 2)
            if is_trouble(error):
                raise
            logger.warning("a batch failed, its events are tried apart: %s", type(error).__name__)
            return self._transact(self._handle_apart)
        self._limit = min(self._batch, self._limit * 2)
        return done

    def _transact(self, handle: Handle) -> tuple[Sequence[Claimed], Sequence[Settlement]]:
        try:
            claimed = self._claim()
            self._at_work = claimed
            settlements = self._decide(claimed, handle)
            claims.settle(self._connection, settlements, waiting=self._waiting)
            return claimed, settlements
        except BaseException:
            if not self._connection.closed:
                self._connection.rollback()
            raise
        finally:
            if not self._connection.broken:
                self._at_work = ()

    def _claim(self) -> Sequence[Claimed]:
        """Claim from where the last claim began, and from the beginning now and then."""
        if time.monotonic() - self._looked_back_at >= LOOK_BACK_SECONDS:
            self._looked_back_at = time.monotonic()
            self._since = None
        claimed = claims.claim_due(self._connection, since=self._since, limit=self._limit)
        if claimed:
            self._since = claimed[0].due_at - LATE
        self.has_backlog = len(claimed) >= min(self._limit, claims.FEW)
        if len(claimed) >= self._limit:
            self._on_backlog()
        return claimed

    def _decide(self, claimed: Sequence[Claimed], handle: Handle) -> list[Settlement]:
        """Read each event and hand those that can be read to the handlers."""
        settlements: list[Settlement] = []
        readable: dict[str, list[ParsedEvent]] = {}
        for event in claimed:
            try:
                readable.setdefault(event.endpoint_kind, []).append(read_event(event))
            except Unreadable as error:
                settlements.append(Settlement(event.id, "needs_attention", str(error)))
        for kind, events in readable.items():
            handler = find_handler(kind)
            if handler is None:
                reason = f"nothing here understands messages of a {kind} endpoint"
                settlements += [Settlement(each.id, "needs_attention", reason) for each in events]
            else:
                settlements += handle(handler, events)
        return settlements

    def _handle_together(
        self, handler: Handler, events: Sequence[ParsedEvent]
    ) -> Sequence[Settlement]:
        outcomes = handler(self._connection, events)
        if {outcome.id for outcome in outcomes} != {event.id for event in events}:
            raise RuntimeError("a handler did not return one outcome for each event")
        return [accept_outcome(outcome) for outcome in outcomes]

    def _handle_apart(
        self, handler: Handler, events: Sequence[ParsedEvent]
    ) -> Sequence[Settlement]:
        """Halve what fails until the event that raises stands alone."""
        try:
            with self._connection.transaction():  # A savepoint: the events stay claimed.
                settlements = self._handle_together(handler, events)
                self._connection.execute("set constraints all immediate")
                return settlements
        except Exception as error:
            if is_trouble(error):
                raise
            if len(events) == 1:
                log_failure(events[0].id, error)
                words = f"applying it failed ({type(error).__name__})"
                return [make_failure(events[0].id, events[0].attempts, words)]
        half = len(events) // 2
        return [
            *self._handle_apart(handler, events[:half]),
            *self._handle_apart(handler, events[half:]),
        ]


def read_event(event: Claimed) -> ParsedEvent:
    """Check the bytes of a stored event and read them.

    Raises:
        Unreadable: they are gone, altered, or no JSON object.
    """
    if event.body is None:
        raise Unreadable("its body was erased when its time to be kept was over")
    if hashlib.sha256(event.body).digest() != event.digest:
        raise Unreadable("its bytes are not those that were received")
    return ParsedEvent(
        event.id,
        event.endpoint_id,
        event.organization_id,
        event.provider_id,
        event.event_id,
        event.received_at,
        event.sent_at,
        parse_message(event.body),
        event.attempts,
    )


def accept_outcome(outcome: Outcome) -> Settlement:
    """What to write down; `ValueError` when a handler returned what it must not."""
    if outcome.status != "applied" and not (
        outcome.status in ("ignored", "waiting", "needs_attention") and outcome.reason
    ):
        raise ValueError(f"a handler returned {outcome.status!r} with reason {outcome.reason!r}")
    return Settlement(*outcome)


def log_failure(event_id: UUID, error: Exception) -> None:
    """Say where it failed. What the database tells beside its message may be a person's own data."""
    if isinstance(error, psycopg.Error):
        logger.error("applying event %s failed: %s", event_id, str(error).partition("\n")[0])
    else:
        logger.error("applying event %s failed", event_id, exc_info=error)


def make_failure(event_id: UUID, attempts: int, words: str) -> Settlement:
    """What becomes of an event that failed once more: another attempt later, or a person."""
    if attempts < len(RETRY_DELAYS):
        return Settlement(event_id, "received", words, retry_seconds=RETRY_DELAYS[attempts])
    words = f"{words}, {attempts + 1} times; the log tells more"
    return Settlement(event_id, "needs_attention", words, retry_seconds=0)


def is_trouble(error: Exception) -> bool:
    """Whether the database is what failed, not the event (classes: PostgreSQL, appendix A)."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)  # The connection.
    return (
        is_conflict(error)
        or (
            error.sqlstate[:2] in {"08", "53", "57", "58"}
            and not isinstance(error, psycopg.errors.QueryCanceled)
        )
        or isinstance(error, psycopg.errors.ReadOnlySqlTransaction)
    )


def is_conflict(error: psycopg.Error) -> bool:
    """Whether another transaction was in the way: a deadlock, a serialization failure, a lock."""
    return error.sqlstate is not None and (
        error.sqlstate[:2] == "40" or isinstance(error, psycopg.errors.LockNotAvailable)
    )
