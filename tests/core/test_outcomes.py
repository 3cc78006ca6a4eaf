from datetime import UTC, datetime

import pytest

from handrail.core.outcomes import (
    CallFailed,
    NeedsPerson,
    OutcomeUnknown,
    RetryLater,
    blame_status,
    read_answer,
    read_json_or_none,
    read_retry_after,
)

NOW = datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC)


def blame(status: int, *, harmless: bool = False, after_seconds: float | None = None) -> CallFailed:
    return blame_status(status, "words", after_seconds=after_seconds, harmless=harmless)


@pytest.mark.parametrize("status", [425, 429, 503])
def test_a_partner_that_asks_us_to_wait_uses_up_no_attempt(status: int) -> None:
    error = blame(status, after_seconds=7.0)
    assert isinstance(error, RetryLater)
    assert (error.reason, error.after_seconds, error.outage) == ("words", 7.0, True)


def test_a_request_that_came_too_slowly_did_not_happen() -> None:
    error = blame(408)
    assert isinstance(error, RetryLater)
    assert not error.outage


@pytest.mark.parametrize("status", [500, 501, 502, 504, 520, 599])
def test_other_server_errors_may_have_happened(status: int) -> None:
    assert isinstance(blame(status), OutcomeUnknown)


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_read_that_broke_is_an_outage(status: int) -> None:
    error = blame(status, harmless=True)
    assert isinstance(error, RetryLater)
    assert error.outage


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, "refused"),
        (401, "credentials"),
        (402, "refused"),
        (403, "credentials"),
        (404, "not_found"),
        (405, "refused"),
        (409, "conflict"),
        (410, "refused"),
        (422, "refused"),
        (451, "refused"),
        (301, "redirect"),
        (307, "redirect"),
        (308, "redirect"),
        (304, "redirect"),
    ],
)
def test_a_permanent_refusal_needs_a_person(status: int, cause: str) -> None:
    error = blame(status)
    assert isinstance(error, NeedsPerson)
    assert error.cause == cause


@pytest.mark.parametrize("status", [302, 303])
def test_a_post_answered_with_see_there_may_have_happened(status: int) -> None:
    assert isinstance(blame(status), OutcomeUnknown)
    assert isinstance(blame(status, harmless=True), NeedsPerson)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": " 1.5 "}, 1.5),
        ({"Retry-After": "7200"}, 7200.0),
        ({"Retry-After": "999999999"}, 86400.0),
        ({"Retry-After": "9" * 5000}, None),
        ({"Retry-After": "-5"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "Thu, 28 May 2026 20:27:40 GMT"}, 60.0),
        ({"Retry-After": "Thu, 28 May 2026 20:00:00 GMT"}, 0.0),
        ({"Retry-After": "Thu, 28 May 2026 22:26:40 GMT"}, 7200.0),
        ({"Retry-After": "Fri, 29 May 2099 20:00:00 GMT"}, 86400.0),
        ({"Retry-After": "Thu, 99 May 2026 20:27:40 GMT"}, None),
        (
            # The partner's clock is an hour fast.
            {
                "Retry-After": "Thu, 28 May 2026 21:27:40 GMT",
                "Date": "Thu, 28 May 2026 21:26:40 GMT",
            },
            60.0,
        ),
        ({"Retry-After": "Thu, 28 May 2026 20:27:40 GMT", "Date": "broken"}, 60.0),
    ],
)
def test_retry_after_in_seconds_or_as_a_date_is_capped(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert read_retry_after(headers, now=NOW) == seconds


@pytest.mark.parametrize(
    ("body", "data"),
    [(b'{"a": 1}', {"a": 1}), (b"[]", []), (b'\xef\xbb\xbf{"a": 1}', {"a": 1}), (b"", None)],
)
def test_json_answers(body: bytes, data: object) -> None:
    assert read_answer(body, harmless=True) == data


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (None, "longer than 1048576 bytes"),
        (b"<html>", "no JSON"),
        (b'{"a": NaN}', "no JSON"),
        (b'{"a": -Infinity}', "no JSON"),
        (b"\xff", "no JSON"),
        (b"1" * 5000, "no JSON"),
        (b"[" * 500_000, "nested too deep"),
        (b" ", "no JSON"),
    ],
)
def test_what_is_no_json_is_not_believed(body: bytes | None, reason: str) -> None:
    with pytest.raises(OutcomeUnknown, match=reason):
        read_answer(body, harmless=False)
    with pytest.raises(RetryLater, match=reason) as caught:
        read_answer(body, harmless=True)
    assert not caught.value.outage  # else it would be asked for ever
    assert read_json_or_none(body) is None
