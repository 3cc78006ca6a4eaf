"""What differs between the origin's partners, as data: paths and field names.

Source: the origin system's partner classes (elevateforhumanity/fix2, lib/partners). No vendor is
known to offer these paths. Look-ups, keys, conflicts with an id and unenroll are our invention,
which the sandbox serves (docs/reference/sandbox.md).
"""

from dataclasses import dataclass, field
from typing import Literal

from handrail.partners.protocol import Offers


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFields:
    """How a certificate's fields are called; those of the webhooks are the defaults."""

    number: str = "certificateNumber"
    issued_on: str = "issuedDate"
    download_url: str = "downloadUrl"
    verification_url: str = "verificationUrl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One partner's paths and names."""

    name: str
    offers: Offers
    key_header: Literal["Authorization", "X-API-Key"]
    organization_header: str
    organization_field: str
    account_path: str
    account_id: str
    login_url: str
    enrollment_path: str
    enrollment_names_organization: bool = False
    course_code: str = "courseCode"
    access_url: str
    progress_path: str = "/progress"
    percent: str = "percentComplete"
    completed_at: str = "completionDate"
    seen_at: str = "lastAccessDate"
    certificate: CertificateFields = field(default_factory=CertificateFields)
    launch_path: str
    launch_url: str = "launchUrl"
