"""A real HTTP server that answers what a test tells it to, faults included, byte for byte."""

import asyncio
import json
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
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


class ScriptedPartner:
    """Answers with the scripted replies in their order, then with `{}`; keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._asked = threading.Event()
        self.connections = 0
        self._script: deque[bytes] = deque()
        self.port = 0

    @property
    def host_port(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    def answer(self, *replies: bytes) -> None:
        self._script.extend(replies)

    def wait_for_request(self) -> None:
        assert self._asked.wait(10)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                self._asked.set()
                answer = self._script.popleft() if self._script else reply(200, {})
                if answer is DROP:
                    return
                if answer is HANG:
                    await reader.read()  # until the client gives up
                    return
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client hung up in the middle, as some tests want it to
        finally:
            writer.close()


@contextmanager
def run_scripted_partner(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedPartner]:
    """Serve on a free port of 127.0.0.1 in a thread of its own."""
    partner = ScriptedPartner()
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(partner.serve, "127.0.0.1", 0, ssl=tls))
    partner.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield partner
    finally:
        asyncio.run_coroutine_threadsafe(_stop(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    await server.wait_closed()
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    first, *lines = head.decode("latin-1").rstrip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    method, target, _ = first.split(" ")
    return Request(method, target, headers, body)
