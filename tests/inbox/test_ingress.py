"""What a sender is answered, and what is stored."""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import standardwebhooks
import svix

from handrail.inbox.endpoints import FRESH_SECONDS
from tests.databases import Database
from tests.inbox.conftest import Serve
from tests.inbox.server import Server, read_raw_answer
from tests.inbox.world import OTHER_SECRET, SECRET, World, sign_hex

BODY = b'{"event":"course.completed","data":{"enrollmentId":"enr-7001"}}'
CHANGED = BODY.replace(b"7001", b"7002")


def sign(
    body: bytes, event_id: str = "msg_1", *, secret: str = SECRET, at: datetime | None = None
) -> dict[str, str]:
    """As a sender with the package standardwebhooks signs."""
    moment = at or datetime.now(UTC)
    signature = standardwebhooks.Webhook(secret).sign(event_id, moment, body.decode())
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": signature,
        "content-type": "application/json",
    }


def test_a_message_is_stored_as_it_came(world: World, ingress: Server) -> None:
    endpoint = world.make_endpoint()
    body = b'{"event": "course.completed" ,  "data":{}}\n'
    headers = sign(body, "msg_p5jXN8AQM9LWM0D4loKWxJek")

    answer = ingress.post("milady", body, headers)

    assert answer[:2] == (202, "stored")
    stored = world.events(
        *("endpoint_id", "organization_id", "provider_id", "event_id", "digest", "body"),
        *("content_type", "extract(epoch from sent_at)::int", "status", "attempts"),
    )
    assert stored == [
        (
            *(endpoint.id, world.alice, endpoint.provider_id, "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            *(hashlib.sha256(body).digest(), body, "application/json"),
            *(int(headers["webhook-timestamp"]), "received", 0),
        )
    ]


def test_a_sender_with_svix(world: World, ingress: Server) -> None:
    world.make_endpoint()
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_svix",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": svix.Webhook(SECRET).sign("msg_svix", now, BODY.decode()),
    }

    assert ingress.post("milady", BODY, headers).status == 202
    assert ingress.post("milady", BODY, headers).status == 200
    assert world.events("event_id") == [("msg_svix",)]


def test_bytes_are_kept_whatever_they_are(world: World, ingress: Server) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    body = bytes(range(256)) * 3 + b"\0" * 1000

    assert ingress.post("milady", body, sign_hex(body, "binary")).status == 202
    assert world.events("body", "event_id") == [(body, "binary")]


def test_an_empty_body_is_a_message_too(world: World, ingress: Server) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")

    assert ingress.post("milady", b"", sign_hex(b"")).status == 202
    assert world.events("body") == [(b"",)]


def test_a_repeat_is_seen_before_and_counted(world: World, ingress: Server) -> None:
    world.make_endpoint()
    headers = sign(BODY)

    answers = [ingress.post("milady", BODY, headers)[:2] for _ in range(3)]

    assert answers == [(202, "stored"), (200, "seen before"), (200, "seen before")]
    assert len(world.events("id")) == 1
    wait_until(lambda: world.value("select repeated_count from webhook_endpoints") == 2)


def test_the_same_id_with_other_bytes_is_kept_apart(world: World, ingress: Server) -> None:
    endpoint = world.make_endpoint()
    ingress.post("milady", BODY, sign(BODY))

    answer = ingress.post("milady", CHANGED, sign(CHANGED))
    again = ingress.post("milady", CHANGED, sign(CHANGED))

    assert answer[:2] == (202, "stored beside another message with the same id")
    assert again[:2] == answer[:2]
    assert world.events("body") == [(BODY,)]
    columns = "endpoint_id, organization_id, event_id, digest, body, content_type, dismissed_at"
    assert world.rows(f"select {columns} from webhook_event_conflicts") == [
        (
            *(endpoint.id, world.alice, "msg_1", hashlib.sha256(CHANGED).digest(), CHANGED),
            *("application/json", None),
        )
    ]
    world.tell_attention_list()
    assert world.rows(
        "select organization_id, provider_id, kind, cause from attention_items where resolved_at is null"
    ) == [
        (
            world.alice,
            endpoint.provider_id,
            "webhook_conflict",
            "The partner sent two different messages with the same event id. The first one counts.",
        )
    ]


