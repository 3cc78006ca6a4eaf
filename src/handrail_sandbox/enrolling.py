"""Enrollments at a partner: make one, find one, end one; and the vouchers of Certiport."""

import secrets
import sqlite3

from handrail_sandbox.actions import Change, load_enrollment
from handrail_sandbox.config import Partner
from handrail_sandbox.events import emit
from handrail_sandbox.people import check_organization, load_account
from handrail_sandbox.shapes import (
    get_status_word,
    shape_enrollment,
    shape_found_enrollment,
    shape_voucher,
)
from handrail_sandbox.store import next_number
from handrail_sandbox.study import begin_study
from handrail_sandbox.validation import take_text
from handrail_sandbox.world import Answer, Asked, Refusal, World

ENROLLMENT_TYPES = ("blended", "traditional", "rsv")  # hsi
MOST_FOUND = 100


def enroll(db: sqlite3.Connection, world: World, asked: Asked) -> Answer:
    """Enroll: 201, or 409 with the existing id; Refusal 404 or 422 changes nothing."""
    partner = asked.partner
    account, course = take_account_and_course(db, asked)
    if partner.platform.enrolls_for_organization:
        check_organization(asked)
    if partner.platform.asks_birth_date:
        _check_type(asked)
    existing = find_obstacle(db, partner, account, course)
    if existing is not None:
        return _answer_existing(partner, existing)
    voucher = _take_voucher(db, asked, account, course) if partner.platform.sells_vouchers else ""
    enrollment = insert_enrollment(db, world, partner, account=account, course=course, now=asked.at)
    if voucher:
        db.execute("UPDATE vouchers SET enrollment = ? WHERE id = ?", (enrollment["id"], voucher))
    body = shape_enrollment(world, partner, enrollment)
    return Answer(
        201,
        body,
        "created",
        account=account,
        course=course,
        enrollment=enrollment["id"],
        voucher=voucher,
    )


def find_enrollments(db: sqlite3.Connection, world: World, asked: Asked) -> Answer:
    """Return all enrollments of one account in one course, newest first."""
    account, course = take_account_and_course(db, asked)
    rows = db.execute(
        "SELECT * FROM enrollments WHERE account = ? AND course = ? ORDER BY number DESC LIMIT ?",
        (account, course, MOST_FOUND),
    ).fetchall()
    results = [shape_found_enrollment(world, asked.partner, row) for row in rows]
    return Answer(
        200,
        {"results": results},
        "found" if rows else "none",
        account=account,
        course=course,
        enrollment=rows[0]["id"] if rows else "",
    )


def unenroll(db: sqlite3.Connection, world: World, asked: Asked) -> Answer:
    """End an enrollment; 204 again when it has ended, Refusal 409 when completed."""
    change = Change(db, world, asked.partner, asked.target, now=asked.at)
    outcome = "existing" if change.row["status"] == "ended" else "done"
    change.end("Unenrolled on request of the organization.")
    return Answer(204, None, outcome, **name_enrollment(change.row))


def buy_voucher(db: sqlite3.Connection, _world: World, asked: Asked) -> Answer:
    """Sell another voucher, whatever the person has already."""
    account, course = take_account_and_course(db, asked)
    check_organization(asked)
    number = next_number(db, f"{asked.partner.platform.prefix}-V")
    id = f"{asked.partner.platform.prefix}-V-{number}"
    code = f"{secrets.token_hex(4)}-{secrets.token_hex(4)}".upper()
    db.execute(
        "INSERT INTO vouchers (id, partner, code, account, course, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (id, asked.partner.platform.slug, code, account, course, asked.at),
    )
    row = db.execute("SELECT * FROM vouchers WHERE id = ?", (id,)).fetchone()
    body = shape_voucher(asked.partner, row)
    return Answer(201, body, "created", account=account, course=course, voucher=id)


