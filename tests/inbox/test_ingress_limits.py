"""Bounds: what is too big, too slow or too much, and a database that is away."""

import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from handrail.inbox.connection import RETRY_SECONDS
from handrail.inbox.ingress import PREFIX, Limits
from tests.databases import Database
from tests.inbox.conftest import Serve
from tests.inbox.server import Answer, DatabaseProxy, Server, read_raw_answer
from tests.inbox.world import SECRET, World, sign_hex

BODY = b'{"event":"course.completed"}'
MEBIBYTE = 1024 * 1024
HEAD = b"POST /api/webhooks/partners/milady HTTP/1.1\r\nhost: x\r\n"


def make_head(body: bytes, event_id: str = "") -> bytes:
    return HEAD + "".join(f"{k}: {v}\r\n" for k, v in sign_hex(body, event_id).items()).encode()


@pytest.fixture(autouse=True)
def endpoint(world: World) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")


def test_a_mebibyte_is_taken_and_a_byte_more_is_not(world: World, ingress: Server) -> None:
    body = b"x" * MEBIBYTE

    assert ingress.post("milady", body, sign_hex(body)).status == 202
    answer = ingress.post("milady", body + b"x", sign_hex(body + b"x"))

    assert answer[:2] == (413, "a message may have 1 MiB at most")
    assert answer.headers["connection"] == "close"
    assert world.events("octet_length(body)") == [(MEBIBYTE,)]


def test_a_length_that_is_announced_too_big_is_refused_unread(ingress: Server) -> None:
    with ingress.open() as connection:
        connection.sendall(HEAD + b"content-length: 99999999999999\r\n\r\n")
        assert read_raw_answer(connection).status == 413
        assert connection.recv(1) == b""


def test_chunks_without_end_are_refused_soon(world: World, ingress: Server) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with ingress.open() as connection:
        connection.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        sent = 0
        with pytest.raises(OSError):  # noqa: PT011, PT012 - reset or broken pipe, at some point
            while sent < 200 * len(chunk):
                connection.sendall(chunk)
                sent += len(chunk)
            raise OSError("it took everything")
    assert sent < 20 * MEBIBYTE
    assert world.events("id") == []


def test_the_answer_reaches_a_sender_who_goes_on_writing_for_a_while(ingress: Server) -> None:
    with ingress.open() as connection:
        connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % (2 * MEBIBYTE))
        for _ in range(20):
            connection.sendall(b"x" * 65536)
        assert read_raw_answer(connection).status == 413


def test_the_body_is_waited_for_only_so_long(world: World, serve: Serve) -> None:
    ingress = serve(Limits(body_seconds=0.3))
    with ingress.open() as connection:
        connection.sendall(make_head(BODY) + b"content-length: %d\r\n\r\n" % len(BODY) + BODY[:5])
        began = time.monotonic()
        answer = read_raw_answer(connection)

    assert answer[:2] == (408, "the message took too long to arrive")
    assert 0.2 < time.monotonic() - began < 3
    assert world.events("id") == []


@pytest.mark.parametrize(
    "more",
    [
        b"content-length: 28\r\n\r\n",
        b"content-length: 28\r\nexpect: 100-continue\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n1c\r\n",
    ],
)
def test_a_body_that_never_begins_is_waited_for_only_so_long(serve: Serve, more: bytes) -> None:
    ingress = serve(Limits(body_seconds=0.3))
    with ingress.open() as connection:
        connection.sendall(make_head(BODY) + more)
        received = b""
        while b" 408 " not in received:
            received += (part := connection.recv(1000))
            assert part, received


@pytest.mark.parametrize("key", ["milady", "plain"])
def test_a_sender_who_hangs_up_before_the_body_said_nothing(
    world: World, database: Database, key: str
) -> None:
    world.make_endpoint("plain", scheme="shared-secret")
    headers = sign_hex(BODY) if key == "milady" else {"x-webhook-secret": SECRET}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {PREFIX}{key} HTTP/1.1\r\nhost: x\r\n{lines}content-length: 28\r\n\r\n"
    with Server(database.dsn("ingress")) as ingress:
        assert ingress.post(key, BODY, headers).status == 202  # with its body it counts
        with ingress.open() as connection:
            connection.sendall(head.encode())
            time.sleep(0.1)  # until the body is waited for
        time.sleep(0.1)

    # What is counted is written down when the ingress ends.
    refused = world.admin.execute("select sum(refused_count) from webhook_endpoints").fetchone()
    assert (world.events("body"), refused) == ([(BODY,)], (0,))


def test_a_sender_who_hangs_up_in_the_middle_leaves_nothing(world: World, ingress: Server) -> None:
    with ingress.open() as connection:
        connection.sendall(make_head(BODY) + b"content-length: %d\r\n\r\n" % len(BODY) + BODY[:5])
    time.sleep(0.1)

    assert ingress.application.ingress._arriving._bytes == 0
    assert ingress.post("milady", BODY, sign_hex(BODY)).status == 202
    assert world.events("body") == [(BODY,)]


def test_slow_senders_do_not_hold_up_the_others(world: World, ingress: Server) -> None:
    with ExitStack() as stack:
        for _ in range(100):
            slow = stack.enter_context(ingress.open())
            slow.sendall(make_head(BODY) + b"content-length: 900000\r\n\r\n" + BODY)

        began = time.monotonic()
        statuses = [
            ingress.post("milady", BODY, sign_hex(BODY, f"quick-{n}")).status for n in range(20)
        ]

        assert statuses == [202] * 20
        assert time.monotonic() - began < 3


