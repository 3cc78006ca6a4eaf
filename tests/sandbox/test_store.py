"""Group commit: each piece of work stands or falls alone, and is answered after the commit."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from handrail_sandbox.config import parse_config
from handrail_sandbox.control import _count
from handrail_sandbox.delivery import Sender
from handrail_sandbox.store import CannotStart, Store, get_setting, next_number, set_setting
from handrail_sandbox.study import advance_due, quicken_study
from handrail_sandbox.world import World
from tests.sandbox.partners import make_config


def run_with_store(path: Path, story: Callable[[Store], Awaitable[None]]) -> None:
    async def run() -> None:
        store = Store(path)
        try:
            await story(store)
        finally:
            await store.close()

    asyncio.run(run())


def count(db: sqlite3.Connection) -> int:
    return next_number(db, "tests")


def test_an_answer_comes_after_the_commit(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"

    async def story(store: Store) -> None:
        for expected in range(100001, 100021):
            assert await store.run(count) == expected
            with closing(sqlite3.connect(path)) as other:
                [(seen,)] = other.execute("SELECT value FROM counters").fetchall()
            assert seen == expected

    run_with_store(path, story)


def test_work_that_fails_undoes_itself_and_nothing_else(tmp_path: Path) -> None:
    def fail_after_writing(db: sqlite3.Connection) -> None:
        set_setting(db, "broken", "yes")
        raise LookupError("on purpose")

    async def story(store: Store) -> None:
        work = [fail_after_writing if at % 3 == 0 else count for at in range(300)]
        results = await asyncio.gather(*map(store.run, work), return_exceptions=True)
        failed = [it for it in results if isinstance(it, LookupError)]
        assert len(failed) == 100
        assert sorted(it for it in results if isinstance(it, int)) == [*range(100001, 100001 + 200)]
        assert await store.run(lambda db: get_setting(db, "broken", "no")) == "no"

    run_with_store(tmp_path / "state.sqlite", story)


def test_listeners_hear_of_changes_only(tmp_path: Path) -> None:
    async def story(store: Store) -> None:
        heard = store.listen()
        await store.run(lambda db: get_setting(db, "x"))
        await asyncio.sleep(0.05)
        assert not heard.is_set()
        await store.run(count)
        await asyncio.wait_for(heard.wait(), 1)

    run_with_store(tmp_path / "state.sqlite", story)


def test_the_state_is_durable_by_its_settings(tmp_path: Path) -> None:
    def read_pragmas(db: sqlite3.Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [db.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    async def story(store: Store) -> None:
        assert await store.run(read_pragmas) == ["wal", 2, 1]

    run_with_store(tmp_path / "state.sqlite", story)


def test_one_state_has_one_owner(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"

    async def story(store: Store) -> None:
        with pytest.raises(CannotStart, match="stop it first"):
            Store(path)
        await store.run(count)

    run_with_store(path, story)
    run_with_store(path, story)


def explain_all(work: Callable[[sqlite3.Connection], object], store: Store) -> Awaitable[list[str]]:
    """Do the work and return the plans of the statements that it made."""

    def explain(db: sqlite3.Connection) -> list[str]:
        statements: list[str] = []
        db.set_trace_callback(statements.append)
        work(db)
        db.set_trace_callback(None)
        asked = [it for it in statements if it.startswith(("SELECT", "UPDATE"))]
        rows = [row for it in asked for row in db.execute(f"EXPLAIN QUERY PLAN {it}")]
        return [str(row["detail"]) for row in rows]

    return store.run(explain)


def test_what_runs_all_the_time_reads_what_is_due_and_nothing_else(tmp_path: Path) -> None:
    """Neither old webhooks nor closed enrollments are walked through, however many there are."""
    world = World(parse_config(make_config({"milady": "http://127.0.0.1:9/"})), "http://x.test")

    async def story(store: Store) -> None:
        sending = await explain_all(Sender(world, store)._claim_due, store)
        studying = await explain_all(partial(advance_due, world=world, now=1.0), store)
        quicken = await explain_all(partial(quicken_study, world=world, now=1.0), store)
        counting = await explain_all(partial(_count, world=world), store)
        for plan in (sending, studying, quicken, counting):
            assert plan
            assert not [it for it in plan if "_of_partner" in it or "TEMP B-TREE" in it]
        assert sum("webhooks_due" in it for it in sending) == 2
        assert all("enrollments_studying" in it for it in studying + quicken)

    run_with_store(tmp_path / "state.sqlite", story)
