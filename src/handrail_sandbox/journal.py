"""The sandbox's records as pages of JSON, oldest first, for comparison with somebody's database."""

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from handrail_sandbox.clock import to_iso, to_iso_or_none
from handrail_sandbox.world import Refusal

MOST = 1000


@dataclass(frozen=True, slots=True)
class _List:
    query: str  # `number` is the key that pages go by
    filters: Mapping[str, str]  # parameter → column
    shape: Callable[[sqlite3.Row], dict[str, Any]]


def _shape_request(row: sqlite3.Row) -> dict[str, Any]:
    return {**dict(row), "at": to_iso(row["at"])}


def _shape_webhook(row: sqlite3.Row) -> dict[str, Any]:
    names = ("number", "id", "partner", "event", "enrollment", "attempts", "last_answer", "fault")
    return {
        **{name: row[name] for name in names},
        "state": "waiting" if row["state"] == "sending" else row["state"],
        "created_at": to_iso(row["created_at"]),
        "due_at": to_iso(row["due_at"]),
        "body": json.loads(row["body"]),
    }


def _shape_delivery(row: sqlite3.Row) -> dict[str, Any]:
    return {**dict(row), "at": to_iso(row["at"])}


def _shape_enrollment(row: sqlite3.Row) -> dict[str, Any]:
    names = ("number", "id", "partner", "account", "email", "course", "status", "percent")
    return {
        **{name: row[name] for name in names},
        "created_at": to_iso(row["created_at"]),
        "closed_at": to_iso_or_none(row["closed_at"]),
        "studying": row["study_next_at"] is not None,
    }


LISTS = {
    "ledger": _List(
        "SELECT * FROM ledger",
        {"partner": "partner", "operation": "operation", "enrollment": "enrollment"},
        _shape_request,
    ),
    "webhooks": _List(
        "SELECT * FROM webhooks",
        {"partner": "partner", "enrollment": "enrollment", "event": "event"},
        _shape_webhook,
    ),
    "deliveries": _List(
        "SELECT * FROM deliveries", {"partner": "partner", "webhook": "webhook"}, _shape_delivery
    ),
    "enrollments": _List(
        "SELECT * FROM (SELECT e.*, a.email, a.email_key FROM enrollments e"
        " JOIN accounts a ON a.id = e.account)",
        {"partner": "partner", "email": "email_key", "status": "status", "account": "account"},
        _shape_enrollment,
    ),
}


def list_items(db: sqlite3.Connection, *, name: str, query: Mapping[str, str]) -> dict[str, Any]:
    """Return one page of a list of LISTS; Refusal 422 for parameters that it does not know."""
    it = LISTS[name]
    if unknown := set(query) - set(it.filters) - {"after", "limit"}:
        raise Refusal(422, "invalid_field", f"Not a parameter: {min(unknown)}.")
    limit = min(_to_count(query.get("limit", "1000"), "limit"), MOST)
    chosen = {it.filters[key]: value for key, value in query.items() if key in it.filters}
    if "email_key" in chosen:
        chosen["email_key"] = chosen["email_key"].casefold()
    conditions = " AND ".join(["number > ?", *(f"{column} = ?" for column in chosen)])
    rows = db.execute(
        f"{it.query} WHERE {conditions} ORDER BY number LIMIT ?",
        (_to_count(query.get("after", "0"), "after"), *chosen.values(), limit + 1),
    ).fetchall()
    shown = rows[:limit]
    return {
        "items": [it.shape(row) for row in shown],
        "next_after": shown[-1]["number"] if len(rows) > limit and shown else None,
    }


def _to_count(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Refusal(422, "invalid_field", f"{name} is a whole number.", name)
    return int(text)
