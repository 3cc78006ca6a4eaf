"""The reconciler: asks partners in a steady rhythm how far their learners are.

Webhooks get lost at the sender too. Once in each interval every step in progress at a provider
with a progress read is looked at, spread over the interval; what differs from what we know enters
the machine as an event with cause "reconciliation". A provider too slow for that takes longer, and
no other waits for it. One worker at a time does it.
"""

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import psycopg
from django.conf import settings

from handrail.core.crypto import Keyring
from handrail.core.service_connection import ServiceConnection
from handrail.core.worker import WorkerContext
from handrail.enrollments.queries.reconciling import (
    AskedStep,
    Run,
    list_asked_steps,
    list_runs,
    list_without_certificate,
)
from handrail.enrollments.reports import describe_fact
from handrail.partners.protocol import (
    NeedsPerson,
    OutcomeUnknown,
    PartnerFact,
    RetryLater,
    Unintelligible,
)
from handrail.partners.providers import BoundProvider, ProviderCache, Unusable

CALLS_AT_ONCE = 4
"""At one provider; the rest of its places are for enrolling."""
SILENT_SECONDS = 3600.0
"""A partner that has given no usable answer for so long is shown to a person."""
_LOCK = 4_727_111  # any number, the same in every worker
_LEAD_AGAIN_SECONDS = 10.0
_SHARE = 0.9  # of the interval, over which the questions are spread
_CERTIFICATES = "certificates"
_PROVIDER_CAUSES = frozenset({"credentials", "address", "configuration", "redirect"})

_LEAD = "select pg_try_advisory_lock(%b)"
_HELD = "select outbound_held from installation"
_APPLY = "select ref, outcome, reason from apply_partner_events(%b::jsonb)"
_ATTEND = """
select open_attention(organization_id, 'reconciliation', id, %b, '{}', null, id)
from partner_lms_providers where id = %b::uuid
"""
_MENDED = "select close_attention('reconciliation', %b::uuid, 'the partner can be asked again')"

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Difference(NamedTuple):
    """What a partner says and we did not know."""

    provider: str
    fact: PartnerFact
    outcome: str
    """What the machine made of it: applied, ignored; or "found" where nothing was to be changed."""
    reason: str


@dataclass
class Tally:
    """What a round found."""

    asked: int = 0
    unanswered: int = 0
    differences: list[Difference] = field(default_factory=list)


