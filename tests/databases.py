"""Real PostgreSQL servers for tests; the fixtures of `tests/conftest.py` are made of this."""

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connections
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from handrail.config.database import migrate_database, setup_database
from handrail.config.embedded_postgres import EmbeddedPostgres
from handrail.config.environment import DEBUG_DEFAULTS, DatabaseRole
from handrail.core.direct_connection import DirectConnection

NAME = "handrail"
PREFIX = "handrail-test-"
MEMORY = Path("/dev/shm")  # noqa: S108 - mkdtemp makes the folder
MEMORY_NEEDED = 1024**3  # bytes
FASTER = {"shared_buffers": "64MB", "max_wal_size": "512MB", "autovacuum_naptime": "1h"}


class TestServer:
    """One embedded server with one migrated database, for a whole session of pytest."""

    __test__ = False

    def __init__(self, version: int, *, durable: bool) -> None:
        self.version = version
        remove_leftovers()
        self.folder = make_server_folder()
        self.postgres = EmbeddedPostgres(
            self.folder / "data",
            version=version,
            durable=durable,
            settings=FASTER,
            say=lambda _: None,
        )
        try:
            self.postgres.start()
            setup_database(self.postgres.admin_dsn(), self.postgres.passwords, name=NAME)
            self.use_in_django(DatabaseRole.OWNER)
            migrate_database()
            self.use_in_django(DatabaseRole.WORKER)
            self.keep_seed()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        connections.close_all()
        home = (self.folder / "data").resolve()
        self.postgres.stop()
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def dsn(self, role: str) -> str:
        """Return the connection string of `handrail_worker`, `worker` or the like; or superuser."""
        if role == "superuser":
            return self.postgres.admin_dsn(NAME)
        login = DatabaseRole(role.removeprefix("handrail_"))
        password = self.postgres.passwords[login]
        return make_conninfo(self.postgres.url, user=login.login, password=password)

    def environment(self, role: str) -> dict[str, str]:
        """Return the environment of a process of ours: its own passwords, debug's other secrets."""
        roles = [DatabaseRole(role)] + ([DatabaseRole.INGRESS] if role == "web" else [])
        own = {each.password_variable: self.postgres.passwords[each] for each in roles}
        common = {k: v for k, v in DEBUG_DEFAULTS.items() if "DATABASE" not in k}
        return {
            "PATH": os.environ["PATH"],
            **common,
            **own,
            "HANDRAIL_PROCESS_ROLE": role,
            "HANDRAIL_DATABASE_URL": self.postgres.url,
        }

    def use_in_django(self, role: DatabaseRole) -> None:
        """Let `django.db.connection` and the settings of lower layers use this server."""
        connection = connections["default"]
        connection.close()
        parts = conninfo_to_dict(self.dsn(role))
        connection.settings_dict.update(
            NAME=parts["dbname"],
            HOST=parts["host"],
            PORT=parts["port"],
            USER=parts["user"],
            PASSWORD=parts["password"],
        )
        settings.HANDRAIL_SECRET_DSNS = {each.value: self.dsn(each) for each in DatabaseRole}

    def keep_seed(self) -> None:
        """Remember the rows that migrations made, which each test begins with."""
        with psycopg.connect(self.dsn("superuser"), autocommit=True) as admin:
            admin.execute("create schema test_seed")
            for table in find_tables(admin):
                if admin.execute(f"select exists (select from {table})").fetchone() == (True,):
                    admin.execute(f"create table test_seed.{table} as table public.{table}")
            admin.execute(RESET_PROCEDURE)

    def reset(self) -> None:
        """Bring all tables back to what the migrations left; end every other connection."""
        connections.close_all()
        with psycopg.connect(self.dsn("superuser"), autocommit=True) as admin:
            admin.execute("call test_seed.reset()")


