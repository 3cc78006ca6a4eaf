"""The reconciler: asks partners in a steady rhythm how far their learners are.

Webhooks get lost at the sender too. Once in each interval every step in progress at a provider
with a progress read is looked at, spread over the interval; what differs from what we know enters
the machine as an event with cause "reconciliation". One worker at a time does it.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeVar

import psycopg
from django.conf import settings

from handrail.core.crypto import Keyring
from handrail.core.service_connection import DatabaseAway, ServiceConnection
from handrail.core.worker import WorkerContext
from handrail.enrollments.progress_queries import (
    Run,
    Stage,
    list_runs,
    list_stages,
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
"""A partner that has not answered for so long is shown to a person."""
_LOCK = 4_727_111  # any number, the same in every worker
_LEAD_AGAIN_SECONDS = 10.0
_SHARE = 0.9  # of the interval, over which the questions are spread
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
        while True:
            until = loop.time() + interval
            if await reconciler.is_leading() and not await reconciler.is_held():
                await reconciler.go_round(seconds=interval * _SHARE)
            else:
                until = loop.time() + min(interval, _LEAD_AGAIN_SECONDS)
            await asyncio.sleep(max(0.1, until - loop.time()))
    finally:
        await reconciler.close()


class Reconciler:
    """Asks partners, round after round, and compares."""

    def __init__(self, context: WorkerContext, keyring: Keyring) -> None:
        self.connection = ServiceConnection(context.dsn, name="reconciliation")
        self.providers = ProviderCache(self.connection, pool=context.pool, keyring=keyring)
        self.well: set[str] = set()  # providers that answered last time
        self.silent_since: dict[str, float] = {}  # by provider, in the loop's time

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
        await self.providers.refresh()
        stages = [each for each in await list_stages(self.connection) if slug in ("", each.slug)]
        found = await self.providers.get({each.provider_id for each in stages})
        this = _Round(self, seconds=seconds, dry_run=dry_run)
        try:
            async with asyncio.TaskGroup() as walks:
                for provider_id, provider in found.items():
                    if isinstance(provider, Unusable):
                        await this.tell_unusable(provider_id, str(provider))
                    else:
                        own = [each for each in stages if each.provider_id == provider_id]
                        walks.create_task(this.walk(provider, own))
                walks.create_task(this.look_for_certificates(slug))
        except* DatabaseAway as errors:
            this.broken = _find_first(errors)
        if this.broken is not None:
            raise this.broken
        return this.tally


class _Round:
    def __init__(self, reconciler: Reconciler, *, seconds: float, dry_run: bool) -> None:
        self.tally = Tally()
        self.broken: Exception | None = None
        self._all = reconciler
        self._connection = reconciler.connection
        self._seconds = seconds
        self._dry_run = dry_run

    async def walk(self, provider: BoundProvider, stages: Sequence[Stage]) -> None:
        """Ask one provider about all its learners, one after the other in its rhythm."""
        gap = self._seconds / max(1, sum(each.learners for each in stages))
        places = asyncio.Semaphore(CALLS_AT_ONCE)
        async with asyncio.TaskGroup() as asking:
            for stage in stages:
                async for run in list_runs(self._connection, stage):
                    await asyncio.sleep(gap)
                    await places.acquire()
                    asking.create_task(self._ask(provider, run, places))

    async def look_for_certificates(self, slug: str) -> None:
        """Ask for the certificates of courses completed in the last days."""
        async for completed in list_without_certificate(self._connection):
            if slug not in ("", completed.slug):
                continue
            found = await self._all.providers.get([completed.provider_id])
            provider = found[completed.provider_id]
            if isinstance(provider, BoundProvider) and provider.adapter.offers.certificate:
                await self._ask_for_certificate(provider, completed.run)

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
        except (RetryLater, OutcomeUnknown, Unintelligible) as error:
            self.tally.unanswered += 1
            logger.info("%s was not compared: %s", provider.config.slug, error)
            now = asyncio.get_running_loop().time()
            if now - self._all.silent_since.setdefault(provider_id, now) >= SILENT_SECONDS:
                await self.tell_unusable(provider_id, f"no answer for over an hour, now: {error}")
            return None
        except NeedsPerson as error:
            self.tally.unanswered += 1
            self._all.silent_since.pop(provider_id, None)
            logger.warning("%s was not compared: %s", provider.config.slug, error)
            if error.cause in _PROVIDER_CAUSES:
                await self.tell_unusable(provider_id, error.words)
            return None
        self._all.silent_since.pop(provider_id, None)
        if provider_id not in self._all.well:
            self._all.well.add(provider_id)
            await self._tell(_MENDED, provider_id)
        return answer

    async def tell_unusable(self, provider_id: str, problem: str) -> None:
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


def _find_first(error: BaseException) -> Exception | None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else None


def _is_new(fact: PartnerFact, run: Run) -> bool:
    """Whether this tells us something about a run that we take for active."""
    if fact.kind == "progress.updated":
        return fact.percent is not None and fact.percent != (run.progress or 0)
    return fact.kind != "enrollment.created"
