"""uvicorn's HTTP protocol with bounds on what a client may send and leave unread.

uvicorn with httptools takes headers of any size, waits for them for ever, waits for ever until an answer
is read, and takes the body of a request that asks for another protocol for the next request.
"""

import asyncio
import json
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 64 * 1024  # bytes of request line and headers (plus at most one read)
HEAD_SECONDS = 10.0
UNREAD_SECONDS = 30.0
"""So long may a client read nothing of the answers that wait for it."""
CONNECTIONS = 800  # a process may usually open 1,024 files
_CROWDED = json.dumps({"error": "too many connections at once, try again"}).encode()

logger = logging.getLogger(__name__)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes a connection whose request line and headers are too long (431) or too slow (408).

    And one whose answers nobody reads. A request with a body that asks for another protocol is
    refused (400), one over the number of connections too (503).
    """

    _complaint = ""
    """Why the request that is being read is refused."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._expect_head()
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._cancel_head_timer()
        self._cancel_unread_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read: wait for it, but not for ever."""
        super().pause_writing()
        self._look_whether_it_reads(None)

    def resume_writing(self) -> None:
        """It reads again."""
        self._cancel_unread_timer()
        super().resume_writing()

    def on_message_begin(self) -> None:
        """A further request on this connection begins."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """From here on the body's bounds count (handrail.config.bodies).

        Raises:
            ValueError: the parser would not read the body; the request is answered 400.
        """
        self.end_head()
        if self.parser.should_upgrade() and self._has_body():
            self._complaint = "Send this without Upgrade: only HTTP/1.1 is spoken here."
            raise ValueError(self._complaint)
        if max(len(self.connections), len(self.tasks)) >= CONNECTIONS:
            logger.warning("there are too many connections, a request is turned away")
            self.app = _turn_away  # for the rest of this connection, which ends with the answer
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong, where we know it."""
        super().send_400_response(self._complaint or msg)

    def end_head(self) -> None:
        """Request line and headers are here; their bounds are kept."""
        self._reading_head = False
        self._cancel_head_timer()

    def data_received(self, data: bytes) -> None:
        """Feed the parser and look whether the head has grown too long."""
        super().data_received(data)
        if self._reading_head and not self.transport.is_closing():
            # Only here: most heads arrive whole, and a timer for each would cost more than reading it.
            self._start_head_timer()
            self._head_size += len(data)
            if self._head_size > HEAD_LIMIT:
                self._answer_and_close(b"431 Request Header Fields Too Large")

    def _has_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
            for name, value in self.headers
        )

    def _expect_head(self) -> None:
        self._reading_head = True
        self._head_size = 0

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self._answer_and_close(b"408 Request Timeout")

    def _answer_and_close(self, status: bytes) -> None:
        # Mid-response of an earlier request on this connection nothing may be put between.
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
        self.transport.close()

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _look_whether_it_reads(self, before: int | None) -> None:
        unread = self.transport.get_write_buffer_size()
        if unread == before:
            self.transport.abort()
        else:
            self._unread_timer = self.loop.call_later(
                UNREAD_SECONDS, self._look_whether_it_reads, unread
            )

    def _cancel_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None


async def _turn_away(_scope: Any, _receive: Any, send: Any) -> None:
    """An ASGI application for who comes when there are too many."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(_CROWDED)),
        (b"retry-after", b"5"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": _CROWDED})


def server_options() -> dict[str, Any]:
    """Return uvicorn's settings that every Handrail web process has."""
    return {
        "http": BoundedHttpProtocol,
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "on",
        "access_log": False,  # Addresses of pages may hold one-time keys.
        "server_header": False,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": 10,
    }
