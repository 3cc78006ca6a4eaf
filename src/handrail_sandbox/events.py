"""Webhooks are written into the outbox here, in the transaction of what they report."""

import json
import secrets
import sqlite3
from collections.abc import Mapping
from typing import Any

from handrail_sandbox.clock import to_iso
from handrail_sandbox.config import Partner
from handrail_sandbox.faults import choose_webhook_fault, draw_delay
from handrail_sandbox.store import get_setting
from handrail_sandbox.world import World


def emit(
    db: sqlite3.Connection,
    world: World,
    partner: Partner,
    *,
    enrollment: str,
    event: str,
    data: Mapping[str, Any],
    happened_at: float,
    now: float,
) -> None:
    """Put one webhook into the outbox; nothing where the partner sends none."""
    if partner.endpoint is None:
        return
    message = {
        "event": event,
        "timestamp": to_iso(happened_at),
        "data": {"enrollmentId": enrollment, **data},
    }
    identity = _name_for_chance(db, partner, enrollment, event)
    fault = choose_webhook_fault(db, world, partner, event=event, identity=identity)
    state = "stopped" if is_switched_off(db, partner.platform.slug) else "waiting"
    db.execute(
        "INSERT INTO webhooks"
        " (id, partner, enrollment, event, body, created_at, due_at, state, fault, repeats)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            f"msg_{secrets.token_urlsafe(18)}",
            partner.platform.slug,
            enrollment,
            event,
            json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode(),
            now,
            now + _hold_seconds(world, partner, fault, identity),
            "lost" if fault == "lose" else state,
            fault,
            1 if fault == "repeat" else 0,
        ),
    )


def is_switched_off(db: sqlite3.Connection, slug: str) -> bool:
    """Whether the receiver has answered 410 and nobody switched the webhooks on again."""
    return get_setting(db, f"webhooks_off:{slug}") == "yes"


def _hold_seconds(world: World, partner: Partner, fault: str, identity: str) -> float:
    if fault == "delay":
        return draw_delay(world, identity)
    if fault == "reorder":
        study = partner.study
        return max(0.2, 1.5 * study.seconds / (study.messages + 1))
    return 0.0


def _name_for_chance(db: sqlite3.Connection, partner: Partner, enrollment: str, event: str) -> str:
    """Name the webhook so that the same seed and the same study meet the same faults."""
    row = db.execute(
        "SELECT a.email_key, e.course, (SELECT count(*) FROM webhooks"
        "   WHERE enrollment = e.id AND event = ?) AS before"
        " FROM enrollments e JOIN accounts a ON a.id = e.account WHERE e.id = ?",
        (event, enrollment),
    ).fetchone()
    return f"{partner.platform.slug} {row['email_key']} {row['course']} {event} {row['before']}"
