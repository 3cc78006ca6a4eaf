"""The one outbound HTTP client of the project: every call to a partner goes through it.

`OutboundPool` is made once per process; `bind` gives the client of one provider. What a call can
end in besides an answer is one of three errors: `RetryLater`, `OutcomeUnknown`, `NeedsPerson`.

The connections are ours (`http_pool`, `http_connection`): aiohttp was most of the CPU of
a call (docs/decisions/0020; `python -m benchmarks.outbound`).
"""

import asyncio
import json
import socket
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from yarl import URL

from handrail.core.addresses import AddressPolicy, AddressRefused
from handrail.core.circuits import Circuit
from handrail.core.http_connection import ConnectionBroken, HttpConnection, Response
from handrail.core.http_pool import HttpPool, Origin
from handrail.core.outcomes import (
    MAX_ANSWER_BYTES,
    CallFailed,
    NeedsPerson,
    OutcomeUnknown,
    RetryLater,
    blame_status,
    blame_unknown,
    read_answer,
    read_json_or_none,
    read_retry_after,
    say,
)
from handrail.core.partner_words import read_words

__all__ = [
    "Answer",
    "CallFailed",
    "NeedsPerson",
    "OutboundClient",
    "OutboundPool",
    "OutcomeUnknown",
    "RetryLater",
]

