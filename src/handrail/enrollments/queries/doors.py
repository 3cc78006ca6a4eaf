"""What the API must know before it starts an enrollment."""

from uuid import UUID

from django.db import connection

from handrail.enrollments.models import Enrollment

_LIVE = ("pending", "active", "suspended")


def find_organization(
    *,
    enrollment_id: UUID | None = None,
    step_id: UUID | None = None,
    student_id: UUID | None = None,
) -> UUID | None:
    """The organization of a row, for a service that works for all of them; None: no such row."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select find_organization_of(%s, %s, %s)", [enrollment_id, step_id, student_id]
        )
        row = cursor.fetchone()
    found: UUID | None = row[0] if row else None
    return found


def find_newest_enrollment(learner_id: UUID, program_id: UUID) -> Enrollment | None:
    """A learner's enrollment in a program: the one that is not finished, else the newest."""
    found = Enrollment.objects.filter(learner_id=learner_id, program_id=program_id)
    live = found.filter(status__in=_LIVE).first()
    return live or found.order_by("-created_at").first()
