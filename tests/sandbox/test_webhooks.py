"""What the sandbox sends, signs and sends again. The proof is checked by a third party's package."""

import hashlib
import hmac
import itertools
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from handrail_sandbox.delivery import parse_retry_after
from handrail_sandbox.signing import sign
from tests.sandbox.partners import (
    PLAIN_SECRET,
    PREVIOUS_SECRET,
    SECRET,
    SLUGS,
    act,
    get_enrollment,
    make_config,
)
from tests.sandbox.process import Sandbox, Start, with_query
from tests.sandbox.receiver import Received, Receiver

STANDARD = ("milady", "hsi", "nrf", "nds", "jri")


def start_with(start: Start, receiver: Receiver, **top: object) -> Sandbox:
    return start(make_config({slug: receiver.url(slug) for slug in SLUGS}, **top))


def state_of(sandbox: Sandbox, webhook: Received) -> tuple[str, int]:
    [found] = [it for it in sandbox.list_all("webhooks") if it["id"] == webhook.id]
    return found["state"], found["attempts"]


@pytest.mark.parametrize("slug", SLUGS)
def test_the_story_of_a_course(sandbox: Sandbox, shared_receiver: Receiver, slug: str) -> None:
    id = get_enrollment(sandbox, slug)
    act(sandbox, slug, id, "progress", percent=50, at="2026-05-28T20:26:40Z")
    act(sandbox, slug, id, "complete", at="2026-05-29T20:26:40.5+02:00")
    story = shared_receiver.wait(id, 4)
    assert [it.event for it in story] == [
        "enrollment.created",
        "progress.updated",
        "course.completed",
        "certificate.issued",
    ]
    _, progress, completed, issued = (it.json for it in story)
    assert progress["timestamp"] == "2026-05-28T20:26:40.000Z"
    assert set(progress["data"]) == {
        "enrollmentId",
        "percentage",
        "lessonsCompleted",
        "totalLessons",
    }
    assert progress["data"]["percentage"] == (25 if slug == "certiport" else 50)
    assert completed == {
        "event": "course.completed",
        "timestamp": "2026-05-29T18:26:40.500Z",
        "data": {"enrollmentId": id, "completedAt": "2026-05-29T18:26:40.500Z"},
    }
    needed = {"enrollmentId", "certificateId", "certificateNumber", "issuedDate", "downloadUrl"}
    assert needed <= set(issued["data"])
    assert set(issued["data"]) - needed <= {"expirationDate", "verificationUrl"}
    assert issued["data"]["issuedDate"] == "2026-05-29"
    assert all(it.path == f"/{slug}" for it in story)
    assert all(it.headers["content-type"] == "application/json" for it in story)


def test_the_other_events(sandbox: Sandbox, shared_receiver: Receiver) -> None:
    id = get_enrollment(sandbox, "milady")
    act(sandbox, "milady", id, "fail", reason="Two chairs short of the hours.")
    act(sandbox, "milady", id, "reopen")
    act(sandbox, "milady", id, "complete")
    act(sandbox, "milady", id, "revoke", reason="Graded by mistake.")
    act(sandbox, "milady", id, "unenroll")
    story = [it.json for it in shared_receiver.wait(id, 7)]
    assert [it["event"] for it in story] == [
        "enrollment.created",
        "course.failed",
        "enrollment.created",
        "course.completed",
        "certificate.issued",
        "completion.revoked",
        "enrollment.ended",
    ]
    failed, revoked, ended = (story[at]["data"] for at in (1, 5, 6))
    assert (set(failed), failed["reason"]) == (
        {"enrollmentId", "failedAt", "reason"},
        "Two chairs short of the hours.",
    )
    assert (set(revoked), revoked["reason"]) == (
        {"enrollmentId", "revokedAt", "reason"},
        "Graded by mistake.",
    )
    assert (set(ended), ended["reason"]) == (
        {"enrollmentId", "endedAt", "reason"},
        "Unenrolled by the partner.",
    )


