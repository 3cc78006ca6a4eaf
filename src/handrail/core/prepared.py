"""Statements prepared on the server, over libpq itself: what a connection keeps about them.

A cursor of psycopg is several times the work, and a process that was woken for one message does all of
it with cold caches. `core.direct_connection` is for a thread, `core.channel` for asyncio.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

Row = tuple[Any, ...]


class Encoded(NamedTuple):
    """A statement and the values for its `$1`, `$2` and so on, as they are sent."""

    statement: bytes
    types: tuple[int, ...]
    values: Sequence[Buffer | None]
    formats: Sequence[Format]

    def send(self, pgconn: PGconn, name: bytes) -> None:
        """Have the statement run that was prepared under this name."""
        pgconn.send_query_prepared(
            name, self.values, param_formats=self.formats, result_format=Format.BINARY
        )


class Prepared:
    """What the server has prepared for one connection, and how its values travel."""

    def __init__(self, connection: psycopg.BaseConnection[Row]) -> None:
        self._transformer = Transformer(connection)
        self._names: dict[tuple[bytes, tuple[int, ...]], bytes] = {}

    def encode(self, statement: bytes, parameters: Sequence[Any]) -> Encoded:
        """Put Python's values into PostgreSQL's binary formats."""
        values = self._transformer.dump_sequence(parameters, [PyFormat.BINARY] * len(parameters))
        types, formats = self._transformer.types, self._transformer.formats
        return Encoded(statement, types or (), values, formats or ())

    def find(self, encoded: Encoded) -> bytes | None:
        """The name under which the server knows it, if it does."""
        return self._names.get((encoded.statement, encoded.types))

    def make_name(self) -> bytes:
        """A name for the next."""
        return b"handrail_%d" % len(self._names)

    def add(self, encoded: Encoded, name: bytes) -> None:
        """The server knows it under this name from now on."""
        self._names[encoded.statement, encoded.types] = name

    def load(self, result: PGresult) -> list[Row]:
        """The rows of a result; their columns are binary."""
        self._transformer.set_pgresult(result)
        return self._transformer.load_rows(0, result.ntuples, tuple)


def raise_for(result: PGresult) -> None:
    """Raise the `psycopg.Error` that a result stands for, if it stands for one.

    What the server did not say has no code: libpq made it, because the connection was lost (its
    manual, "Error and Notice Fields"). That is an `OperationalError`.
    """
    if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        error = error_from_result(result)
        raise psycopg.OperationalError(str(error)) if error.sqlstate is None else error
