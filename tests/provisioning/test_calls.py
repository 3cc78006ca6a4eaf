"""One call by itself: what is asked when the lease is over, and how a call that is cut short ends."""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal
from uuid import uuid4

import pytest

from handrail.core.outbound import OutboundPool
from handrail.enrollments.calls import ClaimedCall, LeaseLost, Result, give_up, make_call, put_off
from handrail.partners.protocol import ProviderConfig
from handrail.partners.providers import BoundProvider, bind_provider
from handrail.partners.registry import get_adapter
from tests.scripted_partner import ScriptedPartner, reply

NOBODY = reply(200, {"results": []})


def make_claimed(
    kind: Literal["create_account", "enroll", "unenroll"] = "create_account", **other: Any
) -> ClaimedCall:
    facts: dict[str, Any] = {
        "intent_id": str(uuid4()),
        "provider_id": str(uuid4()),
        "kind": kind,
        "fence": 3,
        "idempotency_key": "key-1",
        "key_age": 0.0,
        "uncertain": False,
        "attempts": 0,
        "calls": 1,
        "first_name": "Alice",
        "last_name": "Example",
        "email": "alice@example.org",
        "phone": "",
        "birth_date": None,
        "account_id": "A-1",
        "course_code": "C-1",
        "enrollment_id": "E-1",
        "saved": {},
        "leaving": False,
        "former_ids": None,
    }
    return ClaimedCall(**facts | other)


def bind(adapter: str, pool: OutboundPool, partner: ScriptedPartner) -> BoundProvider:
    config = ProviderConfig(
        id=uuid4(),
        slug=adapter,
        base_url=f"http://127.0.0.1:{partner.port}",
        credentials={"api_key": "key", "organization_id": "ORG-1"},
    )
    return BoundProvider(config, get_adapter(adapter), bind_provider(config, pool), "1")


async def save_nothing(_: ClaimedCall, __: Mapping[str, str]) -> None:
    return


def run_call(
    partner: ScriptedPartner, adapter: str, claimed: ClaimedCall, *, lease: float = 60.0
) -> Result:
    async def run() -> Result:
        pool = OutboundPool(allowed_private_hosts=[partner.host_port])
        until = asyncio.get_running_loop().time() + lease
        try:
            provider = bind(adapter, pool, partner)
            return await make_call(claimed, provider, save_nothing, lease_until=until)
        finally:
            await pool.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("adapter", "claimed"),
    [
        ("nrf", make_claimed("create_account")),
        ("nds", make_claimed("create_account")),
        ("nrf", make_claimed("enroll")),
        ("nrf", make_claimed("enroll", uncertain=True)),
        ("nrf", make_claimed("unenroll")),
    ],
)
def test_a_worker_whose_lease_is_over_changes_nothing_at_the_partner(
    partner: ScriptedPartner, adapter: str, claimed: ClaimedCall
) -> None:
    """It may have been stopped just before: by now somebody else has the call."""
    partner.answer(NOBODY)
    with pytest.raises(LeaseLost):
        run_call(partner, adapter, claimed, lease=-0.001)
    assert {each.method for each in partner.requests} <= {"GET"}


def test_each_call_carries_its_intents_key(partner: ScriptedPartner) -> None:
    partner.answer(NOBODY, reply(201, {"studentId": "A-1"}))
    result = run_call(partner, "milady", make_claimed())
    assert (result["result"], result["external_id"], result["fence"]) == ("done", "A-1", 3)
    assert partner.requests[1].headers["idempotency-key"].startswith("key-1")


def test_an_uncertain_call_stays_so_when_the_repeat_is_put_off(partner: ScriptedPartner) -> None:
    """The repeat did not happen; the call before it may have."""
    partner.answer(NOBODY, reply(503, {"message": "busy"}))
    result = run_call(partner, "careersafe", make_claimed("enroll", uncertain=True))
    assert (result["result"], result["uncertain"], result["counts"]) == ("failed", True, False)


def test_leaving_stays_undone_where_the_look_up_finds_nothing(partner: ScriptedPartner) -> None:
    partner.answer(NOBODY)
    claimed = make_claimed("enroll", uncertain=True, leaving=True)
    result = run_call(partner, "careersafe", claimed)
    assert (result["result"], result.get("uncertain", False)) == ("failed", False)
    assert [each.method for each in partner.requests] == ["GET"]


def test_a_missing_course_is_not_taken_for_a_missing_account(partner: ScriptedPartner) -> None:
    known = reply(200, {"results": [{"memberId": "A-1"}]})
    partner.answer(reply(404, {"message": "no such course"}), known)
    result = run_call(partner, "careersafe", make_claimed("enroll"))
    assert (result["cause"], result["error"]) == ("not_found", "404: no such course")


@pytest.mark.parametrize("now", ["nobody", "A-2"])
def test_a_missing_account_is_told_as_gone(partner: ScriptedPartner, now: str) -> None:
    found = [] if now == "nobody" else [{"memberId": now}]
    partner.answer(reply(404, {"message": "no such member"}), reply(200, {"results": found}))
    result = run_call(partner, "careersafe", make_claimed("enroll"))
    assert (result["result"], result["cause"]) == ("needs_person", "account_gone")


@pytest.mark.parametrize(
    ("adapter", "stopping", "outcome"),
    [
        ("nrf", True, ("unknown", "the worker was stopped", False, 7.0)),
        ("nrf", False, ("unknown", "the partner took too long", None, 7.0)),
        ("nds", False, ("needs_person", None, None, None)),
    ],
)
def test_a_call_that_is_cut_short_is_unknown(
    partner: ScriptedPartner,
    adapter: str,
    stopping: bool,  # noqa: FBT001 - by parametrize
    outcome: tuple[Any, ...],
) -> None:
    async def cut() -> Result:
        pool = OutboundPool(allowed_private_hosts=[partner.host_port])
        provider = bind(adapter, pool, partner)
        return give_up(make_claimed("enroll"), provider, stopping=stopping, after_seconds=7.0)

    result = asyncio.run(cut())
    error = result["error"] if result["result"] == "unknown" else None
    assert (result["result"], error, result.get("counts"), result.get("after_seconds")) == outcome
    assert result["uncertain"] is True


def test_a_call_that_was_not_begun_is_as_certain_as_before() -> None:
    for uncertain in (False, True):
        result = put_off(make_claimed(uncertain=uncertain), "no database")
        assert (result["result"], result["uncertain"], result["counts"]) == (
            "failed",
            uncertain,
            False,
        )