CONNECT_SECONDS = 10.0
CALLS_AT_ONCE = 16
_to_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
# A size limit on compressed bytes would be none: nothing is asked for but the plain body.
_HEADERS = "Accept: application/json\r\nAccept-Encoding: identity\r\nUser-Agent: Handrail/0.1"
_OURS = frozenset(
    (
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
    )
)
# Without HEAD and CONNECT, whose responses are read in other ways (RFC 9112, 6.3, 1 and 2).
_METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE"))
_SENT_AGAIN = frozenset(("GET", "PUT", "DELETE"))


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer whose status the caller takes, and its JSON; None where there is none.

    With a 2xx status None means an empty body; with another status that it was no JSON, and
    `words` is what the partner says, fit for a person.
    """

    status: int
    data: Any
    words: str = ""


class OutboundPool:
    """Connections, circuits and limits of one process, shared by all its providers.

    An event loop that ends before the process does calls `close` first.
    """

    def __init__(
        self,
        *,
        allowed_private_hosts: Iterable[tuple[str, int]] = (),
        total_seconds: float = 30.0,
        first_pause_seconds: float = 5.0,
    ) -> None:
        """Take the private (host, port) pairs that may be reached, and times in seconds.

        `total_seconds` bounds a call from its sending to the last byte, and before that the wait
        for a free place; `first_pause_seconds` is how long a circuit opens the first time.
        """
        self.addresses = AddressPolicy(allowed_private_hosts)
        self.total_seconds = total_seconds
        self._first_pause_seconds = first_pause_seconds
        self._circuits: dict[str, Circuit] = {}
        self._loops: dict[asyncio.AbstractEventLoop, _LoopState] = {}

    def bind(
        self,
        *,
        provider: str,
        base_url: str,
        secrets: Iterable[str] = (),
        calls_at_once: int = CALLS_AT_ONCE,
    ) -> "OutboundClient":
        """The client of one provider, cheap to make: nothing is connected yet.

        `provider` is its id, to which circuit and limit belong; `secrets` are kept out of words;
        `calls_at_once` is counted per event loop.
        """
        return OutboundClient(self, provider, base_url, tuple(secrets), calls_at_once)

    def circuit(self, provider: str) -> Circuit:
        """The circuit of a provider, made when first asked for."""
        if provider not in self._circuits:
            self._circuits[provider] = Circuit(self._first_pause_seconds)
        return self._circuits[provider]

    def open_circuits(self) -> frozenset[str]:
        """The ids of the providers that are left alone for now: do not claim their intents."""
        return frozenset(key for key, circuit in self._circuits.items() if circuit.is_open)

    def loop_state(self) -> "_LoopState":
        """What belongs to the running event loop."""
        loop = asyncio.get_running_loop()
        state = self._loops.get(loop)
        if state is None:
            for gone in [other for other in self._loops if other.is_closed()]:
                del self._loops[gone]
            state = self._loops[loop] = _LoopState(self)
        return state

    async def close(self) -> None:
        """Close the connections of the running event loop; the pool can be used again."""
        state = self._loops.pop(asyncio.get_running_loop(), None)
        if state is not None:
            await state.connections.close()


class _LoopState:
    """The connections of one event loop and the free places of each provider in it."""

    def __init__(self, pool: OutboundPool) -> None:
        self.places: dict[str, asyncio.Semaphore] = {}
        self.connections = HttpPool(pool.addresses, body_limit=MAX_ANSWER_BYTES)


@dataclass(frozen=True, slots=True)
class _Base:
    """A checked base address: where to connect, its path without slash at the end, its headers."""

    origin: Origin
    path: str
    headers: str


@dataclass(slots=True)
class _Request:
    """One request as it goes over the wire, and what may be done when it breaks."""

    origin: Origin
    data: bytes
    harmless: bool
    sent_again: bool


class OutboundClient:
    """Calls to one provider: JSON in, JSON out."""

    def __init__(
        self,
        pool: OutboundPool,
        provider: str,
        base_url: str,
        secrets: tuple[str, ...],
        calls_at_once: int,
    ) -> None:
        self._pool = pool
        self._provider = provider
        self._circuit = pool.circuit(provider)
        self._given_url = base_url
        self._base: _Base | None = None  # set when checked
        self._secrets = secrets
        self._calls_at_once = calls_at_once

    async def request_json(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        accept: Container[int] = (),
        harmless: bool | None = None,
    ) -> Answer:
        """Make one call; return its answer when that is 2xx or a status in `accept`.

        `path` begins with / and is percent-encoded. `harmless` (by default: a GET is): repeating
        it does no harm, so that what would be unknown is `RetryLater` instead. A GET, PUT or
        DELETE whose connection is dropped is sent once more at once (RFC 9110, 9.2.2).

        Raises:
            RetryLater: it did not happen: 408, 425, 429, 503, no connection, circuit open.
            OutcomeUnknown: it may have: time-out, dropped, other 5xx, 2xx that is no JSON.
            NeedsPerson: refused: other 4xx, redirect, an address that may not be reached.
        """
        base = self._base or self._check_address()
        harmless = method == "GET" if harmless is None else harmless
        content = None if body is None else _to_json(body).encode()
        target = base.path + path + (f"?{urlencode(query)}" if query else "")
        try:
            data = _write_request(base, method, target, headers, content)
        except ValueError:
            raise NeedsPerson(
                "configuration", "the provider's address or credentials are no text to send"
            ) from None
        received = await self._call(_Request(base.origin, data, harmless, method in _SENT_AGAIN))
        if 200 <= received.status < 300:
            return Answer(received.status, read_answer(received.body, harmless=harmless))
        if received.status in accept:
            return Answer(
                received.status, read_json_or_none(received.body), self._read_words(received)
            )
        raise self._blame(received, harmless=harmless)

    def _check_address(self) -> _Base:
        """Check the base address and take it apart; once per client."""
        try:
            url = URL(self._given_url)
            self._pool.addresses.check_url(url)
        except AddressRefused as error:
            raise NeedsPerson("address", str(error)) from None
        except ValueError:
            raise NeedsPerson("address", "the address is not a URL") from None
        self._base = _Base(
            Origin(url.raw_host or "", url.port or 0, url.scheme == "https"),
            url.raw_path.rstrip("/"),
            f"Host: {url.host_port_subcomponent}\r\n{_HEADERS}",
        )
        return self._base

    async def _call(self, request: _Request) -> Response:
        """Take a free place, ask the circuit, make the call, tell the circuit how it went."""
        state = self._pool.loop_state()
        places = state.places.get(self._provider)
        if places is None:
            places = state.places[self._provider] = asyncio.Semaphore(self._calls_at_once)
        await self._take(places)
        try:
            given = self._circuit.enter()
            if given is None:
                raise self._blame_circuit()
            outcome: Response | CallFailed | None = None
            try:
                outcome = await _exchange(state.connections, request, self._pool.total_seconds)
            finally:
                self._circuit.leave(given, failed=_tell_failure(outcome))
        finally:
            places.release()
        # Raised here, where no error of the connection is in the context.
        if isinstance(outcome, CallFailed):
            raise outcome
        return outcome

    async def _take(self, places: asyncio.Semaphore) -> None:
        if not places.locked():
            await places.acquire()
            return
        try:
            async with asyncio.timeout(self._pool.total_seconds):
                await places.acquire()
        except TimeoutError:
            raise RetryLater("too many calls to this partner at once", outage=True) from None

    def _blame_circuit(self) -> RetryLater:
        seconds = self._circuit.seconds_left() or 1.0  # a probe is on its way
        return RetryLater(
            f"the partner is left alone for {seconds:.0f} s", after_seconds=seconds, outage=True
        )

    def _blame(self, received: Response, *, harmless: bool) -> CallFailed:
        found = received.headers
        times = {
            name: found.get(name.lower().encode(), b"").decode("latin-1")
            for name in ("Retry-After", "Date")
        }
        after_seconds = read_retry_after(times, now=datetime.now(UTC))
        if after_seconds is not None and received.status in (429, 503):
            self._circuit.pause(after_seconds)
        return blame_status(
            received.status,
            self._read_words(received),
            after_seconds=after_seconds,
            harmless=harmless,
        )

    def _read_words(self, received: Response) -> str:
        return say(received.status, read_words(received.body or b"", secrets=self._secrets))


def _write_request(
    base: _Base, method: str, target: str, headers: Mapping[str, str], content: bytes | None
) -> bytes:
    """A request in the form of RFC 9112, 3 to 6.

    Raises:
        ValueError: a part of it is no text to send, or would be read as more than that part.
    """
    if method not in _METHODS:
        raise ValueError("not a method of ours")
    # As the adapters write it: begins with a slash, percent-encoded (RFC 9112, 3.2.1).
    if not target.startswith("/"):
        target = "/" + target
    if not (target.isascii() and target.isprintable()) or " " in target or "#" in target:
        raise ValueError("the path is not percent-encoded")
    lines = [f"{method} {target} HTTP/1.1", base.headers]
    for name, value in headers.items():
        _check_header_name(name)
        lines.append(f"{name}: {value}")
    if content is not None:
        lines.append("Content-Type: application/json")
    if content is not None or method != "GET":  # RFC 9110, 8.6
        lines.append(f"Content-Length: {len(content or b'')}")
    head = "\r\n".join(lines)
    # Line ends of ours alone: none, and no NUL, has come in with a value (RFC 9110, 5.5).
    ends = len(lines) + base.headers.count("\n") - 1
    if head.count("\n") != ends or head.count("\r") != ends or "\0" in head:
        raise ValueError("a header has a line break")
    return f"{head}\r\n\r\n".encode() + (content or b"")


@lru_cache(maxsize=256)
def _check_header_name(name: str) -> None:
    """Raise ValueError for what is no header name (RFC 9110, 5.1), or the name of one of ours."""
    plain = name.translate(_TOKEN_MARKS)
    if not (name.isascii() and (plain.isalnum() or (name and not plain))):
        raise ValueError("not a header name")
    if name.lower() in _OURS:
        raise ValueError("a header that the client writes itself")


_TOKEN_MARKS = str.maketrans("", "", "!#$%&'*+-.^_`|~")


async def _exchange(
    connections: HttpPool, request: _Request, total_seconds: float
) -> Response | CallFailed:
    """Send one request and read its answer; what breaks on the way is returned as our error.

    A partner that did not answer within `total_seconds` gets as many more before anybody looks.
    """
    deadline = asyncio.get_running_loop().time() + total_seconds
    connection = connections.take_idle(request.origin)
    sent = False
    while True:
        if connection is None:
            made = await _connect(connections, request.origin, total_seconds)
            if isinstance(made, CallFailed):
                return _blame_broken("it was closed, and no other made", request) if sent else made
            connection = made
        try:
            return await connection.exchange(request.data, deadline=deadline)
        except TimeoutError:
            return blame_unknown(
                "the partner did not answer in time",
                harmless=request.harmless,
                after_seconds=total_seconds,
            )
        except ConnectionBroken as broken:
            if sent or not (broken.unanswered and request.sent_again):
                return _blame_broken(str(broken), request)
        connection, sent = None, True


def _blame_broken(how: str, request: _Request) -> CallFailed:
    return blame_unknown(f"the connection to the partner broke: {how}", harmless=request.harmless)


async def _connect(
    connections: HttpPool, origin: Origin, total_seconds: float
) -> HttpConnection | CallFailed:
    """Make a new connection; where there is none, nothing was sent."""
    try:
        return await connections.connect(origin, seconds=min(CONNECT_SECONDS, total_seconds / 2))
    except AddressRefused as refused:
        return NeedsPerson("address", str(refused))
    except TimeoutError:
        return RetryLater("no connection to the partner in time", outage=True)
    except OSError as error:
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME:
            # The name system's answer; without one it is EAI_AGAIN (RFC 3493, 6.1).
            return NeedsPerson("address", f"there is no host named {origin.host}")
        return RetryLater(f"no connection to the partner: {error}", outage=True)
    except ValueError:  # no name, such as one with a part of more than 63 letters
        return NeedsPerson("address", "the host of the address is no name")


def _tell_failure(outcome: Response | CallFailed | None) -> bool | None:
    """Whether this speaks of a partner that is away; None when it says neither (cancelled, 429)."""
    if isinstance(outcome, Response):
        return None if outcome.status in (425, 429) else outcome.status in (500, 502, 503, 504)
    return True if isinstance(outcome, RetryLater | OutcomeUnknown) else None
