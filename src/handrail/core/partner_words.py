"""What a partner says in an answer, made fit to be shown to a person: short, plain, no secrets."""

import json
import re
from collections.abc import Iterable, Mapping

LONGEST_WORDS = 300
_READ_BYTES = 16 * 1024
_CLEANED_CHARACTERS = 2000  # the patterns below take quadratic time on hostile text
_MESSAGE_KEYS = ("message", "detail", "error_description", "title", "reason", "error", "errors")
_SHORTEST_SECRET = 4
_HIDDEN = "[hidden]"
# Secrets that are not ours: a token, password or key that the partner itself writes out.
_SECRET_SCHEME = re.compile(r"\b(bearer|basic|jwt)\s+[\w.~+/=-]+", re.IGNORECASE)
_SECRET_FIELD = re.compile(
    r"(\b\w*(?:pass(?:word|wd|phrase)?|secret|token|api[_-]?key|signature|authorization|cookie)\w*"
    r"[\"']?\s*[:=]\s*)"
    # Quoted, to the quote that ends it or the cut; else all up to a space, for a password may hold any sign. Only
    # a form's fields (a=b&c=d) end before it.
    r"(\"(?:[^\"\\]|\\.)*(?:\"|$)|'(?:[^'\\]|\\.)*(?:'|$)|(?<==)[^\s&]+|(?<!=)\S+)",
    re.IGNORECASE,
)
_SECRET_SENTENCE = re.compile(r"\b(temp\w*\s+(?:password|passcode|pin)\s+is\s+)\S+", re.IGNORECASE)
_QUERY = re.compile(r"(https?://[^\s?#\"'<>]+)[?#][^\s\"'<>]*")
_TAG = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^<>]*>", re.IGNORECASE | re.DOTALL)
_NOT_PRINTED = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


def read_words(body: bytes, *, secrets: Iterable[str] = ()) -> str:
    """The message in an answer's body, or the start of its text; "" when there is none."""
    text = body[:_READ_BYTES].decode("utf-8", "replace")
    try:
        # A cut or broken body is shown as the text it is.
        text = _find_message(json.loads(text), depth=0) or text
    except (ValueError, RecursionError):
        if text.lstrip().startswith("<"):
            text = _TAG.sub(" ", text[: 2 * _CLEANED_CHARACTERS])
    return clean_words(text, secrets=secrets)


def clean_words(text: str, *, secrets: Iterable[str] = ()) -> str:
    """Text without secrets, control characters and line breaks, of at most 300 characters."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, _HIDDEN)
    text = _SECRET_SCHEME.sub(rf"\1 {_HIDDEN}", text[:_CLEANED_CHARACTERS])
    text = _SECRET_FIELD.sub(rf"\1{_HIDDEN}", text)
    text = _SECRET_SENTENCE.sub(rf"\1{_HIDDEN}", text)
    text = _QUERY.sub(r"\1", text)  # a launch link's query is a credential
    text = _NOT_PRINTED.sub(" ", text).encode("utf-8", "replace").decode().strip()
    return text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 1] + "…"


def _find_message(value: object, *, depth: int) -> str:
    """Look for a sentence where platforms put it: errors as text, objects or lists, nested."""
    if isinstance(value, str):
        return value
    if depth > 4:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_find_message(item, depth=depth + 1) for item in value[:5])))
    if isinstance(value, Mapping):
        for key in _MESSAGE_KEYS:
            if message := _find_message(value.get(key), depth=depth + 1):
                return message
        if depth:  # {"errors": {"email": ["is taken"]}}: the field's name says which
            found = ((key, _find_message(item, depth=depth + 1)) for key, item in value.items())
            return "; ".join(f"{key}: {message}" for key, message in list(found)[:5] if message)
    return ""
