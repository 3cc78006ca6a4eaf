"""Names and addresses of people as they are entered."""

import re
import unicodedata

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

LONGEST_TEXT = 200
LONGEST_EMAIL = 254
_SPACES = re.compile(r"\s+")
# With them a name could show as another (Unicode Annex 9, section 2).
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def clean_text(text: str) -> str:
    """A name or the like without space around it and with single spaces inside.

    Letters stay as they are, in any script; only their canonical composition is made the same
    (Unicode NFC: an accent typed apart is the accented letter), so that equal names compare equal.
    What cannot be seen and only turns the direction of writing goes.
    """
    return unicodedata.normalize("NFC", _SPACES.sub(" ", _TURNING.sub("", text)).strip())


def find_text_problem(text: str, *, longest: int = LONGEST_TEXT) -> str:
    """Why a cleaned text cannot be stored; empty when it can."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        return "holds a control character"
    if text and all(unicodedata.category(letter)[0] in "CZ" for letter in text):
        return "holds nothing that can be seen"
    if len(text) > longest:
        return f"is longer than {longest} characters"
    return ""


def find_email_problem(email: str) -> str:
    """Why this is no address that can be used; empty when it is."""
    # Letters that look like others would let two addresses of two people become one.
    local = email.partition("@")[0]
    try:
        validate_email(email)
    except ValidationError:
        return f"{shorten(email)!r} is not an e-mail address"
    if not local.isascii() or len(email) > LONGEST_EMAIL:
        return f"{shorten(email)!r} is not an e-mail address that can be used"
    return ""


def shorten(text: str, longest: int = 60) -> str:
    """A text cut to fit a message."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
