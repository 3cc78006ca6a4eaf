"""Backup and restore with PostgreSQL's own programs, of the same wheel as the embedded server."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from handrail.config.database import setup_database
from handrail.config.embedded_home import find_binaries
from handrail.config.environment import (
    DatabaseRole,
    read_admin_access,
    read_all_passwords,
    read_secret_keys,
)
from handrail.config.errors import Refusal
from handrail.config.installation import LocalInstallation, open_local_installation
from handrail.config.reseal import count_unopened
from handrail.core.crypto import Keyring

EMBEDDED_NAME = "handrail"


@dataclass(frozen=True, slots=True)
class Access:
    """A server, as its administrator."""

    admin_dsn: str
    name: str
    passwords: Mapping[DatabaseRole, str]
    secret_keys: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of a restore."""

    kept: str
    """The name that the database of before has now; empty: there was none."""
    unopened: int
    """So many of its secrets do not open with the keys that are here."""


def back_up(file: Path, *, folder: Path) -> None:
    """Write the database to `file`, whole or not at all; everything may go on meanwhile.

    Raises:
        Refusal: `file` exists, or the database cannot be read.
    """
    unfinished = file.with_name(f"{file.name}.unfinished")
    with _open_for_backup(folder) as (admin_dsn, name):
        try:
            if file.exists():
                raise Refusal(f"{file} exists already. Give another name.")
            unfinished.unlink(missing_ok=True)
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise Refusal(f"{file} cannot be written: {error.strerror}.") from None
        with os.fdopen(descriptor, "wb") as output:
            _run_program("pg_dump", ["--format=custom"], dsn=admin_dsn, name=name, output=output)
            os.fsync(output.fileno())
    unfinished.rename(file)


def restore(file: Path, *, folder: Path) -> Restored:
    """Replace the database by `file`, with calls and mail held.

    The backup is restored beside the database, which is replaced only when all of it is there.

    Raises:
        Refusal: `file` is no backup of ours, or something is still connected.
    """
    _check_is_backup(file)  # before anything is made
    with _open_for_restore(folder) as access:
        new, before = f"{access.name}_restoring", f"{access.name}_before_restore"
        _drop(access.admin_dsn, new)
        setup_database(access.admin_dsn, access.passwords, name=new)
        arguments = ["--exit-on-error", "--single-transaction", str(file.absolute())]
        try:
            _run_program("pg_restore", arguments, dsn=access.admin_dsn, name=new)
        except Refusal as error:
            _drop(access.admin_dsn, new)
            raise Refusal(f"{error}\nNothing was replaced; the database is as it was.") from None
        worker = DatabaseRole.WORKER
        service = make_conninfo(
            access.admin_dsn, dbname=new, user=worker.login, password=access.passwords[worker]
        )
        _hold_outbound(service, file)
        unopened = _count_unopened(service, access.secret_keys)
        return Restored(_swap(access, new=new, before=before), unopened)


@contextlib.contextmanager
def _open_for_backup(folder: Path) -> Iterator[tuple[str, str]]:
    if os.environ.get("HANDRAIL_DATABASE_URL"):
        yield read_admin_access(os.environ)
        return
    with open_local_installation(folder) as (local, _):
        yield local.admin_dsn(), EMBEDDED_NAME


@contextlib.contextmanager
def _open_for_restore(folder: Path) -> Iterator[Access]:
    """As for backup, but an embedded server must not be in use; a new folder gets one."""
    if os.environ.get("HANDRAIL_DATABASE_URL"):
        passwords, keys = read_all_passwords(os.environ), read_secret_keys(os.environ)
        yield Access(*read_admin_access(os.environ), passwords, keys)
        return
    local = LocalInstallation(folder)
    try:
        keys = read_secret_keys(local.start().variables)
        yield Access(local.postgres.admin_dsn(), EMBEDDED_NAME, local.postgres.passwords, keys)
    finally:
        local.postgres.stop()


def _run_program(
    program: str,
    arguments: list[str],
    *,
    dsn: str,
    name: str,
    output: IO[bytes] | None = None,
) -> None:
    """Run pg_dump or pg_restore on the database `name`; the password goes by the environment."""
    parts = {key: str(value) for key, value in conninfo_to_dict(dsn, dbname=name).items()}
    environment = {"PATH": "/usr/bin:/bin", "PGPASSWORD": parts.pop("password", "")}
    command = [str(find_binaries() / program), "--no-password", *arguments]
    command.append(f"--dbname={make_conninfo(**parts)}")
    result = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if result.returncode:
        raise Refusal(f"{program} did not succeed: {result.stderr.strip()}")


def _check_is_backup(file: Path) -> None:
    try:
        start = file.open("rb").read(5)
    except OSError as error:
        raise Refusal(f"{file} cannot be read: {error.strerror}.") from None
    if start != b"PGDMP":
        raise Refusal(f"{file} is no backup made by `handrail backup`.")


def _drop(admin_dsn: str, name: str) -> None:
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("drop database if exists {}").format(sql.Identifier(name)))


def _hold_outbound(dsn: str, file: Path) -> None:
    """Let nothing out: calls were made since the backup that it does not know of."""
    try:
        with psycopg.connect(dsn) as service:
            service.execute("select hold_outbound()")
    except (errors.UndefinedFunction, errors.UndefinedTable, errors.InsufficientPrivilege):
        raise Refusal(
            f"{file} holds a database, but not one of Handrail. Nothing was replaced."
        ) from None


def _count_unopened(dsn: str, keys: tuple[tuple[str, bytes], ...]) -> int:
    if not keys:  # They are needed by what is started next, not here.
        return 0
    with psycopg.connect(dsn) as service:
        try:
            return count_unopened(service, Keyring(keys)).total()
        except psycopg.ProgrammingError:  # Tables of an older version; doctor looks after migrate.
            return 0


def _swap(access: Access, *, new: str, before: str) -> str:
    """Give the restored database its name; return the name that the one of before has now."""
    rename = sql.SQL("alter database {} rename to {}")
    with psycopg.connect(access.admin_dsn, autocommit=True) as admin:
        query = "select 1 from pg_database where datname = %s"
        replaced = admin.execute(query, [access.name]).fetchone() is not None
        try:
            if replaced:
                _drop(access.admin_dsn, before)
            with admin.transaction():
                if replaced:
                    old = sql.Identifier(access.name)
                    admin.execute(rename.format(old, sql.Identifier(before)))
                admin.execute(rename.format(sql.Identifier(new), sql.Identifier(access.name)))
        except errors.ObjectInUse:
            raise Refusal(
                f"Something is connected to the database {access.name}. Stop every web, applier "
                "and worker process and try again. Nothing was replaced."
            ) from None
    return before if replaced else ""
