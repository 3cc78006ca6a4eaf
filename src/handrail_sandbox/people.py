"""Accounts at a partner: make one, find one."""

import sqlite3
from dataclasses import dataclass

from handrail_sandbox.config import Partner
from handrail_sandbox.shapes import shape_account
from handrail_sandbox.store import next_number
from handrail_sandbox.validation import (
    take_birth_date,
    take_email,
    take_optional_text,
    take_text,
)
from handrail_sandbox.world import Answer, Asked, Refusal, World


def create_account(db: sqlite3.Connection, world: World, asked: Asked) -> Answer:
    """Open an account: 201, or 409 with the existing id; Refusal 422 changes nothing."""
    partner, fields = asked.partner, asked.fields
    email = take_email(fields)
    first_name = take_text(fields, "firstName")
    last_name = take_text(fields, "lastName", may_be_empty=True)
    check_organization(asked)
    extra = {"phone": "", "birth_date": ""}
    if partner.platform.asks_birth_date:
        extra["phone"] = take_optional_text(fields, "phone")
        extra["birth_date"] = take_birth_date(fields, "dateOfBirth")
    existing = find_by_email(db, partner, email)
    if existing is not None:
        body = {
            "error": "account_exists",
            "message": "There is an account with this e-mail address.",
            partner.platform.account_field: existing["id"],
        }
        return Answer(409, body, "existing", account=existing["id"])
    account = insert_account(
        db, partner, first_name=first_name, last_name=last_name, email=email, now=asked.at, **extra
    )
    body = shape_account(world, partner, account, is_new=True)
    return Answer(201, body, "created", account=account["id"])


def find_account(db: sqlite3.Connection, world: World, asked: Asked) -> Answer:
    """Return the account with this address, upper and lower case the same."""
    account = find_by_email(db, asked.partner, take_email(asked.query))
    if account is None:
        return Answer(200, {"results": []}, "none")
    found = {**shape_account(world, asked.partner, account), "email": account["email"]}
    return Answer(200, {"results": [found]}, "found", account=account["id"])


def check_organization(asked: Asked) -> None:
    """The organization in the body must be the one whose key was used."""
    name = asked.partner.platform.organization_field
    given = take_text(asked.fields, name)
    if asked.partner.organization not in ("", given):
        raise Refusal(422, "wrong_organization", f"{name} is not that of your key.", name)


def find_by_email(db: sqlite3.Connection, partner: Partner, email: str) -> sqlite3.Row | None:
    """Return the account with this address, or None."""
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM accounts WHERE partner = ? AND email_key = ?",
        (partner.platform.slug, email.casefold()),
    ).fetchone()
    return row


def load_account(db: sqlite3.Connection, partner: Partner, id: str) -> sqlite3.Row:
    """Return the account; Refusal 404."""
    row = db.execute(
        "SELECT * FROM accounts WHERE partner = ? AND id = ?", (partner.platform.slug, id)
    ).fetchone()
    if row is None:
        raise Refusal(404, "unknown_account", f"There is no account {id[:40]}.")
    found: sqlite3.Row = row
    return found


def insert_account(
    db: sqlite3.Connection,
    partner: Partner,
    *,
    first_name: str,
    last_name: str,
    email: str,
    now: float,
    phone: str = "",
    birth_date: str = "",
) -> sqlite3.Row:
    """Store a new account and return it; the address must not be there yet."""
    number = next_number(db, f"{partner.platform.prefix}-A")
    id = f"{partner.platform.prefix}-A-{number}"
    username = f"{email.partition('@')[0].casefold()}{number - 100000}"
    db.execute(
        "INSERT INTO accounts (id, partner, first_name, last_name, email, email_key,"
        " search_key, phone, birth_date, username, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            id,
            partner.platform.slug,
            first_name,
            last_name,
            email,
            email.casefold(),
            f"{first_name} {last_name} {email}".casefold(),
            phone,
            birth_date,
            username,
            now,
        ),
    )
    return load_account(db, partner, id)


@dataclass(frozen=True, slots=True)
class People:
    """A page of people, newest first, with their enrollments by account."""

    accounts: list[sqlite3.Row]
    enrollments: dict[str, list[sqlite3.Row]]
    next_before: int | None


def find_people(
    db: sqlite3.Connection, *, slug: str, words: str, before: int | None, most: int = 25
) -> People:
    """Return people whose name, address, account or enrollment id fits; all when `words` is ''."""
    asked = words.casefold()
    accounts = db.execute(
        "SELECT * FROM accounts WHERE partner = ? AND number < ?"
        " AND (? = '' OR instr(search_key, ?) OR id = ?"
        "   OR id = (SELECT account FROM enrollments WHERE id = ? AND partner = ?))"
        " ORDER BY number DESC LIMIT ?",
        (slug, before or 2**60, asked, asked, words, words, slug, most + 1),
    ).fetchall()
    shown = accounts[:most]
    enrollments: dict[str, list[sqlite3.Row]] = {}
    for row in db.execute(
        f"SELECT * FROM enrollments WHERE account IN ({','.join('?' * len(shown))})"  # noqa: S608
        " ORDER BY number DESC",
        [row["id"] for row in shown],
    ):
        enrollments.setdefault(row["account"], []).append(row)
    more = shown[-1]["number"] if len(accounts) > most else None
    return People(shown, enrollments, more)
