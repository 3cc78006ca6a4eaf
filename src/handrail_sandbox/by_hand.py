"""What a person does to an enrollment: on a page, in the portal, or through /control."""

import sqlite3

from handrail_sandbox.actions import Change
from handrail_sandbox.config import Partner
from handrail_sandbox.enrolling import name_enrollment
from handrail_sandbox.ledger import note
from handrail_sandbox.study import begin_study
from handrail_sandbox.world import Refusal, World

ACTIONS = ("start", "progress", "complete", "fail", "revoke", "unenroll", "reopen")


def act(
    db: sqlite3.Connection,
    world: World,
    partner: Partner,
    id: str,
    *,
    action: str,
    path: str,
    now: float,
    at: float | None = None,
    percent: float | None = None,
    reason: str = "",
) -> sqlite3.Row:
    """Do one of ACTIONS and note it; return the enrollment. Refusal 404 or 409.

    `percent` (0-100) is for progress; without it a quarter is added.
    """
    change = Change(db, world, partner, id, now=now, at=at)
    if action == "start":
        change.open()
        begin_study(change, told=True)
    elif action == "progress":
        change.progress(min(100.0, change.row["percent"] + 25) if percent is None else percent)
    elif action == "complete":
        change.complete()
    elif action == "fail":
        change.fail(reason)
    elif action == "revoke":
        change.revoke(reason)
    elif action == "unenroll":
        change.end(reason or "Unenrolled by the partner.")
    elif action == "reopen":
        change.reopen()
        begin_study(change)
    else:
        raise Refusal(404, "not_found", f"The actions are {', '.join(ACTIONS)}.")
    note_by_hand(db, partner, change.row, operation=action, path=path, now=now)
    return change.row


def note_by_hand(
    db: sqlite3.Connection,
    partner: Partner,
    enrollment: sqlite3.Row,
    *,
    operation: str,
    path: str,
    now: float,
    outcome: str = "done",
) -> None:
    """Write a line of the ledger for what a person did."""
    note(
        db,
        at=now,
        partner=partner.platform.slug,
        operation=operation,
        method="POST",
        path=path,
        outcome=outcome,
        status=200,
        answered="200",
        **name_enrollment(enrollment),
    )
