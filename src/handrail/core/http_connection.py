"""One HTTP/1.1 connection to a partner: one request, its response, and the next (RFC 9112).

llhttp (through httptools) reads, strictly: what could be read in two ways is refused. It is told
nothing of how long a response may be, nor of the end of the connection: both are counted here.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

# Bytes. The heads of the interim responses count together with that of the final one.
HEAD_LIMIT = 32 * 1024
# Bytes of a response that are not its body, as the sizes of its chunks: a body in very small
# chunks costs more than it says.
FRAMING_LIMIT = 1024 * 1024
MAX_HEADERS = 128
MAX_INTERIM_RESPONSES = 8


class ConnectionBroken(Exception):
    """The exchange has not come to its end, and what was sent may have been done.

    `unanswered`: the partner closed the connection without a byte, as one does that has just
    given up an idle connection.
    """

    def __init__(self, reason: str, *, unanswered: bool = False) -> None:
        super().__init__(reason)
        self.unanswered = unanswered


@dataclass(frozen=True, slots=True)
class Response:
    """A final response: header names in small letters, of several alike the first.

    `body` is as it was sent (no content coding is undone); None: longer than was allowed.
    """

    status: int
    headers: dict[bytes, bytes]
    body: bytes | None


class HttpConnection(asyncio.Protocol):
    """A connected transport and the exchange that runs on it, if any.

    `idle_since` is the loop's time at which the last exchange ended.
    """

    __slots__ = (
        "_body",
        "_body_limit",
        "_complete",
        "_head_bytes",
        "_head_read",
        "_headers",
        "_headers_seen",
        "_interim",
        "_keeps",
        "_loop",
        "_on_idle",
        "_on_lost",
        "_parser",
        "_problem",
        "_received",
        "_sized",
        "_status",
        "_timer",
        "_transport",
        "_waiter",
        "idle_since",
    )

    def __init__(
        self,
        *,
        body_limit: int,
        on_idle: "Callable[[HttpConnection], None]",
        on_lost: "Callable[[HttpConnection], None]",
    ) -> None:
        """Take the longest body in bytes, and whom to tell of a free and of a lost connection."""
        self._loop = asyncio.get_running_loop()
        self._body_limit = body_limit
        self._on_idle = on_idle
        self._on_lost = on_lost
        # It holds us as we hold it, until the connection is lost.
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.idle_since = 0.0
        self._expect()

    @property
    def is_usable(self) -> bool:
        """Whether a request can be sent now."""
        transport = self._transport
        return self._waiter is None and transport is not None and not transport.is_closing()

    def abort(self) -> None:
        """Close at once; an exchange under way ends as broken."""
        if self._transport is not None:
            self._transport.abort()

    async def exchange(self, request: bytes, *, deadline: float) -> Response:
        """Send one whole request and wait for its response until `deadline` (the loop's time).

        The connection closes unless the response came whole, leaves nothing behind and lets it
        open (RFC 9112, 9.3); also when the caller is cancelled.

        Raises:
            TimeoutError: `deadline` has passed.
            ConnectionBroken: it was closed, or what came is no response.
        """
        if not self.is_usable:
            raise ConnectionBroken("it is closed", unanswered=True)
        self._expect()
        waiter: asyncio.Future[Response] = self._loop.create_future()
        self._waiter = waiter
        self._timer = self._loop.call_at(deadline, self._end_in_time)
        cast("asyncio.Transport", self._transport).write(request)
        try:
            return await waiter
        finally:
            if self._waiter is waiter:  # cancelled; otherwise it may serve the next one already
                self._fail(ConnectionBroken("the call was cancelled"))

    def _expect(self) -> None:
        self._status = self._received = 0
        self._head_bytes = self._headers_seen = self._interim = 0
        self._headers: dict[bytes, bytes] = {}
        self._body: bytearray | None = bytearray()
        self._head_read = self._complete = self._keeps = self._sized = False
        self._problem = ""

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected, with TLS its handshake done."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read on; what comes unasked for ends the connection.

        Only line ends right behind a response pass unseen: the parser skips them.
        """
        if self._waiter is None or self._parser is None:
            self.abort()
            return
        self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._keeps = False
            if not self._complete:
                self._break(self._problem or "what it sent is not HTTP")
                return
        if self._complete:
            self._finish()
        elif not self._head_read and self._received > HEAD_LIMIT:
            self._break("its headers are too long")
        elif self._received - len(self._body or b"") > HEAD_LIMIT + FRAMING_LIMIT:
            self._break("its chunks are too small")

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed; which is the end of a body that has no other (RFC 9112, 6.3, 8)."""
        self._transport = None
        if self._head_read and not self._sized and exc is None and self._waiter is not None:
            self._keeps = False
            self._finish()
        else:
            unanswered = self._received == 0
            when = "before it answered" if unanswered else "in the middle of an answer"
            self._break(f"it was closed {when}", unanswered=unanswered)
        self._parser = None
        self._on_lost(self)

    # What the parser tells.

    def on_message_begin(self) -> None:
        """A response begins: the first, one after interim ones, or one that nobody asked for."""
        if self._complete:
            self._refuse("there is more behind its answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or a trailer, which means nothing to us (RFC 9110, 6.5.1)."""
        self._headers_seen += 1
        self._head_bytes += len(name) + len(value)
        if self._headers_seen > MAX_HEADERS or self._head_bytes > HEAD_LIMIT:
            self._refuse("its headers are too long")
        if self._head_read:
            return
        name = name.lower()
        if name == b"transfer-encoding":
            # We offered no other coding, so that another, or two, is a trick (RFC 9112, 6.1, 7.4).
            if name in self._headers or value.strip().lower() != b"chunked":
                self._refuse("its transfer encoding is not one we know")
            self._sized = True
        elif name == b"content-length":  # llhttp refuses a second one, or both
            self._sized = True
        self._headers.setdefault(name, value)

    def on_headers_complete(self) -> None:
        """A head is read: of the response, or of one before it (RFC 9110, 15.2)."""
        parser = cast("HttpResponseParser", self._parser)
        status = self._status = parser.get_status_code()
        if 200 <= status <= 599:
            version = parser.get_http_version()
            if version not in ("1.1", "1.0"):
                self._refuse("what it sent is not HTTP/1")
            self._head_read = True
            # Chunks are no part of 1.0: whoever sends them there is misunderstood (RFC 9112, 6.1).
            odd = version == "1.0" and b"transfer-encoding" in self._headers
            self._keeps = parser.should_keep_alive() and not odd
            return
        if status < 100 or status > 599 or status == 101:  # we never ask for another protocol
            self._refuse(f"its status is {status}")
        self._interim += 1
        if self._interim > MAX_INTERIM_RESPONSES:
            self._refuse("it goes on saying that it will answer")

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body, until there is too much of it."""
        body = cast("bytearray", self._body)
        if len(body) + len(piece) > self._body_limit:
            self._body = None
            self._complete = True
            self._refuse("its answer is too long")
        body += piece

    def on_message_complete(self) -> None:
        """The end of the response; an interim one is followed by another."""
        if self._head_read:
            self._complete = True
        else:
            self._headers.clear()
            self._sized = False

    def _refuse(self, problem: str) -> NoReturn:
        """Stop the parser, which turns any error into one of its own."""
        self._problem = problem
        raise ValueError(problem)

    # How an exchange ends.

    def _finish(self) -> None:
        body = None if self._body is None else bytes(self._body)
        waiter = self._end()
        if waiter is not None and not waiter.done():
            waiter.set_result(Response(self._status, self._headers, body))
        if self._keeps:
            self.idle_since = self._loop.time()
            self._on_idle(self)
        else:
            self.abort()

    def _break(self, reason: str, *, unanswered: bool = False) -> None:
        self._fail(ConnectionBroken(reason, unanswered=unanswered))

    def _end_in_time(self) -> None:
        self._fail(TimeoutError())

    def _fail(self, error: Exception) -> None:
        waiter = self._end()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        self.abort()

    def _end(self) -> "asyncio.Future[Response] | None":
        waiter, self._waiter = self._waiter, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return waiter
