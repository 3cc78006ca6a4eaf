"""The ingress: `POST /api/webhooks/partners/{endpoint}`, in front of Django, made for many a second.

A message is verified over its raw bytes, stored by group commit, and answered after the commit.
Nothing is parsed here. What a signed message says is the applier's business.
"""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from handrail.core.channel import DatabaseAway
from handrail.core.crypto import Keyring
from handrail.inbox.answers import (
    AFTER_STORE,
    CROWDED,
    NO_SECRET,
    NOT_NOW,
    NOT_NOW_UNREAD,
    NOT_POST,
    TOO_BIG,
    TOO_SLOW,
    UNKNOWN_ENDPOINT,
    Answered,
    Response,
)
from handrail.inbox.connection import IngressConnection
from handrail.inbox.endpoints import Endpoint, Endpoints
from handrail.inbox.registry import Authentic, Headers, NotAuthentic, get_verifier
from handrail.inbox.store import UNKNOWN, EventStore, Message, Overloaded

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PREFIX = "/api/webhooks/partners/"
SHORT_WAY = "handrail.webhooks"
"""Where `Ingress.take_whole` stands in the lifespan's state, for the server's HTTP protocol."""
_LONGEST_EVENT_ID = 255
_LONGEST_CONTENT_TYPE = 255


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the ingress; the defaults are meant for production."""

    body: int = 1024 * 1024
    """Bytes of one message."""
    body_seconds: float = 15
    """So long may a body take to arrive."""
    arriving_bytes: int = 64 * 1024 * 1024
    """Of all bodies of which only a part is here; over it the oldest is turned away."""
    waiting: int = 10_000
    """Verified messages waiting for their commit; over it 503."""
    waiting_bytes: int = 64 * 1024 * 1024
    batch: int = 500
    batch_bytes: int = 8 * 1024 * 1024
    database_seconds: float = 5
    """So long may the database take to answer; after it 503."""


class _Arriving:
    """Bodies of which only a part is here. Over the limit the oldest, the slowest, goes first.

    So a crowd of slow senders pushes out its own and not the message that comes in one piece.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._deadlines: dict[asyncio.Timeout, int] = {}  # in the order of their beginning

    def grow(self, deadline: asyncio.Timeout, size: int) -> None:
        self._deadlines[deadline] = self._deadlines.get(deadline, 0) + size
        self._bytes += size
        while self._bytes > self._limit and self._deadlines:
            oldest = next(iter(self._deadlines))
            self.forget(oldest)
            oldest.reschedule(0)

    def forget(self, deadline: asyncio.Timeout) -> None:
        self._bytes -= self._deadlines.pop(deadline, 0)


