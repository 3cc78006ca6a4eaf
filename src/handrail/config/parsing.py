"""Reading one setting: each function returns the checked value or raises ValueError.

The error's words follow the name of the setting ("HANDRAIL_BIND " + "is ...") and never repeat a
secret.
"""

import base64
import binascii
import contextlib
import ipaddress
import math
import re
from typing import Any
from urllib.parse import SplitResult, urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
LARGEST_NUMBER = 1_000_000  # of hours or seconds; no time that one means is longer


def parse_switch(text: str) -> bool:
    match text.lower():
        case "1" | "on" | "true" | "yes":
            return True
        case "0" | "off" | "false" | "no":
            return False
    raise ValueError(f"is {text!r}, but must be on or off")


def parse_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= LARGEST_NUMBER:
        raise ValueError(
            f"is {text!r}, but must be a number greater than 0 and at most {LARGEST_NUMBER}"
        )
    return number


def parse_conninfo(text: str) -> dict[str, Any]:
    # The text may hold a password, therefore no message repeats it.
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    try:
        return conninfo_to_dict(text)
    except ProgrammingError:
        raise ValueError("is not a PostgreSQL address (postgresql://host:port/name)") from None


def parse_database_url(text: str) -> str:
    parts = parse_conninfo(text)
    if "user" in parts or "password" in parts:
        raise ValueError(
            "must not hold a user or a password: each process adds its own role and its "
            "password from HANDRAIL_DATABASE_PASSWORD_..."
        )
    if not parts.get("dbname"):
        raise ValueError("does not name a database (postgresql://host:port/name)")
    return text


def parse_admin_url(text: str) -> str:
    if text and not parse_conninfo(text).get("user"):
        raise ValueError("does not name a user that may create roles")
    return text


def parse_secret_keys(text: str) -> tuple[tuple[str, bytes], ...]:
    keys: dict[str, bytes] = {}
    for number, item in enumerate(_split(text), start=1):
        name, _, encoded = item.partition(":")
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
        except binascii.Error:
            key = b""
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", name) or len(key) != 32 or name in keys:
            raise ValueError(
                f"has a bad entry at place {number}: each is id:key, its own id (letters, "
                "digits, _ . -) and a key of 32 bytes in base64url"
            )
        keys[name] = key
    if text and not keys:
        raise ValueError("holds no key: each is id:key")
    return tuple(keys.items())


def parse_django_keys(text: str) -> tuple[str, ...]:
    keys = _split(text)
    if any(len(key) < 50 for key in keys):
        raise ValueError("has a key of fewer than 50 characters")
    if text and not keys:
        raise ValueError("holds no key")
    return keys


def parse_token(text: str) -> str:
    if text and len(text) < 32:
        raise ValueError("is shorter than 32 characters")
    return text


def parse_base_url(text: str, *, debug: bool) -> str:
    if not text:
        return ""
    parts = _split_url(text)
    if parts is None or parts.scheme not in ("http", "https") or "@" in parts.netloc:
        raise ValueError(f"is {text!r}, but must be like https://handrail.example.org")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must not have a path: Handrail is served at the root of its host")
    if parts.scheme == "http" and not debug and parts.hostname not in LOCAL_HOSTS:
        raise ValueError("must begin with https:// unless the host is localhost")
    return f"{parts.scheme}://{parts.netloc}"


def parse_mail_url(text: str) -> str:
    if not text:
        return ""
    with contextlib.suppress(ValueError):  # its words may repeat the password
        parts = urlsplit(text)
        if parts.scheme == "file" and parts.path and not parts.netloc:
            return text
        if parts.scheme in ("smtp", "smtps") and _split_url(text):
            return text
    raise ValueError(
        "must be smtp://user:password@host:587, smtps://user:password@host:465 or file:///folder"
    )


def parse_host_port(text: str) -> tuple[str, int]:
    """Return host and port of `host:port`; ValueError says what is wrong, to be put after a name."""
    parts = _split_url(f"//{text}")
    if parts is None or parts.port is None or parts.netloc != text or "@" in text:
        raise ValueError(f"has {text!r}, but must be host:port")
    return parts.hostname or "", parts.port


def format_host_port(address: tuple[str, int]) -> str:
    """Return `host:port`, as `parse_host_port` reads it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_host_ports(text: str) -> frozenset[tuple[str, int]]:
    return frozenset(parse_host_port(item) for item in _split(text))


def parse_networks(text: str) -> tuple[str, ...]:
    for item in _split(text):
        try:
            ipaddress.ip_network(item)
        except ValueError:
            raise ValueError(f"has {item!r}, but each entry is an address or network") from None
    return _split(text)


def _split_url(text: str) -> SplitResult | None:
    """Return the parts of an address with a host; None where host or port are none."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # is looked at only now
    except ValueError:
        return None
    return parts if re.fullmatch(r"[^\s/?#@]+", parts.hostname or "") else None


def _split(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())
