"""Webhooks of the origin's partners: `{"event", "timestamp", "data": {"enrollmentId", ...}}`."""

from collections.abc import Mapping
from decimal import Decimal

from handrail.partners.adapters.origin.facts import read_certificate
from handrail.partners.adapters.origin.sheet import CertificateFields, Sheet
from handrail.partners.protocol import FactKind, Ignored, PartnerFact, Unintelligible
from handrail.partners.reading import (
    as_object,
    read_optional_id,
    read_percent,
    read_text,
    read_time,
)

# Which field of `data` says when it happened; where it is absent the message's timestamp does.
_TIMES: Mapping[str, tuple[FactKind, str]] = {
    "enrollment.created": ("enrollment.created", ""),
    "progress.updated": ("progress.updated", ""),
    "course.completed": ("course.completed", "completedAt"),
    "certificate.issued": ("certificate.issued", ""),
    "course.failed": ("course.failed", "failedAt"),
    "enrollment.ended": ("enrollment.ended", "endedAt"),
    "completion.revoked": ("completion.revoked", "revokedAt"),
}
_CERTIFICATE = CertificateFields()


def translate_event(sheet: Sheet, message: Mapping[str, object]) -> PartnerFact:
    """The one fact in a webhook; raises as `Adapter.translate` says."""
    event = message.get("event")
    if not isinstance(event, str) or not event:
        raise Unintelligible("event is missing")
    if event not in _TIMES:
        raise Ignored(f"we do not use the event {read_text(message, 'event')[:100]}")
    kind, time_field = _TIMES[event]
    data = as_object(message.get("data"))
    occurred_at = read_time(message, "timestamp")
    enrollment, account, course = _read_subject(sheet, data)
    return PartnerFact(
        kind,
        external_enrollment_id=enrollment,
        account_external_id=account,
        course_code=course,
        occurred_at=(read_time(data, time_field) if time_field else None) or occurred_at,
        percent=_read_progress(data) if kind == "progress.updated" else None,
        reason=read_text(data, "reason"),
        sensitive_result=read_text(data, "result"),
        certificate=read_certificate(_CERTIFICATE, data) if kind == "certificate.issued" else None,
    )


def _read_subject(sheet: Sheet, data: Mapping[str, object]) -> tuple[str, str, str]:
    """Return enrollment id, account id and course: the first, or both others, must be there."""
    enrollment = read_optional_id(data, "enrollmentId")
    account = read_optional_id(data, sheet.account_id)
    course = read_optional_id(data, sheet.course_code)
    if not enrollment and not (account and course):
        raise Unintelligible("enrollmentId is missing")
    return enrollment, account, course


def _read_progress(data: Mapping[str, object]) -> Decimal:
    """Return `percentage`, or `progress` as some write it; 0 is a value, absent is not 0."""
    percentage, progress = read_percent(data, "percentage"), read_percent(data, "progress")
    if percentage is not None and progress is not None and percentage != progress:
        raise Unintelligible("percentage and progress contradict each other")
    found = progress if percentage is None else percentage
    if found is None:
        raise Unintelligible("percentage is missing")
    return found
