"""The clock of the example's past.

The past is made by the machine itself, within seconds of today: each slice of real time stands for
some hours of a past day. Afterwards every time that was written in a slice is moved to those hours,
here and in the sandbox's own file, by one rule for all tables; so what followed what still does.
What a partner dated lies in the past from the beginning and is left alone.

Moving needs the superuser of the embedded server: nobody else may rewrite history, and nothing
but the example does.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

# Of Django's and the queue's times nobody is shown anything, and the queue works by them.
_OTHERS = ("django_%", "pgqueuer%")
_COLUMNS = """
select c.relname, a.attname
from pg_class c join pg_attribute a on a.attrelid = c.oid
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
  and a.atttypid = 'timestamptz'::regtype and not c.relname like any (%s)
"""
_MOVE = """
update {table} t set {column} = s.shown + (t.{column} - s.began) * s.stretch
from example_slices s where t.{column} >= s.began and t.{column} < s.ended
"""
_SANDBOX_TIMES = {
    "accounts": ("created_at",),
    "enrollments": ("created_at", "opened_at", "last_access_at", "closed_at"),
    "vouchers": ("created_at",),
    "ledger": ("at",),
    "webhooks": ("created_at", "due_at"),
    "deliveries": ("at",),
}


@dataclass(frozen=True, slots=True)
class Slice:
    """Real time from `began` to `ended`; shown as `lasting` from `shown` on."""

    began: datetime
    ended: datetime
    shown: datetime
    lasting: timedelta

    @property
    def stretch(self) -> float:
        """How much longer it is shown than it was."""
        return self.lasting / (self.ended - self.began)


class Clock:
    """Remembers which real time stands for which past; the slices follow one another."""

    def __init__(self) -> None:
        self.slices: list[Slice] = []

    @contextmanager
    def show_as(self, shown: datetime, lasting: timedelta) -> Iterator[None]:
        """Let what is written meanwhile be shown as written then."""
        if self.slices and shown < self.slices[-1].shown + self.slices[-1].lasting:
            raise ValueError("time went backwards")
        began = datetime.now(UTC)
        yield
        # Nobody writes between two slices; what is written a moment too late belongs to this one.
        self.slices.append(Slice(began, datetime.now(UTC), shown, lasting))

    def close_gaps(self) -> Sequence[Slice]:
        """The slices, each until the next begins."""
        ends = [each.began for each in self.slices[1:]] + [datetime.now(UTC)]
        return [
            Slice(each.began, end, each.shown, each.lasting)
            for each, end in zip(self.slices, ends, strict=True)
        ]


def move_times(slices: Sequence[Slice], *, admin_dsn: str, state: Path) -> None:
    """Move what was written in these slices to when it is shown; nothing else may be running.

    `admin_dsn`: of the superuser, in our database. `state`: the sandbox's file.
    """
    _move_ours(slices, admin_dsn)
    _move_sandbox(slices, state)


def _move_ours(slices: Sequence[Slice], admin_dsn: str) -> None:
    with psycopg.connect(admin_dsn) as admin:
        admin.execute(
            "create temp table example_slices"
            " (began timestamptz, ended timestamptz, shown timestamptz, stretch double precision)"
        )
        with admin.cursor() as cursor:
            cursor.executemany(
                "insert into example_slices values (%s, %s, %s, %s)",
                [(each.began, each.ended, each.shown, each.stretch) for each in slices],
            )
        # No trigger that keeps history as it was written, and no key to check: only times change.
        admin.execute("set local session_replication_role = replica")
        for table, column in admin.execute(_COLUMNS, [list(_OTHERS)]).fetchall():
            names = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
            admin.execute(sql.SQL(_MOVE).format(**names))
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute("vacuum analyze")


def _move_sandbox(slices: Sequence[Slice], state: Path) -> None:
    with closing(sqlite3.connect(state)) as theirs, theirs:
        theirs.execute(
            "create temp table slices (began real, ended real, shown real, stretch real)"
        )
        theirs.executemany(
            "insert into slices values (?, ?, ?, ?)",
            [
                (
                    each.began.timestamp(),
                    each.ended.timestamp(),
                    each.shown.timestamp(),
                    each.stretch,
                )
                for each in slices
            ],
        )
        for table, columns in _SANDBOX_TIMES.items():
            for column in columns:
                theirs.execute(
                    f"update {table} set {column} = s.shown + ({column} - s.began) * s.stretch"  # noqa: S608 - our own names
                    f" from slices s where {column} >= s.began and {column} < s.ended"
                )
