"""One connection of a background process to the database, made again when it is lost."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from functools import cache
from itertools import count
from typing import Any

import psycopg
from psycopg.pq.misc import PGnotify

from handrail.core.channel import Channel

RETRY_SECONDS = 0.5  # after a failed attempt nobody tries sooner
_CONNECT_SECONDS = 5
# A statement that waits for somebody's lock, or a server that is gone without a word, ends in time.
_LIMITS = "set lock_timeout = '1s'; set statement_timeout = '30s'"
_NETWORK: dict[str, Any] = {
    "connect_timeout": _CONNECT_SECONDS,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}

logger = logging.getLogger(__name__)


class DatabaseAway(Exception):
    """The database does not answer. What to do: wait a moment, try again."""


class ServiceConnection:
    """Runs one statement at a time, each prepared and a transaction of its own."""

    def __init__(self, dsn: str, *, name: str) -> None:
        """Connect to `dsn` when first needed; `name` shows in the server's list of connections."""
        self._dsn = dsn
        self._name = name
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._channel: Channel | None = None
        self._lock = asyncio.Lock()
        self._not_before = 0.0

    @property
    def pid(self) -> int:
        """The process id of the server's end, as notifications name it; 0 while not connected."""
        return self._connection.info.backend_pid if self._connection is not None else 0

    async def fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement that returns rows; `%b` stands for a parameter.

        Raises:
            DatabaseAway: no connection, or it was lost; nobody knows whether it was committed.
            psycopg.Error: the statement failed; the connection stands.
        """
        async with self._lock:
            try:
                if self._channel is None:
                    self._channel = Channel(await self._connect())
                return await self._channel.fetch_prepared(_number(query), parameters)
            except psycopg.OperationalError as error:
                if self._channel is None or self._channel.is_lost:
                    await self.close()
                    raise DatabaseAway(_first_line(error)) from error
                raise
            except asyncio.CancelledError:
                # The answer is still on its way: nobody else may read it.
                await self.close()
                raise

    async def listen(self, heard: Callable[[PGnotify], None], *names: str) -> None:
        """Call `heard` with each notification of these names; the connection is for nothing else.

        Raises:
            DatabaseAway: no connection, or it was lost.
        """
        async with self._lock:
            try:
                self._channel = Channel(await self._connect())
                await self._channel.listen(names, heard)
            except psycopg.OperationalError as error:
                raise DatabaseAway(_first_line(error)) from error
            finally:
                await self.close()
        raise DatabaseAway("the connection was lost")

    async def close(self) -> None:
        """Close; the next statement connects anew."""
        channel, self._channel = self._channel, None
        connection, self._connection = self._connection, None
        if channel is not None:
            await channel.close()
        elif connection is not None:
            await connection.close()

    async def _connect(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        wait = self._not_before - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        self._not_before = time.monotonic() + RETRY_SECONDS
        connection = await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, application_name=f"handrail {self._name}", **_NETWORK
        )
        await connection.execute(_LIMITS)
        self._connection = connection
        return connection


@cache
def _number(query: str) -> bytes:
    """The statement as the server reads it: `$1` for the first `%b`."""
    numbers = count(1)
    return re.sub("%b", lambda _: f"${next(numbers)}", query).encode()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
