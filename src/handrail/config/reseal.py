"""Sealing every stored secret anew after a change of keys, and counting what is sealed with which.

Knows every column that `core.crypto` seals; a test compares the list with the database.
"""

import base64
import binascii
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from handrail.core.crypto import CannotDecrypt, Keyring, Place, read_key_id

BATCH_ROWS = 200
"""Locked and written in one transaction, which takes some milliseconds."""
MOST_TOLD = 20

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column with sealed values: one a row, or those of some keys of a JSON document."""

    table: str
    column: str
    label: str
    """SQL: what a person knows the row by."""
    keys: tuple[str, ...] = ()

    def find_place(self, row_id: object) -> Place:
        """Where its values are sealed for; allauth does not tell for which row it seals."""
        return Place(self.table, "" if self.keys else str(row_id), self.column)

    def split(self, stored: Any) -> Mapping[str, bytes]:
        """The sealed values by key; what is no base64 is returned as it is, and opens nowhere."""
        if not self.keys:
            return {"": bytes(stored)}
        return {key: _decode(str(stored[key])) for key in self.keys if key in stored}

    def join(self, stored: Any, sealed: Mapping[str, bytes]) -> Any:
        """What to store with these values instead of those of before."""
        if not self.keys:
            return sealed[""]
        texts = {key: base64.b64encode(value).decode() for key, value in sealed.items()}
        return Jsonb({**stored, **texts})


COLUMNS: Final = (
    SealedColumn("partner_lms_providers", "credentials", "'provider ' || slug"),
    SealedColumn("webhook_endpoints", "secret", "'endpoint ' || key"),
    SealedColumn("webhook_endpoints", "previous_secret", "'endpoint ' || key"),
    SealedColumn(
        "mfa_authenticator", "data", "'second factor of profile ' || user_id", ("secret", "seed")
    ),
)


@dataclass(slots=True)
class Resealed:
    """What came of it: values sealed anew, values that were already, those that do not open."""

    resealed: int = 0
    current: int = 0
    unopened: int = 0
    unopened_keys: Counter[str] = field(default_factory=Counter)
    """Of those that do not open: by the id of the key, empty for what is no sealed value."""

    def add(self, other: "Resealed") -> None:
        """Count what another counted."""
        self.resealed += other.resealed
        self.current += other.current
        self.unopened += other.unopened
        self.unopened_keys += other.unopened_keys


class _Row(NamedTuple):
    id: object
    label: str
    stored: Any


def reseal_secrets(
    connection: Connection, keyring: Keyring, report: Resealed, *, tell: Callable[[str], None]
) -> None:
    """Seal every value with the current key, in batches; count in `report`, batch by batch.

    `connection`: of the service role, in autocommit. Each batch is committed by itself: what was
    done stays done when this is interrupted, and the next one goes on from there. `tell` hears of
    each value that does not open, with the reason; it stays as it is.
    """
    # Nobody checks a signature with a secret whose time is over.
    connection.execute(
        "update webhook_endpoints set previous_secret = null, previous_secret_ends_at = null "
        "where previous_secret_ends_at < now()"
    )
    for column in COLUMNS:
        after: object = None
        while True:
            batch = _Batch(column, keyring, tell)
            with connection.transaction():
                rows = _read(connection, column, after=after, lock=True)
                for row in rows:
                    batch.reseal(connection, row)
            report.add(batch.done)
            if len(rows) < BATCH_ROWS:
                break
            after = rows[-1].id


def count_keys(connection: Connection) -> Counter[str]:
    """How many values are sealed with each key, by its id; empty: what is no sealed value."""
    counted: Counter[str] = Counter()
    for column in COLUMNS:
        for row in _read_all(connection, column):
            counted.update(_name_key(sealed) for sealed in column.split(row.stored).values())
    return counted


def count_unopened(connection: Connection, keyring: Keyring) -> Counter[str]:
    """How many values do not open with these keys, by the key that they name, as `count_keys`."""
    counted: Counter[str] = Counter()
    for column in COLUMNS:
        for row in _read_all(connection, column):
            for sealed in column.split(row.stored).values():
                try:
                    keyring.decrypt(sealed, place=column.find_place(row.id))
                except CannotDecrypt:
                    counted[_name_key(sealed)] += 1
    return counted


class _Batch:
    """The rows of one transaction."""

    def __init__(self, column: SealedColumn, keyring: Keyring, tell: Callable[[str], None]) -> None:
        self.done = Resealed()
        self._column = column
        self._keyring = keyring
        self._tell = tell
        self._update = sql.SQL("update {} set {} = %s where id = %s").format(
            sql.Identifier(column.table), sql.Identifier(column.column)
        )

    def reseal(self, connection: Connection, row: _Row) -> None:
        place = self._column.find_place(row.id)
        changed = {}
        for key, sealed in self._column.split(row.stored).items():
            try:
                self._keyring.decrypt(sealed, place=place)  # also what needs no new seal
                anew = self._keyring.reencrypt(sealed, place=place)
            except CannotDecrypt as error:
                self.done.unopened += 1
                self.done.unopened_keys[_name_key(sealed)] += 1
                self._tell(f"{row.label} ({self._column.table}.{self._column.column}): {error}")
                continue
            if anew == sealed:
                self.done.current += 1
            else:
                self.done.resealed += 1
                changed[key] = anew
        if changed:
            connection.execute(self._update, [self._column.join(row.stored, changed), row.id])


def _read_all(connection: Connection, column: SealedColumn) -> Iterator[_Row]:
    after: object = None
    while rows := _read(connection, column, after=after, lock=False):
        yield from rows
        after = rows[-1].id


def _read(connection: Connection, column: SealedColumn, *, after: object, lock: bool) -> list[_Row]:
    name = sql.Identifier(column.column)
    holds = sql.SQL("{} ?| %s" if column.keys else "{} is not null").format(name)
    statement = sql.SQL("select id, {}, {} from {} where {} {} order by id limit {} {}").format(
        sql.SQL(column.label),
        name,
        sql.Identifier(column.table),
        holds,
        sql.SQL("" if after is None else "and id > %s"),
        sql.Literal(BATCH_ROWS),
        sql.SQL("for no key update" if lock else ""),
    )
    values = [*([list(column.keys)] if column.keys else []), *([after] if after else [])]
    return [_Row._make(row) for row in connection.execute(statement, values)]


def _name_key(sealed: bytes) -> str:
    try:
        return read_key_id(sealed)
    except CannotDecrypt:
        return ""


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return text.encode()
