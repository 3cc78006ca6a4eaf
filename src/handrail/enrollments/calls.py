"""One call to a partner: what to ask, in which order, and which of four results it has.

Results: done, failed (known not to have happened), unknown, needs_person. Pure of databases: the
worker claims and records (`enrollments.provisioning`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Any, Literal, NamedTuple, TypedDict, cast

from handrail.partners.protocol import (
    AccountFacts,
    EnrollmentFacts,
    NeedsPerson,
    Offers,
    OutcomeUnknown,
    PartnerCall,
    Person,
    RetryLater,
    Save,
)
from handrail.partners.providers import BoundProvider

KEY_MARGIN_SECONDS = 300
"""A key that the partner forgets so soon is not relied on: the call takes time, clocks differ."""

logger = logging.getLogger(__name__)


class ClaimedCall(NamedTuple):
    """A row of `claim_intents`."""

    intent_id: (
        str  # ids as text: they are passed on, and a UUID object costs more than a call of ours
    )
    provider_id: str
    kind: Literal["create_account", "enroll", "unenroll"]
    fence: int
    idempotency_key: str
    key_age: float
    """Seconds since the key was first sent."""
    uncertain: bool
    """An earlier call may have done the work."""
    attempts: int
    calls: int
    first_name: str
    last_name: str
    email: str
    phone: str
    birth_date: date | None
    account_id: str | None
    course_code: str | None
    enrollment_id: str | None
    saved: Mapping[str, str] | None
    leaving: bool | None
    """Nobody waits for this enrollment any more."""
    former_ids: list[str] | None
    """What the partner may answer to a look-up that belongs to earlier runs."""


class Result(TypedDict, total=False):
    """An element of what `record_call_results` takes; see the SQL type call_result."""

    intent_id: str
    fence: int
    result: Literal["done", "failed", "unknown", "needs_person"]
    external_id: str
    username: str
    login_url: str
    error: str
    after_seconds: float
    counts: bool
    uncertain: bool
    cause: str


class LeaseLost(Exception):
    """Somebody else has the call now: stop, and record nothing."""


SaveFacts = Callable[[ClaimedCall, Mapping[str, str]], Awaitable[None]]
"""Keeps what an adapter must remember; raises LeaseLost."""


async def make_call(
    claimed: ClaimedCall, provider: BoundProvider, save: SaveFacts, *, lease_until: float
) -> Result:
    """Make the call and say how it ended; `after_seconds` only where the partner asked for it.

    `lease_until`, by the event loop's clock: a worker that was stopped asks for nothing after it.

    Raises:
        LeaseLost: there is nothing to record.
    """
    call = _Call(claimed, provider, save, lease_until)
    try:
        return await call.make()
    except RetryLater as error:
        wait = {} if error.after_seconds is None else {"after_seconds": error.after_seconds}
        return call.end(
            "failed",
            error=error.reason,
            counts=not error.outage,
            uncertain=claimed.uncertain,
            **wait,
        )
    except OutcomeUnknown as error:
        return call.end_unknown(error.reason, after_seconds=error.after_seconds)
    except NeedsPerson as error:
        return call.end_with_person(error)
    except LeaseLost:
        raise
    except Exception as error:
        # Nobody knows what was sent before our own mistake showed.
        logger.exception("the adapter %s failed", provider.adapter.name)
        return call.end_unknown(f"an error in Handrail ({type(error).__name__})")


def put_off(claimed: ClaimedCall, reason: str) -> Result:
    """The result of a claimed call that was not begun; it is tried again soon."""
    return Result(
        intent_id=claimed.intent_id,
        fence=claimed.fence,
        result="failed",
        error=reason,
        after_seconds=1.0,
        counts=False,
        uncertain=claimed.uncertain,
    )


def ask_for_configuration(claimed: ClaimedCall, problem: str) -> Result:
    """The result of a call that was not begun, for nobody can call this provider as it is set up."""
    return Result(
        intent_id=claimed.intent_id,
        fence=claimed.fence,
        result="needs_person",
        cause="configuration",
        error=problem,
        uncertain=claimed.uncertain,
    )


def give_up(
    claimed: ClaimedCall, provider: BoundProvider, *, stopping: bool, after_seconds: float
) -> Result:
    """The result of a call that was ended in its middle: by a worker that stops, or for its time.

    `after_seconds`: so long the partner may still be at it.
    """
    call = _Call(claimed, provider, _save_nothing, 0.0)
    if stopping:
        result = call.end_unknown("the worker was stopped", after_seconds=after_seconds)
        result["counts"] = False
        return result
    return call.end_unknown("the partner took too long", after_seconds=after_seconds)


async def _save_nothing(_claimed: ClaimedCall, _facts: Mapping[str, str]) -> None:
    raise LeaseLost


def can_find_out(kind: str, offers: Offers, key_age: float) -> bool:
    """Whether a repeat can tell, or does no harm, after a call that may have done the work."""
    if kind == "unenroll" or key_age + KEY_MARGIN_SECONDS < offers.idempotency_hours * 3600:
        return True
    return offers.find_account if kind == "create_account" else offers.find_enrollment


class _Call:
    """A claimed call at its provider."""

    def __init__(
        self, claimed: ClaimedCall, provider: BoundProvider, save: SaveFacts, lease_until: float
    ) -> None:
        self.claimed = claimed
        self._lease_until = lease_until
        self.adapter = provider.adapter
        self.offers = provider.adapter.offers
        self.call: PartnerCall = provider.call(claimed.idempotency_key)
        self._save = save

    async def make(self) -> Result:
        claimed = self.claimed
        if claimed.uncertain and not self._can_find_out():
            return self.end_undecidable(
                "an earlier call was not answered, or is not in the backup that was restored"
            )
        match claimed.kind:
            case "create_account":
                return await self._get_account()
            case "enroll":
                return await self._get_enrollment()
            case "unenroll":
                self._check_lease()
                await self.adapter.unenroll(
                    self.call, external_enrollment_id=claimed.enrollment_id or ""
                )
                return self.end("done")

    async def _get_account(self) -> Result:
        claimed = self.claimed
        person = Person(
            claimed.first_name, claimed.last_name, claimed.email, claimed.phone, claimed.birth_date
        )
        found: AccountFacts | None = None
        if self.offers.find_account:
            found = await self.adapter.find_account(self.call, person)
        if found is None:
            self._check_lease()
        account = found or await self.adapter.create_account(self.call, person)
        return self.end(
            "done",
            external_id=account.external_id,
            username=account.username,
            login_url=account.login_url,
        )

    async def _get_enrollment(self) -> Result:
        claimed = self.claimed
        if claimed.account_id is None:
            # The account was given up between claim and now: its new one brings a new call.
            return self.end("failed", error="the account is being made again", counts=False)
        account_id, course_code = claimed.account_id, claimed.course_code or ""
        if claimed.uncertain and self.offers.find_enrollment:
            found = await self.adapter.find_enrollment(
                self.call, account_id=account_id, course_code=course_code
            )
            if found and found.external_id not in (claimed.former_ids or ()):
                return self._end_enrolled(found)
            if claimed.leaving:
                # It did not happen, and nobody wants it any more: do not make it now.
                return self.end("failed", error="left before it was done", counts=False)
        self._check_lease()
        try:
            made = await self.adapter.enroll(
                self.call,
                account_id=account_id,
                course_code=course_code,
                saved=claimed.saved or {},
                save=self._saver(),
            )
        except NeedsPerson as error:
            if error.cause == "not_found" and await self._account_is_gone(account_id):
                raise NeedsPerson("account_gone", error.words) from error
            raise
        return self._end_enrolled(made)

    async def _account_is_gone(self, account_id: str) -> bool:
        """Ask whether "not found" meant the account; where that cannot be asked, a person decides."""
        if not self.offers.find_account:
            return False
        claimed = self.claimed
        person = Person(
            claimed.first_name, claimed.last_name, claimed.email, claimed.phone, claimed.birth_date
        )
        found = await self.adapter.find_account(self.call, person)
        return found is None or found.external_id != account_id

    def _check_lease(self) -> None:
        if asyncio.get_running_loop().time() > self._lease_until:
            raise LeaseLost

    def _saver(self) -> Save:
        async def save(facts: Mapping[str, str]) -> None:
            await self._save(self.claimed, facts)

        return save

    def _can_find_out(self) -> bool:
        return can_find_out(self.claimed.kind, self.offers, self.claimed.key_age)

    def _end_enrolled(self, enrollment: EnrollmentFacts) -> Result:
        return self.end("done", external_id=enrollment.external_id, login_url=enrollment.access_url)

    def end(
        self, outcome: Literal["done", "failed", "unknown", "needs_person"], **facts: Any
    ) -> Result:
        result = Result(intent_id=self.claimed.intent_id, fence=self.claimed.fence, result=outcome)
        result.update(cast("Result", facts))
        return result

    def end_unknown(self, reason: str, *, after_seconds: float | None = None) -> Result:
        if not self._can_find_out():
            return self.end_undecidable(reason)
        wait = {} if after_seconds is None else {"after_seconds": after_seconds}
        return self.end("unknown", error=reason, uncertain=True, **wait)

    def end_undecidable(self, reason: str) -> Result:
        return self.end(
            "needs_person",
            cause="undecidable",
            error=f"The partner may have done it; look there. What happened: {reason.rstrip('. ')}.",
            uncertain=True,
        )

    def end_with_person(self, error: NeedsPerson) -> Result:
        more = {"external_id": error.existing_id} if error.existing_id else {}
        return self.end(
            "needs_person",
            cause=error.cause,
            error=error.words,
            uncertain=self.claimed.uncertain,
            **more,
        )