@pytest.mark.parametrize("slug", STANDARD)
def test_standard_webhooks_verify(sandbox: Sandbox, shared_receiver: Receiver, slug: str) -> None:
    [webhook] = shared_receiver.wait(get_enrollment(sandbox, slug), 1)
    assert Webhook(SECRET).verify(webhook.body, dict(webhook.headers)) == webhook.json
    with pytest.raises(WebhookVerificationError):
        Webhook(PREVIOUS_SECRET).verify(webhook.body, dict(webhook.headers))


def test_hmac_in_hex(sandbox: Sandbox, shared_receiver: Receiver) -> None:
    [webhook] = shared_receiver.wait(get_enrollment(sandbox, "certiport"), 1)
    digest = hmac.new(PLAIN_SECRET.encode(), webhook.body, hashlib.sha256).hexdigest()
    assert webhook.headers["x-webhook-signature"] == digest
    assert webhook.headers["x-webhook-id"].startswith("msg_")


def test_shared_secret(sandbox: Sandbox, shared_receiver: Receiver) -> None:
    [webhook] = shared_receiver.wait(get_enrollment(sandbox, "careersafe"), 1)
    assert webhook.headers["x-webhook-secret"] == PLAIN_SECRET
    assert {"webhook-id", "x-webhook-id", "x-webhook-signature"}.isdisjoint(webhook.headers)


def test_two_signatures_while_a_secret_is_replaced(start: Start, receiver: Receiver) -> None:
    config = make_config({"milady": receiver.url("milady")})
    config["partners"]["milady"]["webhook_previous_secret"] = PREVIOUS_SECRET
    [webhook] = receiver.wait(get_enrollment(start(config), "milady"), 1)
    for secret in (SECRET, PREVIOUS_SECRET):
        assert Webhook(secret).verify(webhook.body, dict(webhook.headers)) == webhook.json


def test_the_worked_examples_of_the_schemes() -> None:
    """Vectors from the sheet on webhook signatures (checked there with other packages)."""
    body = (
        b'{"event":"course.completed","enrollment_id":"enr-7001","learner":"l-204",'
        b'"occurred_at":"2026-05-28T20:26:40Z"}'
    )
    standard = sign(
        scheme="standard-webhooks",
        secret="whsec_aW52ZW50ZWQtc2lnbmluZy1rZXktZm9yLWRvY3MtMDI=",
        previous_secret="whsec_aW52ZW50ZWQtc2lnbmluZy1rZXktZm9yLWRvY3MtMDE=",
        event_id="msg_docs0001",
        body=body,
        now=1780000000.9,
    )
    assert standard == {
        "webhook-id": "msg_docs0001",
        "webhook-timestamp": "1780000000",
        "webhook-signature": (
            "v1,XA+UbqytpSId1kA85Ebvx7tLHRzvRdO4TfDNjia31Ws="
            " v1,m4WVPlPDz/wTAu2Q1vs3BVQDtjFqxjF/NsrABIg2IhU="
        ),
    }
    hexed = sign(
        scheme="hmac-sha256-hex",
        secret="docs-hub-secret",
        previous_secret=None,
        event_id="msg_1",
        body=body,
        now=0,
    )
    expected = "2ca343726ea8e96ca0a2464a394081d50952b3bfbdba046c7e6d79ecb57393b0"
    assert hexed == {"x-webhook-signature": expected, "x-webhook-id": "msg_1"}


# --------------------------------------------------------------------------------- retries


def test_a_retry_keeps_the_id_and_bytes_and_signs_afresh(start: Start, receiver: Receiver) -> None:
    sandbox = start_with(start, receiver, retry_seconds=[1.1, 1.1])
    receiver.answers += [(500, {}), (302, {"Location": "/elsewhere"})]
    tries = receiver.wait(get_enrollment(sandbox, "milady"), 3)
    assert len({it.id for it in tries}) == 1
    assert len({it.body for it in tries}) == 1
    assert len({it.headers["webhook-timestamp"] for it in tries}) == 3
    assert len({it.headers["webhook-signature"] for it in tries}) == 3
    assert {it.path for it in tries} == {"/milady"}
    for it in tries:
        Webhook(SECRET).verify(it.body, dict(it.headers))
    sandbox.wait_idle()
    assert state_of(sandbox, tries[0]) == ("delivered", 3)
    answers = [it["answer"] for it in sandbox.list_all("deliveries", webhook=tries[0].id)]
    assert answers == ["500", "302", "200"]


