"""The channel to the database, against a server that ends in every moment."""

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import UUID

import psycopg
import pytest
import uvloop

from handrail.core.channel import DatabaseAway
from handrail.core.service_connection import ServiceConnection
from tests.databases import Database

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run it in each kind of event loop, for ten seconds at the most."""

    def run(coroutine: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(coroutine, 10))

    return run


@pytest.fixture
def connection(database: Database) -> ServiceConnection:
    return ServiceConnection(database.dsn("worker"), name="channel")


def end(database: Database, pid: int) -> None:
    with database.connect() as admin:
        admin.execute("select pg_terminate_backend(%s, 5000)", (pid,))


def test_values_come_back_as_they_went(connection: ServiceConnection, run: Run) -> None:
    values = [1, 2**40, "ä'\\", b"\0\xff", None, True, ["a", None], UUID(int=7), 0.5]
    casts = ["int", "bigint", "text", "bytea", "text", "bool", "text[]", "uuid", "float8"]
    query = "select " + ", ".join(f"%b::{cast}" for cast in casts)

    async def ask() -> None:
        for _ in range(3):
            assert await connection.fetch(query, values) == [tuple(values)]
        assert await connection.fetch("select repeat('x', %b::int)", [3_000_000]) == [
            ("x" * 3_000_000,)
        ]
        assert await connection.fetch("select length(%b::text)", ["x" * 3_000_000]) == [
            (3_000_000,)
        ]
        await connection.close()

    run(ask())


def test_a_statement_that_fails_leaves_the_connection(
    connection: ServiceConnection, run: Run
) -> None:
    async def ask() -> None:
        await connection.fetch("select 1")
        pid = connection.pid
        for _ in range(2):
            with pytest.raises(psycopg.errors.DivisionByZero):
                await connection.fetch("select 1 / %b::int", [0])
        with pytest.raises(psycopg.errors.UndefinedTable):
            await connection.fetch("select * from nowhere")
        assert await connection.fetch("select 1 / %b::int", [1]) == [(1,)]
        assert connection.pid == pid
        await connection.close()

    run(ask())


def test_a_connection_lost_while_nobody_asked_is_made_again(
    database: Database, connection: ServiceConnection, run: Run
) -> None:
    async def ask() -> None:
        await connection.fetch("select 1")
        await asyncio.to_thread(end, database, connection.pid)
        with pytest.raises(DatabaseAway):
            await connection.fetch("select 2")
        assert await connection.fetch("select 3") == [(3,)]
        await connection.close()

    run(ask())


@pytest.mark.parametrize("unread", [b"", b"S\0\0\0\4"], ids=["", "with something unread"])
def test_a_server_that_ends_while_the_answer_is_awaited_is_noticed(
    database: Database, connection: ServiceConnection, run: Run, unread: bytes
) -> None:
    """Its last words and its end are there at once; what it had not read makes the end an error."""

    async def ask() -> None:
        await connection.fetch("select 1")
        answer = asyncio.create_task(connection.fetch("select 1 from pg_sleep(60)"))
        await asyncio.sleep(0.2)
        assert connection._channel is not None
        os.write(connection._channel._socket, unread)
        end(database, connection.pid)  # the loop stands still meanwhile
        time.sleep(0.2)  # noqa: ASYNC251
        with pytest.raises(DatabaseAway):
            await answer
        assert await connection.fetch("select 2") == [(2,)]
        await connection.close()

    run(ask())


def test_a_cancelled_statement_is_not_answered_to_the_next(
    connection: ServiceConnection, run: Run
) -> None:
    async def ask() -> None:
        slow = asyncio.create_task(connection.fetch("select 1 from pg_sleep(0.3)"))
        await asyncio.sleep(0.1)
        slow.cancel()
        with pytest.raises(asyncio.CancelledError):
            await slow
        assert await connection.fetch("select 2") == [(2,)]
        await connection.close()

    run(ask())


def test_notifications_are_heard_over_each_new_connection(database: Database, run: Run) -> None:
    async def ask() -> None:
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        connection = ServiceConnection(
            database.dsn("worker"),
            name="channel",
            hear=("news", lambda notification: heard.put_nowait(notification.extra)),
        )
        await connection.fetch("select 1")
        with database.connect("worker") as other:
            other.execute("notify news, 'a'")
            assert await heard.get() == b"a"
            slow = asyncio.create_task(connection.fetch("select 1 from pg_sleep(0.3)"))
            await asyncio.sleep(0.1)
            other.execute("notify elsewhere, 'b'")
            other.execute("notify news, 'c'")
            await slow
            assert await heard.get() == b"c"

            await asyncio.to_thread(end, database, connection.pid)
            with pytest.raises(DatabaseAway):
                await connection.fetch("select 1")
            await connection.fetch("select 1")
            other.execute("notify news, 'd'")
            assert await heard.get() == b"d"
        await connection.close()

    run(ask())