def find_vouchers(db: sqlite3.Connection, _world: World, asked: Asked) -> Answer:
    """Return the vouchers of one account for one exam, newest first."""
    account, course = take_account_and_course(db, asked)
    rows = db.execute(
        "SELECT * FROM vouchers WHERE account = ? AND course = ? ORDER BY number DESC LIMIT ?",
        (account, course, MOST_FOUND),
    ).fetchall()
    results = [
        {**shape_voucher(asked.partner, row), "status": "used" if row["enrollment"] else "unused"}
        for row in rows
    ]
    outcome = "found" if rows else "none"
    return Answer(200, {"results": results}, outcome, account=account, course=course)


def take_account_and_course(db: sqlite3.Connection, asked: Asked) -> tuple[str, str]:
    """Return both from the body, or from the query of a look-up; Refusal 404 or 422."""
    platform = asked.partner.platform
    fields = asked.query if asked.method == "GET" else asked.fields
    account = take_text(fields, platform.account_field)
    course = take_text(fields, platform.course_field)
    load_account(db, asked.partner, account)
    if course not in asked.partner.courses:
        message = f"{course} is not a course of ours."
        raise Refusal(422, "unknown_course", message, platform.course_field)
    return account, course


def find_obstacle(
    db: sqlite3.Connection, partner: Partner, account: str, course: str
) -> sqlite3.Row | None:
    """Return the enrollment that forbids another one: an open one, or (enrolls_again) any."""
    if partner.platform.enrolls_again == "always":
        return None
    states = "('active')"
    if partner.platform.enrolls_again == "never":
        states = "('active', 'completed', 'failed', 'ended')"
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM enrollments WHERE account = ? AND course = ?"  # noqa: S608 -- one of two
        f" AND status IN {states} ORDER BY number DESC LIMIT 1",
        (account, course),
    ).fetchone()
    return row


def insert_enrollment(
    db: sqlite3.Connection,
    world: World,
    partner: Partner,
    *,
    account: str,
    course: str,
    now: float,
) -> sqlite3.Row:
    """Enroll, report it, and let the person begin to study."""
    number = next_number(db, f"{partner.platform.prefix}-E")
    id = f"{partner.platform.prefix}-E-{number}"
    db.execute(
        "INSERT INTO enrollments (id, partner, account, course, created_at) VALUES (?, ?, ?, ?, ?)",
        (id, partner.platform.slug, account, course, now),
    )
    emit(
        db,
        world,
        partner,
        enrollment=id,
        event="enrollment.created",
        data={},
        happened_at=now,
        now=now,
    )
    begin_study(Change(db, world, partner, id, now=now))
    return load_enrollment(db, partner, id)


def name_enrollment(row: sqlite3.Row) -> dict[str, str]:
    """Return what the ledger notes of an enrollment."""
    return {"account": row["account"], "course": row["course"], "enrollment": row["id"]}


def _answer_existing(partner: Partner, existing: sqlite3.Row) -> Answer:
    body = {
        "error": "already_enrolled",
        "message": "This person is enrolled in this course.",
        "enrollmentId": existing["id"],
        "status": get_status_word(partner, existing),
    }
    return Answer(409, body, "existing", **name_enrollment(existing))


def _check_type(asked: Asked) -> None:
    if take_text(asked.fields, "enrollmentType") not in ENROLLMENT_TYPES:
        message = f"enrollmentType must be one of {', '.join(ENROLLMENT_TYPES)}."
        raise Refusal(422, "invalid_field", message, "enrollmentType")


def _take_voucher(db: sqlite3.Connection, asked: Asked, account: str, course: str) -> str:
    id = take_text(asked.fields, "voucherId")
    row = db.execute(
        "SELECT * FROM vouchers WHERE id = ? AND partner = ?", (id, asked.partner.platform.slug)
    ).fetchone()
    if row is None:
        raise Refusal(404, "unknown_voucher", f"There is no voucher {id[:40]}.", "voucherId")
    if (row["account"], row["course"]) != (account, course):
        message = "This voucher is for another person or exam."
        raise Refusal(422, "voucher_mismatch", message, "voucherId")
    if row["enrollment"]:
        raise Refusal(422, "voucher_used", "This voucher is used up.", "voucherId")
    return id
