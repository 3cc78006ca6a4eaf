"""The ledger: everything the platforms were asked to do, noted in the transaction that did it."""

import sqlite3

from handrail_sandbox.validation import is_clean
from handrail_sandbox.world import Answer, Asked


def note_request(
    db: sqlite3.Connection, asked: Asked, answer: Answer, *, answered: str, fault: str
) -> None:
    """Note one API request. `answered` is the status that the client gets, '' when none."""
    platform = asked.partner.platform
    note(
        db,
        at=asked.at,
        partner=platform.slug,
        operation=asked.operation,
        method=asked.method,
        path=asked.path,
        key=asked.key,
        account=answer.account or _claimed(asked, platform.account_field),
        course=answer.course or _claimed(asked, platform.course_field),
        enrollment=answer.enrollment or asked.target,
        voucher=answer.voucher,
        outcome=answer.outcome,
        status=answer.status,
        answered=answered,
        fault=fault,
    )


def note(db: sqlite3.Connection, **entry: str | float) -> None:
    """Write one line; the names are the table's columns."""
    columns = ", ".join(entry)
    marks = ", ".join("?" * len(entry))
    db.execute(
        f"INSERT INTO ledger ({columns}) VALUES ({marks})",  # noqa: S608 -- our own names
        tuple(entry.values()),
    )


def _claimed(asked: Asked, field: str) -> str:
    """What the request named, for a request that was refused or replayed."""
    value = (asked.query if asked.method == "GET" else asked.body or {}).get(field)
    return value[:200] if isinstance(value, str) and is_clean(value) else ""
