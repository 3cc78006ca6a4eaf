"""What may arrive before anybody is known: over a real uvicorn, byte by byte where it matters."""

import contextlib
import json
import resource
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from handrail.config import bodies, http_protocol
from handrail.config.bodies import BodyLimits
from handrail.config.http_protocol import server_options

MIB = 1024 * 1024
TOO_LARGE = b"the body is larger than 1 MiB"
LARGE = b"x" * (16 * MIB)  # more than two sockets hold


class Application:
    """Answers with the number of bytes of the body; remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.largest = 0
        self.bounded = BodyLimits(self.serve)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.bounded(scope, receive, send)
        else:
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        self.calls.append(scope["path"])
        size = 0
        while True:
            event = await receive()
            size += len(event.get("body", b""))
            self.largest = max(self.largest, size)
            if not event.get("more_body"):
                break
        content = LARGE if scope["path"] == "/large" else str(size).encode()
        headers = [(b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


@pytest.fixture
def application() -> Application:
    return Application()


@pytest.fixture
def address(application: Application) -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(application, log_config=None, **server_options())
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield listener.getsockname()
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def read_all(connection: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def exchange(address: tuple[str, int], *pieces: bytes) -> bytes:
    """Send and return all that comes back until the server closes."""
    with socket.create_connection(address, timeout=20) as connection:
        for piece in pieces:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(piece)
        return read_all(connection)


def head(*lines: str, path: str = "/") -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB])
def test_a_body_up_to_the_limit_is_taken(address: tuple[str, int], size: int) -> None:
    answer = exchange(address, head(f"Content-Length: {size}", "Connection: close"), b"x" * size)

    assert status_of(answer) == 200
    assert answer.endswith(b"\r\n\r\n%d" % size)


def test_a_chunked_body_up_to_the_limit_is_taken(address: tuple[str, int]) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    answer = exchange(
        address, head("Transfer-Encoding: chunked", "Connection: close"), chunk * 16, b"0\r\n\r\n"
    )

    assert answer.endswith(b"\r\n\r\n%d" % MIB)


def test_an_announced_body_over_the_limit_is_refused_unread(
    address: tuple[str, int], application: Application
) -> None:
    began = time.monotonic()
    answer = exchange(address, head(f"Content-Length: {MIB + 1}"))

    assert status_of(answer) == 413
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": TOO_LARGE.decode()}
    assert b"connection: close" in answer
    assert application.calls == []
    assert time.monotonic() - began < 5


def test_a_huge_announcement_is_refused(address: tuple[str, int]) -> None:
    assert status_of(exchange(address, head("Content-Length: 999999999999999"))) == 413
    assert status_of(exchange(address, head("Content-Length: 9" + "9" * 40))) == 400
    assert status_of(exchange(address, head("Content-Length: many"))) == 400


def test_a_chunked_body_over_the_limit_is_refused_on_the_way(
    address: tuple[str, int], application: Application
) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    answer = exchange(address, head("Transfer-Encoding: chunked"), *[chunk] * 800)

    assert status_of(answer) == 413
    assert application.largest <= MIB


def test_one_chunk_without_end_is_refused_on_the_way(
    address: tuple[str, int], application: Application
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = exchange(
        address, head("Transfer-Encoding: chunked"), b"FFFFFFF\r\n", *[b"x" * MIB] * 64
    )

    assert status_of(answer) == 413
    assert application.largest <= MIB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # KiB


def test_a_content_length_that_lies_beside_chunks_is_refused(address: tuple[str, int]) -> None:
    """RFC 9112, section 6.1: both at once is an attempt to smuggle."""
    answer = exchange(
        address,
        head("Content-Length: 4", "Transfer-Encoding: chunked"),
        b"5\r\nhello\r\n0\r\n\r\n",
    )

    assert status_of(answer) == 400


def test_a_body_longer_than_announced_is_not_taken_for_it(address: tuple[str, int]) -> None:
    answer = exchange(address, head("Content-Length: 4", "Connection: close"), b"four and more")

    assert answer.endswith(b"\r\n\r\n4")


def test_a_body_shorter_than_announced_does_not_hang_for_ever(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.3)
    answer = exchange(address, head("Content-Length: 100"), b"only this")

    assert status_of(answer) == 408


def test_a_body_that_drips_does_not_take_for_ever(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.5)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head("Content-Length: 1000"))
        began = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - began < 5:
                connection.sendall(b"x")
                time.sleep(0.05)
        answer = read_all(connection)

    assert status_of(answer) == 408


def test_a_client_that_leaves_is_forgotten(
    address: tuple[str, int], application: Application
) -> None:
    with socket.create_connection(address) as connection:
        connection.sendall(head("Content-Length: 100") + b"some")
    deadline = time.monotonic() + 5
    while application.bounded._buffered or not application.calls:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_all_bodies_together_are_bounded(
    address: tuple[str, int], application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "BUFFER_LIMIT", MIB)
    with socket.create_connection(address, timeout=20) as slow:
        slow.sendall(head("Content-Length: 900000") + b"x" * 800_000)
        while application.largest < 800_000:
            time.sleep(0.01)
        answer = exchange(address, head("Content-Length: 900000"), b"x" * 900_000)
        assert status_of(answer) == 503
        assert b"retry-after: 5" in answer

        slow.sendall(b"x" * 100_000)
        assert status_of(slow.recv(1000)) == 200
    assert (
        status_of(exchange(address, head("Content-Length: 9", "Connection: close"), b"x" * 9))
        == 200
    )


def test_the_connection_serves_on_after_a_good_body(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=20) as connection:
        for size in (5, MIB, 0):
            connection.sendall(head(f"Content-Length: {size}") + b"x" * size)
            assert connection.recv(65536).endswith(b"\r\n\r\n%d" % size)


def test_headers_without_end_are_refused(address: tuple[str, int]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = exchange(address, b"GET / HTTP/1.1\r\nX-Long: ", *[b"x" * MIB] * 64)

    assert answer == b"" or status_of(answer) == 431
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


def test_many_headers_are_refused(address: tuple[str, int]) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (n, b"x" * 100) for n in range(1000))
    answer = exchange(address, b"GET / HTTP/1.1\r\n" + lines)

    assert status_of(answer) == 431


def test_headers_of_usual_length_are_taken(address: tuple[str, int]) -> None:
    answer = exchange(address, head("Connection: close", f"Cookie: {'c' * 16_000}"))

    assert status_of(answer) == 200


def test_a_second_request_on_a_connection_is_bounded_too(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head("Content-Length: 2") + b"ok")
        assert status_of(connection.recv(1000)) == 200
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"GET / HTTP/1.1\r\nX-Long: " + b"x" * 300_000)
        answer = read_all(connection)

    assert answer == b"" or status_of(answer) == 431


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: loc"])
def test_a_head_that_does_not_come_is_not_waited_for(
    address: tuple[str, int], begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.3)

    assert status_of(exchange(address, begun)) == 408


def test_a_head_that_drips_is_not_waited_for(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_SECONDS", 0.5)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        began = time.monotonic()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while time.monotonic() - began < 5:
                connection.sendall(b"X-A: b\r\n")
                time.sleep(0.05)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("body", ["Content-Length: 28", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
def test_a_body_is_not_taken_for_a_request_in_another_protocol(
    address: tuple[str, int], application: Application, protocol: str, body: str
) -> None:
    """The parser would skip it, and read it as the next request."""
    lines = ("Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", body)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head(*lines))
        answer = read_all(connection)
    assert status_of(answer) == 400
    assert answer.endswith(b"Send this without Upgrade: only HTTP/1.1 is spoken here.")
    assert application.calls == []


def test_another_protocol_is_not_spoken_and_its_offer_does_no_harm(
    address: tuple[str, int], application: Application
) -> None:
    for lines in ((), ("Content-Length: 0",)):
        offer = ("Connection: Upgrade, close", "Upgrade: h2c", *lines)
        assert status_of(exchange(address, head(*offer))) == 200
    assert application.calls == ["/", "/"]


def test_who_reads_no_answer_is_let_go(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "UNREAD_SECONDS", 0.3)
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head("Content-Length: 0", path="/large"))
        time.sleep(1)
        assert len(read_all(connection)) < len(LARGE)


def test_who_reads_slowly_gets_the_whole_answer(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "UNREAD_SECONDS", 0.3)
    size = 0
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head("Content-Length: 0", "Connection: close", path="/large"))
        while part := connection.recv(256 * 1024):
            size += len(part)
            time.sleep(0.01)
    assert size > len(LARGE)


def test_one_connection_too_many_is_told_to_come_again(
    address: tuple[str, int], application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "CONNECTIONS", 3)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(socket.create_connection(address))
        answer = exchange(address, head("Content-Length: 0"))
    assert status_of(answer) == 503
    assert b"retry-after: 5" in answer
    assert application.calls == []
