"""Group commit: messages that arrive while a batch commits are stored together by the next.

There is no timer: a message that finds the writer idle is written at once.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import psycopg

from handrail.core.channel import DatabaseAway
from handrail.inbox.connection import IngressConnection
from handrail.inbox.wire import (
    BYTEA_OID,
    INT4_OID,
    TEXT_OID,
    TIMESTAMPTZ_OID,
    UUID_OID,
    encode_array,
    encode_integer,
    encode_text,
    encode_time,
)

logger = logging.getLogger(__name__)

NEW, SEEN, CONFLICT, UNKNOWN = "n", "s", "c", "u"
"""What became of a message, as store_webhook_events() says it."""
AWAY, REFUSED = "a", "x"
"""It is not stored: the database does not answer, or refuses this message and no other."""
_COUNTED = "k"
_COUNT_SECONDS = 1.0

_STORE = b"""select store_webhook_events(
$1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::timestamptz[], '{}', '{}', '{}', '{}')"""
_COUNT = b"""select store_webhook_events(
'{}', '{}', '{}', '{}', '{}', $1::uuid[], $2::integer[], $3::text[], $4::integer[])"""


class Overloaded(Exception):
    """More is waiting than may. What to do: answer 503, the sender tries again."""


@dataclass(slots=True, eq=False)
class Message:
    """One verified message on its way into the database."""

    endpoint_id: UUID
    event_id: bytes
    """Printable ASCII."""
    body: bytes
    content_type: bytes
    """UTF-8."""
    sent_at: datetime | None
    settle: Callable[[str], object]
    """Is called once with what became of it: one of the letters above."""


@dataclass(slots=True)
class _Count:
    refused: int = 0
    reason: str = ""
    repeated: int = 0


class EventStore:
    """The one writer of a process."""

    def __init__(
        self,
        connection: IngressConnection,
        *,
        most_waiting: int,
        most_waiting_bytes: int,
        batch: int,
        batch_bytes: int,
    ) -> None:
        self._connection = connection
        self._most_waiting = most_waiting
        self._most_waiting_bytes = most_waiting_bytes
        self._batch = batch
        self._batch_bytes = batch_bytes
        self._waiting: deque[Message] = deque()
        self._held = 0
        self._held_bytes = 0
        self._counts: dict[UUID, _Count] = {}
        self._count_timer: asyncio.TimerHandle | None = None
        self._counts_due = False
        self._writer: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def add(self, message: Message) -> None:
        """Take a message; it is settled after the commit, or when that failed.

        Raises:
            Overloaded: too much is waiting already.
        """
        size = len(message.body)
        if self._held >= self._most_waiting or self._held_bytes + size > self._most_waiting_bytes:
            raise Overloaded
        self._held += 1
        self._held_bytes += size
        self._waiting.append(message)
        if self._writer is None:
            self._writer = self._loop.create_task(self._write())

    def count_refused(self, endpoint_id: UUID, reason: str) -> None:
        """Count a message that was not authentic."""
        count = self._counts.setdefault(endpoint_id, _Count())
        count.refused += 1
        count.reason = reason
        self._count_soon()

    async def close(self) -> None:
        """Return when all that was added is written or failed, and what was counted is."""
        self._count_now()
        while self._writer is not None:
            await asyncio.shield(self._writer)
        if self._count_timer is not None:
            self._count_timer.cancel()

    def _count_soon(self) -> None:
        if self._count_timer is None:
            self._count_timer = self._loop.call_later(_COUNT_SECONDS, self._count_now)

    def _count_now(self) -> None:
        if self._count_timer is not None:
            self._count_timer.cancel()
            self._count_timer = None
        self._counts_due = bool(self._counts)
        if self._writer is None:
            self._writer = self._loop.create_task(self._write())

    async def _write(self) -> None:
        try:
            while self._waiting or self._counts_due:
                if self._waiting:
                    await self._write_batch(self._take_batch())
                if self._counts_due:
                    self._counts_due = False
                    await self._write_counts()
        finally:
            self._writer = None

    def _take_batch(self) -> list[Message]:
        """The messages that waited longest, within the limits, at least one."""
        batch: list[Message] = []
        size = 0
        while self._waiting and len(batch) < self._batch:
            size += len(self._waiting[0].body)
            if batch and size > self._batch_bytes:
                break
            batch.append(self._waiting.popleft())
        return batch

    async def _write_batch(self, batch: list[Message]) -> None:
        try:
            await self._store(batch)
        except DatabaseAway as away:
            # Whoever waits would only wait for the same; they all try again later.
            logger.warning("%d messages are not stored: %s", self._held, away)
            self._settle([*batch, *self._waiting], AWAY * self._held)
            self._waiting.clear()
        except psycopg.Error as error:
            logger.warning("a batch of %d messages failed: %s", len(batch), _describe(error))
            await self._write_one_by_one(batch)
        except BaseException:
            self._settle(batch, REFUSED * len(batch))
            raise

    async def _write_one_by_one(self, batch: list[Message]) -> None:
        """One that the database refuses must not stop its neighbors."""
        for number, message in enumerate(batch):
            try:
                await self._store([message])
            except DatabaseAway:
                self._settle(batch[number:], AWAY * (len(batch) - number))
                return
            except psycopg.Error as error:
                logger.error(  # noqa: TRY400 - a trace would show the message
                    "the database refuses a message for endpoint %s: %s",
                    message.endpoint_id,
                    _describe(error),
                )
                self._settle([message], REFUSED)

    async def _store(self, batch: list[Message]) -> None:
        rows = await self._connection.fetch(
            _STORE,
            [
                encode_array(UUID_OID, [message.endpoint_id.bytes for message in batch]),
                encode_array(TEXT_OID, [message.event_id for message in batch]),
                encode_array(BYTEA_OID, [message.body for message in batch]),
                encode_array(TEXT_OID, [message.content_type for message in batch]),
                encode_array(TIMESTAMPTZ_OID, [encode_time(message.sent_at) for message in batch]),
            ],
        )
        letters: str = rows[0][0]
        # Soon, not now: first the next batch goes out, then the senders of this one are answered
        # while the database works.
        self._loop.call_soon(self._settle, batch, letters)
        if SEEN in letters:
            for message, letter in zip(batch, letters, strict=True):
                if letter == SEEN:
                    self._counts.setdefault(message.endpoint_id, _Count()).repeated += 1
            self._count_soon()

    async def _write_counts(self) -> None:
        counts, self._counts = self._counts, {}
        values = counts.values()
        columns = [
            encode_array(UUID_OID, [endpoint_id.bytes for endpoint_id in counts]),
            encode_array(INT4_OID, [encode_integer(count.refused) for count in values]),
            encode_array(TEXT_OID, [encode_text(count.reason, 200) for count in values]),
            encode_array(INT4_OID, [encode_integer(count.repeated) for count in values]),
        ]
        try:
            rows = await self._connection.fetch(_COUNT, columns)
        except (DatabaseAway, psycopg.Error) as error:
            logger.warning("refused messages could not be counted: %s", _describe(error))
            self._keep_counts(counts)
            return
        for (endpoint_id, count), letter in zip(counts.items(), rows[0][0], strict=True):
            if letter != _COUNTED:
                self._keep_counts({endpoint_id: count})
            elif count.refused:
                logger.warning(
                    "refused %d messages for endpoint %s: %s",
                    count.refused,
                    endpoint_id,
                    count.reason,
                )

    def _keep_counts(self, counts: dict[UUID, _Count]) -> None:
        for endpoint_id, count in counts.items():
            kept = self._counts.setdefault(endpoint_id, _Count(reason=count.reason))
            kept.refused += count.refused
            kept.repeated += count.repeated
        self._count_soon()

    def _settle(self, batch: Sequence[Message], letters: str) -> None:
        for message, letter in zip(batch, letters, strict=True):
            self._held -= 1
            self._held_bytes -= len(message.body)
            message.settle(letter)


def _describe(error: Exception) -> str:
    """The kind of an error and its first line, without the values that were sent."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
