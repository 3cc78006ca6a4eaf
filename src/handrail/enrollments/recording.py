"""Records the results of calls, all that ended since the last commit by one statement."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from uuid import UUID

import psycopg

from handrail.core.service_connection import DatabaseAway, ServiceConnection
from handrail.enrollments.calls import ClaimedCall, Result

MOST_RESULTS = 256
MAX_ATTEMPTS = 8
AGAIN_SECONDS = 1.0
_RECORD = "select record_call_results(%b::jsonb, %b)"
_PASSING = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.QueryCanceled,
)
_to_json = json.JSONEncoder(separators=(",", ":")).encode

logger = logging.getLogger(__name__)

Ended = tuple[ClaimedCall, Result]


class Recorder:
    """Takes results; `run` commits them. A result whose lease somebody else has is refused."""

    def __init__(
        self, connection: ServiceConnection, *, recorded: Callable[[Sequence[Ended]], None]
    ) -> None:
        """Call `recorded` with each batch after its commit."""
        self._connection = connection
        self._recorded = recorded
        self._results: list[Ended] = []
        self._wake = asyncio.Event()
        self._closed = False

    def add(self, claimed: ClaimedCall, result: Result) -> None:
        """Take a result; it is committed with those that gather meanwhile."""
        self._results.append((claimed, result))
        self._wake.set()

    def close(self) -> None:
        """Let `run` end when everything is recorded."""
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        """Record until closed."""
        while self._results or not self._closed:
            await self._wake.wait()
            if not self._closed:
                self._wake.clear()
            batch, self._results = self._results[:MOST_RESULTS], self._results[MOST_RESULTS:]
            if self._results:
                self._wake.set()
            if batch:
                await self._record(batch)

    async def _record(self, batch: list[Ended]) -> None:
        """Record a batch; one that fails is split until the bad one stands alone."""
        results = [result for _, result in batch]
        try:
            rows = await self._connection.fetch(_RECORD, (_to_json(results), MAX_ATTEMPTS))
        except DatabaseAway as error:
            # Perhaps committed: then it is refused when it comes again, and nothing is lost.
            logger.warning("results wait for the database: %s", error)
            await self._put_off(batch)
        except psycopg.Error as error:
            if len(batch) > 1:
                half = len(batch) // 2
                await self._record(batch[:half])
                await self._record(batch[half:])
            else:
                await self._keep_bad(*batch[0], error)
        else:
            self._tell_refused(batch, {accepted for (accepted,) in rows})
            self._recorded(batch)

    async def _put_off(self, batch: list[Ended]) -> None:
        self._results = batch + self._results
        self._wake.set()
        await asyncio.sleep(AGAIN_SECONDS)

    async def _keep_bad(self, claimed: ClaimedCall, result: Result, error: psycopg.Error) -> None:
        if isinstance(error, _PASSING):
            logger.warning("a result waits: %s", _first_line(error))
            await self._put_off([(claimed, result)])
            return
        logger.error("the result of call %s cannot be recorded: %s", claimed.intent_id, error)
        if result.get("cause") != "not_recorded":
            words = f"The partner's answer cannot be stored ({type(error).__name__}); look there."
            replaced = Result(
                intent_id=result["intent_id"],
                fence=result["fence"],
                result="needs_person",
                cause="not_recorded",
                error=words,
                uncertain=True,
            )
            await self._record([(claimed, replaced)])

    def _tell_refused(self, batch: Sequence[Ended], accepted: set[UUID]) -> None:
        for claimed, _ in batch:
            if claimed.intent_id not in accepted:
                logger.warning("call %s was taken over by another worker", claimed.intent_id)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
