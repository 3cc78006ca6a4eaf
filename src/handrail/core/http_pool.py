"""The HTTP connections of one event loop: made to checked addresses only, and kept for a while."""

import asyncio
import socket
import ssl
from functools import cache, partial
from ipaddress import ip_address
from typing import NamedTuple

from handrail.core.addresses import AddressPolicy, AddressRefused
from handrail.core.http_connection import HttpConnection

# Shorter than the idle time of usual servers (Node and uvicorn 5 s): a POST on a connection that
# the server is just closing would end as unknown.
KEEP_ALIVE_SECONDS = 4.0


class Origin(NamedTuple):
    """Where a connection goes (RFC 9110, 4.3.1); `host` as it is resolved, an IDN in ASCII."""

    host: str
    port: int
    tls: bool


class HttpPool:
    """Connections by origin; whoever takes one has it until its exchange is over."""

    def __init__(self, addresses: AddressPolicy, *, body_limit: int) -> None:
        """Take the rule of the addresses, and the longest body of a response in bytes."""
        self._addresses = addresses
        self._body_limit = body_limit
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Origin, list[HttpConnection]] = {}
        self._all: dict[HttpConnection, Origin] = {}
        self._resolutions: dict[tuple[str, int], asyncio.Task[list[str]]] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self._emptied = asyncio.Event()

    def take_idle(self, origin: Origin) -> HttpConnection | None:
        """A kept connection, the one used last; None when there is none."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            idle_seconds = self._loop.time() - connection.idle_since
            if connection.is_usable and idle_seconds <= KEEP_ALIVE_SECONDS:
                return connection
            connection.abort()
        return None

    async def connect(self, origin: Origin, *, seconds: float) -> HttpConnection:
        """Make a connection, within so many seconds with everything.

        It goes to the very address that was checked, resolved anew each time: a name that changes
        its mind gains nothing. Several are tried one after the other, each with its share of time.

        Raises:
            AddressRefused: the host leads to no address that may be reached.
            OSError: no connection; a TimeoutError is one, and so is a certificate not trusted.
            ValueError: the host is no name.
        """
        until = self._loop.time() + seconds
        async with asyncio.timeout_at(until):
            left = await self._find_addresses(origin)
            while True:
                address = left.pop(0)
                share = (until - self._loop.time()) / (len(left) + 1)
                try:
                    async with asyncio.timeout(share):
                        return await self._connect_to(address, origin)
                except OSError:
                    if not left:
                        raise

    async def close(self) -> None:
        """Close all connections, for good; what runs on them ends as broken."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        self._idle.clear()
        for connection in list(self._all):
            connection.abort()
        if self._all:  # the loop closes the sockets in its next rounds
            await self._emptied.wait()

    async def _find_addresses(self, origin: Origin) -> list[str]:
        """The addresses of the host that may be reached, in the order of the system (RFC 6724)."""
        host, port = origin.host, origin.port
        admitted = [
            address
            for address in await self._resolve(host, port)
            if self._addresses.admits(host=host, port=port, address=address)
        ]
        if not admitted:
            raise AddressRefused(f"{host} does not lead to a public address")
        return admitted

    async def _resolve(self, host: str, port: int) -> list[str]:
        """The addresses of a name; who asks while it is being resolved shares the answer.

        A resolution holds one of the few threads of the loop until the system gives up, whoever
        still waits: with one for each name no name takes the threads of the others.
        """
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass  # a name
        key = host, port
        resolution = self._resolutions.get(key)
        if resolution is None:
            resolution = self._loop.create_task(self._ask_system(host, port))
            self._resolutions[key] = resolution
            resolution.add_done_callback(partial(self._end_resolution, key))
        return await asyncio.shield(resolution)

    async def _ask_system(self, host: str, port: int) -> list[str]:
        found = await self._loop.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def _end_resolution(self, key: tuple[str, int], resolution: asyncio.Task[list[str]]) -> None:
        """Forget it: the next connection resolves anew."""
        del self._resolutions[key]
        if not resolution.cancelled():
            resolution.exception()  # told to those who wait, if anybody still does

    async def _connect_to(self, address: str, origin: Origin) -> HttpConnection:
        _, connection = await self._loop.create_connection(
            self._make,
            address,
            origin.port,
            ssl=_make_tls_context() if origin.tls else None,
            server_hostname=origin.host.rstrip(".") if origin.tls else None,
        )
        if self._closed or not connection.is_usable:  # it may be gone again, or have spoken first
            connection.abort()
            raise ConnectionAbortedError("closed as soon as it was made")
        self._all[connection] = origin
        return connection

    def _make(self) -> HttpConnection:
        return HttpConnection(body_limit=self._body_limit, on_idle=self._keep, on_lost=self._forget)

    def _keep(self, connection: HttpConnection) -> None:
        self._idle.setdefault(self._all[connection], []).append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(KEEP_ALIVE_SECONDS, self._sweep)

    def _forget(self, connection: HttpConnection) -> None:
        origin = self._all.pop(connection, None)
        idle = self._idle.get(origin) if origin else None
        if idle and connection in idle:
            idle.remove(connection)
        if self._closed and not self._all:
            self._emptied.set()

    def _sweep(self) -> None:
        """Close what has been idle for too long; come back as long as anything is kept."""
        self._sweeper = None
        oldest = self._loop.time() - KEEP_ALIVE_SECONDS
        for origin, idle in list(self._idle.items()):
            kept = [each for each in idle if each.idle_since > oldest]
            for connection in idle[: len(idle) - len(kept)]:
                connection.abort()
            if kept:
                self._idle[origin] = kept
            else:
                del self._idle[origin]
        if self._idle:
            self._sweeper = self._loop.call_later(KEEP_ALIVE_SECONDS / 4, self._sweep)


@cache
def _make_tls_context() -> ssl.SSLContext:
    """The system's trust store, host names checked, TLS 1.2 at least (RFC 9325, 3.1.1)."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
