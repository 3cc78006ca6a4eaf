"""The partners as the tests configure them, and what the origin's classes ask of each.

The field names are copied from the origin's tables by hand, not taken from the sandbox's own.
"""

import itertools
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from tests.sandbox.process import TOKEN, Reply, Sandbox

SECRET = "whsec_" + b64encode(b"invented-signing-key-of-tests-01").decode()
PREVIOUS_SECRET = "whsec_" + b64encode(b"invented-signing-key-of-tests-00").decode()
PLAIN_SECRET = "an-invented-shared-secret"
_counter = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Contract:
    slug: str
    credentials: dict[str, str]
    account_path: str
    account_fields: dict[str, str]  # beside firstName, lastName, email
    account_answer: set[str]
    account_id: str
    enrollment_path: str
    course_field: str
    enrollment_fields: dict[str, str]  # beside the account and the course
    enrollment_answer: set[str]
    progress_path: str
    progress_answer: set[str]  # of a completed one
    launch_path: str
    launch_answer: tuple[str, str]
    certificate_answer: set[str]
    course: str
    scheme: str = "standard-webhooks"


CONTRACTS = {
    it.slug: it
    for it in (
        Contract(
            slug="hsi",
            credentials={"X-API-Key": "hsi-key", "X-Organization-Id": "ORG-1"},
            account_path="/api/v1/students",
            account_fields={
                "phone": "317-555-0100",
                "dateOfBirth": "2004-02-29",
                "organizationId": "ORG-1",
            },
            account_answer={"studentId", "username", "loginUrl"},
            account_id="studentId",
            enrollment_path="/api/v1/enrollments",
            course_field="courseCode",
            enrollment_fields={"enrollmentType": "blended"},
            enrollment_answer={"enrollmentId", "courseName", "accessUrl"},
            progress_path="/progress",
            progress_answer={
                "percentage",
                "status",
                "completedAt",
                "lastAccessed",
                "modulesCompleted",
                "totalModules",
            },
            launch_path="/api/v1/sso/launch",
            launch_answer=("launchUrl", "expiresAt"),
            certificate_answer={
                "certificateId",
                "certificateNumber",
                "issuedDate",
                "expirationDate",
                "downloadUrl",
                "verificationUrl",
            },
            course="HSI-CPR-AED",
        ),
        Contract(
            slug="certiport",
            credentials={"Authorization": "Bearer cpt-key", "X-Organization-Id": "ORG-2"},
            account_path="/api/v2/users",
            account_fields={"organizationId": "ORG-2"},
            account_answer={"userId", "username", "portalUrl"},
            account_id="userId",
            enrollment_path="/api/v2/enrollments",
            course_field="examCode",
            enrollment_fields={},
            enrollment_answer={"enrollmentId", "accessUrl"},
            progress_path="/status",
            progress_answer={
                "status",
                "examTaken",
                "passed",
                "score",
                "takenDate",
                "practiceTestsCompleted",
                "totalPracticeTests",
            },
            launch_path="/api/v2/sso/token",
            launch_answer=("ssoUrl", "expiresIn"),
            certificate_answer={
                "certificateId",
                "certificationNumber",
                "issuedDate",
                "downloadUrl",
                "verifyUrl",
            },
            course="MOS-365",
            scheme="hmac-sha256-hex",
        ),
        Contract(
            slug="careersafe",
            credentials={"X-API-Key": "csf-key", "X-Organization-Code": "ORG-3"},
            account_path="/api/members",
            account_fields={"organizationCode": "ORG-3"},
            account_answer={"memberId", "username", "loginUrl"},
            account_id="memberId",
            enrollment_path="/api/enrollments",
            course_field="courseCode",
            enrollment_fields={"organizationCode": "ORG-3"},
            enrollment_answer={"enrollmentId", "courseName", "courseUrl"},
            progress_path="/progress",
            progress_answer={
                "percentComplete",
                "status",
                "completionDate",
                "lastAccessDate",
                "chaptersCompleted",
                "totalChapters",
            },
            launch_path="/api/sso/launch",
            launch_answer=("launchUrl", "expiresAt"),
            certificate_answer={
                "certificateId",
                "cardNumber",
                "issueDate",
                "expirationDate",
                "pdfUrl",
                "verificationUrl",
            },
            course="OSHA10-GI",
            scheme="shared-secret",
        ),
        Contract(
            slug="milady",
            credentials={"Authorization": "Bearer mil-key", "X-School-Id": "SCHOOL-1"},
            account_path="/api/v1/students",
            account_fields={"schoolId": "SCHOOL-1"},
            account_answer={"studentId", "username", "accessUrl"},
            account_id="studentId",
            enrollment_path="/api/v1/enrollments",
            course_field="courseCode",
            enrollment_fields={"schoolId": "SCHOOL-1"},
            enrollment_answer={"enrollmentId", "courseName", "courseUrl"},
            progress_path="/progress",
            progress_answer={
                "progressPercent",
                "status",
                "completedDate",
                "lastActivityDate",
                "lessonsCompleted",
                "totalLessons",
            },
            launch_path="/api/v1/sso/launch",
            launch_answer=("launchUrl", "expiresIn"),
            certificate_answer={"certificateId", "certificateNumber", "issuedDate", "downloadUrl"},
            course="MS-BARB",
        ),
        Contract(
            slug="jri",
            credentials={"X-API-Key": "jri-key", "X-Organization-Id": "ORG-5"},
            account_path="/api/users",
            account_fields={"organizationId": "ORG-5"},
            account_answer={"userId", "username", "portalUrl"},
            account_id="userId",
            enrollment_path="/api/enrollments",
            course_field="courseCode",
            enrollment_fields={},
            enrollment_answer={"enrollmentId", "courseName", "accessUrl"},
            progress_path="/progress",
            progress_answer={
                "percentComplete",
                "status",
                "completionDate",
                "lastAccessDate",
                "modulesCompleted",
                "totalModules",
            },
            launch_path="/api/sso/launch",
            launch_answer=("launchUrl", "expiresAt"),
            certificate_answer={
                "certificateId",
                "certificateNumber",
                "issuedDate",
                "downloadUrl",
                "verificationUrl",
            },
            course="JRI-WORK",
        ),
        Contract(
            slug="nrf",
            credentials={"Authorization": "Bearer nrf-key", "X-Partner-Id": "ORG-6"},
            account_path="/api/v1/learners",
            account_fields={"partnerId": "ORG-6"},
            account_answer={"learnerId", "username", "platformUrl"},
            account_id="learnerId",
            enrollment_path="/api/v1/enrollments",
            course_field="courseCode",
            enrollment_fields={},
            enrollment_answer={"enrollmentId", "courseName", "courseUrl"},
            progress_path="/progress",
            progress_answer={
                "completionPercentage",
                "status",
                "completedAt",
                "lastAccessedAt",
                "lessonsCompleted",
                "totalLessons",
            },
            launch_path="/api/v1/sso/token",
            launch_answer=("ssoUrl", "expiresIn"),
            certificate_answer={
                "certificateId",
                "credentialId",
                "issuedDate",
                "downloadUrl",
                "verificationUrl",
            },
            course="SS-MGR",
        ),
        Contract(
            slug="nds",
            credentials={"X-API-Key": "nds-key", "X-Client-Id": "ORG-7"},
            account_path="/api/participants",
            account_fields={"clientId": "ORG-7"},
            account_answer={"participantId", "username", "portalUrl"},
            account_id="participantId",
            enrollment_path="/api/enrollments",
            course_field="courseCode",
            enrollment_fields={},
            enrollment_answer={"enrollmentId", "courseName", "trainingUrl"},
            progress_path="/status",
            progress_answer={
                "percentComplete",
                "status",
                "completionDate",
                "lastAccessDate",
                "sectionsCompleted",
                "totalSections",
            },
            launch_path="/api/sso/launch",
            launch_answer=("launchUrl", "expiresAt"),
            certificate_answer={
                "certificateId",
                "certificateNumber",
                "issuedDate",
                "expirationDate",
                "downloadUrl",
            },
            course="NDS-COLLECTOR",
        ),
    )
}
SLUGS = tuple(CONTRACTS)


