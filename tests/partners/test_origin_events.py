"""Webhooks of the origin's format, field by field; what all seven share is tried at one of them."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from handrail.partners.protocol import CertificateFacts, Ignored, PartnerFact, Unintelligible
from handrail.partners.registry import get_adapter

SENT = "2026-05-28T20:26:40Z"
SENT_AT = datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC)
EARLIER = "2026-05-28T20:00:00.250Z"
EARLIER_AT = datetime(2026, 5, 28, 20, 0, 0, 250_000, tzinfo=UTC)


def translate(
    event: str, *, timestamp: Any = SENT, adapter: str = "milady", **data: Any
) -> PartnerFact:
    message = {"event": event, "timestamp": timestamp, "data": {"enrollmentId": "ext-7001", **data}}
    [fact] = get_adapter(adapter).translate(message)
    return fact


def test_the_origins_own_example() -> None:
    fact = translate("progress.updated", percentage=40, lessonsCompleted=4, totalLessons=10)
    assert fact == PartnerFact(
        "progress.updated", "ext-7001", occurred_at=SENT_AT, percent=Decimal("40.00")
    )


@pytest.mark.parametrize(
    ("data", "percent"),
    [
        ({"percentage": 0}, 0),
        ({"progress": 0}, 0),
        ({"percentage": 0, "progress": 0}, 0),
        ({"percentage": None, "progress": 15.5}, 15.5),
        ({"percentage": 40, "progress": 40.0}, 40),
    ],
)
def test_a_percentage_under_either_name(data: dict[str, Any], percent: float) -> None:
    assert translate("progress.updated", **data).percent == Decimal(str(percent))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "percentage is missing"),
        ({"lessonsCompleted": 4, "totalLessons": 10}, "percentage is missing"),
        ({"percentage": 40, "progress": 0}, "contradict"),
        ({"percentage": 0, "progress": 40}, "contradict"),
        ({"percentage": "40"}, "no number"),
        ({"percentage": 101}, "not between"),
        ({"percentage": -1}, "out of range"),
        ({"percentage": True}, "no number"),
        ({"percentage": float("nan")}, "out of range"),
    ],
)
def test_a_percentage_is_never_guessed(data: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unintelligible, match=reason):
        translate("progress.updated", **data)


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ("course.completed", "completedAt"),
        ("course.failed", "failedAt"),
        ("enrollment.ended", "endedAt"),
        ("completion.revoked", "revokedAt"),
    ],
)
def test_a_fact_has_the_time_it_happened_else_that_of_the_message(event: str, field: str) -> None:
    assert translate(event, **{field: EARLIER}).occurred_at == EARLIER_AT
    assert translate(event).occurred_at == SENT_AT
    assert translate(event, timestamp=None).occurred_at is None
    unfits: list[Any] = ["yesterday", 1780000000, True, "05/28/2026"]
    for unfit in unfits:
        with pytest.raises(Unintelligible, match=f"{field} is no date"):
            translate(event, **{field: unfit})


def test_a_message_with_a_time_that_is_none_is_not_understood() -> None:
    with pytest.raises(Unintelligible, match="timestamp is no date"):
        translate("course.completed", timestamp="soon", completedAt=EARLIER)


def test_a_certificate() -> None:
    fact = translate(
        "certificate.issued",
        certificateId="c-1",
        certificateNumber="2026-007",
        issuedDate="2026-05-28",
        expirationDate="2028-05-28",
        downloadUrl="https://milady.example.org/c-1.pdf",
        verificationUrl="https://milady.example.org/verify/c-1",
    )
    assert fact.occurred_at == SENT_AT
    assert fact.certificate == CertificateFacts(
        "c-1",
        "2026-007",
        date(2026, 5, 28),
        date(2028, 5, 28),
        "https://milady.example.org/c-1.pdf",
        "https://milady.example.org/verify/c-1",
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({}, "certificateId is missing"),
        ({"certificateId": ""}, "certificateId is missing"),
        ({"certificateId": ["c"]}, "certificateId is no id"),
        (
            {"certificateId": "c", "issuedDate": "2026-05-28", "expirationDate": "2026-05-27"},
            "before issuedDate",
        ),
        ({"certificateId": "c", "issuedDate": "soon"}, "issuedDate is no date"),
    ],
)
def test_a_certificate_that_contradicts_itself(data: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unintelligible, match=reason):
        translate("certificate.issued", **data)


def test_why_is_for_a_person() -> None:
    fact = translate("course.failed", reason="  did not\nattend\x00 ")
    assert fact.reason == "did not attend"
    assert translate("course.failed").reason == ""


@pytest.mark.parametrize(
    "adapter", ["milady", "hsi", "certiport", "careersafe", "nrf", "nds", "jri"]
)
def test_account_and_course_go_along_where_they_are_said(adapter: str) -> None:
    sheet: Any = getattr(get_adapter(adapter), "sheet")  # noqa: B009 - not in the protocol
    data = {sheet.account_id: "a-1", sheet.course_code: "C-1"}
    fact = translate("course.completed", adapter=adapter, **data)
    assert (fact.account_external_id, fact.course_code) == ("a-1", "C-1")
    fact = translate("course.completed", adapter=adapter, enrollmentId=None, **data)
    assert fact.external_enrollment_id == ""
    with pytest.raises(Unintelligible, match="enrollmentId is missing"):
        translate("course.completed", adapter=adapter, enrollmentId="", **{sheet.account_id: "a"})


@pytest.mark.parametrize("data", [None, [], "x", 5])
def test_a_message_without_data_is_not_understood(data: Any) -> None:
    with pytest.raises(Unintelligible):
        get_adapter("milady").translate({"event": "course.completed", "data": data})


@pytest.mark.parametrize(
    "event", ["course.complete", "COURSE.COMPLETED", "ping", " course.completed"]
)
def test_other_events_are_ignored_whatever_is_in_them(event: str) -> None:
    with pytest.raises(Ignored, match="we do not use the event"):
        get_adapter("milady").translate({"event": event})
