"""Endpoints as the ingress sees them: looked up by key, secrets opened, kept for a moment."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from handrail.core.channel import DatabaseAway
from handrail.core.crypto import CannotDecrypt, Keyring, Place
from handrail.inbox.connection import IngressConnection
from handrail.inbox.wire import TEXT_OID, encode_array

logger = logging.getLogger(__name__)

FRESH_SECONDS = 2.0
"""So long may a secret that was taken away, or a new endpoint's absence, still count."""
_LONGEST_KEY = 127
_MOST_KNOWN = 10_000

_FIND = b"""
select id, key, scheme, secret, previous_secret, previous_secret_ends_at
from webhook_endpoints where key = any ($1::text[])
"""


@dataclass(slots=True)
class Endpoint:
    """What is needed to check a message."""

    id: UUID
    scheme: str
    secrets: Sequence[bytes] = field(repr=False)
    """In plain bytes, the current one first, then the previous one."""
    previous_ends_at: float
    """Seconds since 1970: from then on only the current secret counts."""
    looked_up_at: float
    """By the monotonic clock."""

    def list_live_secrets(self, now: float) -> Sequence[bytes]:
        """The secrets that count at `now`, seconds since 1970."""
        return self.secrets if now < self.previous_ends_at else self.secrets[:1]


def locate_secret(endpoint_id: UUID, column: str) -> Place:
    """Where a secret is sealed for; `column` is `secret` or `previous_secret`."""
    return Place("webhook_endpoints", str(endpoint_id), column)


class Endpoints:
    """Finds endpoints; look-ups that arrive while one is under way go together in the next."""

    def __init__(self, connection: IngressConnection, keyring: Keyring) -> None:
        self._connection = connection
        self._keyring = keyring
        self._known: dict[str, tuple[float, Endpoint | None]] = {}
        self._wanted: dict[str, asyncio.Future[Endpoint | None]] = {}
        self._looking_up: asyncio.Task[None] | None = None

    def find_fresh(self, key: str) -> tuple[float, Endpoint | None] | None:
        """When the endpoint was looked up and what was found, unless that is too long ago."""
        known = self._known.get(key)
        if known is None or time.monotonic() - known[0] > FRESH_SECONDS:
            return None
        return known

    async def look_up(self, key: str) -> Endpoint | None:
        """Ask the database; None: there is no such endpoint, or its provider has no scheme.

        Raises:
            DatabaseAway: try again later.
        """
        if len(key) > _LONGEST_KEY or not key.isascii() or not key.replace("-", "").isalnum():
            return None
        answer = self._wanted.get(key)
        if answer is None:
            answer = self._wanted[key] = asyncio.get_running_loop().create_future()
            if self._looking_up is None:
                self._looking_up = asyncio.create_task(self._look_up_wanted())
        # Shielded: one that hangs up must not take the answer from the others.
        return await asyncio.shield(answer)

    async def _look_up_wanted(self) -> None:
        while self._wanted:
            wanted, self._wanted = self._wanted, {}
            try:
                keys = encode_array(TEXT_OID, [key.encode() for key in wanted])
                rows = await self._connection.fetch(_FIND, [keys])
            except (DatabaseAway, psycopg.Error) as error:
                away = DatabaseAway("the endpoints cannot be read")
                away.__cause__ = error
                for answer in wanted.values():
                    answer.set_exception(away)
                    answer.exception()  # Seen: whoever asked may have hung up.
                continue
            now = time.monotonic()
            found = {row[1]: self._read(row, now) for row in rows}
            if len(self._known) + len(wanted) > _MOST_KNOWN:
                self._known.clear()
            for key, answer in wanted.items():
                self._known[key] = (now, found.get(key))
                answer.set_result(found.get(key))
        self._looking_up = None

    def _read(self, row: Sequence[Any], now: float) -> Endpoint | None:
        endpoint_id, _, scheme, secret, previous, previous_ends_at = row
        if scheme is None:
            return None
        secrets = [
            self._open(endpoint_id, column, sealed)
            for column, sealed in (("secret", secret), ("previous_secret", previous))
        ]
        ends_at = previous_ends_at.timestamp() if isinstance(previous_ends_at, datetime) else 0.0
        if not secrets[0]:
            secrets = secrets[:0]  # Without its own secret an endpoint accepts nothing.
        return Endpoint(endpoint_id, scheme, [each for each in secrets if each], ends_at, now)

    def _open(self, endpoint_id: UUID, column: str, sealed: bytes | None) -> bytes:
        if sealed is None:
            return b""
        try:
            return self._keyring.decrypt(sealed, place=locate_secret(endpoint_id, column))
        except CannotDecrypt as error:
            # As good as not set: the endpoint answers 503 and the sender tries again.
            logger.error("endpoint %s: %s", endpoint_id, error)  # noqa: TRY400 - no trace of keys
            return b""
