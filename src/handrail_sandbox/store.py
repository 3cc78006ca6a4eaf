"""The durable state: one SQLite file, one thread that writes it, group commit.

What arrives while the last transaction commits is done in the next one, each piece of work in a
savepoint of its own; a caller gets its result only after the commit (WAL, synchronous=FULL).
"""

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

BATCH = 500
Result = TypeVar("Result")


class CannotStart(Exception):
    """The sandbox cannot start here; the message says what to do."""


@dataclass(slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]
    result: Any = None
    error: Exception | None = None


class Store:
    """Runs pieces of work on the state, one after the other, in few commits."""

    def __init__(self, path: Path) -> None:
        """Open or make the state file, readable by its owner only; CannotStart when it cannot."""
        self._lock = _open_lock(path)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise CannotStart(f"another sandbox is using {path}: stop it first") from error
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._db = _open(path)
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._listeners: list[asyncio.Event] = []
        self._thread = threading.Thread(target=self._serve, name="store", daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do `work` in a transaction and return its result after the commit.

        What `work` raises undoes its own changes and is raised here.
        """
        job = _Job(work, self._loop.create_future())
        self._jobs.put(job)
        result: Result = await asyncio.shield(job.future)
        return result

    def listen(self) -> asyncio.Event:
        """Return an event that is set after each commit that changed something."""
        event = asyncio.Event()
        self._listeners.append(event)
        return event

    async def close(self) -> None:
        """Finish what was asked for and close the file."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        self._db.close()
        os.close(self._lock)

    def _serve(self) -> None:
        while True:
            jobs = [self._jobs.get()]
            while len(jobs) < BATCH and not self._jobs.empty():
                jobs.append(self._jobs.get())
            batch = [job for job in jobs if job is not None]
            changed = self._commit(batch)
            self._loop.call_soon_threadsafe(self._answer, batch, changed)
            if len(batch) < len(jobs):
                return

    def _commit(self, batch: list[_Job]) -> bool:
        before = self._db.total_changes
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for job in batch:
                self._do(job)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            for job in batch:
                job.error = error
        return self._db.total_changes != before

    def _do(self, job: _Job) -> None:
        self._db.execute("SAVEPOINT job")
        try:
            job.result = job.work(self._db)
        except Exception as error:  # noqa: BLE001 -- raised again where the work was asked for
            self._db.execute("ROLLBACK TO job")
            job.error = error
        self._db.execute("RELEASE job")

    def _answer(self, batch: list[_Job], changed: bool) -> None:  # noqa: FBT001
        for job in batch:
            if job.future.cancelled():
                continue
            if job.error is not None:
                job.future.set_exception(job.error)
            else:
                job.future.set_result(job.result)
        if changed:
            for event in self._listeners:
                event.set()


def _open_lock(path: Path) -> int:
    """Return the open lock file; its lock ends with the process, so it is never stale."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart(f"{path} cannot be written: {error.strerror}") from error


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        db.execute(f"PRAGMA {pragma}")
    db.executescript(files("handrail_sandbox").joinpath("schema.sql").read_text("utf-8"))
    return db


def next_number(db: sqlite3.Connection, name: str) -> int:
    """Return the next number of that name, from 100001 on, never the same twice."""
    db.execute("INSERT OR IGNORE INTO counters VALUES (?, 100000)", (name,))
    db.execute("UPDATE counters SET value = value + 1 WHERE name = ?", (name,))
    row = db.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
    return int(row["value"])


def get_setting(db: sqlite3.Connection, name: str, default: str = "") -> str:
    row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return default if row is None else str(row["value"])


def set_setting(db: sqlite3.Connection, name: str, value: str) -> None:
    db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))
