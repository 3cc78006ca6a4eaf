"""What can happen to an enrollment at a partner, by study or by hand: each change and its webhook.

`at` is when it happened (may lie in the past), `now` when we write it. A change that the state does
not allow is a Refusal 409.
"""

import secrets
import sqlite3
from collections.abc import Mapping
from typing import Any

from handrail_sandbox.clock import add_months, to_date, to_iso
from handrail_sandbox.config import Partner
from handrail_sandbox.events import emit
from handrail_sandbox.shapes import (
    count_lessons,
    get_course,
    get_percent,
    get_score,
    shape_issued,
)
from handrail_sandbox.store import next_number
from handrail_sandbox.world import Refusal, World


def load_enrollment(db: sqlite3.Connection, partner: Partner, id: str) -> sqlite3.Row:
    """Return the enrollment with its account's `email`, `email_key` and `name`; Refusal 404."""
    row = db.execute(
        "SELECT e.*, a.email, a.email_key, trim(a.first_name || ' ' || a.last_name) AS name"
        " FROM enrollments e JOIN accounts a ON a.id = e.account"
        " WHERE e.id = ? AND e.partner = ?",
        (id, partner.platform.slug),
    ).fetchone()
    if row is None:
        raise Refusal(404, "unknown_enrollment", f"There is no enrollment {id[:40]}.")
    found: sqlite3.Row = row
    return found


class Change:
    """One enrollment in one transaction, and what can be done to it."""

    def __init__(
        self,
        db: sqlite3.Connection,
        world: World,
        partner: Partner,
        id: str,
        *,
        now: float,
        at: float | None = None,
    ) -> None:
        self.db = db
        self.world = world
        self.partner = partner
        self.now = now
        self.at = now if at is None else at
        self.row = load_enrollment(db, partner, id)

    @property
    def is_screening(self) -> bool:
        return get_course(self.partner, self.row["course"]).kind == "screening"

    def open(self) -> None:
        """The learner opens the course; reports nothing."""
        self._demand("active", "failed", "completed")
        opened_at = self.row["opened_at"] or self.at
        self._set(opened_at=opened_at, last_access_at=self.at)

    def progress(self, percent: float) -> None:
        self._demand("active")
        self._set(
            percent=percent, opened_at=self.row["opened_at"] or self.at, last_access_at=self.at
        )
        done, total = count_lessons(self.partner, self.row)
        self._emit(
            "progress.updated",
            percentage=get_percent(self.partner, self.row),
            lessonsCompleted=done,
            totalLessons=total,
        )

    def complete(self) -> None:
        """Finished, passed or reported; also after a failed try. Issues the certificate."""
        self._demand("active", "failed")
        self._close("completed", percent=100)
        result = {"result": "negative"} if self.is_screening else {}
        self._emit("course.completed", completedAt=to_iso(self.at), **result)
        if not self.is_screening:
            certificate = self._issue_certificate()
            self._emit("certificate.issued", **shape_issued(self.world, self.partner, certificate))

    def fail(self, reason: str = "") -> None:
        self._demand("active")
        self._close("failed")
        usual = "The final assessment was not passed."
        result: Mapping[str, Any] = {}
        if self.partner.platform.sells_vouchers:
            score = get_score(self.world, self.row)
            usual = f"The exam was not passed: {score} of 1,000 points, 700 are needed."
        if self.is_screening:
            usual = "The screening was not passed."
            result = {"result": "positive"}
        self._emit("course.failed", failedAt=to_iso(self.at), reason=reason or usual, **result)

    def revoke(self, reason: str = "") -> None:
        """Take back a completion and its certificate: a mistake, a new grading."""
        self._demand("completed")
        self._set(status="active", closed_at=None)
        self.db.execute(
            "UPDATE certificates SET revoked_at = ? WHERE enrollment = ? AND revoked_at IS NULL",
            (self.at, self.row["id"]),
        )
        why = reason or "The completion was recorded by mistake."
        self._emit("completion.revoked", revokedAt=to_iso(self.at), reason=why)

    def end(self, reason: str = "") -> None:
        """Unenroll; ending twice changes nothing."""
        if self.row["status"] == "ended":
            return
        if self.row["status"] == "completed":
            raise Refusal(409, "course_completed", "A completed course cannot be left.")
        self._close("ended")
        self._emit("enrollment.ended", endedAt=to_iso(self.at), reason=reason or "Unenrolled.")

    def reopen(self) -> None:
        """Start again under the same id after a failure or an end."""
        self._demand("failed", "ended")
        self._set(status="active", closed_at=None, percent=0, opened_at=None, study_step=0)
        self._emit("enrollment.created")

    def _demand(self, *allowed: str) -> None:
        status = self.row["status"]
        if status not in allowed:
            message = f"Not possible while it is {status}; possible: {', '.join(allowed)}."
            raise Refusal(409, "not_possible", message)

    def _close(self, status: str, **changes: object) -> None:
        self._set(
            status=status,
            closed_at=self.at,
            last_access_at=self.at,
            study_next_at=None,
            **changes,
        )

    def _set(self, **changes: object) -> None:
        columns = ", ".join(f"{name} = ?" for name in changes)  # our own names only
        self.db.execute(
            f"UPDATE enrollments SET {columns} WHERE id = ?",  # noqa: S608
            (*changes.values(), self.row["id"]),
        )
        self.row = load_enrollment(self.db, self.partner, self.row["id"])

    def _emit(self, event: str, **data: object) -> None:
        emit(
            self.db,
            self.world,
            self.partner,
            enrollment=self.row["id"],
            event=event,
            data=data,
            happened_at=self.at,
            now=self.now,
        )

    def _issue_certificate(self) -> sqlite3.Row:
        platform = self.partner.platform
        number = next_number(self.db, f"{platform.prefix}-C")
        issued_on = to_date(self.at, self.world.config.zone)
        months = get_course(self.partner, self.row["course"]).valid_months
        if platform.certificate.expires == "always":
            months = months or platform.certificate.default_months
        expires_on = None
        if months and platform.certificate.expires != "never":
            expires_on = add_months(issued_on, months).isoformat()
        id = f"{platform.prefix}-C-{number}"
        self.db.execute(
            "INSERT INTO certificates"
            " (id, partner, enrollment, printed, token, issued_on, expires_on)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                id,
                platform.slug,
                self.row["id"],
                f"{platform.prefix}{issued_on.year}-{number}",
                secrets.token_urlsafe(16),
                issued_on.isoformat(),
                expires_on,
            ),
        )
        row: sqlite3.Row = self.db.execute(
            "SELECT * FROM certificates WHERE id = ?", (id,)
        ).fetchone()
        return row
