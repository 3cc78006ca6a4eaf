"""The commands that belong to no app: processes, database, backup."""

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer


def run(
    port: Annotated[
        int, typer.Option(envvar="PORT", min=1, max=65535, help="Port of the web process.")
    ] = 8000,
) -> None:
    """Run database, web, applier, worker and sandbox here, as one group, until Ctrl-C or SIGTERM."""
    from handrail.config.run import run_installation

    raise typer.Exit(run_installation(port=port))


def demo(
    *,
    learners: Annotated[int, typer.Option(min=0, help="So many invented learners more.")] = 0,
    faults: Annotated[bool, typer.Option("--faults", help="Partners that fail.")] = False,
    port: Annotated[int, typer.Option(envvar="PORT", min=0, max=65535, help="0: a free one.")] = 0,
) -> None:
    """Carry the example roster from enrollment to certificate, in fast motion, and check it.

    The whole system runs in a database of its own below var/demo, made anew each time. Ends with
    0 only if everybody completed and every promise was kept.
    """
    from handrail.config.demo.run import run_demo
    from handrail.config.demo.wish import Wish

    raise typer.Exit(run_demo(Wish(port=port, learners=learners, faults=faults)))


def web() -> None:
    """Serve pages, API and webhooks at HANDRAIL_BIND."""
    from handrail.config.serve import serve_web

    serve_web()


def sandbox(arguments: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Play the partners; the arguments are those of `python -m handrail_sandbox`."""
    from handrail_sandbox.__main__ import main

    sys.argv = ["handrail sandbox", *(arguments or [])]
    raise typer.Exit(main())


def setup_database() -> None:
    """Create the roles and the database at HANDRAIL_DATABASE_URL, as HANDRAIL_DATABASE_ADMIN_URL.

    The roles get the passwords in HANDRAIL_DATABASE_PASSWORD_OWNER, _WEB, _WORKER, _INGRESS and
    _READONLY. A repeat sets the passwords again and changes nothing else.
    """
    from handrail.config.database import setup_database as set_up
    from handrail.config.environment import read_admin_access, read_all_passwords

    admin_dsn, name = read_admin_access(os.environ)
    set_up(admin_dsn, read_all_passwords(os.environ), name=name)
    typer.echo(f"The database {name} and its roles are there. Next: handrail migrate")


def migrate(
    check: Annotated[bool, typer.Option("--check", help="Only say what would be done.")] = False,
) -> None:
    """Bring the database up to date, as its owner."""
    from handrail.config.database import (
        describe_pending,
        find_pending_migrations,
        migrate_database,
    )

    pending = find_pending_migrations()
    if check:
        typer.echo(describe_pending(pending) if pending else "all applied")
        raise typer.Exit(1 if pending else 0)
    migrate_database()
    if pending:
        typer.echo(f"The database is up to date: {len(pending)} migrations applied.")


def doctor() -> None:
    """Look at configuration, database, roles, durability, locale, migrations and keys.

    Says what is wrong and how to mend it; ends with 1 if anything is.
    """
    from handrail.config.doctor import examine

    findings = examine(Path("var"))
    for finding in findings:
        typer.echo(finding.line())
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)


def backup(file: Annotated[Path, typer.Argument(help="Must not exist yet.")]) -> None:
    """Write the whole database to FILE (pg_dump's custom format, mode 0600).

    The keys are not in it: keep var/data/secrets.json, or HANDRAIL_SECRET_KEYS, elsewhere.
    """
    from handrail.config.backup import back_up

    back_up(file, folder=Path("var"))
    typer.echo(f"{file} holds the database. Keep the keys (HANDRAIL_SECRET_KEYS) elsewhere too.")


def restore(file: Annotated[Path, typer.Argument(help="Made by handrail backup.")]) -> None:
    """Replace the database by FILE. Stop everything else first.

    Nothing goes out afterwards, no call and no mail, until `handrail release-outbound`. The
    database of before is kept under another name until the next restore.
    """
    from handrail.config.backup import restore as restore_file

    done = restore_file(file, folder=Path("var"))
    kept = f" The database of before is {done.kept}." if done.kept else ""
    typer.echo(f"Restored from {file}.{kept}")
    if done.unopened:
        typer.echo(
            f"The keys of this backup are not here: {done.unopened} of its secrets do not open. Put "
            "its secrets.json back into var/data, or its keys into HANDRAIL_SECRET_KEYS."
        )
    typer.echo("Calls and mail are held. Look around, then: handrail release-outbound")


def reseal_secrets() -> None:
    """Seal every stored secret with the newest key of HANDRAIL_SECRET_KEYS, its first.

    Everything may go on meanwhile; a repeat finds nothing left to do. What cannot be opened stays
    as it is and is told; the exit code is then 1.
    """
    import psycopg

    from handrail.config.environment import load_environment
    from handrail.config.reseal import MOST_TOLD, Resealed
    from handrail.config.reseal import reseal_secrets as reseal_all
    from handrail.core.crypto import Keyring

    environment = load_environment()
    keyring = Keyring(environment.secret_keys)
    report = Resealed()
    told: list[str] = []

    def tell(words: str) -> None:
        told.append(words)
        if len(told) <= MOST_TOLD:
            typer.echo(f"cannot be opened: {words}")

    interrupted = False
    with psycopg.connect(environment.database_dsn(), autocommit=True) as own:
        try:
            reseal_all(own, keyring, report, tell=tell)
        except KeyboardInterrupt:
            interrupted = True
    if len(told) > MOST_TOLD:
        typer.echo(f"... and {len(told) - MOST_TOLD} more")
    typer.echo(
        f"Sealed anew with {keyring.current_key_id}: {report.resealed}. "
        f"So already: {report.current}. Cannot be opened: {report.unopened}."
    )
    if interrupted:
        typer.echo("Interrupted. What was sealed anew stays so; the same command does the rest.")
        raise typer.Exit(130)
    if report.unopened:
        names = [f"{name or 'none'} ({n})" for name, n in sorted(report.unopened_keys.items())]
        typer.echo(
            f"Keys of what cannot be opened: {', '.join(names)}. Give a missing key back in "
            "HANDRAIL_SECRET_KEYS, behind the first, and repeat this; or enter those secrets again."
        )
        raise typer.Exit(1)


def release_outbound(
    nothing_lost: Annotated[
        bool,
        typer.Option("--nothing-lost", help="Nobody called a partner after the backup was made."),
    ] = False,
) -> None:
    """Let calls to partners and mail out again after a restore.

    Calls that are open, and those of the next three days, may have been made after the backup: each
    is looked up first, or a person decides. With --nothing-lost, for a move during which everything
    stood still, they are made like any other.
    """
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("select release_outbound(%s)", [nothing_lost])
        (doubted,) = cursor.fetchone() or (None,)
    if doubted is None:
        typer.echo("Nothing was held.")
        return
    typer.echo("Calls and mail go out again.")
    if doubted:
        typer.echo(
            f"Open calls that may have been made already: {doubted}. Each is found out first."
        )


def load_example(
    folder: Annotated[Path, typer.Option()], sandbox_port: Annotated[int, typer.Option()]
) -> None:
    """Load the example organization once; called by `handrail run`."""
    import_module("handrail.config.example").load_example(folder=folder, sandbox_port=sandbox_port)


def learners(folder: Annotated[Path, typer.Option()]) -> None:
    """Play the example's learners until SIGTERM; a process of `handrail run`."""
    import_module("handrail.config.example").play_learners(folder)
