"""Reading the JSON of a message strictly: what cannot be kept exactly is not understood."""

import json
from typing import Any

_LONGEST_INTEGER = 18  # digits: all of them fit in a bigint
_BYTE_ORDER_MARK = "\ufeff"


class Unreadable(Exception):
    """The bytes are not a JSON object as RFC 8259 means it; the reason is for a person.

    What to do: keep the message, let a person see it. Reading it again does not help.
    """


def parse_message(body: bytes) -> dict[str, Any]:
    """Read a JSON object (RFC 8259): numbers as int and float, no duplicate names.

    Raises:
        Unreadable: not UTF-8, not JSON, no object, nested too deep, a duplicate name, a NUL or half
            a surrogate pair in a text, or a number that is not finite or has too many digits.
    """
    try:
        text = body.decode()
        message = _decoder.decode(text.removeprefix(_BYTE_ORDER_MARK))
    except UnicodeDecodeError as error:
        raise Unreadable(f"the text is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Unreadable(f"the text is not JSON: {error.msg} ({where})") from error
    except RecursionError as error:
        raise Unreadable("the JSON is nested too deep") from error
    if not isinstance(message, dict):
        raise Unreadable("the JSON is not an object")
    if "\\u" in text:  # Otherwise no text can hold what is looked for.
        _check_texts(message)
    return message


def _collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    collected = dict(pairs)
    if len(collected) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Unreadable(f"the name {name[:100]!a} is there twice in one object")
            seen.add(name)
    return collected


def _read_integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER and len(text.lstrip("-")) > _LONGEST_INTEGER:
        raise Unreadable(f"a whole number has more than {_LONGEST_INTEGER} digits")
    return int(text)


def _read_float(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise Unreadable("a number is too large")
    return number


def _refuse_constant(name: str) -> None:
    raise Unreadable(f"{name} is not a number in JSON")


def _check_texts(message: dict[str, Any]) -> None:
    """Look for what escapes can smuggle in and PostgreSQL cannot keep."""
    to_look_at: list[Any] = [message]
    while to_look_at:
        value = to_look_at.pop()
        if isinstance(value, dict):
            to_look_at += value.keys()
            to_look_at += value.values()
        elif isinstance(value, list):
            to_look_at += value
        elif isinstance(value, str):
            if "\0" in value:
                raise Unreadable("a text holds a NUL character")
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise Unreadable("a text holds half a surrogate pair") from error


_decoder = json.JSONDecoder(
    object_pairs_hook=_collect,
    parse_int=_read_integer,
    parse_float=_read_float,
    parse_constant=_refuse_constant,
)
