"""The simulated learners: who studies, at what pace, and how it ends."""

import asyncio
import sqlite3
import time
from functools import partial

from handrail_sandbox.actions import Change
from handrail_sandbox.chance import draw
from handrail_sandbox.config import Partner
from handrail_sandbox.store import Store, get_setting
from handrail_sandbox.world import World

AT_ONCE = 200


def begin_study(change: Change, *, told: bool = False) -> None:
    """Let the person study by itself from here on, if this partner's people do."""
    study = change.partner.study
    if study.start == "told" and not told:
        return
    if is_left_alone(change.world, change.row) or change.row["status"] != "active":
        return
    if change.row["study_next_at"] is None:
        _schedule(change, change.now + get_pace(change.world, change.partner, change.row))


def get_pace(world: World, partner: Partner, enrollment: sqlite3.Row) -> float:
    """Return the seconds between two signs of life: the same for one person and course."""
    share = draw(world.config.seed, "pace", enrollment["email_key"], enrollment["course"])
    return partner.study.seconds * (0.75 + 0.5 * share) / (partner.study.messages + 1)


def is_left_alone(world: World, enrollment: sqlite3.Row) -> bool:
    return enrollment["email_key"] in world.config.leave_alone


def advance_due(db: sqlite3.Connection, world: World, *, now: float) -> float | None:
    """Let everybody who is due take one step; return when the next is due, or None."""
    slugs = tuple(world.config.partners)
    # The plus keeps SQLite from walking through all enrollments of the partners by their index.
    mine = f"study_next_at IS NOT NULL AND +partner IN ({','.join('?' * len(slugs))})"
    due = db.execute(
        f"SELECT id, partner FROM enrollments WHERE {mine} AND study_next_at <= ?"  # noqa: S608
        " ORDER BY study_next_at LIMIT ?",
        (*slugs, now, AT_ONCE),
    ).fetchall()
    for row in due:
        _take_step(Change(db, world, world.config.partners[row["partner"]], row["id"], now=now))
    earliest = db.execute(
        f"SELECT min(study_next_at) AS at FROM enrollments WHERE {mine}",  # noqa: S608
        slugs,
    ).fetchone()
    at: float | None = earliest["at"]
    return at


def quicken_study(db: sqlite3.Connection, world: World, *, now: float) -> None:
    """After a start with a faster pace nobody waits for a step planned at the slower one."""
    for slug, partner in world.config.partners.items():
        longest = partner.study.seconds * 1.25 / (partner.study.messages + 1)
        db.execute(
            "UPDATE enrollments SET study_next_at = ? WHERE +partner = ? AND study_next_at > ?",
            (now + longest, slug, now + longest),
        )


async def run_study(world: World, store: Store) -> None:
    """Study on until cancelled; waits while paused."""
    changed = store.listen()
    await store.run(partial(quicken_study, world=world, now=time.time()))
    while True:
        changed.clear()
        next_at = await store.run(partial(_advance_unless_paused, world=world))
        wait = None if next_at is None else max(0.0, next_at - time.time())
        try:
            async with asyncio.timeout(wait):
                await changed.wait()
        except TimeoutError:
            continue


def _advance_unless_paused(db: sqlite3.Connection, world: World) -> float | None:
    if get_setting(db, "paused_study") == "yes":
        return None
    return advance_due(db, world, now=time.time())


def _take_step(change: Change) -> None:
    if is_left_alone(change.world, change.row):
        _schedule(change, None)
        return
    study = change.partner.study
    step = change.row["study_step"] + 1
    change.db.execute(
        "UPDATE enrollments SET study_step = ? WHERE id = ?", (step, change.row["id"])
    )
    if step <= study.messages:
        stages = study.messages + (0 if change.partner.platform.sells_vouchers else 1)
        change.progress(max(change.row["percent"], round(100 * step / stages, 2)))
        _schedule(change, change.now + get_pace(change.world, change.partner, change.row))
    elif _is_failing(change):
        change.fail()
    else:
        change.complete()


def _is_failing(change: Change) -> bool:
    seed = change.world.config.seed
    share = draw(seed, "fails", change.row["email_key"], change.row["course"])
    return share < change.partner.study.failing


def _schedule(change: Change, at: float | None) -> None:
    change.db.execute(
        "UPDATE enrollments SET study_next_at = ? WHERE id = ?", (at, change.row["id"])
    )
