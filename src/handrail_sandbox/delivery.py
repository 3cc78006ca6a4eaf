"""Sends what is in the outbox: signed afresh on each try, retried, at most so many at once.

A webhook is sent only after the transaction that wrote it; a try that was cut off by a crash is made
again with the same id.
"""

import asyncio
import sqlite3
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial

import aiohttp

from handrail_sandbox.config import Endpoint
from handrail_sandbox.events import is_switched_off
from handrail_sandbox.signing import sign
from handrail_sandbox.store import Store, get_setting, set_setting
from handrail_sandbox.world import World

LONGEST_WAIT = 86400.0  # of a Retry-After
REPEAT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one try: a status, or 0 and what went wrong."""

    status: int
    words: str
    at: float
    milliseconds: int
    retry_after: float | None = None  # seconds


class Sender:
    """Sends what is due, `webhook_concurrency` at once at most."""

    def __init__(self, world: World, store: Store) -> None:
        self.world = world
        self.store = store
        self._endpoints = {
            slug: it.endpoint for slug, it in world.config.partners.items() if it.endpoint
        }
        self._free = world.config.webhook_concurrency
        self._wake = store.listen()

    async def run(self) -> None:
        """Send until cancelled; waits while paused."""
        await self.store.run(_take_up_again)
        timeout = aiohttp.ClientTimeout(total=self.world.config.webhook_timeout_seconds)
        connector = aiohttp.TCPConnector(limit=self.world.config.webhook_concurrency)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            asyncio.TaskGroup() as tasks,
        ):
            while True:
                self._wake.clear()
                claimed, next_at = await self.store.run(self._claim_due)
                for row in claimed:
                    self._free -= 1
                    tasks.create_task(self._send(session, row))
                await self._wait(next_at)

    async def _wait(self, next_at: float | None) -> None:
        """Wait until something was written, a place is free, or the next webhook is due."""
        seconds = None if next_at is None else max(0.0, next_at - time.time())
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    def _claim_due(self, db: sqlite3.Connection) -> tuple[list[sqlite3.Row], float | None]:
        """Claim what is due, one of each enrollment; return it and when the next after now is."""
        if self._free == 0 or get_setting(db, "paused_webhooks") == "yes":
            return [], None
        now = time.time()
        # The plus keeps SQLite from walking through all webhooks of the partners by their index.
        mine = f"state = 'waiting' AND +partner IN ({','.join('?' * len(self._endpoints))})"
        rows = db.execute(
            f"SELECT * FROM webhooks AS w WHERE {mine} AND due_at <= ?"  # noqa: S608 -- marks only
            " AND NOT EXISTS (SELECT 1 FROM webhooks AS s"
            "   WHERE s.enrollment = w.enrollment AND s.state = 'sending')"
            " ORDER BY due_at, number LIMIT ?",
            (*self._endpoints, now, self._free),
        ).fetchall()
        first_of_each: dict[str, sqlite3.Row] = {}
        for row in rows:
            first_of_each.setdefault(row["enrollment"], row)
        claimed = list(first_of_each.values())
        db.executemany(
            "UPDATE webhooks SET state = 'sending' WHERE id = ?", [(it["id"],) for it in claimed]
        )
        later = db.execute(
            f"SELECT min(due_at) AS at FROM webhooks WHERE {mine} AND due_at > ?",  # noqa: S608
            (*self._endpoints, now),
        ).fetchone()
        return claimed, later["at"]

    async def _send(self, session: aiohttp.ClientSession, row: sqlite3.Row) -> None:
        try:
            outcome = await self._post(session, self._endpoints[row["partner"]], row)
            await self.store.run(partial(self._record, row=row, outcome=outcome))
        finally:
            self._free += 1
            self._wake.set()

    async def _post(
        self, session: aiohttp.ClientSession, endpoint: Endpoint, row: sqlite3.Row
    ) -> Outcome:
        now = time.time()
        fault = row["fault"] if row["attempts"] == 0 else ""
        headers = sign(
            scheme=endpoint.scheme,
            secret=endpoint.secret,
            previous_secret=endpoint.previous_secret,
            event_id=row["id"],
            body=row["body"],
            now=now,
            fault=fault,
        )
        body = row["body"][:-1] + b" }" if fault == "altered" else row["body"]
        headers["Content-Type"] = "application/json"
        status, words, retry_after = 0, "", None
        try:
            async with session.post(
                endpoint.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                status, words = answer.status, str(answer.status)
                retry_after = parse_retry_after(answer.headers.get("Retry-After"), now)
        except TimeoutError:
            words = "time-out"
        except aiohttp.ClientError as error:
            words = f"{type(error).__name__}: {error}"[:200]
        milliseconds = round((time.time() - now) * 1000)
        return Outcome(status, words, now, milliseconds, retry_after)

    def _record(self, db: sqlite3.Connection, row: sqlite3.Row, outcome: Outcome) -> None:
        db.execute(
            "INSERT INTO deliveries (webhook, partner, at, answer, milliseconds)"
            " VALUES (?, ?, ?, ?, ?)",
            (row["id"], row["partner"], outcome.at, outcome.words, outcome.milliseconds),
        )
        retries = row["retries"]
        state, due_at, repeats = "waiting", outcome.at, row["repeats"]
        if 200 <= outcome.status < 300:
            state, due_at = (
                ("waiting", time.time() + REPEAT_SECONDS)
                if repeats
                else (
                    "delivered",
                    due_at,
                )
            )
            repeats = max(0, repeats - 1)
        elif outcome.status == 410:
            state = "stopped"
            _switch_off(db, row["partner"])
        elif outcome.status in {429, 503} and outcome.retry_after is not None:
            due_at = time.time() + outcome.retry_after
        elif retries >= len(self.world.config.retry_seconds):
            state = "exhausted"
        else:
            state = "stopped" if is_switched_off(db, row["partner"]) else "waiting"
            due_at = time.time() + self.world.config.retry_seconds[retries]
            retries += 1
        db.execute(
            "UPDATE webhooks SET state = ?, due_at = ?, attempts = attempts + 1, retries = ?,"
            " repeats = ?, last_answer = ? WHERE id = ?",
            (state, due_at, retries, repeats, outcome.words, row["id"]),
        )


def _take_up_again(db: sqlite3.Connection) -> None:
    """After a crash: what was being sent may not have arrived."""
    db.execute("UPDATE webhooks SET state = 'waiting' WHERE state = 'sending'")


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds to wait (RFC 9110, 10.2.3: seconds or a date); None when unreadable."""
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait = (moment - datetime.fromtimestamp(now, UTC)).total_seconds()
    return min(max(wait, 0.0), LONGEST_WAIT)


def switch_on(db: sqlite3.Connection, slug: str, *, now: float) -> int:
    """After a 410: send again what was stopped; return how many that are."""
    set_setting(db, f"webhooks_off:{slug}", "no")
    return db.execute(
        "UPDATE webhooks SET state = 'waiting', due_at = ? WHERE partner = ? AND state = 'stopped'",
        (now, slug),
    ).rowcount


def _switch_off(db: sqlite3.Connection, slug: str) -> None:
    set_setting(db, f"webhooks_off:{slug}", "yes")
    db.execute(
        "UPDATE webhooks SET state = 'stopped' WHERE partner = ? AND state = 'waiting'", (slug,)
    )
