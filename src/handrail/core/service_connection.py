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

from handrail.core.channel import Channel, DatabaseAway

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


class ServiceConnection:
    """Runs one statement at a time, each prepared and a transaction of its own."""

    def __init__(
        self, dsn: str, *, name: str, hear: tuple[str, Callable[[PGnotify], None]] | None = None
    ) -> None:
        """Connect to `dsn` when first needed; `name` shows in the server's list of connections.

        `hear`: a name of notifications and what is called with each, while there is a connection.
        """
        self._dsn = dsn
        self._name = name
        self._hear = hear
        self._channel: Channel | None = None
        self._lock = asyncio.Lock()
        self._not_before = 0.0

    @property
    def pid(self) -> int:
        """The process id of the server's end, as notifications name it; 0 while not connected."""
        return self._channel.pid if self._channel is not None else 0

    async def fetch(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement that returns rows; `%b` stands for a parameter.

        Raises:
            DatabaseAway: no connection, or it was lost; nobody knows whether it was committed.
            psycopg.Error: the statement failed; the connection stands.
        """
        async with self._lock:
            try:
                if self._channel is None:
                    self._channel = await self._connect()
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

    async def close(self) -> None:
        """Close; the next statement connects anew."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _connect(self) -> Channel:
        wait = self._not_before - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        self._not_before = time.monotonic() + RETRY_SECONDS
        connection = await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, application_name=f"handrail {self._name}", **_NETWORK
        )
        await connection.execute(_LIMITS)
        if self._hear is None:
            return Channel(connection)
        name, hear = self._hear
        await connection.execute(f"listen {name}".encode())
        return Channel(connection, hear=hear)


@cache
def _number(query: str) -> bytes:
    """The statement as the server reads it: `$1` for the first `%b`."""
    numbers = count(1)
    return re.sub("%b", lambda _: f"${next(numbers)}", query).encode()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
