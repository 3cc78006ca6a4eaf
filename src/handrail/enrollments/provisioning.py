"""The calls to partners: claims what the machine recorded, makes the calls, has results recorded.

Two loops that never wait for each other: one claims whatever is due and starts a task for each
call, one (`enrollments.recording`) records what has ended. Neither has a timer: while one batch
is claimed or committed the next one gathers.
"""

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from django.conf import settings
from psycopg.pq.misc import PGnotify

from handrail.core.channel import DatabaseAway
from handrail.core.circuits import FAILURES_TO_OPEN
from handrail.core.crypto import Keyring
from handrail.core.outbound import CALLS_AT_ONCE
from handrail.core.service_connection import ServiceConnection
from handrail.core.worker import WorkerContext
from handrail.enrollments.calls import (
    ClaimedCall,
    LeaseLost,
    Result,
    ask_for_configuration,
    give_up,
    make_call,
    put_off,
)
from handrail.enrollments.recording import Ended, Recorder
from handrail.partners.protocol import OutcomeUnknown
from handrail.partners.providers import BoundProvider, ProviderCache, Unusable

CHANNEL = "handrail_intents"
SWEEP_SECONDS = 1.0
MOST_CALLS = 1024
"""In flight in one worker, all providers together."""
FINISH_SECONDS = 6.0
"""What is in flight may take so long after the wish to stop."""
LONGEST_OUTAGE_WAIT = 60.0
"""A partner that is away is asked at least so often; its circuit keeps that to a few calls."""

_CLAIM = """
select intent_id::text, provider_id::text, kind, fence, idempotency_key, key_age, uncertain, attempts, calls,
       first_name, last_name, email, phone, birth_date, account_id, course_code, enrollment_id, saved, leaving,
       former_ids
from claim_intents(%b, %b, %b, %b::text[]::uuid[], %b::integer[])
"""
_SAVE = "select save_call_facts(%b::uuid, %b, %b::jsonb)"
_EXPIRE = "select expire_leases()"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """Times in seconds."""

    retry_base: float = 5.0
    retry_max: float = 3600.0
    call_timeout: float = 30.0
    """Of one request; a call that needs several may take twice as long."""

    @property
    def call_deadline(self) -> float:
        """When a call is given up."""
        return 2 * self.call_timeout

    @property
    def lease(self) -> float:
        """How long a call belongs to one worker: longer than it can take, and a sweep more."""
        return self.call_deadline + 2 * SWEEP_SECONDS + min(3.0, self.call_timeout)

    def back_off(self, attempt: int, *, longest: float) -> float:
        """The wait after attempt 0, 1, ...: doubled each time, up to half of it left to chance."""
        wait = min(self.retry_max, longest, self.retry_base * 2.0 ** min(attempt - 1, 30))
        return wait * random.uniform(0.5, 1.0)  # noqa: S311 - spreads calls, guards nothing


async def run_provisioning(context: WorkerContext) -> None:
    """Make calls until the context's `stop`; what is in flight is finished and recorded."""
    rhythm = Rhythm(
        retry_base=settings.HANDRAIL_RETRY_BASE_SECONDS,
        retry_max=settings.HANDRAIL_RETRY_MAX_SECONDS,
        call_timeout=settings.HANDRAIL_CALL_TIMEOUT_SECONDS,
    )
    await Provisioner(context, rhythm, Keyring(settings.HANDRAIL_SECRET_KEYS)).run()


