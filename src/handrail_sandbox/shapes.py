"""What the platforms answer: their field names put on our rows."""

import hashlib
import sqlite3
from typing import Any

from handrail_sandbox.chance import draw
from handrail_sandbox.clock import to_iso, to_iso_or_none
from handrail_sandbox.config import Course, Partner
from handrail_sandbox.world import World

PRACTICE_TESTS = 4
PASSING_SCORE = 700  # of 1,000


def get_course(partner: Partner, code: str) -> Course:
    """Return the course; one that left the configuration keeps its code as its title."""
    return partner.courses.get(code) or Course(code=code, title=code)


def shape_account(
    world: World, partner: Partner, account: sqlite3.Row, *, is_new: bool = False
) -> dict[str, Any]:
    """Return the answer to POST account; `is_new` may add a password."""
    platform = partner.platform
    page = "/portal" if platform.has_portal else "/login"
    answer = {
        platform.account_field: account["id"],
        "username": account["username"],
        platform.login_field: world.link(partner, page),
    }
    if is_new and platform.gives_passwords and int(account["id"][-1]) % 2:
        secret = hashlib.sha256(f"{world.config.seed} {account['id']}".encode()).hexdigest()
        answer["temporaryPassword"] = f"Welcome-{secret[:8]}"
    return answer


def shape_enrollment(world: World, partner: Partner, enrollment: sqlite3.Row) -> dict[str, Any]:
    """Return the answer to POST enrollment."""
    platform = partner.platform
    answer = {
        "enrollmentId": enrollment["id"],
        platform.course_url_field: world.link(partner, f"/learn/{enrollment['id']}"),
    }
    if not platform.sells_vouchers:
        answer["courseName"] = get_course(partner, enrollment["course"]).title
    return answer


def shape_found_enrollment(
    world: World, partner: Partner, enrollment: sqlite3.Row
) -> dict[str, Any]:
    return {
        **shape_enrollment(world, partner, enrollment),
        partner.platform.course_field: enrollment["course"],
        "status": get_status_word(partner, enrollment),
        "createdAt": to_iso(enrollment["created_at"]),
    }


def shape_voucher(partner: Partner, voucher: sqlite3.Row) -> dict[str, Any]:
    return {
        "voucherId": voucher["id"],
        "voucherCode": voucher["code"],
        "examCode": voucher["course"],
        "examName": get_course(partner, voucher["course"]).title,
    }


def get_status_word(partner: Partner, enrollment: sqlite3.Row) -> str:
    """Return the word for the status, as look-ups and progress have it."""
    status = str(enrollment["status"])
    if status != "active":
        return status
    if get_course(partner, enrollment["course"]).kind == "screening":
        return "collected" if enrollment["percent"] else "ordered"
    return "in_progress" if enrollment["percent"] or enrollment["opened_at"] else "not_started"


def count_lessons(partner: Partner, enrollment: sqlite3.Row) -> tuple[int, int]:
    """Return lessons (tests, sections) done and their total."""
    course = get_course(partner, enrollment["course"])
    total = 3 if course.kind == "screening" else course.lessons
    if partner.platform.sells_vouchers:
        total = PRACTICE_TESTS
    return int(enrollment["percent"] / 100 * total + 1e-9), total


def get_percent(partner: Partner, enrollment: sqlite3.Row) -> float | int:
    """Return the percentage (0-100) as the platform counts it.

    Certiport: practice tests count up to 50, a passed exam is 100, a failed one 0.
    """
    percent = float(enrollment["percent"])
    if partner.platform.sells_vouchers:
        done, total = count_lessons(partner, enrollment)
        percent = {"completed": 100.0, "failed": 0.0}.get(enrollment["status"], done / total * 50)
    rounded = round(percent, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def shape_progress(world: World, partner: Partner, enrollment: sqlite3.Row) -> dict[str, Any]:
    """Return the answer to GET progress; Certiport has its own form."""
    if partner.platform.sells_vouchers:
        return _shape_exam(world, partner, enrollment)
    shape = partner.platform.progress
    done, total = count_lessons(partner, enrollment)
    completed_at = enrollment["closed_at"] if enrollment["status"] == "completed" else None
    return _drop_nulls(
        {
            shape.percent: get_percent(partner, enrollment),
            "status": get_status_word(partner, enrollment),
            shape.completed: to_iso_or_none(completed_at),
            shape.last_access: to_iso_or_none(enrollment["last_access_at"]),
            shape.done: done,
            shape.total: total,
        }
    )


def get_score(world: World, enrollment: sqlite3.Row) -> int:
    """Return the exam's score of 1,000; 700 and more is passed."""
    share = draw(world.config.seed, "score", enrollment["id"])
    if enrollment["status"] == "completed":
        return PASSING_SCORE + int(share * 301)
    return 400 + int(share * (PASSING_SCORE - 400))


def _shape_exam(world: World, partner: Partner, enrollment: sqlite3.Row) -> dict[str, Any]:
    done, total = count_lessons(partner, enrollment)
    taken = enrollment["status"] in {"completed", "failed"}
    return _drop_nulls(
        {
            "status": get_status_word(partner, enrollment),
            "examTaken": taken,
            "passed": enrollment["status"] == "completed",
            "score": get_score(world, enrollment) if taken else None,
            "takenDate": to_iso_or_none(enrollment["closed_at"] if taken else None),
            "practiceTestsCompleted": done,
            "totalPracticeTests": total,
        }
    )


def shape_certificate(world: World, partner: Partner, certificate: sqlite3.Row) -> dict[str, Any]:
    """Return the certificate in the field names of the platform's API."""
    shape = partner.platform.certificate
    answer = {
        "certificateId": certificate["id"],
        shape.number: certificate["printed"],
        shape.issued: certificate["issued_on"],
        shape.download: _link_certificate(world, partner, certificate, "pdf"),
    }
    if certificate["expires_on"]:
        answer["expirationDate"] = certificate["expires_on"]
    if shape.verify:
        answer[shape.verify] = _link_certificate(world, partner, certificate, "html")
    return answer


def shape_issued(world: World, partner: Partner, certificate: sqlite3.Row) -> dict[str, Any]:
    """Return the certificate in the field names of the webhook, the same for all platforms."""
    data = {
        "certificateId": certificate["id"],
        "certificateNumber": certificate["printed"],
        "issuedDate": certificate["issued_on"],
        "expirationDate": certificate["expires_on"],
        "downloadUrl": _link_certificate(world, partner, certificate, "pdf"),
    }
    if partner.platform.certificate.verify:
        data["verificationUrl"] = _link_certificate(world, partner, certificate, "html")
    return _drop_nulls(data)


def _link_certificate(world: World, partner: Partner, certificate: sqlite3.Row, ending: str) -> str:
    return world.link(partner, f"/certificates/{certificate['token']}.{ending}")


def _drop_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
