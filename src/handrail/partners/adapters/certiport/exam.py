"""The exam rule: only an exam that was taken and passed completes; one that was not passed fails."""

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal

from handrail.partners.protocol import PartnerFact, Unintelligible
from handrail.partners.reading import as_object, read_flag, read_number, read_time

_PRACTICE_SHARE = 50  # percent that all practice tests together count, as at the origin


def read_exam(data: object, enrollment_id: str) -> list[PartnerFact]:
    """The facts in Certiport's status answer.

    `takenDate` dates a failure as well as a completion. A failed exam is no progress of 0.
    """
    fields = as_object(data)
    if not read_flag(fields, "examTaken"):
        if fields.get("passed") is True:
            raise Unintelligible("passed is true, but examTaken is false")
        percent = _read_practice(fields)
        if percent is None:
            return []
        return [PartnerFact("progress.updated", enrollment_id, percent=percent)]
    taken_at = read_time(fields, "takenDate")
    if not read_flag(fields, "passed"):
        return [PartnerFact("course.failed", enrollment_id, occurred_at=taken_at)]
    return [PartnerFact("course.completed", enrollment_id, occurred_at=taken_at)]


def _read_practice(fields: Mapping[str, object]) -> Decimal | None:
    """The share of practice tests done; None where there are none to do."""
    done = read_number(fields, "practiceTestsCompleted")
    total = read_number(fields, "totalPracticeTests")
    if done is None or not total:
        return None
    if done > total:
        raise Unintelligible("practiceTestsCompleted is more than totalPracticeTests")
    return (done / total * _PRACTICE_SHARE).quantize(Decimal("0.01"), rounding=ROUND_DOWN)
