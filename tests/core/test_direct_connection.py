"""Several queries in one round trip, and what is left when one of them fails."""

import os
import signal
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.pq import PipelineStatus, TransactionStatus

from handrail.core.direct_connection import DirectConnection, Query
from tests.databases import Database


@pytest.fixture
def direct(database: Database) -> Iterator[DirectConnection]:
    with DirectConnection.open(database.dsn("superuser")) as connection:
        yield connection


def test_each_query_has_its_rows(direct: DirectConnection) -> None:
    for _ in range(2):
        assert direct.fetch(
            Query(b"select $1::int, $2::text", (7, None)),
            Query(b"select 1 where false"),
            Query(b"select g, 'x' from generate_series(1, $1) g", (3,)),
        ) == [[(7, None)], [], [(1, "x"), (2, "x"), (3, "x")]]


def test_what_does_not_fit_into_the_sockets_buffers_goes_both_ways(
    direct: DirectConnection,
) -> None:
    long = "x" * 5_000_000
    repeat = Query(b"select $1::text || 'y'", (long,))
    assert direct.fetch(repeat, repeat) == [[(long + "y",)]] * 2


def test_after_a_failure_nothing_more_runs_and_the_transaction_can_be_undone(
    direct: DirectConnection,
) -> None:
    direct.execute("create temporary table kept (number int)")
    keep = b"insert into kept values ($1)"
    with pytest.raises(psycopg.errors.DivisionByZero):
        direct.fetch(
            Query(b"begin"), Query(keep, (1,)), Query(b"select 1 / $1::int", (0,)), Query(b"commit")
        )
    assert direct.info.transaction_status == TransactionStatus.INERROR
    direct.rollback()
    assert direct.fetch(Query(b"select count(*) from kept")) == [[(0,)]]
    direct.fetch(Query(b"begin"), Query(keep, (2,)), Query(b"commit"))
    assert direct.execute("select number from kept").fetchall() == [(2,)]


def test_it_is_prepared_once(direct: DirectConnection) -> None:
    for number in range(3):
        direct.fetch(Query(b"select $1::int", (number,)))
        direct.rollback()
    with pytest.raises(psycopg.errors.SyntaxError):
        direct.fetch(Query(b"selekt"))
    names = direct.fetch(Query(b"select statement from pg_prepared_statements"))
    assert sorted(names[0]) == [
        ("select $1::int",),
        ("select statement from pg_prepared_statements",),
    ]


def test_a_lost_connection_is_named_so(database: Database, direct: DirectConnection) -> None:
    def end() -> None:
        time.sleep(0.2)
        with database.connect("superuser") as admin:
            admin.execute("select pg_terminate_backend(%s)", (direct.info.backend_pid,))

    thread = threading.Thread(target=end)
    thread.start()
    with pytest.raises(psycopg.OperationalError):
        direct.fetch(Query(b"select pg_sleep(30)"), Query(b"select 1"))
    thread.join()
    assert direct.broken
    with pytest.raises(psycopg.OperationalError):
        direct.fetch(Query(b"select 1"))


@pytest.mark.parametrize("is_prepared", [True, False])
def test_a_connection_lost_while_nobody_asked_is_named_so_too(
    database: Database, direct: DirectConnection, *, is_prepared: bool
) -> None:
    query = Query(b"select 1")
    if is_prepared:
        direct.fetch(query)
    with database.connect("superuser") as admin:
        admin.execute("select pg_terminate_backend(%s, 5000)", (direct.info.backend_pid,))
    with pytest.raises(psycopg.OperationalError):
        direct.fetch(query)
    assert direct.broken


def test_other_threads_go_on_while_it_waits(direct: DirectConnection) -> None:
    turns = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal turns
        while not stop.wait(0.01):
            turns += 1

    thread = threading.Thread(target=count)
    thread.start()
    direct.fetch(Query(b"select pg_sleep(0.5)"))
    stop.set()
    thread.join()
    assert turns > 10


def test_who_interrupts_it_gets_no_answer_of_another(direct: DirectConnection) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGUSR1, interrupt)
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGUSR1))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            direct.fetch(Query(b"select pg_sleep(30)"))
    finally:
        signal.signal(signal.SIGUSR1, previous)
        timer.join()
    assert direct.closed
    assert not direct.broken


def notify(database: Database) -> None:
    with database.connect("worker") as other:
        other.execute("notify news")


def test_it_wakes_for_what_comes_and_for_what_came_meanwhile(
    database: Database, direct: DirectConnection
) -> None:
    direct.execute("listen news")
    assert not direct.wait_for_notification(0.05)

    timer = threading.Timer(0.2, notify, (database,))
    timer.start()
    assert direct.wait_for_notification(10)
    timer.join()

    notify(database)
    direct.fetch(Query(b"select 1"))  # brings it along
    assert direct.wait_for_notification(0)

    notify(database)
    direct.execute("select 1")  # so does a cursor
    assert direct.wait_for_notification(0)
    assert not direct.wait_for_notification(0.05)
    assert direct.pgconn.pipeline_status == PipelineStatus.OFF
