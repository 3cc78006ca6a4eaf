"""Requests that go wrong: what the client sees, what was done, and what the ledger says."""

import http.client
import json
import time
from collections import Counter
from typing import Any

import pytest

from handrail_sandbox.config import REQUEST_RATES, parse_config
from handrail_sandbox.faults import MISBEHAVIORS, choose_request_fault, choose_webhook_fault
from handrail_sandbox.world import World
from tests.sandbox.partners import CONTRACTS, enroll, get_account, make_config, open_account
from tests.sandbox.process import Sandbox, Start
from tests.sandbox.receiver import Receiver
from tests.sandbox.test_idempotency import open_state

HANG = 0.6
ANSWERED = {
    "error_after": 500,
    "error_before": 500,
    "limit": 429,
    "busy": 503,
    "down": 503,
    "refuse_key": 401,
}


@pytest.fixture
def faulty(start: Start, receiver: Receiver) -> Sandbox:
    faults = {"hang_seconds": HANG, "retry_after_seconds": 7}
    return start(make_config({"milady": receiver.url("milady")}, faults=faults))


def order(sandbox: Sandbox, kind: str, **fields: object) -> None:
    sandbox.control("POST", "faults", {"partner": "milady", "on": "enroll", "kind": kind, **fields})


def count_enrollments(sandbox: Sandbox, account: str) -> int:
    return len(sandbox.list_all("enrollments", account=account))


def last_entry(sandbox: Sandbox) -> dict[str, Any]:
    return sandbox.list_all("ledger", operation="enroll")[-1]


@pytest.mark.parametrize("kind", ANSWERED)
def test_faults_with_an_answer(faulty: Sandbox, kind: str) -> None:
    account = get_account(faulty, "milady")
    order(faulty, kind)
    reply = enroll(faulty, "milady", account)
    assert reply.status == ANSWERED[kind]
    has_wait = kind in {"limit", "busy"}
    assert reply.headers.get("retry-after") == ("7" if has_wait else None)
    is_done = kind == "error_after"
    assert count_enrollments(faulty, account) == int(is_done)
    entry = last_entry(faulty)
    assert (entry["fault"], entry["answered"]) == (kind, str(ANSWERED[kind]))
    assert entry["outcome"] == ("created" if is_done else "not_done")
    again = enroll(faulty, "milady", account)
    assert again.status == (409 if is_done else 201)


@pytest.mark.parametrize("kind", ["drop_after", "drop_before", "hang_after", "hang_before"])
def test_faults_without_an_answer(faulty: Sandbox, kind: str) -> None:
    account = get_account(faulty, "milady")
    order(faulty, kind)
    began = time.monotonic()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        enroll(faulty, "milady", account)
    took = time.monotonic() - began
    assert (took >= HANG) == kind.startswith("hang")
    is_done = kind.endswith("after")
    assert count_enrollments(faulty, account) == int(is_done)
    entry = last_entry(faulty)
    assert (entry["fault"], entry["answered"]) == (kind, "")
    assert entry["outcome"] == ("created" if is_done else "not_done")


@pytest.mark.parametrize(("kind", "done_at_once"), [("hang_after", 1), ("hang_late", 0)])
def test_a_client_that_gives_up_does_not_undo_the_work(
    faulty: Sandbox, kind: str, done_at_once: int
) -> None:
    account = get_account(faulty, "milady")
    order(faulty, kind)
    with pytest.raises(TimeoutError):
        enroll(faulty, "milady", account, seconds=HANG / 3)
    assert count_enrollments(faulty, account) == done_at_once
    assert faulty.control("GET", "status")["working"] == 1
    faulty.wait_idle()
    assert count_enrollments(faulty, account) == 1


def test_the_late_work_and_the_repeat_make_one_enrollment(faulty: Sandbox) -> None:
    account = get_account(faulty, "milady")
    order(faulty, "hang_late")
    with pytest.raises(TimeoutError):
        enroll(faulty, "milady", account, key="a-key", seconds=HANG / 3)
    assert enroll(faulty, "milady", account, key="a-key").status == 201
    faulty.wait_idle()
    assert count_enrollments(faulty, account) == 1
    assert [it["outcome"] for it in faulty.list_all("ledger", operation="enroll")] == [
        "created",
        "replayed",
    ]


def test_a_repeat_with_the_key_after_a_500_is_the_answer_that_was_lost(faulty: Sandbox) -> None:
    account = get_account(faulty, "milady")
    order(faulty, "error_after")
    assert enroll(faulty, "milady", account, key="a-key").status == 500
    again = enroll(faulty, "milady", account, key="a-key")
    assert (again.status, again.headers["idempotent-replayed"]) == (201, "true")


def test_a_hanging_request_does_not_hold_up_the_stop(faulty: Sandbox) -> None:
    faulty.stop()
    faulty.config["faults"]["hang_seconds"] = 60
    faulty.start()
    account = get_account(faulty, "milady")
    order(faulty, "hang_before")
    with pytest.raises(TimeoutError):
        enroll(faulty, "milady", account, seconds=0.3)
    began = time.monotonic()
    assert faulty.stop() == (0, "")
    assert time.monotonic() - began < 5


def test_ordered_faults_are_for_whom_they_are_for(faulty: Sandbox) -> None:
    order(faulty, "down", times=2)
    assert open_account(faulty, "milady").status == 201
    account = get_account(faulty, "hsi")
    assert enroll(faulty, "hsi", account).status == 201
    account = get_account(faulty, "milady")
    assert [enroll(faulty, "milady", account).status for _ in range(3)] == [503, 503, 201]
    faulty.control("POST", "faults", {"kind": "down"})
    assert open_account(faulty, "nrf").status == 503
    faulty.control("POST", "faults", {"kind": "down", "times": 9})
    assert faulty.control("DELETE", "faults")["ordered_faults"] == 0
    assert open_account(faulty, "nrf").status == 201


