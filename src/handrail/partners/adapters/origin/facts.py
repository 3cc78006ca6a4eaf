"""What the origin's partners answer, as facts. Each raises Unintelligible; data may be any JSON."""

from handrail.partners.adapters.origin.sheet import CertificateFields, Sheet
from handrail.partners.protocol import (
    AccountFacts,
    CertificateFacts,
    EnrollmentFacts,
    PartnerFact,
    Unintelligible,
)
from handrail.partners.reading import (
    as_object,
    read_date,
    read_id,
    read_percent,
    read_text,
    read_time,
    read_url,
)


def read_account(sheet: Sheet, data: object) -> AccountFacts:
    """The account; whatever else stands beside it (a password) goes no further."""
    fields = as_object(data)
    return AccountFacts(
        read_id(fields, sheet.account_id),
        username=read_text(fields, "username"),
        login_url=read_url(fields, sheet.login_url),
    )


def read_enrollment(sheet: Sheet, data: object) -> EnrollmentFacts:
    """The enrollment."""
    fields = as_object(data)
    return EnrollmentFacts(
        read_id(fields, "enrollmentId"), access_url=read_url(fields, sheet.access_url)
    )


def read_certificate(names: CertificateFields, data: object) -> CertificateFacts:
    """The certificate, from an answer or a webhook."""
    fields = as_object(data)
    certificate = CertificateFacts(
        read_id(fields, "certificateId"),
        number=read_text(fields, names.number),
        issued_on=read_date(fields, names.issued_on),
        expires_on=read_date(fields, "expirationDate"),
        download_url=read_url(fields, names.download_url),
        verification_url=read_url(fields, names.verification_url),
    )
    if (
        certificate.issued_on
        and certificate.expires_on
        and certificate.expires_on < certificate.issued_on
    ):
        raise Unintelligible(f"expirationDate is before {names.issued_on}")
    return certificate


def read_state(sheet: Sheet, data: object, enrollment_id: str) -> list[PartnerFact]:
    """How far an enrollment is, and whether it is completed, failed or ended.

    Completed is `status` being exactly `completed`, as at the origin; a hundred percent is not.
    """
    fields = as_object(data)
    seen_at = read_time(fields, sheet.seen_at)
    percent = read_percent(fields, sheet.percent)
    facts = []
    if percent is not None:
        facts.append(
            PartnerFact("progress.updated", enrollment_id, occurred_at=seen_at, percent=percent)
        )
    match fields.get("status"):
        case "completed":
            completed_at = read_time(fields, sheet.completed_at)
            facts.append(PartnerFact("course.completed", enrollment_id, occurred_at=completed_at))
        case "failed":
            facts.append(PartnerFact("course.failed", enrollment_id, occurred_at=seen_at))
        case "ended":
            facts.append(PartnerFact("enrollment.ended", enrollment_id))
    return facts