def make_config(webhook_urls: dict[str, str], **top: Any) -> dict[str, Any]:
    """Return a configuration in which nobody studies unless told (by /control or a page)."""
    return {"control_token": TOKEN, "retry_seconds": [0.1, 0.1, 0.1], **top} | {
        "partners": {slug: _make_partner(slug, webhook_urls.get(slug)) for slug in SLUGS}
    }


def _make_partner(slug: str, url: str | None) -> dict[str, Any]:
    contract = CONTRACTS[slug]
    courses = [
        {
            "code": contract.course,
            "title": f"The {contract.course}",
            "hours": 10,
            "credential": "C",
        },
        {"code": f"{contract.course}-2", "title": "Another", "hours": 1500, "credential": "D"},
    ]
    if slug == "nds":
        courses.append({"code": "NDS-5PANEL", "title": "5-panel drug screen", "hours": 0})
    partner: dict[str, Any] = {
        "credentials": dict(contract.credentials),
        "courses": courses,
        "study": {"seconds": 0.5, "messages": 4, "start": "told"},
    }
    if url:
        secret = SECRET if contract.scheme == "standard-webhooks" else PLAIN_SECRET
        partner |= {"webhook_url": url, "webhook_scheme": contract.scheme, "webhook_secret": secret}
    return partner


