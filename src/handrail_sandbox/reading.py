"""Reads of one enrollment, and the launch URL."""

import hashlib
import secrets
import sqlite3

from handrail_sandbox.actions import load_enrollment
from handrail_sandbox.clock import to_iso
from handrail_sandbox.enrolling import name_enrollment
from handrail_sandbox.people import load_account
from handrail_sandbox.shapes import shape_certificate, shape_progress
from handrail_sandbox.store import get_setting, set_setting
from handrail_sandbox.validation import take_return_url, take_text
from handrail_sandbox.world import Answer, Asked, Refusal, World


def read_progress(db: sqlite3.Connection, world: World, asked: Asked) -> Answer:
    """Return the progress in the platform's fields; Refusal 403 or 404."""
    _check_right(db, asked)
    row = load_enrollment(db, asked.partner, asked.target)
    return Answer(200, shape_progress(world, asked.partner, row), "found", **name_enrollment(row))


def read_certificate(db: sqlite3.Connection, world: World, asked: Asked) -> Answer:
    """Return the certificate that stands; Refusal 403, or 404 while there is none."""
    _check_right(db, asked)
    row = load_enrollment(db, asked.partner, asked.target)
    certificate = find_certificate(db, row["id"])
    if certificate is None:
        raise Refusal(404, "no_certificate", "No certificate has been issued.")
    body = shape_certificate(world, asked.partner, certificate)
    return Answer(200, body, "found", **name_enrollment(row))


def may_read(db: sqlite3.Connection, slug: str) -> bool:
    """Whether the school's key may read progress and certificates at this partner."""
    return get_setting(db, f"reading:{slug}", "on") == "on"


def switch_reading(db: sqlite3.Connection, slug: str, *, value: str) -> None:
    """Give this right to the school's key ("on"), or take it away ("off")."""
    set_setting(db, f"reading:{slug}", value)


def _check_right(db: sqlite3.Connection, asked: Asked) -> None:
    if not may_read(db, asked.partner.platform.slug):
        raise Refusal(403, "forbidden", "This key may not read progress or certificates.")


def launch(db: sqlite3.Connection, world: World, asked: Asked) -> Answer:
    """Return a URL that opens the learner's page once, for a short time."""
    partner, platform = asked.partner, asked.partner.platform
    account = load_account(db, partner, take_text(asked.fields, platform.account_field))
    row = load_enrollment(db, partner, take_text(asked.fields, "enrollmentId"))
    return_url = take_return_url(asked.fields)
    if row["account"] != account["id"]:
        message = "This enrollment is of another person."
        raise Refusal(422, "invalid_field", message, "enrollmentId")
    if row["status"] == "ended":
        raise Refusal(409, "enrollment_ended", "This person has left the course.")
    seconds = world.config.launch_seconds
    token = issue_token(
        db,
        partner=platform.slug,
        kind="launch",
        account=account["id"],
        enrollment=row["id"],
        return_url=return_url,
        expires_at=asked.at + seconds,
    )
    expiry: str | int = int(seconds)
    if platform.launch_expiry == "expiresAt":
        expiry = to_iso(asked.at + seconds)
    body = {
        platform.launch_field: world.link(partner, f"/launch/{token}"),
        platform.launch_expiry: expiry,
    }
    return Answer(200, body, "done", **name_enrollment(row))


def find_certificate(db: sqlite3.Connection, enrollment: str) -> sqlite3.Row | None:
    """Return the certificate that stands, if any."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM certificates WHERE enrollment = ? AND revoked_at IS NULL"
        " ORDER BY number DESC LIMIT 1",
        (enrollment,),
    ).fetchone()
    return row


def issue_token(
    db: sqlite3.Connection,
    *,
    partner: str,
    kind: str,
    account: str,
    enrollment: str | None,
    return_url: str,
    expires_at: float,
) -> str:
    """Return a new secret text; only its digest is kept."""
    token = secrets.token_urlsafe(24)
    db.execute(
        "INSERT INTO tokens (digest, kind, partner, account, enrollment, return_url, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (digest_token(token), kind, partner, account, enrollment, return_url, expires_at),
    )
    return token


def digest_token(token: str) -> str:
    """Return what is stored of a secret text."""
    return hashlib.sha256(token.encode()).hexdigest()