async def run_reconciling(context: WorkerContext) -> None:
    """Go round after round until the context's `stop`, while no other worker does."""
    rounds = asyncio.create_task(_go_on(context))
    stopped = asyncio.create_task(context.stop.wait())
    try:
        await asyncio.wait((rounds, stopped), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        rounds.cancel()  # A question that is not answered yet does no harm.
        (end,) = await asyncio.gather(rounds, return_exceptions=True)
    if isinstance(end, Exception):
        raise end


async def _go_on(context: WorkerContext) -> None:
    interval = settings.HANDRAIL_RECONCILE_SECONDS
    loop = asyncio.get_running_loop()
    reconciler = Reconciler(context, Keyring(settings.HANDRAIL_SECRET_KEYS))
    try:
        async with _walks_together() as walks:
            while True:
                until = loop.time() + interval
                if await reconciler.is_leading() and not await reconciler.is_held():
                    await reconciler.begin_round(walks, seconds=interval * _SHARE)
                else:
                    until = loop.time() + min(interval, _LEAD_AGAIN_SECONDS)
                await asyncio.sleep(max(0.1, until - loop.time()))
    finally:
        await reconciler.close()


@asynccontextmanager
async def _walks_together() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks that ends with all of them, or with the first that fails, by its exception."""
    try:
        async with asyncio.TaskGroup() as walks:
            yield walks
    except BaseExceptionGroup as errors:
        raise _find_first(errors) from errors


class Reconciler:
    """Asks partners, round after round, and compares."""

    def __init__(self, context: WorkerContext, keyring: Keyring) -> None:
        self.connection = ServiceConnection(context.dsn, name="reconciliation")
        self.providers = ProviderCache(self.connection, pool=context.pool, keyring=keyring)
        self.well: set[str] = set()  # providers that answered last time
        self.silent_since: dict[str, float] = {}  # by provider, in the loop's time
        self._walking: set[str] = set()  # the providers that are being asked, and _CERTIFICATES

    async def close(self) -> None:
        """Let another worker go on."""
        await self.connection.close()

    async def is_leading(self) -> bool:
        """Whether this is the one that asks; it stays so until it is closed."""
        ((leading,),) = await self.connection.fetch(_LEAD, (_LOCK,))
        return bool(leading)

    async def is_held(self) -> bool:
        """Whether nothing may go out, as after a restore."""
        ((held,),) = await self.connection.fetch(_HELD)
        return bool(held)

    async def go_round(
        self, *, seconds: float = 0.0, slug: str = "", dry_run: bool = False
    ) -> Tally:
        """Ask once about every step in progress, and for certificates that are missing.

        `seconds`: over which the questions to each provider are spread; 0: as fast as it answers.
        `slug`: only this provider's. `dry_run`: compare, change nothing.

        Raises:
            DatabaseAway: try again later.
        """
        async with _walks_together() as walks:
            return await self.begin_round(walks, seconds=seconds, slug=slug, dry_run=dry_run)

    async def begin_round(
        self, walks: asyncio.TaskGroup, *, seconds: float, slug: str = "", dry_run: bool = False
    ) -> Tally:
        """The same in tasks of `walks`; what it found is complete when these have ended.

        Who is still being asked since the round before is left out.
        """
        await self.providers.refresh()
        this = _Round(self, seconds=seconds, dry_run=dry_run)
        steps: dict[str, list[AskedStep]] = defaultdict(list)
        for each in await list_asked_steps(self.connection):
            if slug in ("", each.slug):
                steps[each.provider_id].append(each)
        for provider_id, own in steps.items():
            if provider_id not in self._walking:
                self._begin(walks, provider_id, this.walk(provider_id, own))
        if _CERTIFICATES not in self._walking:
            self._begin(walks, _CERTIFICATES, this.look_for_certificates(slug))
        return this.tally

    def _begin(self, walks: asyncio.TaskGroup, name: str, walk: Coroutine[Any, Any, None]) -> None:
        self._walking.add(name)
        walks.create_task(walk).add_done_callback(lambda _: self._walking.discard(name))


class _Round:
    def __init__(self, reconciler: Reconciler, *, seconds: float, dry_run: bool) -> None:
        self.tally = Tally()
        self._all = reconciler
        self._connection = reconciler.connection
        self._seconds = seconds
        self._dry_run = dry_run

    async def walk(self, provider_id: str, steps: Sequence[AskedStep]) -> None:
        """Ask one provider about all its learners, one after the other in its rhythm."""
        gap = self._seconds / max(1, sum(each.learners for each in steps))
        places = asyncio.Semaphore(CALLS_AT_ONCE)
        async with asyncio.TaskGroup() as asking:
            for step in steps:
                async for run in list_runs(self._connection, step):
                    await asyncio.sleep(gap)
                    await places.acquire()
                    provider = await self._find(provider_id)
                    if isinstance(provider, Unusable):
                        await self._tell_unusable(provider_id, str(provider))
                        return
                    asking.create_task(self._ask(provider, run, places))

    async def look_for_certificates(self, slug: str) -> None:
        """Ask for the certificates of courses completed in the last days."""
        silent: set[str] = set()  # for the others' sake asked no more this time
        async for completed in list_without_certificate(self._connection):
            provider_id = completed.provider_id
            if slug not in ("", completed.slug) or provider_id in silent:
                continue
            provider = await self._find(provider_id)
            if isinstance(provider, BoundProvider) and provider.adapter.offers.certificate:
                before = self.tally.unanswered
                await self._ask_for_certificate(provider, completed.run)
                if self.tally.unanswered > before:
                    silent.add(provider_id)

    async def _find(self, provider_id: str) -> BoundProvider | Unusable:
        """The provider as it is configured now."""
        return (await self._all.providers.get([provider_id]))[provider_id]

    async def _ask(self, provider: BoundProvider, run: Run, places: asyncio.Semaphore) -> None:
        try:
            asked_at = run.get_time()
            facts = await self._get_answer(
                provider,
                provider.adapter.read_progress(
                    provider.call(str(run.id)), external_enrollment_id=run.external_id
                ),
            )
            new = [fact for fact in facts or () if _is_new(fact, run)]
            if new:
                await self._take_over(provider, new, asked_at)
            if (
                any(fact.kind == "course.completed" for fact in new)
                and provider.adapter.offers.certificate
            ):
                await self._ask_for_certificate(provider, run)
        finally:
            places.release()

    async def _ask_for_certificate(self, provider: BoundProvider, run: Run) -> None:
        asked_at = run.get_time()
        certificate = await self._get_answer(
            provider,
            provider.adapter.read_certificate(
                provider.call(str(run.id)), external_enrollment_id=run.external_id
            ),
        )
        if certificate is not None:
            fact = PartnerFact("certificate.issued", run.external_id, certificate=certificate)
            await self._take_over(provider, [fact], asked_at)

    async def _get_answer(self, provider: BoundProvider, call: Awaitable[T]) -> T | None:
        """The partner's answer; None when there is none this time: the next round asks again."""
        provider_id = str(provider.config.id)
        self.tally.asked += 1
        try:
            answer = await call
        except (RetryLater, OutcomeUnknown, Unintelligible, NeedsPerson) as error:
            self.tally.unanswered += 1
            logger.info("%s was not compared: %s", provider.config.slug, error)
            now = asyncio.get_running_loop().time()
            silent_since = self._all.silent_since.setdefault(provider_id, now)
            if isinstance(error, NeedsPerson) and error.cause in _PROVIDER_CAUSES:
                await self._tell_unusable(provider_id, error.words)
            elif now - silent_since >= SILENT_SECONDS:
                words = f"no usable answer for over an hour, now: {error}"
                await self._tell_unusable(provider_id, words)
            return None
        self._all.silent_since.pop(provider_id, None)
        if provider_id not in self._all.well:
            self._all.well.add(provider_id)
            await self._tell(_MENDED, provider_id)
        return answer

    async def _tell_unusable(self, provider_id: str, problem: str) -> None:
        """Put a provider that cannot be asked on the attention list."""
        self._all.well.discard(provider_id)
        reason = problem.rstrip(".")  # the partner's words, which may end with one
        words = f"The partner cannot be asked how far its learners are: {reason}."
        await self._tell(_ATTEND, words, provider_id)

    async def _tell(self, statement: str, *parameters: object) -> None:
        if not self._dry_run:
            await self._connection.fetch(statement, parameters)

    async def _take_over(
        self, provider: BoundProvider, facts: Sequence[PartnerFact], asked_at: datetime
    ) -> None:
        outcomes: dict[int, tuple[str, str]] = {}
        if not self._dry_run:
            described = [
                describe_fact(
                    fact,
                    ref=str(number),
                    provider_id=provider.config.id,
                    received_at=asked_at,
                    cause_kind="reconciliation",
                )
                for number, fact in enumerate(facts)
            ]
            try:
                rows = await self._connection.fetch(_APPLY, (json.dumps(described),))
            except psycopg.Error as error:
                logger.warning(
                    "a difference is left to the next round: %s", str(error).partition("\n")[0]
                )
                return
            outcomes = {int(ref): (outcome, reason) for ref, outcome, reason in rows}
        self.tally.differences += [
            Difference(provider.config.slug, fact, *outcomes.get(number, ("found", "")))
            for number, fact in enumerate(facts)
        ]


def _find_first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _is_new(fact: PartnerFact, run: Run) -> bool:
    """Whether this tells us something about a run that we take for active."""
    if fact.kind == "progress.updated":
        return fact.percent is not None and fact.percent != (run.progress or 0)
    return fact.kind != "enrollment.created"
