"""What differs between the seven platforms, as a table.

Paths and field names are those of the origin system's partner classes
(elevateforhumanity/fix2, lib/partners). Which of them have look-ups, keys, conflicts and unenroll
is our invention.
"""

from dataclasses import dataclass, field
from typing import Literal

UNTIL_EXPIRED = Literal["always", "sometimes", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressShape:
    """Field names of GET <enrollment>/{id}<path>."""

    path: str = "/progress"
    percent: str = "percentComplete"
    completed: str = "completionDate"
    last_access: str = "lastAccessDate"
    done: str = "lessonsCompleted"
    total: str = "totalLessons"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateShape:
    """Field names of GET <enrollment>/{id}/certificate; '' where the platform has no such field."""

    number: str = "certificateNumber"
    issued: str = "issuedDate"
    expires: UNTIL_EXPIRED = "never"
    download: str = "downloadUrl"
    verify: str = "verificationUrl"
    default_months: int = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """One platform: its paths, its fields, what it offers, its quirks."""

    slug: str
    name: str
    prefix: str  # of the ids it gives out
    key_header: str
    organization_header: str
    organization_field: str
    account_path: str
    account_field: str
    login_field: str
    enrollment_path: str
    launch_path: str
    launch_field: str = "launchUrl"
    launch_expiry: Literal["expiresAt", "expiresIn"] = "expiresAt"
    course_field: str = "courseCode"
    course_url_field: str = "accessUrl"
    enrolls_for_organization: bool = False  # the enrollment names the organization too
    needs_key: bool = True
    progress: ProgressShape = field(default_factory=ProgressShape)
    certificate: CertificateShape = field(default_factory=CertificateShape)
    # Our invention from here on.
    finds: bool = True
    honors_keys: bool = False
    unenrolls: bool = True
    enrolls_again: Literal["when closed", "never", "always"] = "when closed"
    # Quirks.
    asks_birth_date: bool = False  # hsi: phone and date of birth, and an enrollment type
    sells_vouchers: bool = False  # certiport: a voucher first, and an exam at the end
    gives_passwords: bool = False  # careersafe
    has_portal: bool = False  # jri: people sign up themselves, results come as a file
    takes_orders: bool = False  # nds: screenings with a result


PLATFORMS: dict[str, Platform] = {
    platform.slug: platform
    for platform in (
        Platform(
            slug="milady",
            name="Milady RISE",
            prefix="MIL",
            key_header="Authorization",
            organization_header="X-School-Id",
            organization_field="schoolId",
            account_path="/api/v1/students",
            account_field="studentId",
            login_field="accessUrl",
            enrollment_path="/api/v1/enrollments",
            course_url_field="courseUrl",
            enrolls_for_organization=True,
            launch_path="/api/v1/sso/launch",
            launch_expiry="expiresIn",
            progress=ProgressShape(
                percent="progressPercent", completed="completedDate", last_access="lastActivityDate"
            ),
            certificate=CertificateShape(verify=""),
            honors_keys=True,
        ),
        Platform(
            slug="hsi",
            name="Health & Safety Institute",
            prefix="HSI",
            key_header="X-API-Key",
            organization_header="X-Organization-Id",
            organization_field="organizationId",
            account_path="/api/v1/students",
            account_field="studentId",
            login_field="loginUrl",
            enrollment_path="/api/v1/enrollments",
            launch_path="/api/v1/sso/launch",
            progress=ProgressShape(
                percent="percentage",
                completed="completedAt",
                last_access="lastAccessed",
                done="modulesCompleted",
                total="totalModules",
            ),
            certificate=CertificateShape(expires="always"),
            honors_keys=True,
            asks_birth_date=True,
        ),
        Platform(
            slug="certiport",
            name="Certiport",
            prefix="CPT",
            key_header="Authorization",
            organization_header="X-Organization-Id",
            organization_field="organizationId",
            account_path="/api/v2/users",
            account_field="userId",
            login_field="portalUrl",
            enrollment_path="/api/v2/enrollments",
            course_field="examCode",
            launch_path="/api/v2/sso/token",
            launch_field="ssoUrl",
            launch_expiry="expiresIn",
            progress=ProgressShape(path="/status"),
            certificate=CertificateShape(
                number="certificationNumber", expires="sometimes", verify="verifyUrl"
            ),
            unenrolls=False,
            enrolls_again="never",
            sells_vouchers=True,
        ),
        Platform(
            slug="careersafe",
            name="CareerSafe",
            prefix="CSF",
            key_header="X-API-Key",
            organization_header="X-Organization-Code",
            organization_field="organizationCode",
            account_path="/api/members",
            account_field="memberId",
            login_field="loginUrl",
            enrollment_path="/api/enrollments",
            course_url_field="courseUrl",
            enrolls_for_organization=True,
            launch_path="/api/sso/launch",
            progress=ProgressShape(done="chaptersCompleted", total="totalChapters"),
            certificate=CertificateShape(
                number="cardNumber",
                issued="issueDate",
                expires="always",
                download="pdfUrl",
                default_months=60,
            ),
            gives_passwords=True,
        ),
        Platform(
            slug="jri",
            name="Job Ready Indy",
            prefix="JRI",
            key_header="X-API-Key",
            organization_header="X-Organization-Id",
            needs_key=False,
            organization_field="organizationId",
            account_path="/api/users",
            account_field="userId",
            login_field="portalUrl",
            enrollment_path="/api/enrollments",
            launch_path="/api/sso/launch",
            progress=ProgressShape(done="modulesCompleted", total="totalModules"),
            finds=False,
            unenrolls=False,
            has_portal=True,
        ),
        Platform(
            slug="nrf",
            name="National Restaurant Foundation",
            prefix="NRF",
            key_header="Authorization",
            organization_header="X-Partner-Id",
            organization_field="partnerId",
            account_path="/api/v1/learners",
            account_field="learnerId",
            login_field="platformUrl",
            enrollment_path="/api/v1/enrollments",
            course_url_field="courseUrl",
            launch_path="/api/v1/sso/token",
            launch_field="ssoUrl",
            launch_expiry="expiresIn",
            progress=ProgressShape(
                percent="completionPercentage",
                completed="completedAt",
                last_access="lastAccessedAt",
            ),
            certificate=CertificateShape(number="credentialId"),
            enrolls_again="never",
        ),
        Platform(
            slug="nds",
            name="National Drug Screening",
            prefix="NDS",
            key_header="X-API-Key",
            organization_header="X-Client-Id",
            organization_field="clientId",
            account_path="/api/participants",
            account_field="participantId",
            login_field="portalUrl",
            enrollment_path="/api/enrollments",
            course_url_field="trainingUrl",
            launch_path="/api/sso/launch",
            progress=ProgressShape(path="/status", done="sectionsCompleted", total="totalSections"),
            certificate=CertificateShape(expires="always", verify="", default_months=12),
            finds=False,
            unenrolls=False,
            enrolls_again="always",
            takes_orders=True,
        ),
    )
}
