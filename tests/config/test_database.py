"""Roles, rights and the check that each process makes before it works."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from handrail.config.database import (
    check_process_roles,
    find_pending_migrations,
    find_role_problems,
    setup_database,
)
from handrail.config.embedded_postgres import EmbeddedPostgres
from handrail.config.environment import DatabaseRole, read_environment
from handrail.config.errors import DatabaseError
from tests.databases import Database, Sql

LOGINS = [role.login for role in DatabaseRole]
ROLES = [*LOGINS, "handrail_machine"]


@pytest.fixture
def admin(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection[Any]]:
    """The superuser, on a server where the test's database and role are removed afterwards."""
    with psycopg.connect(postgres.admin_dsn(), autocommit=True) as connection:
        yield connection
        connection.execute("drop database if exists training")
        for role in [*reversed(ROLES), "bob"]:
            connection.execute(
                sql.SQL("drop owned by {0} cascade; drop role {0}").format(sql.Identifier(role))
                if connection.execute("select to_regrole(%s)", [role]).fetchone() != (None,)
                else "select"
            )


def dsn_of(postgres: EmbeddedPostgres, role: DatabaseRole) -> str:
    return make_conninfo(
        postgres.url, dbname="training", user=role.login, password=postgres.passwords[role]
    )


def read_state(connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    return connection.execute(
        """
        select 'role', rolname, to_jsonb(r) - 'oid' - 'rolpassword' from pg_roles r
          where rolname like 'handrail%'
        union all select 'member', roleid::regrole::text, to_jsonb(m) - 'oid' from pg_auth_members m
          where roleid::regrole::text like 'handrail%'
        union all select 'database', datname, to_jsonb(d) - 'datfrozenxid' - 'datminmxid'
          from pg_database d where datname = 'training'
        union all select 'setting', setrole::regrole::text, to_jsonb(s) from pg_db_role_setting s
        order by 1, 2, 3
        """
    ).fetchall()


@pytest.mark.every_postgres
@pytest.mark.parametrize("role", ROLES)
def test_no_role_has_a_dangerous_attribute(sql: Sql, role: str) -> None:
    assert sql.rows(
        "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication from pg_roles "
        "where rolname = %s",
        [role],
    ) == [(False, False, False, False, False)]


@pytest.mark.every_postgres
def test_who_may_sign_in_and_who_belongs_to_whom(sql: Sql) -> None:
    assert sql.value(
        "select array_agg(rolname::text order by rolname) from pg_roles "
        "where rolname like 'handrail%' and rolcanlogin"
    ) == sorted(LOGINS)
    assert sql.rows(
        "select roleid::regrole::text, member::regrole::text from pg_auth_members "
        "where roleid::regrole::text like 'handrail%'"
    ) == [("handrail_machine", "handrail_owner")]


@pytest.mark.every_postgres
def test_everybody_else_is_shut_out(sql: Sql) -> None:
    sql.execute("create role charlie")
    assert (
        sql.value("select has_database_privilege('charlie', current_database(), 'connect')")
        is False
    )
    assert (
        sql.value("select has_database_privilege('charlie', current_database(), 'temporary')")
        is False
    )
    assert sql.value("select has_schema_privilege('charlie', 'public', 'usage')") is False


@pytest.mark.every_postgres
@pytest.mark.parametrize("role", ["web", "worker", "ingress", "readonly", "machine"])
def test_only_the_owner_makes_tables(sql: Sql, role: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege), sql.as_role(role):
        sql.execute("create table public.mine ()")
    with pytest.raises(errors.InsufficientPrivilege), sql.as_role(role):
        sql.execute("create schema mine")
    with pytest.raises(errors.InsufficientPrivilege), sql.as_role(role):
        sql.execute("create temporary table mine ()")


@pytest.mark.every_postgres
def test_each_table_belongs_to_the_owner(sql: Sql) -> None:
    assert sql.rows(
        "select distinct tableowner::text from pg_tables where schemaname = 'public'"
    ) == [("handrail_owner",)]


@pytest.mark.every_postgres
def test_nobody_in_a_process_may_become_another_role(sql: Sql) -> None:
    for role in ("web", "worker", "ingress", "readonly"):
        for other in ("handrail_owner", "handrail_machine", "postgres"):
            with pytest.raises(errors.InsufficientPrivilege), sql.as_role(role):
                sql.execute(f"set role {other}")


@pytest.mark.every_postgres
@pytest.mark.parametrize(
    ("role", "setting", "value"),
    [
        ("worker", "idle_in_transaction_session_timeout", "10s"),
        ("ingress", "idle_in_transaction_session_timeout", "10s"),
        ("web", "statement_timeout", "30s"),
        ("web", "TimeZone", "UTC"),
        ("web", "search_path", "public"),
        ("readonly", "default_transaction_read_only", "on"),
    ],
)
def test_settings_of_a_role(database: Database, role: str, setting: str, value: str) -> None:
    with database.connect(role) as connection:
        assert connection.execute("select current_setting(%s)", [setting]).fetchone() == (value,)


def test_a_stopped_worker_frees_its_rows(database: Database) -> None:
    with database.connect("worker", autocommit=False) as worker:
        worker.execute("set idle_in_transaction_session_timeout = 100")
        time.sleep(0.5)
        with pytest.raises(errors.IdleInTransactionSessionTimeout):
            worker.execute("select 1")


def test_readonly_writes_nothing(database: Database) -> None:
    with database.connect("readonly") as readonly:
        with pytest.raises(errors.ReadOnlySqlTransaction):
            readonly.execute("update installation set outbound_held = true")
        readonly.execute("set default_transaction_read_only = off")
        with pytest.raises(errors.InsufficientPrivilege):
            readonly.execute("update installation set outbound_held = true")


def test_a_repeat_changes_nothing(
    postgres: EmbeddedPostgres, admin: psycopg.Connection[Any]
) -> None:
    setup_database(postgres.admin_dsn(), postgres.passwords, name="training")
    first = read_state(admin)
    setup_database(postgres.admin_dsn(), postgres.passwords, name="training")

    assert read_state(admin) == first
    assert len([row for row in first if row[0] == "role"]) == len(ROLES)


def test_a_repeat_sets_new_passwords(
    postgres: EmbeddedPostgres, admin: psycopg.Connection[Any]
) -> None:
    old = dict.fromkeys(DatabaseRole, "the old one")
    setup_database(postgres.admin_dsn(), old, name="training")
    setup_database(postgres.admin_dsn(), postgres.passwords, name="training")

    psycopg.connect(dsn_of(postgres, DatabaseRole.WEB)).close()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(make_conninfo(dsn_of(postgres, DatabaseRole.WEB), password="the old one"))


def test_passwords_never_reach_the_server_in_plain(
    postgres: EmbeddedPostgres, admin: psycopg.Connection[Any], folder: Path
) -> None:
    admin.execute("alter system set log_statement = 'all'")
    admin.execute("select pg_reload_conf()")
    try:
        setup_database(postgres.admin_dsn(), postgres.passwords, name="training")
        log = (postgres.home.folder / "server.log").read_text()
    finally:
        admin.execute("alter system reset log_statement")
        admin.execute("select pg_reload_conf()")

    assert "alter role" in log
    for password in postgres.passwords.values():
        assert password not in log


def test_an_administrator_of_a_hosted_server_is_no_superuser(
    postgres: EmbeddedPostgres, admin: psycopg.Connection[Any]
) -> None:
    admin.execute("create role bob login createrole createdb password 'hosted'")
    hosted = make_conninfo(postgres.admin_dsn(), user="bob", password="hosted")

    setup_database(hosted, postgres.passwords, name="training")
    setup_database(hosted, postgres.passwords, name="training")

    with psycopg.connect(dsn_of(postgres, DatabaseRole.OWNER)) as owner:
        owner.execute("create table mine ()")


def test_a_role_with_too_many_rights_is_told(
    postgres: EmbeddedPostgres, admin: psycopg.Connection[Any]
) -> None:
    admin.execute("create role handrail_web login bypassrls createdb")

    with pytest.raises(DatabaseError) as caught:
        setup_database(postgres.admin_dsn(), postgres.passwords, name="training")

    has, mend = "The role handrail_web has the attribute", "Take it away: ALTER ROLE handrail_web"
    assert caught.value.problems == (
        f"{has} BYPASSRLS. {mend} NOBYPASSRLS",
        f"{has} CREATEDB. {mend} NOCREATEDB",
    )


@pytest.mark.parametrize("role", ["web", "worker", "ingress", "readonly"])
def test_our_roles_may_work(database: Database, role: str) -> None:
    with database.connect(role) as connection:
        assert find_role_problems(connection) == []


def test_the_owner_may_not_work(database: Database) -> None:
    with database.connect("owner") as connection:
        assert find_role_problems(connection) == [
            "handrail_owner owns tables or is a member of their owner. Use a role of Handrail."
        ]


def test_a_superuser_may_not_work(database: Database) -> None:
    with database.connect("superuser") as connection:
        problems = find_role_problems(connection)

    assert problems[0] == "postgres is a superuser. Connect as a role of Handrail instead."


def test_a_member_of_the_owner_may_not_work(database: Database) -> None:
    with database.connect("superuser", autocommit=False) as admin:
        admin.execute("grant handrail_owner to handrail_web")
        admin.execute("set local session authorization handrail_web")
        problems = find_role_problems(admin)
        admin.rollback()

    assert problems == [
        "handrail_web owns tables or is a member of their owner. Use a role of Handrail."
    ]


def test_a_member_of_another_role_may_not_work(database: Database) -> None:
    with database.connect("superuser", autocommit=False) as admin:
        admin.execute("grant handrail_worker to handrail_web")
        admin.execute("set local session authorization handrail_web")
        problems = find_role_problems(admin)
        admin.rollback()

    assert problems == [
        "handrail_web is handrail_worker too. Mend: REVOKE handrail_worker FROM handrail_web"
    ]


def test_forgetful_commits_may_not_be_worked_with(database: Database) -> None:
    with database.connect("worker") as worker:
        worker.execute("set synchronous_commit = off")
        assert find_role_problems(worker) == [
            "synchronous_commit is off for handrail_worker: commits may be lost. Turn it on."
        ]


def test_a_server_without_fsync_may_not_be_worked_with(folder: Path) -> None:
    with (
        EmbeddedPostgres(folder / "data", durable=False) as postgres,
        psycopg.connect(postgres.admin_dsn()) as admin,
    ):
        assert "fsync is off: commits may be lost. Turn it on." in find_role_problems(admin)


def test_a_process_checks_all_roles_that_it_works_as(database: Database) -> None:
    variables = database.environment("web")
    check_process_roles(read_environment(variables))

    variables["HANDRAIL_DATABASE_PASSWORD_INGRESS"] = "wrong"
    with pytest.raises(DatabaseError, match="handrail_ingress cannot connect"):
        check_process_roles(read_environment(variables))


@pytest.mark.parametrize("command", ["web", "release-outbound"])
def test_a_process_refuses_to_start_with_forgetful_commits(
    database: Database, command: str
) -> None:
    process = "web" if command == "web" else "worker"
    with database.connect("superuser") as admin:
        admin.execute(f"alter role handrail_{process} set synchronous_commit = off")
    try:
        result = subprocess.run(
            [sys.executable, "-m", "handrail.config.cli", command],
            env=database.environment(process),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    finally:
        with database.connect("superuser") as admin:
            admin.execute(f"alter role handrail_{process} reset synchronous_commit")

    assert result.returncode == 1
    assert result.stderr == (
        "handrail: The database cannot be used:\n"
        f"- synchronous_commit is off for handrail_{process}: commits may be lost. Turn it on.\n"
    )


@pytest.mark.parametrize("user", ["postgres", "handrail_owner", "handrail_worker"])
def test_the_web_process_can_sign_in_as_nobody_else(database: Database, user: str) -> None:
    """Tried with all that the web process has: its environment and its files."""
    code = """
import os, sys, psycopg
from psycopg.conninfo import make_conninfo
tried = 0
for password in [None, "", *os.environ.values()]:
    try:
        psycopg.connect(os.environ["HANDRAIL_DATABASE_URL"], user=sys.argv[1], password=password)
    except (psycopg.OperationalError, UnicodeError, ValueError):
        tried += 1
    else:
        sys.exit("signed in")
print(tried)
"""
    result = subprocess.run(
        [sys.executable, "-c", code, user],
        env=database.environment("web"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(result.stdout) > 5


def test_migrations_are_applied_and_the_machine_lost_its_right(
    sql: Sql, database: Database
) -> None:
    assert find_pending_migrations() == []
    assert sql.value("select has_schema_privilege('handrail_machine', 'public', 'create')") is False


def test_pending_migrations_are_named(database: Database) -> None:
    with database.connect("superuser") as admin:
        admin.execute("delete from django_migrations where app = 'sessions'")

    assert find_pending_migrations() == ["sessions.0001_initial"]


@pytest.mark.parametrize("command", ["worker", "applier", "web", "check"])
def test_no_process_works_on_tables_of_another_version(database: Database, command: str) -> None:
    with database.connect("superuser") as admin:
        admin.execute("delete from django_migrations where app = 'sessions'")
    role = "web" if command == "web" else "worker"

    result = subprocess.run(
        [sys.executable, "-m", "handrail.config.cli", command],
        env=database.environment(role),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert result.returncode == 1
    assert result.stderr == (
        "handrail: The database cannot be used:\n"
        "- It is not up to date with this version; 1 migration is missing: sessions.0001_initial. "
        "Bring it up to date first: handrail migrate\n"
    )