class Ingress:
    """An ASGI application; `start` and `stop` belong into the server's lifespan."""

    def __init__(self, dsn: str, *, keyring: Keyring, limits: Limits | None = None) -> None:
        """Store as the role of `dsn` (handrail_ingress), opening secrets with `keyring`."""
        self._dsn = dsn
        self._keyring = keyring
        self._limits = limits or Limits()
        self._store: EventStore
        self._endpoints: Endpoints
        self._connections: tuple[IngressConnection, ...] = ()
        self._arriving = _Arriving(self._limits.arriving_bytes)

    async def start(self) -> None:
        """Get ready; the database may be away, then messages are answered 503 until it is back.

        Raises:
            LookupError: no verifier is registered.
        """
        self._verify = get_verifier()
        limits = self._limits
        # Two, so that looking up endpoints never waits for a commit nor holds one up.
        reader = IngressConnection(self._dsn, patience=limits.database_seconds)
        writer = IngressConnection(self._dsn, patience=limits.database_seconds)
        self._connections = (reader, writer)
        self._endpoints = Endpoints(reader, self._keyring)
        self._store = EventStore(
            writer,
            most_waiting=limits.waiting,
            most_waiting_bytes=limits.waiting_bytes,
            batch=limits.batch,
            batch_bytes=limits.batch_bytes,
        )
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        """Store what was taken, then disconnect."""
        if self._connections:
            await self._store.close()
            for connection in self._connections:
                await connection.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._take(scope, receive)
        except Answered as early:
            response = early.response
        await send(response.start)
        await send(response.body)
        if response.closes:
            await self._part(receive, send)

    def take_whole(
        self, key: str, headers: Headers, body: bytes, answer: Callable[[Response], object]
    ) -> bool:
        """Take a message that arrived in one piece; `answer` is called after its commit.

        This is the short way of what ASGI does above, for the usual case: a known endpoint and a
        message that is authentic. False: nothing was done, it must go the long way.
        """
        known = self._endpoints.find_fresh(key)
        if known is None or known[1] is None or len(body) > self._limits.body:
            return False
        endpoint = known[1]
        now = time.time()
        secrets = endpoint.list_live_secrets(now)
        if not secrets:
            return False
        try:
            authentic = self._verify(endpoint.scheme, headers, body, secrets, now=now)
            content_type = find_content_type(headers)
            self._add(
                *(endpoint, authentic, body, content_type),
                lambda letter: answer(AFTER_STORE[letter]),
            )
        except (NotAuthentic, Overloaded):
            return False
        return True

    async def _take(self, scope: Scope, receive: Receive) -> Response:
        if scope["method"] != "POST":
            raise Answered(NOT_POST)
        key = scope["path"].removeprefix(PREFIX)
        endpoint = await self._find(key)
        headers: Headers = scope["headers"]
        for name, value in headers:
            if name == b"content-length" and value.isdigit() and int(value) > self._limits.body:
                raise Answered(TOO_BIG)
        body = await self._read(receive)
        authentic = await self._check(key, endpoint, headers, body)
        return await self._keep(endpoint, authentic, body, find_content_type(headers))

    async def _find(self, key: str) -> Endpoint:
        known = self._endpoints.find_fresh(key)
        try:
            endpoint = known[1] if known else await self._endpoints.look_up(key)
        except DatabaseAway:
            raise Answered(NOT_NOW_UNREAD) from None
        if endpoint is None:
            raise Answered(UNKNOWN_ENDPOINT)
        return endpoint

    async def _read(self, receive: Receive) -> bytes:
        """Read the body, with a deadline, and account for what is held."""
        chunks: deque[bytes] = deque()
        size = 0
        try:
            async with asyncio.timeout(self._limits.body_seconds) as deadline:
                try:
                    while True:
                        message = await receive()
                        if message["type"] == "http.disconnect":
                            raise Answered(TOO_SLOW)  # Nobody is there to hear it.
                        chunk = message.get("body", b"")
                        size += len(chunk)
                        if size > self._limits.body:
                            raise Answered(TOO_BIG)
                        chunks.append(chunk)
                        self._arriving.grow(deadline, len(chunk))
                        if not message.get("more_body", False):
                            return b"".join(chunks)
                finally:
                    self._arriving.forget(deadline)
        except TimeoutError:
            raise Answered(TOO_SLOW) from None

    async def _check(
        self, key: str, endpoint: Endpoint, headers: Headers, body: bytes
    ) -> Authentic:
        now = time.time()
        secrets = endpoint.list_live_secrets(now)
        try:
            if secrets:
                return self._verify(endpoint.scheme, headers, body, secrets, now=now)
        except NotAuthentic as refusal:
            reason = str(refusal)
        else:
            reason = ""
        # The secret may have been changed a moment ago.
        current = await self._look_again(key, endpoint)
        secrets = current.list_live_secrets(now)
        if not secrets:
            raise Answered(NO_SECRET)
        try:
            if current is not endpoint:
                return self._verify(current.scheme, headers, body, secrets, now=now)
        except NotAuthentic as refusal:
            reason = str(refusal)
        self._store.count_refused(endpoint.id, reason)
        raise Answered(Response(401, reason))

    async def _look_again(self, key: str, endpoint: Endpoint) -> Endpoint:
        """The endpoint as it is now; asked for once a moment, however many are refused."""
        known = self._endpoints.find_fresh(key)
        if known and known[1] and known[1] is not endpoint:
            return known[1]
        if time.monotonic() - endpoint.looked_up_at < LOOK_AGAIN_SECONDS:
            return endpoint
        try:
            current = await self._endpoints.look_up(key)
        except DatabaseAway:
            raise Answered(NOT_NOW) from None
        if current is None:
            raise Answered(AFTER_STORE[UNKNOWN])
        return current

    async def _keep(
        self, endpoint: Endpoint, authentic: Authentic, body: bytes, content_type: bytes
    ) -> Response:
        letter: asyncio.Future[str] = self._loop.create_future()
        try:
            self._add(endpoint, authentic, body, content_type, letter.set_result)
        except Overloaded:
            return CROWDED
        # Shielded: the letter is set even when the server gave up on this request.
        return AFTER_STORE[await asyncio.shield(letter)]

    def _add(
        self,
        endpoint: Endpoint,
        authentic: Authentic,
        body: bytes,
        content_type: bytes,
        settle: Callable[[str], object],
    ) -> None:
        event_id = make_event_id(authentic.event_id, body)
        content_type = content_type[:_LONGEST_CONTENT_TYPE]
        self._store.add(
            Message(endpoint.id, event_id, body, content_type, authentic.sent_at, settle)
        )

    async def _part(self, receive: Receive, send: Send) -> None:
        """Close, after a moment in which the sender can read the answer.

        A connection that is closed while its sender still writes is reset, and with it the answer
        is lost. What comes meanwhile is thrown away.
        """
        left = 4 * self._limits.body
        try:
            async with asyncio.timeout(1):
                while left > 0:
                    message = await receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            pass
        await send({"type": "http.response.body", "body": b"", "more_body": False})


LOOK_AGAIN_SECONDS = 0.5
"""A refused message has its endpoint looked up again, if that is longer ago."""


def find_content_type(headers: Headers) -> bytes:
    """The content type, if it is one that can be kept."""
    for name, value in headers:
        if name == b"content-type":
            return value if value.isascii() else b""
    return b""


def make_event_id(sent: bytes, body: bytes) -> bytes:
    """The id under which a message is stored: the sender's, where it can be kept as it is.

    Printable ASCII of 1 to 255 characters stays. Of any other id, and of a body without one, the
    SHA-256 is taken, so that the same id, or the same body, is seen again as the same.
    """
    if not sent:
        return b"body-sha256:" + hashlib.sha256(body).hexdigest().encode()
    if len(sent) <= _LONGEST_EVENT_ID and sent.isascii() and sent.decode().isprintable():
        return sent
    return b"id-sha256:" + hashlib.sha256(sent).hexdigest().encode()
