"""Reading what a partner says, for all adapters: absent is None or "", nonsense is Unintelligible.

Nothing is invented: a percentage that is not there is not 0, a date that is not there is not now.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_DOWN, Decimal
from typing import ParamSpec, TypeVar

from handrail.core.partner_words import clean_words
from handrail.partners.protocol import NeedsPerson, ProviderConfig, Unintelligible

_LONGEST_ID = 200
_ID_LIMIT = 10**30  # texts of numbers of 5,000 digits raise
_LONGEST_URL = 2000
_ID = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*")
_URL = re.compile(
    r"https?://(?:[\w.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?(?:[/?#][\x21-\x7e]*)?",
    re.IGNORECASE | re.ASCII,
)
_CENT = Decimal("0.01")


P = ParamSpec("P")
T = TypeVar("T")


def understand(read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Read an answer; one that is not understood needs a person, who can compare with the partner.

    Raises:
        NeedsPerson: what `read` found missing or contradictory.
    """
    try:
        return read(*args, **kwargs)
    except Unintelligible as error:
        raise NeedsPerson("not_understood", error.reason) from None


def get_credential(provider: ProviderConfig, name: str) -> str:
    """A credential of the provider.

    Raises:
        NeedsPerson: it was never entered.
    """
    found = provider.credentials.get(name, "")
    if not found:
        raise NeedsPerson("configuration", f"the provider {provider.slug} has no {name} yet")
    return found


def as_object(data: object) -> Mapping[str, object]:
    """An answer that must be an object."""
    if not isinstance(data, Mapping):
        raise Unintelligible("it is no object")
    return data


def read_objects(data: object, name: str) -> list[Mapping[str, object]]:
    """A required list of objects."""
    value = as_object(data).get(name)
    if not isinstance(value, list):
        raise Unintelligible(f"{name} is missing or no list")
    return [as_object(each) for each in value]


def read_id(data: Mapping[str, object], name: str) -> str:
    """A required id: a text, or a whole number, as which some platforms write theirs."""
    found = read_optional_id(data, name)
    if not found:
        raise Unintelligible(f"{name} is missing")
    return found


def read_optional_id(data: Mapping[str, object], name: str) -> str:
    """An id as the text it is stored as, "" when absent; it may go into a path, quoted."""
    value = data.get(name)
    if value is None or value == "":
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Unintelligible(f"{name} is no id")
    text = value if isinstance(value, str) else f"{value:d}" if abs(value) < _ID_LIMIT else ""
    if not 0 < len(text) <= _LONGEST_ID or text in (".", "..") or not _ID.fullmatch(text):
        raise Unintelligible(f"{name} is no id")
    return text


def read_text(data: Mapping[str, object], name: str) -> str:
    """A text for a person, cleaned and cut to 300 characters; "" when absent or no text."""
    value = data.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _ID_LIMIT:
        return f"{value:d}"
    return clean_words(value) if isinstance(value, str) else ""


def read_flag(data: Mapping[str, object], name: str) -> bool:
    """A required true or false."""
    value = data.get(name)
    if not isinstance(value, bool):
        raise Unintelligible(f"{name} is missing or neither true nor false")
    return value


def read_number(data: Mapping[str, object], name: str) -> Decimal | None:
    """A number that is not negative, None when absent; true, "40", NaN and infinity are none."""
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise Unintelligible(f"{name} is no number")
    # A float through its text, so that 33.3 stays 33.3.
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or not 0 <= number < 10**9:
        raise Unintelligible(f"{name} is out of range")
    return number


def read_percent(data: Mapping[str, object], name: str) -> Decimal | None:
    """A percentage 0 to 100 with two decimals (cut, so that 99.999 does not become 100)."""
    number = read_number(data, name)
    if number is None:
        return None
    if number > 100:
        raise Unintelligible(f"{name} is not between 0 and 100")
    return number.quantize(_CENT, rounding=ROUND_DOWN)


def read_time(data: Mapping[str, object], name: str) -> datetime | None:
    """A time in UTC, None when absent: ISO 8601; without a zone it is UTC, a date its midnight."""
    value = data.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str) and len(value) <= 40:
        try:
            found = datetime.fromisoformat(value.strip())
            found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            pass
        else:
            if 1900 <= found.year < 9999:
                return found
    raise Unintelligible(f"{name} is no date")


def read_date(data: Mapping[str, object], name: str) -> date | None:
    """A date as the partner writes it (not moved to another zone), None when absent."""
    if read_time(data, name) is None:
        return None
    return datetime.fromisoformat(str(data[name]).strip()).date()


def read_url(data: Mapping[str, object], name: str) -> str:
    """A web address for a link on our pages, "" when absent or unfit (javascript:, user info)."""
    value = data.get(name)
    fit = isinstance(value, str) and len(value) <= _LONGEST_URL and _URL.fullmatch(value)
    return str(value) if fit else ""