def test_it_is_given_up_at_the_end_of_the_schedule(start: Start, receiver: Receiver) -> None:
    sandbox = start_with(start, receiver, retry_seconds=[0.05, 0.05])
    receiver.answers += [(404, {})] * 3
    tries = receiver.wait(get_enrollment(sandbox, "milady"), 3)
    sandbox.wait_idle()
    assert state_of(sandbox, tries[0]) == ("exhausted", 3)
    assert len(receiver.received) == 3


def test_a_receiver_that_is_away_or_too_slow_is_tried_again(
    start: Start, receiver: Receiver
) -> None:
    sandbox = start_with(start, receiver, webhook_timeout_seconds=0.3, retry_seconds=[0.6, 0.05])
    receiver.delay_seconds = 0.8
    id = get_enrollment(sandbox, "milady")
    receiver.wait(id, 1)
    receiver.delay_seconds = 0
    tries = receiver.wait(id, 2)
    sandbox.wait_idle()
    answers = [it["answer"] for it in sandbox.list_all("deliveries", webhook=tries[0].id)]
    assert answers == ["time-out", "200"]

    config = make_config({"milady": "http://127.0.0.1:9/"}, retry_seconds=[0.05])
    sandbox = start(config)
    get_enrollment(sandbox, "milady")
    sandbox.wait_idle()
    [webhook] = sandbox.list_all("webhooks")
    assert (webhook["state"], webhook["attempts"]) == ("exhausted", 2)
    assert webhook["last_answer"].startswith("ClientConnectorError")


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed_and_uses_up_no_try(
    start: Start, receiver: Receiver, status: int
) -> None:
    sandbox = start_with(start, receiver, retry_seconds=[])
    receiver.answers += [(status, {"Retry-After": "1"})] * 2
    tries = receiver.wait(get_enrollment(sandbox, "milady"), 3)
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(tries)]
    assert all(1.0 <= gap < 2.0 for gap in gaps)
    sandbox.wait_idle()
    assert state_of(sandbox, tries[0]) == ("delivered", 3)


def test_retry_after_in_all_its_forms() -> None:
    now = 1780000000.0
    later = format_datetime(datetime.fromtimestamp(now, UTC) + timedelta(seconds=90), usegmt=True)
    earlier = format_datetime(datetime.fromtimestamp(now, UTC) - timedelta(hours=1), usegmt=True)
    forms = {None: None, "": None, "7": 7.0, "soon": None, "-1": None, later: 90.0, earlier: 0.0}
    assert {form: parse_retry_after(form, now) for form in forms} == forms
    assert parse_retry_after("9" * 30, now) == 86400.0


def test_410_stops_until_switched_on_again(start: Start, receiver: Receiver) -> None:
    sandbox = start_with(start, receiver)
    receiver.answers.append((410, {}))
    id = get_enrollment(sandbox, "milady")
    receiver.wait(id, 1)
    sandbox.wait_idle()
    act(sandbox, "milady", id, "complete")
    sandbox.wait_idle()
    assert len(receiver.of(id)) == 1
    assert sandbox.control("GET", "status")["webhooks_off"] == ["milady"]
    assert {it["state"] for it in sandbox.list_all("webhooks")} == {"stopped"}
    receiver.wait(get_enrollment(sandbox, "hsi"), 1)
    assert sandbox.control("POST", "milady/webhooks/on") == {"sent_again": 3}
    assert len(receiver.wait(id, 4)) == 4
    assert sandbox.control("GET", "status")["webhooks_off"] == []


def test_webhooks_of_one_enrollment_leave_one_after_the_other(
    start: Start, receiver: Receiver
) -> None:
    config = make_config({"milady": receiver.url("milady")})
    config["partners"]["milady"]["study"] = {"seconds": 0, "messages": 8}
    sandbox = start(config)
    receiver.delay_seconds = 0.05
    ids = [get_enrollment(sandbox, "milady") for _ in range(5)]
    for id in ids:
        percents = [it.json["data"].get("percentage") for it in receiver.wait(id, 11)]
        assert percents[1:9] == sorted(percents[1:9])
        assert percents[9:] == [None, None]


