"""Transactions in real threads, all at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.databases import Database
from tests.factories import Call, Connection, apply_events, call

Work = Callable[[Connection], Any]


def race(database: Database, *works: Work) -> list[Any]:
    """Do all of it at once, each over a connection of its own; what each returned, or its refusal.

    A deadlock is tried again, as the applier and every action does.
    """
    barrier = Barrier(len(works))

    def run(work: Work) -> Any:
        with database.connect("worker") as connection:
            barrier.wait(timeout=30)
            for _ in range(5):
                try:
                    return work(connection)
                except psycopg.errors.DeadlockDetected:
                    continue
                except psycopg.Error as error:
                    return error.sqlstate
            pytest.fail("a deadlock did not end")

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def doing(function: str, *arguments: Any) -> Work:
    return lambda connection: call(connection, function, *arguments)


def reporting(*events: dict[str, Any]) -> Work:
    return lambda connection: apply_events(connection, events)


def answering(claimed: Call) -> Work:
    """The partner did it; while somebody has a row of it locked, the answer is brought again."""
    id = str(claimed.intent)
    found = {"intent_id": id, "fence": claimed.fence, "result": "done", "external_id": id}

    def answer(connection: Connection) -> None:
        query = "select record_call_results(%s)"
        while not connection.execute(query.encode(), [Jsonb([found])]).fetchall():
            pass

    return answer


def count(outcomes: Sequence[Any], word: str) -> int:
    return sum(each.outcome == word for found in outcomes for each in found)


def retry(work: Callable[[], Any]) -> Any:
    """Do a transaction again that a deadlock ended."""
    while True:
        try:
            return work()
        except psycopg.errors.DeadlockDetected:
            continue


def do_in_turn(database: Database, row: str, *works: Work) -> list[Any]:
    """Begin one after the other while somebody has `row` locked; then let it go.

    Whoever waits for the row has the locks before it in hand already. What each returned, or its error.
    """

    def run(work: Work) -> Any:
        with database.connect("worker") as connection:
            try:
                return work(connection)
            except psycopg.Error as error:
                return type(error)

    with (
        database.connect("superuser", autocommit=False) as holder,
        ThreadPoolExecutor(len(works)) as pool,
    ):
        holder.execute(f"select from {row} for update".encode())
        begun = []
        for work in works:
            begun.append(pool.submit(run, work))
            wait_for_lock(database, waiting=len(begun))
        holder.rollback()
        return [each.result(30) for each in begun]


def wait_for_lock(database: Database, *, waiting: int = 1) -> None:
    """Until so many connections wait for another's transaction."""
    query = "select count(*) >= %s from pg_stat_activity where wait_event_type = 'Lock'"
    deadline = datetime.now(UTC) + timedelta(seconds=20)
    with database.connect("superuser") as admin:
        while admin.execute(query, [waiting]).fetchall() == [(False,)]:
            assert datetime.now(UTC) < deadline
