"""Faults: which request or webhook goes wrong, and how.

By chance (seeded, at most so many times for one identity) or ordered through /control/faults.
"""

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from handrail_sandbox.chance import draw, pick
from handrail_sandbox.config import WEBHOOK_RATES, Partner
from handrail_sandbox.store import get_setting
from handrail_sandbox.world import World


@dataclass(frozen=True, slots=True)
class Misbehavior:
    """What a request fault means."""

    works: bool  # is the work done
    status: int = 0  # answered instead of the truth; 0: no answer
    hangs: bool = False
    retry_after: bool = False


MISBEHAVIORS = {
    "error_after": Misbehavior(works=True, status=500),
    "error_before": Misbehavior(works=False, status=500),
    "drop_after": Misbehavior(works=True),
    "drop_before": Misbehavior(works=False),
    "hang_after": Misbehavior(works=True, hangs=True),
    "hang_before": Misbehavior(works=False, hangs=True),
    "hang_late": Misbehavior(works=True, hangs=True),
    "limit": Misbehavior(works=False, status=429, retry_after=True),
    "busy": Misbehavior(works=False, status=503, retry_after=True),
    "down": Misbehavior(works=False, status=503),
    "refuse_key": Misbehavior(works=False, status=401),  # ordered only
}
SPOILED_PROOFS = ("altered", "old_time", "wrong_key", "malformed_first")  # ordered only
WEBHOOK_FAULTS = (*WEBHOOK_RATES, *SPOILED_PROOFS)


def choose_request_fault(
    db: sqlite3.Connection, world: World, partner: Partner, *, operation: str, identity: str
) -> str:
    """Return the fault that this request gets, or ''. The choice is counted."""
    ordered = _take_ordered(db, partner, subject=operation, kinds=MISBEHAVIORS)
    if ordered:
        return ordered
    kind = _pick_bounded(db, world, world.config.faults.requests, f"{operation} {identity}")
    findable = partner.platform.finds or partner.platform.honors_keys
    return "hang_after" if kind == "hang_late" and not findable else kind


def choose_webhook_fault(
    db: sqlite3.Connection, world: World, partner: Partner, *, event: str, identity: str
) -> str:
    """Return the fault that this webhook gets, or ''. The choice is counted."""
    ordered = _take_ordered(db, partner, subject=event, kinds=WEBHOOK_FAULTS)
    if ordered:
        return ordered
    return _pick_bounded(db, world, world.config.faults.webhooks, f"{event} {identity}")


def is_by_chance(db: sqlite3.Connection, world: World) -> bool:
    """Whether faults by chance are on: by the configuration, or as /control last said."""
    usual = "on" if world.config.faults.on else "off"
    return get_setting(db, "faults_by_chance", usual) == "on"


def draw_delay(world: World, identity: str) -> float:
    return world.config.faults.delay_seconds * draw(world.config.seed, "delay", identity)


def _take_ordered(
    db: sqlite3.Connection, partner: Partner, *, subject: str, kinds: Collection[str]
) -> str:
    marks = ",".join("?" * len(kinds))
    row = db.execute(
        "SELECT number, kind, remaining FROM ordered_faults"  # noqa: S608 -- question marks only
        " WHERE partner IN ('', ?) AND subject IN ('', ?)"
        f" AND kind IN ({marks}) ORDER BY number LIMIT 1",
        (partner.platform.slug, subject, *kinds),
    ).fetchone()
    if row is None:
        return ""
    if row["remaining"] == 1:
        db.execute("DELETE FROM ordered_faults WHERE number = ?", (row["number"],))
    else:
        db.execute(
            "UPDATE ordered_faults SET remaining = remaining - 1 WHERE number = ?", (row["number"],)
        )
    return str(row["kind"])


def _pick_bounded(
    db: sqlite3.Connection, world: World, rates: dict[str, float], identity: str
) -> str:
    if not is_by_chance(db, world):
        return ""
    row = db.execute("SELECT * FROM fault_counts WHERE identity = ?", (identity,)).fetchone()
    seen, faulted = (0, 0) if row is None else (row["seen"], row["faulted"])
    if faulted >= world.config.faults.per_identity:
        return ""
    kind = pick(world.config.seed, rates, "fault", identity, seen)
    db.execute(
        "INSERT OR REPLACE INTO fault_counts VALUES (?, ?, ?)",
        (identity, seen + 1, faulted + bool(kind)),
    )
    return kind
