"""The one outbound HTTP client of the project: every call to a partner goes through it.

`OutboundPool` is made once per process; `bind` gives the client of one provider. What a call can
end in besides an answer is one of three errors: `RetryLater`, `OutcomeUnknown`, `NeedsPerson`.

A call costs about 120 microseconds of CPU with 16 in flight and 190 one at a time, nearly all of it
aiohttp's own (uvloop, Python 3.11; `python -m benchmarks.outbound`).
"""

import asyncio
import json
import socket
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import aiohttp
from aiohttp.abc import ResolveResult
from yarl import URL

from handrail.core.addresses import AddressPolicy, AddressRefused
from handrail.core.circuits import Circuit
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
# Shorter than the idle time of usual servers (Node and uvicorn 5 s): a POST on a connection that
# the server is just closing would end as unknown.
KEEP_ALIVE_SECONDS = 4.0
CALLS_AT_ONCE = 16
_to_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # a size limit on compressed bytes would be none
    "User-Agent": "Handrail/0.1",
}


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

    def is_open(self, provider: str) -> bool:
        """Whether a call to this provider would be refused now: do not claim its intents."""
        circuit = self._circuits.get(provider)
        return circuit is not None and circuit.is_open

    def open_circuits(self) -> frozenset[str]:
        """The ids of the providers that are left alone for now."""
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
            await state.session.close()


class _LoopState:
    """The session of one event loop and the free places of each provider in it."""

    def __init__(self, pool: OutboundPool) -> None:
        self.places: dict[str, asyncio.Semaphore] = {}
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_CheckedResolver(pool.addresses),
                limit=0,  # places are counted per provider
                keepalive_timeout=KEEP_ALIVE_SECONDS,
            ),
            timeout=aiohttp.ClientTimeout(
                total=pool.total_seconds, connect=min(CONNECT_SECONDS, pool.total_seconds / 2)
            ),
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
        )


class _CheckedResolver(aiohttp.ThreadedResolver):
    """Resolves a name at each new connection and passes on only what may be reached.

    The connection is made to the address checked here: a name that changes its mind gains nothing.
    """

    def __init__(self, addresses: AddressPolicy) -> None:
        super().__init__()
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await super().resolve(host, port, family)
        admitted = [
            each
            for each in found
            if self._addresses.admits(host=host, port=port, address=each["host"])
        ]
        if not admitted:
            raise AddressRefused(f"{host} does not lead to a public address")
        return admitted


@dataclass(slots=True)
class _Request:
    method: str
    url: URL
    headers: Mapping[str, str]
    data: bytes | None
    harmless: bool


@dataclass(slots=True)
class _Received:
    """What came back; `body` None: more than we read."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


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
        self._base_url = ""  # set when checked
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
        it does no harm, so that what would be unknown is `RetryLater` instead. A GET or DELETE
        whose connection is dropped is sent once more at once (RFC 9110, 9.2.2).

        Raises:
            RetryLater: it did not happen: 408, 425, 429, 503, no connection, circuit open.
            OutcomeUnknown: it may have: time-out, dropped, other 5xx, 2xx that is no JSON.
            NeedsPerson: refused: other 4xx, redirect, an address that may not be reached.
        """
        url = self._check_address() + path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else _to_json(body).encode()
        if data is not None:
            headers = {**headers, "Content-Type": "application/json"}
        harmless = method == "GET" if harmless is None else harmless
        received = await self._call(
            _Request(method, URL(url, encoded=True), headers, data, harmless)
        )
        if 200 <= received.status < 300:
            return Answer(received.status, read_answer(received.body, harmless=harmless))
        if received.status in accept:
            return Answer(
                received.status, read_json_or_none(received.body), self._read_words(received)
            )
        raise self._blame(received, harmless=harmless)

    def _check_address(self) -> str:
        """Return the base address without slash at its end; checked once per client."""
        if not self._base_url:
            try:
                url = URL(self._given_url)
                self._pool.addresses.check_url(url)
            except AddressRefused as error:
                raise NeedsPerson("address", str(error)) from None
            except ValueError:
                raise NeedsPerson("address", "the address is not a URL") from None
            self._base_url = str(url).rstrip("/")
        return self._base_url

    async def _call(self, request: _Request) -> _Received:
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
            outcome: _Received | CallFailed | None = None
            try:
                outcome = await _exchange(state.session, request)
            finally:
                self._circuit.leave(given, failed=_tell_failure(outcome))
        finally:
            places.release()
        # Raised here, where no error of the library (with its headers) is in the context.
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

    def _blame(self, received: _Received, *, harmless: bool) -> CallFailed:
        after_seconds = read_retry_after(received.headers, now=datetime.now(UTC))
        if after_seconds is not None and received.status in (429, 503):
            self._circuit.pause(after_seconds)
        return blame_status(
            received.status,
            self._read_words(received),
            after_seconds=after_seconds,
            harmless=harmless,
        )

    def _read_words(self, received: _Received) -> str:
        return say(received.status, read_words(received.body or b"", secrets=self._secrets))


async def _exchange(session: aiohttp.ClientSession, request: _Request) -> _Received | CallFailed:
    """Send one request and read its answer; what breaks on the way is returned as our error."""
    try:
        async with session.request(
            request.method,
            request.url,
            headers=request.headers,
            data=request.data,
            allow_redirects=False,
        ) as response:
            body = await _read_body(response)
            return _Received(response.status, response.headers, body)
    except (aiohttp.ClientError, OSError, ValueError) as error:  # a TimeoutError is an OSError
        return _blame_broken(error, harmless=request.harmless, total=session.timeout.total)


def _blame_broken(error: Exception, *, harmless: bool, total: float | None) -> CallFailed:
    """Tell what a library's error means: before anything was sent, or after.

    A partner that did not answer within `total` seconds gets as many more before anybody looks.
    """
    match error:
        case aiohttp.ClientConnectorError(os_error=AddressRefused() as refused):
            return NeedsPerson("address", str(refused))
        case aiohttp.ClientConnectorError():
            return RetryLater(f"no connection to the partner: {error.os_error}", outage=True)
        case aiohttp.ConnectionTimeoutError():
            return RetryLater("no connection to the partner in time", outage=True)
        case TimeoutError():
            return blame_unknown(
                "the partner did not answer in time", harmless=harmless, after_seconds=total
            )
        case ValueError():  # raised before sending: a line break in a header, a host like 127.1
            return NeedsPerson(
                "configuration", "the provider's address or credentials are no text to send"
            )
        case _:
            broken = f"the connection to the partner broke ({type(error).__name__})"
            return blame_unknown(broken, harmless=harmless)


async def _read_body(response: aiohttp.ClientResponse) -> bytes | None:
    """The body, or None when it is longer than we read; its Content-Length is not believed."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            response.close()
            return None
    return bytes(body)


def _tell_failure(outcome: _Received | CallFailed | None) -> bool | None:
    """Whether this speaks of a partner that is away; None when it says neither (cancelled, 429)."""
    if isinstance(outcome, _Received):
        return None if outcome.status in (425, 429) else outcome.status in (500, 502, 503, 504)
    return True if isinstance(outcome, RetryLater | OutcomeUnknown) else None