def test_who_is_not_authentic_gets_no_fault(faulty: Sandbox) -> None:
    faulty.control("POST", "faults", {"kind": "down"})
    assert faulty.send("POST", "/milady/api/v1/students", body=b"{}").status == 401
    assert open_account(faulty, "milady").status == 503


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "Write a kind of fault, or by_chance true or false."),
        ({"kind": "explode"}, "The kinds are error_after, "),
        ({"kind": "down", "partner": "nobody"}, "There is no such partner here."),
        ({"kind": "down", "times": 0}, "on is a text, times a number from 1."),
        ({"by_chance": "yes"}, "Write a kind of fault, or by_chance true or false."),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    sandbox: Sandbox, fields: dict[str, object], words: str
) -> None:
    headers = {"Authorization": f"Bearer {sandbox.config['control_token']}"}
    body = json.dumps(fields).encode()
    reply = sandbox.send("POST", "/control/faults", body=body, headers=headers)
    assert reply.status == 422
    assert reply.json["message"].startswith(words)


# ------------------------------------------------------------------------------- by chance


def test_every_rate_has_its_meaning() -> None:
    assert {*REQUEST_RATES, "refuse_key"} == set(MISBEHAVIORS)  # that one is ordered only


def make_world(**faults: Any) -> World:
    return World(parse_config(make_config({}, faults={"on": True, **faults})), "http://x.test")


def choose_many(world: World, slug: str, identities: int, repeats: int) -> list[list[str]]:
    partner = world.config.partners[slug]
    with open_state() as db:
        return [
            [
                choose_request_fault(db, world, partner, operation="enroll", identity=f"id {at}")
                for _ in range(repeats)
            ]
            for at in range(identities)
        ]


def test_one_identity_goes_wrong_a_few_times_at_most() -> None:
    world = make_world(requests={"down": 0.9}, per_identity=3)
    for faults in choose_many(world, "milady", 50, 40):
        assert Counter(faults)["down"] == 3
        assert faults[-10:] == [""] * 10


def test_chance_repeats_itself_with_its_seed() -> None:
    first, again = (choose_many(make_world(), "milady", 200, 4) for _ in range(2))
    assert first == again
    config = make_config({}, faults={"on": True}, seed=2)
    other = choose_many(World(parse_config(config), "http://x.test"), "milady", 200, 4)
    assert other != first


def test_each_fault_comes_about_as_often_as_its_rate_says() -> None:
    chosen = Counter(faults[0] for faults in choose_many(make_world(), "milady", 4000, 1))
    for kind, rate in REQUEST_RATES.items():
        assert 0.6 * rate < chosen[kind] / 4000 < 1.5 * rate


@pytest.mark.parametrize("slug", ["nds", "jri"])
def test_no_late_work_by_chance_where_nobody_could_find_it(slug: str) -> None:
    world = make_world(requests={"hang_late": 1.0})
    assert {it[0] for it in choose_many(world, slug, 20, 1)} == {"hang_after"}
    assert {it[0] for it in choose_many(world, "milady", 20, 1)} == {"hang_late"}


def test_webhooks_go_wrong_by_chance_too() -> None:
    world = make_world(webhooks={"lose": 0.5})
    partner = world.config.partners["milady"]
    with open_state() as db:
        chosen = [
            choose_webhook_fault(db, world, partner, event="course.completed", identity=str(at))
            for at in range(100)
        ]
    assert 30 < Counter(chosen)["lose"] < 70


def test_faults_by_chance_are_off_until_asked_for(start: Start) -> None:
    config = make_config({}, faults={"requests": {"down": 1.0}, "per_identity": 1000})
    sandbox = start(config)
    assert open_account(sandbox, "milady").status == 201
    sandbox.control("POST", "faults", {"by_chance": True})
    assert open_account(sandbox, "milady").status == 503
    sandbox.stop()
    sandbox.start()
    assert open_account(sandbox, "milady").status == 503
    sandbox.control("POST", "faults", {"by_chance": False})
    assert open_account(sandbox, "milady").status == 201
    assert open_account(start(config, "--faults"), "milady").status == 503


def test_a_client_that_repeats_gets_through_all_faults(start: Start, receiver: Receiver) -> None:
    """With everything on: each account and enrollment comes about, exactly once."""
    rates = dict.fromkeys(REQUEST_RATES, 0.09)
    faults = {"hang_seconds": 0.05, "requests": rates, "per_identity": 2}
    sandbox = start(make_config({"milady": receiver.url("milady")}, faults=faults), "--faults")

    def insist(ask: Any) -> Any:
        for _ in range(8):
            try:
                reply = ask()
            except (http.client.RemoteDisconnected, ConnectionResetError):
                continue
            if reply.status in {201, 409}:
                return reply.json
        raise AssertionError("no answer after eight tries")

    for slug in ("milady", "careersafe", "nrf"):
        contract = CONTRACTS[slug]
        for at in range(12):
            email = f"{slug}{at}@example.org"
            account = insist(lambda: open_account(sandbox, slug, email))[contract.account_id]  # noqa: B023
            assert insist(lambda: enroll(sandbox, slug, account))["enrollmentId"]  # noqa: B023
    sandbox.wait_idle()
    assert len(sandbox.list_all("enrollments")) == 36
    assert {it["fault"] for it in sandbox.list_all("ledger")} >= {"error_after", "drop_after", ""}
