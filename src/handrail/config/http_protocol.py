"""uvicorn's HTTP protocol with bounds on what may arrive before a request's body.

uvicorn with httptools takes headers of any size and waits for them for ever.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_LIMIT = 64 * 1024  # bytes of request line and headers (plus at most one read)
HEAD_SECONDS = 10.0


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes a connection whose request line and headers are too long (431) or too slow (408)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._head_timer: asyncio.TimerHandle | None = None
        self._expect_head()
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._cancel_head_timer()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A further request on this connection begins."""
        super().on_message_begin()
        self._expect_head()

    def on_headers_complete(self) -> None:
        """From here on the body's bounds count (handrail.config.bodies)."""
        self.end_head()
        super().on_headers_complete()

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


def server_options() -> dict[str, Any]:
    """Return uvicorn's settings that every Handrail web process has."""
    return {
        "http": BoundedHttpProtocol,
        "loop": "uvloop",
        "ws": "none",
        "lifespan": "on",
        "access_log": False,  # Addresses of pages may hold one-time keys.
        "server_header": False,
        "limit_concurrency": 800,  # connections; a process may usually open 1,024 files
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": 10,
    }
