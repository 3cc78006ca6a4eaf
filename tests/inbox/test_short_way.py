"""A webhook that arrives whole does not go over ASGI; what a sender sees is the same."""

import socket
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from handrail.inbox.registry import Authentic, Headers, register_schemes
from tests.databases import Database
from tests.inbox.conftest import Serve
from tests.inbox.server import DatabaseProxy, Server, read_raw_answer
from tests.inbox.world import World, sign_hex

BODY = b'{"event":"course.completed"}'


@pytest.fixture(autouse=True)
def endpoint(world: World) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")


@pytest.fixture
def connection(ingress: Server) -> Iterator[socket.socket]:
    with ingress.open() as connection:
        yield connection


def make_request(event_id: str, body: bytes = BODY, *lines: str, version: str = "1.1") -> bytes:
    fields = [f"{name}: {value}" for name, value in sign_hex(body, event_id).items()]
    head = [
        f"POST /api/webhooks/partners/milady HTTP/{version}",
        *("host: x", f"content-length: {len(body)}", *fields, *lines),
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def test_what_arrives_whole_goes_the_short_way(
    world: World, ingress: Server, connection: socket.socket
) -> None:
    ingress.post("milady", BODY, sign_hex(BODY, "first"))  # The endpoint is known from now on.
    assert ingress.application.over_asgi == 1
    for number in range(5):
        connection.sendall(make_request(f"{number}"))
        assert read_raw_answer(connection)[:2] == (202, "stored")
    connection.sendall(make_request("4"))
    assert read_raw_answer(connection)[:2] == (200, "seen before")

    assert ingress.application.over_asgi == 1
    assert world.events("event_id") == [("first",), *((f"{n}",) for n in range(5))]


def test_both_ways_answer_the_same(world: World, database: Database) -> None:
    answers = []
    for short in (True, False):
        with Server(database.dsn("ingress"), with_short_way=short) as ingress:
            ingress.post("milady", BODY, sign_hex(BODY, "opener"))
            answer = ingress.post("milady", BODY, sign_hex(BODY, f"{short}"))
            names = {name: value for name, value in answer.headers.items() if name != "date"}
            answers.append((answer.status, answer.reason, names, "date" in answer.headers))

    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "parts",
    [[1], [40], [-1], [-len(BODY)], [-len(BODY) - 1], [10, 60, -20, -3]],
    ids=str,
)
def test_what_arrives_in_parts_goes_the_usual_way(
    world: World, ingress: Server, connection: socket.socket, parts: list[int]
) -> None:
    ingress.post("milady", BODY, sign_hex(BODY, "first"))
    request = make_request("parts")
    cuts = [0, *(part % len(request) for part in parts), len(request)]
    for start, end in pairwise(cuts):
        connection.sendall(request[start:end])
        time.sleep(0.03)

    assert read_raw_answer(connection).status == 202
    assert ("parts", BODY) in world.events("event_id", "body")


