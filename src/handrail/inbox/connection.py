"""One connection of the ingress to the database, made again when it is lost."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from handrail.core.channel import Channel, DatabaseAway

RETRY_SECONDS = 0.5  # after a failed attempt nobody tries sooner


class IngressConnection:
    """Runs one statement at a time, each its own transaction; used by one task at a time.

    Nothing is kept on the server between statements, so that PgBouncer may stand between in
    transaction mode.
    """

    def __init__(self, dsn: str, *, patience: float) -> None:
        """Connect to `dsn` when first needed; `patience`: seconds for connecting or a statement."""
        self._dsn = dsn
        self._patience = patience
        self._channel: Channel | None = None
        self._not_before = 0.0

    async def fetch(self, statement: bytes, parameters: Sequence[bytes]) -> list[tuple[Any, ...]]:
        """Run a statement, which may be run twice, and return its rows.

        Parameters are `$1` and so on, in PostgreSQL's binary format.

        Raises:
            DatabaseAway: no connection, or it was lost, or no room or no time for the statement.
            psycopg.Error: the statement failed and would fail again, or it was caught in a
                deadlock; the connection stands.
        """
        try:
            async with asyncio.timeout(self._patience):
                return await self._fetch_again(statement, parameters)
        except TimeoutError as error:
            await self.close()
            raise DatabaseAway(f"no answer within {self._patience:g} seconds") from error
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
            raise
        except psycopg.OperationalError as error:
            if self._is_lost():
                await self.close()
            raise DatabaseAway(str(error).partition("\n")[0]) from error

    async def _fetch_again(
        self, statement: bytes, parameters: Sequence[bytes]
    ) -> list[tuple[Any, ...]]:
        """Run it; over a new connection if the old one was lost, as all of ours may be repeated."""
        channel = self._channel
        if channel is not None:
            try:
                return await channel.fetch(statement, parameters)
            except psycopg.OperationalError:
                if not channel.is_lost:
                    raise
            await self.close()
        channel = await self._connect()
        return await channel.fetch(statement, parameters)

    def _is_lost(self) -> bool:
        return self._channel is not None and self._channel.is_lost

    async def _connect(self) -> Channel:
        if time.monotonic() < self._not_before:
            raise DatabaseAway("could not connect a moment ago")
        self._not_before = time.monotonic() + RETRY_SECONDS
        connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
        self._channel = Channel(connection)
        return self._channel

    async def close(self) -> None:
        """Close; the next statement connects anew."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
