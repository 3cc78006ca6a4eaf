"""What people do with credentials."""

from uuid import UUID

from handrail.core.actions import run_action


def correct_name(enrollment_id: UUID, *, first_name: str, last_name: str, reason: str) -> None:
    """Correct a person's name, by staff; this enrollment's certificate is issued anew with it.

    Certificates of other enrollments stay as they are, and partners are not told.

    Raises:
        Refused, NotAllowed, NotFound: as every action.
    """
    call = "correct_learner_name(%s, %s, %s, %s)"
    run_action(call, enrollment_id, first_name, last_name, reason)


def reissue(enrollment_id: UUID, *, reason: str) -> None:
    """Issue the certificate of a completed enrollment anew, by staff; the old one is revoked.

    Raises:
        Refused, NotAllowed, NotFound: as every action.
    """
    run_action("reissue_credential(%s, %s)", enrollment_id, reason)


def render_again(credential_id: UUID) -> None:
    """Have the PDF made once more that could not be made; by staff.

    Raises:
        Refused, NotAllowed, NotFound: as every action.
    """
    run_action("render_certificate_again(%s)", credential_id)
