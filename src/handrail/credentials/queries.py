"""What pages show of credentials."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection

# By the index credentials_enrollment.
_NEWEST = """
select distinct on (enrollment_id) enrollment_id, id, number, issued_at, revoked_at, revoke_reason, pdf_status
from credentials where enrollment_id = any (%s::uuid[])
order by enrollment_id, revoked_at is null desc, issued_at desc
"""
_DOCUMENT = """
select c.number, d.pdf from credentials c join credential_documents d on d.credential_id = c.id where c.id = %s
"""
_VERIFY = "select * from verify_credential(%s)"


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """The credential of an enrollment: the valid one, else the newest."""

    id: UUID
    number: str
    issued_at: datetime
    revoked_at: datetime | None
    revoke_reason: str | None
    pdf_status: Literal["pending", "rendered", "needs_attention"]

    @property
    def status(self) -> str:
        return "valid" if self.revoked_at is None else "revoked"


def list_credentials(enrollments: Collection[UUID]) -> Mapping[UUID, CredentialRow]:
    """Return the credentials of these enrollments, by enrollment; those without are left out."""
    if not enrollments:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, [list(enrollments)])
        return {enrollment: CredentialRow(*row) for enrollment, *row in cursor.fetchall()}


def get_document(credential_id: UUID) -> tuple[str, bytes] | None:
    """Return number and PDF of a credential; None: not rendered, or not this reader's."""
    with connection.cursor() as cursor:
        cursor.execute(_DOCUMENT, [credential_id])
        row = cursor.fetchone()
    return (row[0], bytes(row[1])) if row else None


@dataclass(frozen=True, slots=True)
class Verification:
    """What anybody may see who has a certificate's address."""

    number: str
    organization_name: str
    holder_name: str
    program_title: str
    steps: list[dict[str, Any]]
    issued_at: datetime
    time_zone: str
    revoked_at: datetime | None
    superseded_by: UUID | None

    @property
    def status(self) -> Literal["valid", "revoked", "superseded"]:
        if self.superseded_by is not None:
            return "superseded"
        return "valid" if self.revoked_at is None else "revoked"

    @property
    def issued_on(self) -> date:
        return self.issued_at.astimezone(ZoneInfo(self.time_zone)).date()

    @property
    def revoked_on(self) -> date | None:
        return self.revoked_at and self.revoked_at.astimezone(ZoneInfo(self.time_zone)).date()

    @property
    def dated_steps(self) -> list[tuple[str, str, date]]:
        """Title, partner and day of each step that was completed; waived ones are left out."""
        return [
            (step["title"], step["partner"], date.fromisoformat(step["completed_on"]))
            for step in self.steps
            if step["completed_on"]
        ]


def verify_credential(credential_id: UUID) -> Verification | None:
    """Return what the certificate with this address says; None: there is none."""
    with connection.cursor() as cursor:
        cursor.execute(_VERIFY, [credential_id])
        row = cursor.fetchone()
    if row is None:
        return None
    facts = dict(zip(Verification.__dataclass_fields__, row, strict=True))
    facts["steps"] = json.loads(facts["steps"])  # Django's cursors leave JSON as text.
    return Verification(**facts)
