"""A real HTTP server that answers what a test tells it to, faults included, byte for byte."""

import json
import socket
import socketserver
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

DROP = b"<close the connection without an answer>"
HANG = b"<keep the connection open without an answer>"


@dataclass(frozen=True)
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def reply(
    status: int = 200, data: Any = None, *, body: bytes | None = None, **headers: str
) -> bytes:
    """An answer as bytes; underscores in header names are written as hyphens."""
    if body is None:
        body = b"" if data is None else json.dumps(data).encode()
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class ScriptedPartner(socketserver.ThreadingTCPServer):
    """Answers with the scripted replies in their order, then with `{}`; keeps what it was asked."""

    allow_reuse_address = True

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.port: int = self.server_address[1]
        self.requests: list[Request] = []
        self.connections = 0
        self._script: deque[bytes] = deque()
        self._asked = threading.Event()
        self._tls = tls

    @property
    def host_port(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def answer(self, *replies: bytes) -> None:
        self._script.extend(replies)

    def forget(self) -> None:
        """Forget the replies that nobody asked for."""
        self._script.clear()

    def wait_for_request(self) -> None:
        assert self._asked.wait(10)

    def take_reply(self, request: Request) -> bytes:
        self.requests.append(request)
        self._asked.set()
        return self._script.popleft() if self._script else reply(200, {})

    def wrap(self, connection: socket.socket) -> socket.socket:
        self.connections += 1
        if self._tls is None:
            return connection
        return self._tls.wrap_socket(connection, server_side=True)


class _Connection(socketserver.BaseRequestHandler):
    server: ScriptedPartner

    def handle(self) -> None:
        # A client that hangs up in the middle, or in the handshake, is what some tests are about.
        with (
            suppress(OSError),
            self.server.wrap(self.request) as connection,
            connection.makefile("rb") as stream,
        ):
            while (request := _read_request(stream)) is not None:
                answer = self.server.take_reply(request)
                if answer is DROP:
                    return
                if answer is HANG:
                    stream.read()  # until the client gives up
                    return
                connection.sendall(answer)


def _read_request(stream: BinaryIO) -> Request | None:
    first = stream.readline().decode("latin-1")
    if not first:
        return None
    headers = {}
    while line := stream.readline().decode("latin-1").rstrip():
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    method, target, _ = first.split(" ")
    return Request(method, target, headers, stream.read(int(headers.get("content-length", 0))))


@contextmanager
def run_scripted_partner(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedPartner]:
    """Serve on a free port of 127.0.0.1, each connection in a thread of its own."""
    with ScriptedPartner(tls) as partner:
        thread = threading.Thread(target=partner.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield partner
        finally:
            partner.shutdown()
            thread.join()