def test_requests_in_one_go_are_answered_in_their_order(
    world: World, ingress: Server, connection: socket.socket
) -> None:
    ingress.post("milady", BODY, sign_hex(BODY, "first"))
    bodies = [BODY, b"2" * 70_000, b"3", b"4" * 200, b"5"]
    requests = [make_request(f"p{n}", body) for n, body in enumerate(bodies)]
    requests.insert(2, make_request("p0"))  # Seen before.
    requests.insert(4, make_request("bad").replace(b"x-webhook-signature: ", b"x-nothing: "))
    connection.sendall(b"".join(requests))
    received = b""
    while received.count(b"HTTP/1.1 ") < len(requests):
        received += connection.recv(65536)

    statuses = [int(part[:3]) for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [202, 202, 200, 202, 401, 202, 202]
    assert world.events("event_id") == [("first",), *((f"p{n}",) for n in range(5))]


@pytest.mark.parametrize(
    ("lines", "version", "closes"),
    [
        (["connection: close"], "1.1", True),
        ([], "1.0", True),
        (["connection: keep-alive"], "1.1", False),
        (["transfer-encoding: identity"], "1.1", None),
    ],
    ids=str,
)
def test_a_sender_decides_about_its_connection(
    *,
    ingress: Server,
    connection: socket.socket,
    lines: list[str],
    version: str,
    closes: bool | None,
) -> None:
    ingress.post("milady", BODY, sign_hex(BODY, "first"))
    connection.sendall(make_request("second", BODY, *lines, version=version))
    if closes is None:
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
        return

    assert read_raw_answer(connection).status == 202
    connection.settimeout(0.3)
    if closes:
        assert connection.recv(1) == b""
    else:
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_a_sender_who_waits_to_be_told_to_continue_is_told(
    ingress: Server, connection: socket.socket
) -> None:
    ingress.post("milady", BODY, sign_hex(BODY, "first"))
    request = make_request("second", BODY, "expect: 100-continue")
    connection.sendall(request[: -len(BODY)])
    assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.sendall(BODY)
    assert read_raw_answer(connection).status == 202


def test_a_fault_of_ours_is_no_fault_of_the_sender_s(
    world: World, ingress: Server, caplog: pytest.LogCaptureFixture
) -> None:
    assert ingress.post("milady", BODY, sign_hex(BODY, "first")).status == 202

    def verify(*_: object, now: float) -> Authentic:
        raise TypeError("a bug")

    ingress.application.ingress._verify = verify  # type: ignore[assignment]
    with ingress.open() as connection:
        connection.sendall(make_request("second"))
        assert connection.recv(100).startswith(b"HTTP/1.1 500 ")
    assert "TypeError: a bug" in caplog.text


def test_a_query_belongs_to_no_key(ingress: Server, connection: socket.socket) -> None:
    ingress.post("milady", BODY, sign_hex(BODY, "first"))
    connection.sendall(make_request("second").replace(b"/milady ", b"/milady?a=b "))
    assert read_raw_answer(connection).status == 202


def test_one_who_hangs_up_before_the_answer_has_stored_its_message(
    world: World, serve: Serve, proxy: DatabaseProxy, proxied: str
) -> None:
    ingress = serve(dsn=proxied)
    ingress.post("milady", BODY, sign_hex(BODY, "first"))
    proxy.stall()
    with ingress.open() as connection:
        connection.sendall(make_request("second"))
        time.sleep(0.1)
    proxy.flow()
    assert ingress.post("milady", BODY, sign_hex(BODY, "third")).status == 202

    assert world.events("event_id") == [("first",), ("second",), ("third",)]


def test_the_server_ends_after_the_answer_and_says_so(
    world: World, proxy: DatabaseProxy, proxied: str
) -> None:
    with Server(proxied) as ingress:
        ingress.post("milady", BODY, sign_hex(BODY, "first"))
        proxy.stall()
        connection = ingress.open()
        connection.sendall(make_request("second"))
        time.sleep(0.1)
        ingress._server.should_exit = True
        time.sleep(0.3)
        proxy.flow()
        answer = read_raw_answer(connection)

    assert answer.status == 202
    assert answer.headers["connection"] == "close"
    assert connection.recv(1) == b""
    connection.close()
    assert world.events("event_id") == [("first",), ("second",)]


def test_a_verifier_sees_the_same_headers_both_ways(database: Database, ingress: Server) -> None:
    seen: list[Headers] = []

    def verify(scheme: str, headers: Headers, *_: object, now: float) -> Authentic:
        seen.append([pair for pair in headers if pair[0].startswith(b"x-")])
        return Authentic(b"%d" % len(seen))

    register_schemes(verify)  # type: ignore[arg-type]
    for short in (True, False):
        with Server(database.dsn("ingress"), with_short_way=short) as other:
            for _ in range(2):
                other.post("milady", BODY, {"X-One": "1", "x-two": "\xe9"})

    assert seen == [[(b"x-one", b"1"), (b"x-two", b"\xe9")]] * 4
