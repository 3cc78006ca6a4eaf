"""Signature schemes of inbound webhooks: pure functions over the raw headers and bytes.

A new scheme is one function and one entry in `SCHEMES`. Every live secret and every entry of a
header is compared, in constant time; an entry that cannot be read is skipped, never the rest.
"""

import binascii
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import NamedTuple

from handrail.inbox.registry import Authentic, Headers, NotAuthentic

TOLERANCE_SECONDS = 300
_LONGEST_SIGNATURES = 4096
_LONGEST_TIMESTAMP = 12  # digits of seconds since 1970


def verify(
    scheme: str, headers: Headers, body: bytes, secrets: Sequence[bytes], *, now: float
) -> Authentic:
    """Return what the sender signed; see `handrail.inbox.registry.Verifier`.

    Raises:
        NotAuthentic: unknown scheme, missing or wrong signature, time more than 5 minutes off.
    """
    check = SCHEMES.get(scheme)
    if check is None:
        raise NotAuthentic("the endpoint's signature scheme is not known")
    return check(_Message(headers, body, secrets, now))


class _Message(NamedTuple):
    headers: Headers
    body: bytes
    secrets: Sequence[bytes]
    now: float

    def find_all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]

    def find_one(self, name: bytes) -> bytes:
        found = self.find_all(name)
        if len(found) != 1:
            raise NotAuthentic(f"header {name.decode()} is missing or there more than once")
        return found[0]


def _check_standard_webhooks(message: _Message) -> Authentic:
    """Standard Webhooks 1.0, symmetric: HMAC-SHA256 over `id.timestamp.body`, key in base64."""
    event_id = message.find_one(b"webhook-id")
    timestamp = message.find_one(b"webhook-timestamp")
    signatures = b" ".join(message.find_all(b"webhook-signature"))
    sent_at = _read_timestamp(timestamp, now=message.now)
    if len(signatures) > _LONGEST_SIGNATURES:
        raise NotAuthentic("header webhook-signature is too long")
    given = _decode_base64(
        [entry[3:] for entry in signatures.split(b" ") if entry.startswith(b"v1,")]
    )
    keys = _decode_base64([secret.removeprefix(b"whsec_") for secret in message.secrets])
    signed = b"%b.%b.%b" % (event_id, timestamp, message.body)
    _require_match([hmac.digest(key, signed, "sha256") for key in keys], given)
    return Authentic(event_id, sent_at)


def _check_hmac_sha256_hex(message: _Message) -> Authentic:
    """HMAC-SHA256 over the body in hexadecimal, the secret's text as key; the id is not signed."""
    given = _decode(message.find_all(b"x-webhook-signature"), binascii.unhexlify)
    secrets = filter(None, message.secrets)
    _require_match([hmac.digest(secret, message.body, "sha256") for secret in secrets], given)
    return Authentic(next(iter(message.find_all(b"x-webhook-id")), b""))


def _check_shared_secret(message: _Message) -> Authentic:
    """The origin system's header: the secret itself. The body is protected by TLS alone."""
    _require_match(list(filter(None, message.secrets)), message.find_all(b"x-webhook-secret"))
    return Authentic()


SCHEMES: Mapping[str, Callable[[_Message], Authentic]] = MappingProxyType(
    {
        "standard-webhooks": _check_standard_webhooks,
        "hmac-sha256-hex": _check_hmac_sha256_hex,
        "shared-secret": _check_shared_secret,
    }
)


def _read_timestamp(text: bytes, *, now: float) -> datetime:
    """Read whole seconds since 1970 and check them against the clock, both ways."""
    if not text.isdigit() or len(text) > _LONGEST_TIMESTAMP:
        raise NotAuthentic("header webhook-timestamp is no time")
    seconds = int(text)
    if abs(seconds - now) > TOLERANCE_SECONDS:
        raise NotAuthentic(f"the message is dated {seconds - now:+.0f} s from now")
    return datetime.fromtimestamp(seconds, UTC)


def _decode_base64(texts: Iterable[bytes]) -> list[bytes]:
    return _decode(texts, _read_strict_base64)


def _read_strict_base64(text: bytes) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)


def _decode(texts: Iterable[bytes], decode: Callable[[bytes], bytes]) -> list[bytes]:
    """Decode what can be decoded and is not empty."""
    decoded = []
    for text in texts:
        try:
            decoded.append(decode(text))
        except binascii.Error:
            continue
    return [each for each in decoded if each]


def _require_match(expected: Sequence[bytes], given: Sequence[bytes]) -> None:
    """Compare all with all, never stopping early: the time taken tells nothing."""
    if not expected:
        raise NotAuthentic("no secret is set for this endpoint")
    matches = False
    for right in expected:
        for candidate in given:
            matches |= hmac.compare_digest(right, candidate)
    if not matches:
        raise NotAuthentic("no signature matches" if given else "the signature is missing")
