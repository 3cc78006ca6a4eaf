"""What people do with credentials."""

from uuid import UUID

from handrail.enrollments.actions import run_action


def render_again(credential_id: UUID) -> None:
    """Have the PDF made once more that could not be made; by staff.

    Raises:
        Refused, NotAllowed, NotFound: as every action.
    """
    run_action("render_certificate_again(%s)", credential_id)