def test_a_crowd_of_slow_senders_pushes_out_its_own_and_nobody_else(
    world: World, serve: Serve
) -> None:
    ingress = serve(Limits(arriving_bytes=10 * 60_000))
    with ExitStack() as stack:
        crowd = []
        for _ in range(30):
            slow = stack.enter_context(ingress.open())
            slow.sendall(HEAD + b"content-length: 900000\r\n\r\n" + b"x" * 60_000)
            crowd.append(slow)
            time.sleep(0.005)
        big = b"y" * 200_000

        assert ingress.post("milady", big, sign_hex(big)).status == 202
        assert ingress.application.ingress._arriving._bytes <= 10 * 60_000
        assert read_raw_answer(crowd[0]).status == 408
        assert not is_answered(crowd[-1])


def is_answered(connection: socket.socket) -> bool:
    connection.settimeout(0.1)
    try:
        return bool(connection.recv(1))
    except TimeoutError:
        return False


def post_in_background(
    pool: ThreadPoolExecutor, ingress: Server, count: int, prefix: str, size: int = 10
) -> list[Future[Answer]]:
    futures = []
    for number in range(count):
        body = b"%d" % number + b" " * size
        headers = sign_hex(body, f"{prefix}-{number}")
        futures.append(pool.submit(ingress.post, "milady", body, headers))
        time.sleep(0.01)
    return futures


def test_what_waits_for_a_database_that_hangs_is_bounded_in_number(
    world: World, serve: Serve, proxy: DatabaseProxy, proxied: str
) -> None:
    ingress = serve(Limits(waiting=5, database_seconds=20), dsn=proxied)
    assert ingress.post("milady", b"first", sign_hex(b"first")).status == 202
    proxy.stall()
    with ThreadPoolExecutor(20) as pool:
        futures = post_in_background(pool, ingress, 8, "n")
        time.sleep(0.5)
        crowded = [future.result() for future in futures if future.done()]
        proxy.flow()
        answers = [future.result() for future in futures]

    assert [answer[:2] for answer in crowded] == [
        (503, "too many messages at once, send it again")
    ] * 3
    assert {answer.headers["retry-after"] for answer in crowded} == {"2"}
    assert sorted(answer.status for answer in answers) == [202] * 5 + [503] * 3
    assert len(world.events("id")) == 6


def test_what_waits_for_a_database_that_hangs_is_bounded_in_bytes(
    serve: Serve, proxy: DatabaseProxy, proxied: str
) -> None:
    ingress = serve(Limits(waiting_bytes=300_000, database_seconds=20), dsn=proxied)
    assert ingress.post("milady", b"first", sign_hex(b"first")).status == 202
    proxy.stall()
    with ThreadPoolExecutor(20) as pool:
        futures = post_in_background(pool, ingress, 5, "n", size=100_000)
        time.sleep(0.5)
        done = [future.result().status for future in futures if future.done()]
        proxy.flow()

    assert done == [503, 503, 503]


def test_a_database_that_hangs_is_not_waited_for_long(
    world: World, serve: Serve, proxy: DatabaseProxy, proxied: str
) -> None:
    ingress = serve(Limits(database_seconds=0.5), dsn=proxied)
    assert ingress.post("milady", b"first", sign_hex(b"first")).status == 202
    proxy.stall()
    threading.Timer(8, proxy.flow).start()
    began = time.monotonic()

    answer = ingress.post("milady", BODY, sign_hex(BODY))

    assert answer.status == 503
    assert time.monotonic() - began < 12
    proxy.cut()
    proxy.open()
    time.sleep(RETRY_SECONDS)
    assert ingress.post("milady", BODY, sign_hex(BODY)).status in {200, 202}
    assert len(world.events("id")) == 2


def test_while_the_database_is_away_senders_are_told_to_come_again(
    world: World, serve: Serve, proxy: DatabaseProxy, proxied: str
) -> None:
    ingress = serve(dsn=proxied)
    assert ingress.post("milady", BODY, sign_hex(BODY, "before")).status == 202

    proxy.cut()
    with ThreadPoolExecutor(10) as pool:
        answers = [future.result() for future in post_in_background(pool, ingress, 10, "away")]
    proxy.open()
    time.sleep(RETRY_SECONDS)
    with ThreadPoolExecutor(10) as pool:
        again = [future.result() for future in post_in_background(pool, ingress, 10, "away")]

    assert {answer.status for answer in answers} == {503}
    assert {answer.headers["retry-after"] for answer in answers} == {"2"}
    assert {answer.status for answer in again} == {202}
    assert len(world.events("id")) == 11


def test_the_ingress_starts_while_the_database_is_away(
    serve: Serve, proxy: DatabaseProxy, proxied: str
) -> None:
    proxy.cut()
    ingress = serve(dsn=proxied)
    assert ingress.post("milady", BODY, sign_hex(BODY)).status == 503

    proxy.open()
    time.sleep(RETRY_SECONDS)
    assert ingress.post("milady", BODY, sign_hex(BODY)).status == 202


def test_what_is_under_way_is_stored_and_answered_when_the_ingress_stops(
    world: World, serve: Serve, proxy: DatabaseProxy, proxied: str
) -> None:
    with Server(proxied) as ingress, ThreadPoolExecutor(5) as pool:
        assert ingress.post("milady", b"first", sign_hex(b"first")).status == 202
        proxy.stall()
        futures = post_in_background(pool, ingress, 5, "late")
        threading.Timer(0.3, proxy.flow).start()

    assert [future.result().status for future in futures] == [202] * 5
    assert len(world.events("id")) == 6