# Rows are deleted, not tables truncated: twenty times faster where a test left a few rows. As
# `replica` no trigger of ours and no foreign key stands in the way.
RESET_PROCEDURE = """
create procedure test_seed.reset() language plpgsql as $$
declare
  v_table text;
  v_columns text;
  v_dirty boolean;
begin
  perform pg_terminate_backend(pid, 5000) from pg_stat_activity
  where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend';
  set local session_replication_role = replica;
  for v_table in
    select c.relname from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
  loop
    execute format('select exists (select from public.%I)', v_table) into v_dirty;
    if v_dirty then
      execute format('delete from public.%I', v_table);
    end if;
    if to_regclass(format('test_seed.%I', v_table)) is not null then
      select string_agg(quote_ident(attname), ', ') into v_columns from pg_attribute
      where attrelid = format('public.%I', v_table)::regclass
        and attnum > 0 and not attisdropped and attgenerated = '';
      execute format(
        'insert into public.%1$I (%2$s) overriding system value select %2$s from test_seed.%1$I',
        v_table, v_columns);
    end if;
  end loop;
end
$$
"""


class Database:
    """A committed database: what a test writes is there for other connections and processes.

    Django's connection (`django.db.connection`) is open to it too, as `handrail_worker` unless
    `use_django_as` chose another role. After the test all rows are as the migrations left them.
    """

    def __init__(self, server: TestServer) -> None:
        self._server = server
        self.url = server.postgres.url

    def dsn(self, role: str = "worker") -> str:
        """Return the connection string of a role: `handrail_web` or `web`; or `superuser`."""
        return self._server.dsn(role)

    def connect(self, role: str = "worker", *, autocommit: bool = True) -> DirectConnection:
        """Open a connection as that role; close it by `with`."""
        return DirectConnection.open(self.dsn(role), autocommit=autocommit)

    def environment(self, role: str = "worker") -> dict[str, str]:
        """Return the whole environment for a subprocess such as `handrail web` (role web)."""
        return self._server.environment(role)

    def use_django_as(self, role: str) -> None:
        """Let Django connect as that role from now on, until the end of the test."""
        self._server.use_in_django(DatabaseRole(role.removeprefix("handrail_")))


class Sql:
    """A superuser's connection in one transaction that is rolled back after the test.

    `execute` is psycopg's. A statement that is to fail stands in a savepoint of its own:
    `with pytest.raises(psycopg.errors.InsufficientPrivilege), sql.savepoint(): sql.execute(...)`.
    """

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self.connection = connection

    def execute(
        self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> psycopg.Cursor[tuple[Any, ...]]:
        """Run one statement."""
        return self.connection.execute(query.encode(), params)

    def rows(
        self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Return all rows."""
        return self.execute(query, params).fetchall()

    def value(self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None) -> Any:
        """Return the only column of the only row."""
        ((value,),) = self.rows(query, params)
        return value

    def savepoint(self) -> contextlib.AbstractContextManager[Any]:
        """Undo what is inside when it raises; keep it otherwise."""
        return self.connection.transaction()

    @contextlib.contextmanager
    def as_role(self, role: str, claims: Mapping[str, Any] | None = None) -> Iterator[None]:
        """Work as a role (`handrail_web` or `web`) with these claims, or with none.

        It is a savepoint too: what is inside is undone when it raises.
        """
        login = f"handrail_{role.removeprefix('handrail_')}"
        text = "" if claims is None else json.dumps(claims, default=str)
        with self.connection.transaction():
            self.connection.execute(
                sql.SQL("set session authorization {}").format(sql.Identifier(login))
            )
            self._set_claims(text)
            yield
            self.connection.execute("reset session authorization")
            self._set_claims("")

    def _set_claims(self, text: str) -> None:
        self.connection.execute("select set_config('request.jwt.claims', %s, true)", [text])


def find_tables(admin: psycopg.Connection[tuple[Any, ...]]) -> list[str]:
    """Return the names of our tables."""
    rows = admin.execute("select tablename from pg_tables where schemaname = 'public'")
    return [name for (name,) in rows]


def make_server_folder() -> Path:
    """Make a folder in memory where there is room, else on disk, that the server can reach."""
    base = None
    with contextlib.suppress(OSError):
        space = os.statvfs(MEMORY)
        if space.f_bavail * space.f_frsize >= MEMORY_NEEDED and os.access(MEMORY, os.W_OK):
            base = MEMORY
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    folder.chmod(0o711)
    return folder


def remove_leftovers() -> None:
    """Remove the folders of servers whose pytest was killed: their lock is free."""
    for base in (MEMORY, Path(tempfile.gettempdir())):
        for folder in base.glob(f"{PREFIX}*"):
            home = (folder / "data").resolve()
            with contextlib.suppress(OSError), (home / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(home, ignore_errors=True)
                shutil.rmtree(folder, ignore_errors=True)
