"""What a call to the outside can end in besides an answer: three errors, and when it is which."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

MAX_ANSWER_BYTES = 1024 * 1024
# Obeyed, but a partner's mistake does not park a learner for a year.
LONGEST_RETRY_AFTER_SECONDS = 86400.0
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?")
# Of the 5xx only this one says that nothing was done; a gateway's 502 and 504 do not know.
_UNAVAILABLE = 503
_RATE_LIMITED = 429
_TOO_EARLY = 425
_SERVER_TIMED_OUT = 408
_CAUSES = {401: "credentials", 403: "credentials", 404: "not_found", 409: "conflict"}


class CallFailed(Exception):
    """A call that gave no answer to use: one of the three below."""


class RetryLater(CallFailed):
    """Known NOT to have happened: make it again.

    `after_seconds`: not before (0 to 86400; None: as you like). `outage`: the partner was away or
    asked us to wait, which uses up no attempt.
    """

    def __init__(
        self, reason: str, *, after_seconds: float | None = None, outage: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_seconds = after_seconds
        self.outage = outage


class OutcomeUnknown(CallFailed):
    """It may have happened (a time-out, a dropped connection, a 500): look before you repeat.

    `after_seconds`: look not before; after a time-out the partner may still be at it, and what is
    done after the look would be done twice.
    """

    def __init__(self, reason: str, *, after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_seconds = after_seconds


class NeedsPerson(CallFailed):
    """Repeating does not change it; `words` are the partner's, or ours where it said nothing.

    `cause` is a short code: refused, conflict, not_found, credentials, redirect, address,
    configuration, not_offered, not_understood. `existing_id`: what the partner says is there.
    """

    def __init__(self, cause: str, words: str, existing_id: str = "") -> None:
        super().__init__(f"{cause}: {words}")
        self.cause = cause
        self.words = words
        self.existing_id = existing_id


def blame_unknown(reason: str, *, harmless: bool, after_seconds: float | None = None) -> CallFailed:
    """The error of a call that may have happened; where that does no harm, it is an outage."""
    if harmless:
        return RetryLater(reason, outage=True)
    return OutcomeUnknown(reason, after_seconds=after_seconds)


def say(status: int, words: str) -> str:
    """What a refusal is told as: its status and the partner's words, already clean."""
    return f"{status}: {words}" if words else f"the partner answered {status} without a word"


def blame_status(
    status: int, words: str, *, after_seconds: float | None, harmless: bool
) -> CallFailed:
    """The error of an answer whose status the caller does not take.

    `words`: see `say`; `after_seconds` is its Retry-After.
    """
    if status in (_UNAVAILABLE, _RATE_LIMITED, _TOO_EARLY):
        return RetryLater(words, after_seconds=after_seconds, outage=True)
    if status == _SERVER_TIMED_OUT:
        return RetryLater(words, after_seconds=after_seconds)
    if status >= 500:
        return blame_unknown(words, harmless=harmless)
    if 300 <= status < 400:
        return _blame_redirect(status, harmless=harmless)
    return NeedsPerson(_CAUSES.get(status, "refused"), words)


def read_retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds to wait as the answer asks, 0 to 86400; None when it does not say (RFC 9110, 10.2.3).

    A date counts from the answer's own Date header, so that a partner's wrong clock does no harm.
    """
    text = headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), LONGEST_RETRY_AFTER_SECONDS)
    until = _read_http_date(text)
    if until is None:
        return None
    since = _read_http_date(headers.get("Date", "")) or now
    return min(max((until - since).total_seconds(), 0.0), LONGEST_RETRY_AFTER_SECONDS)


def read_answer(body: bytes | None, *, harmless: bool) -> Any:
    """The JSON of a 2xx answer, None when it is empty; its content type is not believed.

    Raises:
        RetryLater, OutcomeUnknown: it is no JSON, or too long (`body` None).
    """
    if body == b"":
        return None
    try:
        return _read_json(body)
    except ValueError as error:
        reason = f"the partner's answer is not understood: {error}"
    # Not an outage: a partner that never answers anything else uses up its attempts.
    raise RetryLater(reason) if harmless else OutcomeUnknown(reason)


def read_json_or_none(body: bytes | None) -> Any:
    """The JSON of an answer that need not have any."""
    try:
        return _read_json(body)
    except ValueError:
        return None


def _read_json(body: bytes | None) -> Any:
    """Parse UTF-8 JSON; ValueError says in a few words of ours why it is none."""
    if body is None:
        raise ValueError(f"it is longer than {MAX_ANSWER_BYTES} bytes")
    try:
        return _JSON.decode(body.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    except ValueError:
        raise ValueError("it is no JSON") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_JSON = json.JSONDecoder(parse_constant=_refuse_constant)


def _blame_redirect(status: int, *, harmless: bool) -> CallFailed:
    if status in (302, 303) and not harmless:
        # "Done, see there" is a usual answer to a form.
        return OutcomeUnknown(f"the partner answered with a redirect ({status})")
    return NeedsPerson(
        "redirect", f"the partner answered with a redirect ({status}): check its address"
    )


def _read_http_date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
