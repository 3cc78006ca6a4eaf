"""Encryption at rest with a key id, and comparison in constant time.

A sealed value is `b"<key id>:" + nonce (12 bytes) + ciphertext and tag` (AES-256-GCM, NIST SP
800-38D). The key id and the place where the value is stored are authenticated with it: a value
copied to another row, column or table does not open there.

Rotation without downtime: put the new key in front of HANDRAIL_SECRET_KEYS and restart (old
values still open, new ones use the new key), run `handrail reseal-secrets`, then take the old key
away.
"""

import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KEY_BYTES = 32
_NONCE_BYTES = 12


class BadKeys(ValueError):
    """The secret keys cannot be used; the message says what to mend and never shows a key."""


class CannotDecrypt(Exception):
    """The key of a value is not configured, or the value was altered or belongs to another place.

    What to do: give back the key that is named, or enter the secret again. Trying again does
    not help.
    """


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed value is stored: it opens nowhere else."""

    table: str
    row_id: str
    column: str

    def encode(self) -> bytes:
        """The associated data: each part with its length, so that no two places read the same."""
        parts = (part.encode() for part in (self.table, self.row_id, self.column))
        return b"".join(b"%d:%s" % (len(part), part) for part in parts)


class Keyring:
    """The installation's secret keys: the first encrypts, all of them decrypt."""

    __slots__ = ("_ciphers", "current_key_id")

    def __init__(self, keys: Iterable[tuple[str, bytes]]) -> None:
        """Take (key id, 32 key bytes) pairs, the current one first.

        Raises:
            BadKeys: none at all, an id that cannot be written or is there twice, a wrong length.
        """
        self._ciphers: dict[str, AESGCM] = {}
        for key_id, key in keys:
            if not _KEY_ID.fullmatch(key_id):
                raise BadKeys("a key id has 1 to 64 letters, digits, '.', '-' and '_'")
            if key_id in self._ciphers:
                raise BadKeys(f"the key id {key_id!r} is there twice")
            if len(key) != _KEY_BYTES:
                raise BadKeys(f"the key {key_id!r} has {len(key)} bytes, not {_KEY_BYTES}")
            self._ciphers[key_id] = AESGCM(key)
        if not self._ciphers:
            raise BadKeys("no secret key is set")
        self.current_key_id = next(iter(self._ciphers))

    def __repr__(self) -> str:
        """Name the key ids, never the keys."""
        return f"<Keyring {', '.join(self._ciphers)}>"

    def encrypt(self, plain: bytes, *, place: Place) -> bytes:
        """Seal with the current key for this place."""
        head = self.current_key_id.encode() + b":"
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._ciphers[self.current_key_id].encrypt(nonce, plain, head + place.encode())
        return head + nonce + sealed

    def decrypt(self, sealed: bytes, *, place: Place) -> bytes:
        """Open with the key that the value names.

        Raises:
            CannotDecrypt: the key is not configured, or the value does not open at this place.
        """
        key_id = read_key_id(sealed)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise CannotDecrypt(f"the secret key {key_id!r} is not configured")
        head, body = sealed[: len(key_id) + 1], sealed[len(key_id) + 1 :]
        try:
            return cipher.decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], head + place.encode())
        except (InvalidTag, ValueError) as error:  # ValueError: cut so short that no nonce is left
            raise CannotDecrypt(
                f"a value of {place.table}.{place.column} was altered or belongs to another row, "
                f"or is sealed with another key of the id {key_id!r}"
            ) from error

    def reencrypt(self, sealed: bytes, *, place: Place) -> bytes:
        """The value under the current key; unchanged when it is already.

        Raises:
            CannotDecrypt: as `decrypt`.
        """
        if read_key_id(sealed) == self.current_key_id:
            return sealed
        return self.encrypt(self.decrypt(sealed, place=place), place=place)


def read_key_id(sealed: bytes) -> str:
    """The id of the key a value is sealed with.

    Raises:
        CannotDecrypt: it is no sealed value.
    """
    head, colon, _ = bytes(sealed[:65]).partition(b":")
    key_id = head.decode("ascii", "replace")
    if not colon or not _KEY_ID.fullmatch(key_id):
        raise CannotDecrypt("the stored value is not a sealed one")
    return key_id


def equal_in_constant_time(left: str | bytes, right: str | bytes) -> bool:
    """Whether two secrets are the same; the time taken does not tell where they differ.

    An empty secret equals nothing, not even another empty one.
    """
    left = left.encode() if isinstance(left, str) else left
    right = right.encode() if isinstance(right, str) else right
    return bool(left) and hmac.compare_digest(left, right)
