"""One connection of the ingress to the database, made again when it is lost."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from handrail.inbox.wire import register_wire_array

RETRY_SECONDS = 0.5  # after a failed attempt nobody tries sooner


class DatabaseAway(Exception):
    """The database does not answer. What to do: answer 503, the sender tries again."""


class IngressConnection:
    """Runs one statement at a time, each its own transaction; used by one task at a time.

    Nothing is kept on the server between statements, so that PgBouncer may stand between in
    transaction mode.
    """

    def __init__(self, dsn: str, *, patience: float) -> None:
        """Connect to `dsn` when first needed; `patience`: seconds for connecting or a statement."""
        self._dsn = dsn
        self._patience = patience
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._not_before = 0.0

    async def fetch(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement, which may be run twice, and return its rows.

        Raises:
            DatabaseAway: no connection, or it was lost, or no room or no time for the statement.
            psycopg.Error: the statement failed and would fail again, or it was caught in a
                deadlock; the connection stands.
        """
        try:
            async with asyncio.timeout(self._patience):
                return await self._fetch_again(query, parameters)
        except TimeoutError as error:
            await self.close()
            raise DatabaseAway(f"no answer within {self._patience:g} seconds") from error
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
            raise
        except psycopg.OperationalError as error:
            if self._is_lost():
                await self.close()
            raise DatabaseAway(str(error).partition("\n")[0]) from error

    async def _fetch_again(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run it; over a new connection if the old one was lost, as all of ours may be repeated."""
        is_new = self._connection is None
        try:
            return await self._fetch(query, parameters)
        except psycopg.OperationalError:
            if is_new or not self._is_lost():
                raise
            await self.close()
            return await self._fetch(query, parameters)

    async def _fetch(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        connection = self._connection or await self._connect()
        cursor = connection.cursor(binary=True)
        await cursor.execute(query.encode(), parameters)
        return await cursor.fetchall()

    def _is_lost(self) -> bool:
        return self._connection is not None and self._connection.broken

    async def _connect(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        if time.monotonic() < self._not_before:
            raise DatabaseAway("could not connect a moment ago")
        self._not_before = time.monotonic() + RETRY_SECONDS
        try:
            connection = await psycopg.AsyncConnection.connect(
                self._dsn, autocommit=True, prepare_threshold=None
            )
        except psycopg.OperationalError as error:
            raise DatabaseAway(str(error).partition("\n")[0]) from error
        register_wire_array(connection)
        self._connection = connection
        return connection

    async def close(self) -> None:
        """Close; the next statement connects anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