def test_a_repeat_is_known_after_its_body_was_erased(world: World, ingress: Server) -> None:
    world.make_endpoint()
    ingress.post("milady", BODY, sign(BODY))
    world.admin.execute("update webhook_events set body = null, status = 'applied'")

    assert ingress.post("milady", BODY, sign(BODY)).status == 200
    assert ingress.post("milady", CHANGED, sign(CHANGED)).status == 202
    assert world.events("body", "status") == [(None, "applied")]


def test_the_same_id_at_two_endpoints_is_two_events(world: World, ingress: Server) -> None:
    world.make_endpoint("milady")
    world.make_endpoint("hsi", organization=world.charlie)

    assert ingress.post("milady", BODY, sign(BODY)).status == 202
    assert ingress.post("hsi", BODY, sign(BODY)).status == 202
    assert set(world.events("organization_id")) == {(world.alice,), (world.charlie,)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"webhook-signature": "v1," + "A" * 43 + "="}, "no signature matches"),
        ({"webhook-signature": ""}, "the signature is missing"),
        ({"webhook-id": "msg_2"}, "no signature matches"),
        ({"webhook-timestamp": "1780000000"}, "no signature matches"),
    ],
)
def test_what_is_not_authentic_is_refused_and_counted(
    world: World, ingress: Server, change: dict[str, str], reason: str
) -> None:
    world.make_endpoint()

    answer = ingress.post("milady", BODY, sign(BODY) | change)

    assert answer.status == 401
    assert world.events("id") == []
    wait_until(lambda: world.value("select refused_count from webhook_endpoints") == 1)
    if "webhook-timestamp" not in change:
        assert answer.reason == reason
        assert world.value("select last_refused_reason from webhook_endpoints") == reason


