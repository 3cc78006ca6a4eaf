"""Records the results of calls, all that ended since the last commit by one statement."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import psycopg

from handrail.core.channel import DatabaseAway
from handrail.core.service_connection import ServiceConnection
from handrail.enrollments.calls import ClaimedCall, Result

MOST_RESULTS = 256
MAX_ATTEMPTS = 8
AGAIN_SECONDS = 1.0
FINISH_SECONDS = 3.0
"""After it was closed: what cannot be recorded by then is found out when its lease has ended."""
_RECORD = "select taken::text from record_call_results(%b::jsonb, %b) as taken"
_PASSING = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
    psycopg.errors.QueryCanceled,
)
_to_json = json.JSONEncoder(separators=(",", ":")).encode

logger = logging.getLogger(__name__)

Ended = tuple[ClaimedCall, Result]


class _Waiting(NamedTuple):
    claimed: ClaimedCall
    result: Result
    until: float
    """When its lease is surely over, by the event loop's clock."""
    tries: int = 0


class Recorder:
    """Takes results; `run` commits them.

    A result that is not taken is brought again until its lease is over: somebody may have had its
    rows locked. After that the call is another worker's.
    """

    def __init__(
        self,
        connection: ServiceConnection,
        *,
        lease: float,
        recorded: Callable[[Sequence[Ended]], None],
    ) -> None:
        """Take the lease in seconds; call `recorded` with each batch after its commit."""
        self._connection = connection
        self._lease = lease
        self._recorded = recorded
        self._loop = asyncio.get_running_loop()
        self._results: list[_Waiting] = []
        self._put_off = 0
        self._wake = asyncio.Event()
        self._closed_at = float("inf")

    def add(self, claimed: ClaimedCall, result: Result) -> None:
        """Take a result; it is committed with those that gather meanwhile."""
        self._results.append(_Waiting(claimed, result, self._loop.time() + self._lease))
        self._wake.set()

    def close(self) -> None:
        """Let `run` end when everything is recorded, or after some seconds."""
        self._closed_at = self._loop.time()
        self._wake.set()

    async def run(self) -> None:
        """Record until closed."""
        while not self._is_finished():
            await self._wake.wait()
            self._wake.clear()
            batch, self._results = self._results[:MOST_RESULTS], self._results[MOST_RESULTS:]
            if self._results:
                self._wake.set()
            if batch:
                await self._record(batch)

    def _is_finished(self) -> bool:
        if self._loop.time() > self._closed_at + FINISH_SECONDS:
            return True
        return self._closed_at < float("inf") and not self._results and not self._put_off

    async def _record(self, batch: list[_Waiting]) -> None:
        """Record a batch; one that fails is split until the bad one stands alone."""
        text = _to_json([each.result for each in batch])
        try:
            rows = await self._connection.fetch(_RECORD, (text, MAX_ATTEMPTS))
        except DatabaseAway as error:
            # Perhaps it was committed; then the results are not taken when they come again.
            logger.warning("results wait for the database: %s", error)
            self._results = batch + self._results
            self._wake.set()
            await asyncio.sleep(AGAIN_SECONDS)
        except psycopg.Error as error:
            if len(batch) > 1:
                half = len(batch) // 2
                await self._record(batch[:half])
                await self._record(batch[half:])
            else:
                await self._keep_bad(batch[0], error)
        else:
            taken = {intent for (intent,) in rows}
            for each in batch:
                if each.claimed.intent_id not in taken:
                    self._bring_again(each)
            self._recorded([each[:2] for each in batch if each.claimed.intent_id in taken])

    def _bring_again(self, waiting: _Waiting) -> None:
        if self._loop.time() > waiting.until:
            logger.warning("call %s was taken over by another worker", waiting.claimed.intent_id)
            return
        self._put_off += 1
        wait = min(AGAIN_SECONDS, 0.02 * 2.0**waiting.tries)
        self._loop.call_later(wait, self._come_back, waiting)

    def _come_back(self, waiting: _Waiting) -> None:
        self._put_off -= 1
        self._results.append(waiting._replace(tries=waiting.tries + 1))
        self._wake.set()

    async def _keep_bad(self, waiting: _Waiting, error: psycopg.Error) -> None:
        if isinstance(error, _PASSING):
            logger.warning("a result waits: %s", str(error).partition("\n")[0])
            self._bring_again(waiting._replace(tries=6))
            return
        result = waiting.result
        logger.error("the result of call %s cannot be recorded: %s", result["intent_id"], error)
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
            await self._record([waiting._replace(result=replaced)])
