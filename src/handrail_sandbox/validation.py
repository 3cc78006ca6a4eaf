"""Reading the fields of a request, with the refusals a platform would give."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any

from handrail_sandbox.world import Refusal

EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
LONGEST = 200


def take_text(
    fields: Mapping[str, Any], name: str, *, may_be_empty: bool = False, longest: int = LONGEST
) -> str:
    """Return the trimmed text of a field; Refusal 422 when missing, not a text, or unfit."""
    value = fields.get(name)
    if value is None:
        raise Refusal(422, "missing_field", f"{name} is required.", name)
    if not isinstance(value, str) or len(value) > longest or not is_clean(value):
        message = f"{name} must be a text of at most {longest} characters."
        raise Refusal(422, "invalid_field", message, name)
    value = value.strip()
    if not value and not may_be_empty:
        raise Refusal(422, "missing_field", f"{name} must not be empty.", name)
    return value


def take_optional_text(fields: Mapping[str, Any], name: str) -> str:
    if fields.get(name) is None:
        return ""
    return take_text(fields, name, may_be_empty=True)


def take_email(fields: Mapping[str, Any], name: str = "email") -> str:
    """Return the trimmed address; Refusal 422."""
    email = take_text(fields, name, longest=254)
    if not EMAIL.fullmatch(email):
        raise Refusal(422, "invalid_field", f"{name} is not an e-mail address.", name)
    return email


def take_birth_date(fields: Mapping[str, Any], name: str) -> str:
    """Return the date as text, or an empty text; Refusal 422."""
    text = take_optional_text(fields, name)
    if text:
        try:
            date.fromisoformat(text)
        except ValueError:
            message = f"{name} must be a date such as 2004-02-29."
            raise Refusal(422, "invalid_field", message, name) from None
    return text


def take_return_url(fields: Mapping[str, Any], name: str = "returnUrl") -> str:
    """Return an http(s) address, or an empty text; Refusal 422."""
    url = "" if fields.get(name) is None else take_text(fields, name, longest=2000)
    if url and not url.startswith(("http://", "https://")):
        raise Refusal(422, "invalid_field", f"{name} must begin with http:// or https://.", name)
    return url


def is_clean(text: str) -> bool:
    """No control characters and no lone surrogates, which no database takes."""
    return not any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in text)
