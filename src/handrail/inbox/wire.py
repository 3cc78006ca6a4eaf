"""Arrays in PostgreSQL's binary format (`array_recv` in its arrayfuncs.c), one dimension.

psycopg's own lists cost a batch of 16 messages more than everything else together, *measured*.
"""

import struct
from collections.abc import Sequence
from datetime import datetime

from psycopg import pq
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper

BYTEA_OID, INT4_OID, TEXT_OID, FLOAT8_OID, TIMESTAMPTZ_OID, UUID_OID = 17, 23, 25, 701, 1184, 2950

_pack_head = struct.Struct(
    "!iiIii"
).pack  # dimensions, has nulls, element type, length, first index
_pack_length = struct.Struct("!i").pack
_pack_long = struct.Struct("!q").pack
_pack_double = struct.Struct("!d").pack
_NULL = _pack_length(-1)
_EPOCH = 946_684_800  # 2000-01-01 in seconds since 1970


class WireArray(bytes):
    """An array ready to be sent; the statement names its type: `%b::uuid[]`."""

    __slots__ = ()


class _WireArrayDumper(Dumper):
    format = pq.Format.BINARY

    def dump(self, obj: Buffer) -> Buffer:
        return obj


def register_wire_array(connection: AdaptContext) -> None:
    """Let statements of this connection take `WireArray`."""
    connection.adapters.register_dumper(WireArray, _WireArrayDumper)


def encode_array(element_oid: int, values: Sequence[bytes | None]) -> WireArray:
    """The array of these elements, each in the binary format of its type; None is null."""
    parts = [_pack_head(1, 1, element_oid, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(_NULL)
        else:
            parts.append(_pack_length(len(value)))
            parts.append(value)
    return WireArray(b"".join(parts))


def encode_time(moment: datetime | None) -> bytes | None:
    """A timestamptz: microseconds since 2000."""
    return None if moment is None else _pack_long(round((moment.timestamp() - _EPOCH) * 1_000_000))


def encode_integer(number: int) -> bytes:
    """An integer of 4 bytes, the largest one if it is larger."""
    return _pack_length(min(number, 2**31 - 1))


def encode_float(number: float | None) -> bytes | None:
    """A double precision number."""
    return None if number is None else _pack_double(number)


def encode_text(text: str, longest: int) -> bytes:
    """A text of at most `longest` characters, without what PostgreSQL cannot keep."""
    return text[:longest].replace("\0", "").encode("utf-8", "replace") if text else b""
