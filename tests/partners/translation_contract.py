"""What an adapter makes of a webhook: facts, or one of two errors, whatever comes."""

import json
from contextlib import suppress
from datetime import UTC
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.partners.protocol import Ignored, PartnerFact, Unintelligible
from handrail.partners.registry import get_adapter
from tests.partners.platform import Platform

WORDS = st.sampled_from(
    [
        "event",
        "timestamp",
        "data",
        "enrollmentId",
        "percentage",
        "progress",
        "completedAt",
        "failedAt",
        "endedAt",
        "revokedAt",
        "reason",
        "result",
        "certificateId",
        "certificateNumber",
        "issuedDate",
        "expirationDate",
        "downloadUrl",
        "studentId",
        "userId",
        "courseCode",
        "examCode",
    ]
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["2026-05-28T20:26:40Z", "2026-05-28", "e-1", "https://p.example.org/x"])
)
TREES = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4)
)
EVENTS = st.sampled_from(
    [
        "enrollment.created",
        "progress.updated",
        "course.completed",
        "course.failed",
        "certificate.issued",
        "completion.revoked",
        "enrollment.ended",
        "course.exploded",
    ]
)
LIKELY = st.fixed_dictionaries(
    {
        "event": EVENTS,
        "data": st.dictionaries(WORDS, VALUES, max_size=6).map(
            lambda data: {"enrollmentId": "e-1", **data}
        ),
    },
    optional={"timestamp": VALUES},
)


class TranslationContract(Platform):
    """No message is too strange: it is stored already, and must end somewhere."""

    def translate(self, message: Any) -> list[PartnerFact]:
        return get_adapter(self.slug).translate(message)

    def test_whatever_comes_two_errors_are_raised(self) -> None:
        @given(st.dictionaries(WORDS, TREES, max_size=4) | LIKELY)
        def check(message: Any) -> None:
            with suppress(Ignored, Unintelligible):
                for fact in self.translate(message):
                    check_storable(fact)

        check()

    def test_nothing_is_invented(self) -> None:
        @given(LIKELY)
        def check(message: Any) -> None:
            with suppress(Ignored, Unintelligible):
                for fact in self.translate(message):
                    said = [message["data"].get(name) for name in ("percentage", "progress")]
                    assert (fact.percent is None) == (fact.kind != "progress.updated")
                    assert fact.percent is None or any(value is not None for value in said)
                    assert (fact.certificate is None) == (fact.kind != "certificate.issued")

        check()

    @pytest.mark.parametrize("message", [{}, {"event": None}, {"event": 7}, {"event": ""}])
    def test_a_message_without_an_event_is_not_understood(self, message: Any) -> None:
        with pytest.raises(Unintelligible, match="event is missing"):
            self.translate(message)

    def test_an_unknown_event_is_ignored_with_its_name(self) -> None:
        with pytest.raises(Ignored, match=r"user\.signed_in") as caught:
            self.translate({"event": "user.signed_in" + "x" * 10_000})
        assert len(caught.value.reason) < 200


def check_storable(fact: PartnerFact) -> None:
    """PostgreSQL takes neither NUL nor lone surrogates; times must have a zone."""
    assert fact.occurred_at is None or fact.occurred_at.tzinfo is UTC
    assert fact.percent is None or Decimal(0) <= fact.percent <= Decimal(100)
    text = json.dumps(repr(fact))
    assert "\\x00" not in text
    for value in (fact.external_enrollment_id, fact.account_external_id, fact.course_code):
        value.encode()
        assert len(value) <= 200
    for value in (fact.reason, fact.sensitive_result):
        value.encode()
        assert len(value) <= 602