class Provisioner:
    """The calls of one worker process."""

    def __init__(self, context: WorkerContext, rhythm: Rhythm, keyring: Keyring) -> None:
        self._stop = context.stop
        self._pool = context.pool
        self._rhythm = rhythm
        self._claims = ServiceConnection(context.dsn, name="claims", hear=(CHANNEL, self._hear))
        self._results = ServiceConnection(context.dsn, name="results")
        self._side = ServiceConnection(context.dsn, name="provisioning")
        self._providers = ProviderCache(self._side, pool=context.pool, keyring=keyring)
        self._recorder = Recorder(self._results, lease=rhythm.lease, recorded=self._after_commit)
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._calls: dict[asyncio.Task[None], float] = {}  # with the time they are given up
        self._taken: Counter[str] = Counter()  # calls in flight by provider
        self._full: set[str] = set()  # providers that were given all they may have at once
        self._stopping = False
        self._failing: dict[str, set[str]] = {}  # up to two intents that failed at a provider

    async def run(self) -> None:
        """Work until `stop` is set, then finish what is in flight."""
        recorder = asyncio.create_task(self._recorder.run())
        claimer = asyncio.create_task(self._claim_all())
        sweeper = asyncio.create_task(self._sweep())
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait(
                (stopped, recorder, claimer, sweeper), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            self._stopping = True
            for each in (stopped, sweeper):
                each.cancel()
            self._wake.set()
            ends = [*await asyncio.gather(claimer, sweeper, return_exceptions=True)]
            await self._finish_calls()
            self._recorder.close()
            ends += await asyncio.gather(recorder, return_exceptions=True)
            for connection in (self._claims, self._results, self._side):
                await connection.close()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _finish_calls(self) -> None:
        if self._calls:
            await asyncio.wait(self._calls, timeout=FINISH_SECONDS)
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    # What wakes the claiming.

    def _hear(self, notification: PGnotify) -> None:
        # After a commit of our own results `_after_commit` has looked already.
        if notification.be_pid != self._results.pid:
            self._wake.set()

    async def _sweep(self) -> None:
        while True:
            self._wake.set()
            now = self._loop.time()
            for call, deadline in self._calls.items():
                if deadline < now:
                    call.cancel()
            try:
                await self._side.fetch(_EXPIRE)
                await self._providers.refresh()
            except (DatabaseAway, psycopg.Error) as error:
                logger.warning("the sweep waits for the database: %s", error)
            await asyncio.sleep(SWEEP_SECONDS)

    def _after_commit(self, batch: Sequence[Ended]) -> None:
        for claimed, result in batch:
            after = result.get("after_seconds")
            if after is None:
                if claimed.kind != "enroll" or result["result"] == "needs_person":
                    self._wake.set()  # an account or an end may be what others waited for
            elif after < SWEEP_SECONDS:
                self._loop.call_later(after, self._wake.set)

    # Claiming.

    async def _claim_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._stopping or self._stop.is_set():
                return
            try:
                await self._claim()
            except DatabaseAway as error:
                logger.warning("calls wait for the database: %s", error)

    async def _claim(self) -> None:
        free = MOST_CALLS - len(self._calls)
        if free <= 0:
            return
        began = self._loop.time()
        taken = dict(self._taken)
        taken.update(dict.fromkeys(self._pool.open_circuits(), CALLS_AT_ONCE))
        rows = await self._claims.fetch(
            _CLAIM, (free, self._rhythm.lease, CALLS_AT_ONCE, list(taken), list(taken.values()))
        )
        if not rows:
            return
        calls = [ClaimedCall._make(row) for row in rows]
        try:
            providers = await self._providers.get({each.provider_id for each in calls})
        except (DatabaseAway, psycopg.Error) as error:
            for each in calls:
                self._end(each, put_off(each, str(error)))
            return
        for each in calls:
            provider = providers[each.provider_id]
            if isinstance(provider, Unusable):
                self._end(each, ask_for_configuration(each, str(provider)))
                continue
            self._taken[each.provider_id] += 1
            call = self._make(each, provider, lease_until=began + self._rhythm.lease)
            self._calls[self._loop.create_task(call)] = began + self._rhythm.call_deadline
        for provider_id, count in Counter(each.provider_id for each in calls).items():
            if count + taken.get(provider_id, 0) >= CALLS_AT_ONCE:  # more may be due there
                if self._taken[provider_id] >= CALLS_AT_ONCE:
                    self._full.add(provider_id)
                else:  # places were freed while this batch was claimed
                    self._wake.set()

    # One call.

    async def _make(
        self, claimed: ClaimedCall, provider: BoundProvider, *, lease_until: float
    ) -> None:
        try:
            self._end(
                claimed, await make_call(claimed, provider, self._save, lease_until=lease_until)
            )
        except LeaseLost:
            logger.warning("call %s was taken over by another worker", claimed.intent_id)
        except asyncio.CancelledError:
            # Cancelled by nobody but this class, which wants to know how it stands.
            patience = self._rhythm.call_timeout
            given_up = give_up(claimed, provider, stopping=self._stopping, after_seconds=patience)
            self._end(claimed, given_up)
        finally:
            self._leave(claimed.provider_id)

    def _leave(self, provider_id: str) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._calls.pop(task, None)
        self._taken[provider_id] -= 1
        if not self._taken[provider_id]:
            del self._taken[provider_id]
        if provider_id in self._full or len(self._calls) == MOST_CALLS - 1:
            self._full.discard(provider_id)
            self._wake.set()

    async def _save(self, claimed: ClaimedCall, facts: Mapping[str, str]) -> None:
        parameters = (claimed.intent_id, claimed.fence, json.dumps(dict(facts)))
        try:
            ((held,),) = await self._side.fetch(_SAVE, parameters)
        except (DatabaseAway, psycopg.Error) as error:
            raise OutcomeUnknown("what the partner answered could not be stored") from error
        if not held:
            raise LeaseLost

    def _end(self, claimed: ClaimedCall, result: Result) -> None:
        failing = self._failing.setdefault(claimed.provider_id, set())
        if result["result"] in ("done", "needs_person"):
            failing.clear()
        else:
            self._plan_next(claimed, result, failing)
        self._recorder.add(claimed, result)

    def _plan_next(self, claimed: ClaimedCall, result: Result, failing: set[str]) -> None:
        """Say when to try again, and whether this attempt counts."""
        if len(failing) < 2:
            failing.add(claimed.intent_id)
        circuit = self._pool.circuit(claimed.provider_id)
        if len(failing) > 1 and circuit.failures >= FAILURES_TO_OPEN:
            result["counts"] = False  # not this call: nobody gets an answer there
        asked = result.get("after_seconds")
        if asked is not None:
            asked += random.uniform(0, min(1.0, self._rhythm.retry_base))  # noqa: S311
            # Who asks again and again for a wait of nothing is left alone longer each time too.
            patience = self._rhythm.back_off(claimed.calls - 1, longest=LONGEST_OUTAGE_WAIT)
            result["after_seconds"] = max(asked, patience)
        elif result.get("counts", True):
            result["after_seconds"] = self._rhythm.back_off(
                claimed.attempts + 1, longest=self._rhythm.retry_max
            )
        else:
            result["after_seconds"] = self._rhythm.back_off(
                claimed.calls, longest=LONGEST_OUTAGE_WAIT
            )