def test_refused_messages_are_warned_about(
    world: World, ingress: Server, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = world.make_endpoint()
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert ingress.post("milady", BODY, sign(BODY, secret=OTHER_SECRET)).status == 401
        wait_until(lambda: world.value("select refused_count from webhook_endpoints") == 5)

    assert f"refused 5 messages for endpoint {endpoint.id}: no signature matches" in caplog.text
    assert SECRET not in caplog.text
    world.tell_attention_list()
    assert world.rows("select kind, subject_id, organization_id from attention_items") == [
        ("webhook_refused", endpoint.id, world.alice)
    ]


@pytest.mark.parametrize(
    ("days", "advice"),
    [
        (0, "Compare the secret and the scheme here with those at the partner."),
        (1, "Compare the clocks here and at the partner."),
    ],
)
def test_what_to_compare_is_told_by_the_reason(
    world: World, ingress: Server, days: int, advice: str
) -> None:
    world.make_endpoint()
    at = datetime.now(UTC) - timedelta(days=days)
    assert ingress.post("milady", BODY, sign(BODY, at=at, secret=OTHER_SECRET)).status == 401
    wait_until(lambda: world.value("select refused_count from webhook_endpoints") == 1)
    world.tell_attention_list()
    assert world.value("select cause from attention_items").endswith(f". {advice}")


@pytest.mark.parametrize(
    ("offset", "status"), [(-290, 202), (290, 202), (-310, 401), (310, 401), (3600, 401)]
)
def test_a_message_may_be_five_minutes_off_both_ways(
    world: World, ingress: Server, offset: int, status: int
) -> None:
    world.make_endpoint()
    at = datetime.now(UTC) + timedelta(seconds=offset)

    assert ingress.post("milady", BODY, sign(BODY, at=at)).status == status


def test_one_endpoint_s_secret_does_not_open_another(world: World, ingress: Server) -> None:
    world.make_endpoint("milady")
    world.make_endpoint("hsi", secret=OTHER_SECRET)

    assert ingress.post("hsi", BODY, sign(BODY, secret=SECRET)).status == 401
    assert ingress.post("hsi", BODY, sign(BODY, secret=OTHER_SECRET)).status == 202


def test_the_previous_secret_counts_until_it_ends(world: World, ingress: Server) -> None:
    endpoint = world.make_endpoint(secret=SECRET)
    world.set_secret(endpoint.id, OTHER_SECRET, previous=SECRET, ends_in=1.5)

    assert ingress.post("milady", BODY, sign(BODY, "a", secret=OTHER_SECRET)).status == 202
    assert ingress.post("milady", BODY, sign(BODY, "b", secret=SECRET)).status == 202
    time.sleep(1.6)
    assert ingress.post("milady", BODY, sign(BODY, "c", secret=SECRET)).status == 401
    assert ingress.post("milady", BODY, sign(BODY, "d", secret=OTHER_SECRET)).status == 202


def test_a_new_secret_counts_at_once_and_the_old_one_not_for_long(
    world: World, ingress: Server
) -> None:
    endpoint = world.make_endpoint(secret=SECRET)
    assert ingress.post("milady", BODY, sign(BODY, "a")).status == 202
    time.sleep(0.6)

    world.set_secret(endpoint.id, OTHER_SECRET)

    assert ingress.post("milady", BODY, sign(BODY, "b", secret=OTHER_SECRET)).status == 202
    time.sleep(FRESH_SECONDS + 0.1)
    assert ingress.post("milady", BODY, sign(BODY, "c", secret=SECRET)).status == 401


def test_a_shared_secret_s_message_gets_the_id_of_its_bytes(world: World, ingress: Server) -> None:
    world.make_endpoint(scheme="shared-secret", secret="docs-static-value-0001")
    headers = {"x-webhook-secret": "docs-static-value-0001"}

    answers = [ingress.post("milady", body, headers).status for body in (BODY, CHANGED, BODY)]

    assert answers == [202, 202, 200]
    assert world.events("event_id", "sent_at") == [
        (f"body-sha256:{hashlib.sha256(body).hexdigest()}", None) for body in (BODY, CHANGED)
    ]
    assert ingress.post("milady", BODY, {"x-webhook-secret": "docs"}).status == 401


@pytest.mark.parametrize(
    "event_id",
    [b"a b!~", b"x" * 255],
)
def test_an_event_id_of_printable_ascii_stays(
    world: World, ingress: Server, event_id: bytes
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    headers = sign_hex(BODY, event_id.decode())

    assert ingress.post("milady", BODY, headers).status == 202
    assert world.events("event_id") == [(event_id.decode(),)]


@pytest.mark.parametrize(
    "event_id", ["x" * 256, "x" * 8000, "caf\xe9", "a\tb", "\xff\xfe"], ids=len
)
def test_any_other_event_id_is_kept_as_its_digest(
    world: World, ingress: Server, event_id: str
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    headers = sign_hex(BODY, event_id)  # http.client sends latin-1

    answers = [ingress.post("milady", body, headers | sign_hex(body)) for body in (BODY, BODY)]

    assert [answer.status for answer in answers] == [202, 200]
    digest = hashlib.sha256(event_id.encode("latin-1")).hexdigest()
    assert world.events("event_id") == [(f"id-sha256:{digest}",)]


def test_a_nul_in_the_event_id_is_refused_before_it_gets_anywhere(
    world: World, ingress: Server
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    signature = sign_hex(BODY)["x-webhook-signature"]
    with ingress.open() as connection:
        connection.sendall(
            b"POST /api/webhooks/partners/milady HTTP/1.1\r\nhost: x\r\nx-webhook-id: a\0b\r\n"
            + f"x-webhook-signature: {signature}\r\ncontent-length: {len(BODY)}\r\n\r\n".encode()
            + BODY
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    assert world.events("id") == []


def test_unknown_addresses_are_not_found(world: World, ingress: Server) -> None:
    world.make_endpoint("silent", scheme=None)
    archived = world.make_endpoint("archived")
    world.admin.execute(
        "update webhook_endpoints set archived_at = now() where id = %s", [archived.id]
    )

    for key in ("", "nobody", "silent", "archived", "x" * 5000, "caf%C3%A9", "a/b", "milady/"):
        assert ingress.post(key, BODY, sign(BODY))[:2] == (404, "there is no such endpoint"), key


def test_an_endpoint_is_found_soon_after_it_was_made(world: World, ingress: Server) -> None:
    assert ingress.post("milady", BODY, sign(BODY)).status == 404

    world.make_endpoint()

    wait_until(lambda: ingress.post("milady", BODY, sign(BODY)).status == 202)


def test_an_endpoint_without_a_secret_accepts_nothing_and_loses_nothing(
    world: World, ingress: Server
) -> None:
    world.make_endpoint(secret=None)

    answer = ingress.post("milady", BODY, sign(BODY))

    assert answer.status == 503
    assert answer.headers["retry-after"] == "60"
    assert answer.reason == "this endpoint has no secret yet, send it again later"


def test_a_secret_that_cannot_be_opened_is_none(
    world: World, ingress: Server, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = world.make_endpoint("milady"), world.make_endpoint("hsi")
    world.admin.execute(
        "update webhook_endpoints set secret ="
        " (select secret from webhook_endpoints where id = %s) where id = %s",
        [other.id, one.id],
    )

    assert ingress.post("milady", BODY, sign(BODY)).status == 503
    assert "was altered or belongs to another row" in caplog.text


def test_a_previous_secret_counts_only_beside_one_that_can_be_opened(
    world: World, ingress: Server
) -> None:
    endpoint = world.make_endpoint()
    world.set_secret(endpoint.id, OTHER_SECRET, previous=SECRET)
    world.admin.execute("update webhook_endpoints set secret = previous_secret")

    answer = ingress.post("milady", BODY, sign(BODY, secret=SECRET))

    assert answer[:2] == (503, "this endpoint has no secret yet, send it again later")
    assert world.events("id") == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_only_post_is_understood(world: World, ingress: Server, method: str) -> None:
    world.make_endpoint()

    answer = ingress.post("milady", b"", method=method)

    assert answer[:2] == (405, "only POST is understood here")
    assert answer.headers["allow"] == "POST"


def test_many_messages_on_one_connection(world: World, ingress: Server) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    requests = b"".join(
        b"POST /api/webhooks/partners/milady HTTP/1.1\r\nhost: x\r\n"
        + "".join(f"{k}: {v}\r\n" for k, v in sign_hex(BODY, f"p-{n}").items()).encode()
        + b"content-length: %d\r\n\r\n" % len(BODY)
        + BODY
        for n in range(20)
    )
    with ingress.open() as connection:
        connection.sendall(requests)
        received = b""
        while received.count(b"HTTP/1.1 ") < 20:
            received += connection.recv(65536)
    assert received.count(b"HTTP/1.1 202 ") == 20
    assert world.events("event_id") == [(f"p-{n}",) for n in range(20)]


def test_a_body_in_chunks(world: World, ingress: Server) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    head = "".join(f"{k}: {v}\r\n" for k, v in sign_hex(BODY, "chunked").items())
    with ingress.open() as connection:
        connection.sendall(
            b"POST /api/webhooks/partners/milady HTTP/1.1\r\nhost: x\r\n"
            + head.encode()
            + b"transfer-encoding: chunked\r\n\r\n"
        )
        for byte in (BODY[:1], BODY[1:30], BODY[30:]):
            connection.sendall(b"%x\r\n%b\r\n" % (len(byte), byte))
            time.sleep(0.02)
        connection.sendall(b"0\r\n\r\n")
        assert read_raw_answer(connection).status == 202
    assert world.events("body") == [(BODY,)]


def test_the_same_message_from_many_connections_at_once_is_one_row(
    world: World, serve: Serve
) -> None:
    world.make_endpoint()
    headers, changed = sign(BODY), sign(CHANGED)
    servers = [serve(), serve()]

    def post(number: int) -> int:
        ingress = servers[number % 2]
        if number % 8 == 7:
            return ingress.post("milady", CHANGED, changed).status
        return ingress.post("milady", BODY, headers).status

    with ThreadPoolExecutor(32) as pool:
        statuses = sorted(pool.map(post, range(128)))

    assert statuses.count(202) >= 2
    assert set(statuses) == {200, 202}
    assert len(world.events("id")) == 1
    assert world.value("select count(*) from webhook_event_conflicts") == 1


def test_many_different_messages_at_once_are_all_stored(world: World, ingress: Server) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")

    def post(number: int) -> int:
        body = json.dumps({"n": number}).encode()
        return ingress.post("milady", body, sign_hex(body, f"m-{number}")).status

    with ThreadPoolExecutor(32) as pool:
        assert set(pool.map(post, range(200))) == {202}

    assert {event for (event,) in world.events("event_id")} == {f"m-{n}" for n in range(200)}
    assert world.value("select count(distinct received_at) from webhook_events") == 200


def test_the_applier_is_told_once_a_batch(
    world: World, ingress: Server, database: Database
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    with psycopg.connect(database.dsn("worker"), autocommit=True) as listener:
        listener.execute("listen handrail_inbox")
        for body in (BODY, BODY, CHANGED):
            ingress.post("milady", body, sign_hex(body))
        heard = list(listener.notifies(timeout=0.5))

    assert [notice.channel for notice in heard] == ["handrail_inbox", "handrail_inbox"]


def wait_until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
