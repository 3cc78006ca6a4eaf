"""Bounds for request bodies, before any other code of ours sees them, on every path.

uvicorn bounds neither their size nor the time they take, and Django under ASGI spools a chunked
body of any size to disk before it looks at it.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.typing import (
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPScope,
)

HttpApplication = Callable[[HTTPScope, ASGIReceiveCallable, ASGISendCallable], Awaitable[None]]

BODY_LIMIT = 1024 * 1024  # bytes of one body
BUFFER_LIMIT = 64 * 1024 * 1024  # bytes of all bodies in flight in this process
BODY_SECONDS = 30.0  # for the whole body, counted from its first wait
LINGER_SECONDS = 1.0
LINGER_LIMIT = 4 * BODY_LIMIT


class _Refused(Exception):
    """Carries the status out of the inner application's wait for its body."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class BodyLimits:
    """Wraps an ASGI application: 413 over 1 MiB, 408 after 30 s, 503 when memory is short.

    The answer is sent as soon as the bound is crossed, whatever Content-Length or chunking
    said, and the connection is closed.
    """

    def __init__(self, application: HttpApplication) -> None:
        self._application = application
        self._buffered = 0

    async def __call__(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request of type `http`."""
        body = _Body(receive, self)
        started = False

        async def send_noting(event: ASGISendEvent) -> None:
            nonlocal started
            if event["type"] == "http.response.start" and not body.complete:
                # Nobody will read the rest: uvicorn would take it without end.
                event["headers"] = [*event["headers"], (b"connection", b"close")]
            started = True
            await send(event)

        try:
            body.check_announced(scope)
            await self._application(scope, body.receive, send_noting)
        except _Refused as refused:
            if started:
                raise
            await _refuse(refused, receive, send)
        finally:
            self._buffered -= body.size

    def take(self, size: int) -> None:
        """Count bytes that arrived.

        Raises:
            _Refused: all bodies together take too much memory.
        """
        self._buffered += size
        if self._buffered > BUFFER_LIMIT:
            raise _Refused(503, "too many large requests at once")


class _Body:
    """The body of one request, counted while the inner application receives it."""

    def __init__(self, receive: ASGIReceiveCallable, limits: BodyLimits) -> None:
        self._receive = receive
        self._limits = limits
        self._deadline: float | None = None
        self.complete = True
        self.size = 0

    def check_announced(self, scope: HTTPScope) -> None:
        """Look whether a body comes, and refuse one that is announced as too large."""
        for name, value in scope["headers"]:
            if name == b"transfer-encoding":
                self.complete = False
            elif name == b"content-length":
                size = int(value)  # The HTTP parser has refused what is no number.
                self.complete = size == 0
                if size > BODY_LIMIT:
                    raise _Refused(413, "the body is larger than 1 MiB")

    async def receive(self) -> ASGIReceiveEvent:
        if self.complete:
            return await self._receive()
        loop = asyncio.get_running_loop()
        if self._deadline is None:
            self._deadline = loop.time() + BODY_SECONDS
        try:
            async with asyncio.timeout_at(self._deadline):
                event = await self._receive()
        except TimeoutError:
            raise _Refused(408, "the body took longer than 30 seconds") from None
        if event["type"] == "http.request":
            self.complete = not event.get("more_body", False)
            size = len(event.get("body", b""))
            self.size += size
            self._limits.take(size)
            if self.size > BODY_LIMIT:
                raise _Refused(413, "the body is larger than 1 MiB")
        return event


async def _refuse(refused: _Refused, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Answer, then read and drop a little more: closing at once could lose the answer."""
    content = json.dumps({"error": refused.reason}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    if refused.status == 503:
        headers.append((b"retry-after", b"5"))
    start: Any = {"type": "http.response.start", "status": refused.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": content, "more_body": True})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            await _drain(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _drain(receive: ASGIReceiveCallable) -> None:
    dropped = 0
    while dropped < LINGER_LIMIT:
        event = await receive()
        if event["type"] != "http.request" or not event.get("more_body", False):
            return
        dropped += len(event.get("body", b""))