def test_pause_and_resume(start: Start, receiver: Receiver) -> None:
    sandbox = start_with(start, receiver)
    status = sandbox.control("POST", "pause", {"webhooks": True})
    assert status["paused"] == {"study": False, "webhooks": True}
    id = get_enrollment(sandbox, "milady")
    time.sleep(0.3)
    assert receiver.of(id) == []
    assert sandbox.control("GET", with_query("idle", seconds=0))["webhooks_waiting"] == 1
    assert sandbox.control("POST", "resume")["paused"] == {"study": False, "webhooks": False}
    receiver.wait(id, 1)


# ---------------------------------------------------------------------------------- faults


def order(sandbox: Sandbox, kind: str, event: str) -> None:
    sandbox.control("POST", "faults", {"partner": "milady", "on": event, "kind": kind})


def test_a_lost_one_is_never_sent(start: Start, receiver: Receiver) -> None:
    sandbox = start_with(start, receiver)
    order(sandbox, "lose", "course.completed")
    id = get_enrollment(sandbox, "milady")
    act(sandbox, "milady", id, "complete")
    sandbox.wait_idle()
    assert [it.event for it in receiver.of(id)] == ["enrollment.created", "certificate.issued"]
    [lost] = sandbox.list_all("webhooks", event="course.completed")
    assert (lost["state"], lost["attempts"], lost["fault"]) == ("lost", 0, "lose")


def test_a_repeated_one_is_sent_again_with_the_same_id(start: Start, receiver: Receiver) -> None:
    sandbox = start_with(start, receiver)
    order(sandbox, "repeat", "enrollment.created")
    twice = receiver.wait(get_enrollment(sandbox, "milady"), 2)
    assert len({(it.id, it.body) for it in twice}) == 1
    sandbox.wait_idle()
    assert state_of(sandbox, twice[0]) == ("delivered", 2)


def test_a_reordered_one_is_overtaken(start: Start, receiver: Receiver) -> None:
    sandbox = start_with(start, receiver)
    order(sandbox, "reorder", "course.completed")
    id = get_enrollment(sandbox, "milady")
    act(sandbox, "milady", id, "complete")
    events = [it.event for it in receiver.wait(id, 3)]
    assert events == ["enrollment.created", "certificate.issued", "course.completed"]


def test_a_delayed_one_comes_later(start: Start, receiver: Receiver) -> None:
    sandbox = start_with(start, receiver, faults={"delay_seconds": 1.5})
    order(sandbox, "delay", "enrollment.created")
    asked = time.time()
    [webhook] = receiver.wait(get_enrollment(sandbox, "milady"), 1)
    [entry] = sandbox.list_all("webhooks")
    held = datetime.fromisoformat(entry["due_at"]) - datetime.fromisoformat(entry["created_at"])
    assert timedelta(0) < held <= timedelta(seconds=1.5)
    assert webhook.at - asked >= held.total_seconds()


@pytest.mark.parametrize("kind", ["altered", "old_time", "wrong_key"])
def test_a_spoiled_proof_does_not_verify_and_the_retry_does(
    start: Start, receiver: Receiver, kind: str
) -> None:
    sandbox = start_with(start, receiver)
    order(sandbox, kind, "enrollment.created")
    receiver.answers.append((401, {}))
    spoiled, good = receiver.wait(get_enrollment(sandbox, "milady"), 2)
    assert spoiled.id == good.id
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(spoiled.body, dict(spoiled.headers))
    Webhook(SECRET).verify(good.body, dict(good.headers))


def test_a_malformed_entry_before_the_right_one(start: Start, receiver: Receiver) -> None:
    sandbox = start_with(start, receiver)
    order(sandbox, "malformed_first", "enrollment.created")
    [webhook] = receiver.wait(get_enrollment(sandbox, "milady"), 1)
    malformed, right = webhook.headers["webhook-signature"].split(" ")
    assert malformed == "v1"
    headers = {**webhook.headers, "webhook-signature": right}
    assert Webhook(SECRET).verify(webhook.body, headers) == webhook.json