def make_email(name: str = "alice") -> str:
    """Return an address that no other test has."""
    return f"{name}.{next(_counter)}@example.org"


def open_account(sandbox: Sandbox, slug: str, email: str = "", *, key: str = "") -> Reply:
    contract = CONTRACTS[slug]
    fields = {"firstName": "Alice", "lastName": "O'Brien-Núñez", "email": email or make_email()}
    return sandbox.ask(
        slug, "POST", contract.account_path, fields | contract.account_fields, key=key
    )


def get_account(sandbox: Sandbox, slug: str, email: str = "") -> str:
    """Open an account and return its id."""
    reply = open_account(sandbox, slug, email)
    assert reply.status == 201, reply.text
    return str(reply.json[CONTRACTS[slug].account_id])


def buy_voucher(sandbox: Sandbox, account: str, course: str = "MOS-365") -> str:
    fields = {"userId": account, "examCode": course, "organizationId": "ORG-2"}
    reply = sandbox.ask("certiport", "POST", "/api/v2/vouchers", fields)
    assert reply.status == 201, reply.text
    return str(reply.json["voucherId"])


def enroll(
    sandbox: Sandbox,
    slug: str,
    account: str,
    *,
    course: str = "",
    key: str = "",
    voucher: str = "",
    seconds: float = 20,
) -> Reply:
    contract = CONTRACTS[slug]
    course = course or contract.course
    fields = {contract.account_id: account, contract.course_field: course}
    if slug == "certiport":
        fields["voucherId"] = voucher or buy_voucher(sandbox, account, course)
    return sandbox.ask(
        slug,
        "POST",
        contract.enrollment_path,
        fields | contract.enrollment_fields,
        key=key,
        seconds=seconds,
    )


def get_enrollment(sandbox: Sandbox, slug: str, *, email: str = "", course: str = "") -> str:
    """Open an account, enroll it, and return the enrollment's id."""
    reply = enroll(sandbox, slug, get_account(sandbox, slug, email), course=course)
    assert reply.status == 201, reply.text
    return str(reply.json["enrollmentId"])


def act(sandbox: Sandbox, slug: str, id: str, action: str, **fields: Any) -> Any:
    return sandbox.control("POST", f"enrollments/{slug}/{id}/{action}", fields)


def read(sandbox: Sandbox, slug: str, id: str) -> Any:
    contract = CONTRACTS[slug]
    path = f"{contract.enrollment_path}/{id}{contract.progress_path}"
    reply = sandbox.ask(slug, "GET", path)
    assert reply.status == 200, reply.text
    return reply.json
