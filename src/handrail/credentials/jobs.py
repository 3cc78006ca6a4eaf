"""Jobs: a certificate is rendered after the transaction that issued its credential."""

import logging
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection

from handrail.credentials.models import Credential
from handrail.credentials.render import (
    CertificateContent,
    CertificateStep,
    MissingGlyph,
    render_certificate,
)

PENDING_MINUTES = 10
"""A credential that has no certificate after so long has lost its job: it gets another."""
_STORE = "select store_certificate(%s, %s, %s)"
_ENQUEUE_LOST = """
select enqueue_jobs('render_certificate', array_agg(id))
from (select id from credentials
      where pdf_status = 'pending' and issued_at < now() - make_interval(mins => %s)
      order by issued_at limit 1000) as lost
having count(*) > 0
"""

logger = logging.getLogger(__name__)


def make_certificate(credential_id: str) -> None:
    """Render the certificate of a credential and store it, or say why there is none."""
    credential = Credential.objects.select_related("organization").get(id=UUID(credential_id))
    if credential.pdf_status == "rendered":
        return
    try:
        pdf = render_certificate(describe_credential(credential))
    except MissingGlyph as error:
        _store(credential, None, f"{error}. {_tell_way(credential, error)}")
    except Exception as error:
        # The same content fails the same way each time: a person must see it.
        logger.exception("the certificate of credential %s cannot be rendered", credential.id)
        _store(credential, None, f"The certificate cannot be rendered ({type(error).__name__}).")
    else:
        _store(credential, pdf, None)


def _tell_way(credential: Credential, error: MissingGlyph) -> str:
    if any(each in credential.holder_name for each in error.characters):
        return (
            "It is in the person's name, which may be right: agree with the person on how to write it in "
            "letters that can be printed, and correct the name. The certificate is then issued anew."
        )
    if any(each in credential.organization_name for each in error.characters):
        return "It is in the organization's name: correct that, then issue the certificate anew."
    return (
        "It is in the title of the program, or in that of a course or partner: correct it in the catalog, "
        "then issue the certificate anew."
    )


def describe_credential(credential: Credential) -> CertificateContent:
    """What the certificate says: the credential's snapshot. A waived step has no date to show."""
    zone = ZoneInfo(credential.organization.time_zone)
    return CertificateContent(
        organization_name=credential.organization_name,
        holder_name=credential.holder_name,
        program_title=credential.program_title,
        steps=tuple(
            CertificateStep(
                title=step["title"],
                partner_name=step["partner"],
                completed_on=date.fromisoformat(step["completed_on"]),
            )
            for step in credential.steps
            if step["completed_on"]
        ),
        number=credential.number,
        issued_on=credential.issued_at.astimezone(zone).date(),
        verification_url=f"{settings.HANDRAIL_BASE_URL}/verify/{credential.id}",
    )


def enqueue_lost_certificates() -> None:
    """Give another job to each credential that should have its certificate by now."""
    with connection.cursor() as cursor:
        cursor.execute(_ENQUEUE_LOST, [PENDING_MINUTES])


def _store(credential: Credential, pdf: bytes | None, problem: str | None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_STORE, [credential.id, pdf, problem])
