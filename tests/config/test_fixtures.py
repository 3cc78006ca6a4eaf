"""The fixtures that all other tests stand on."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg import errors

from tests.databases import Database, Sql

ALICE = {"sub": "0190a0a0-0000-7000-8000-00000000a11c", "org_role": "owner"}


@pytest.mark.every_postgres
def test_sql_runs_on_the_version_asked_for(sql: Sql, postgres_version: int) -> None:
    assert sql.connection.info.server_version // 10000 == postgres_version


@pytest.mark.every_postgres
def test_database_runs_on_the_version_asked_for(database: Database, postgres_version: int) -> None:
    with database.connect("web") as web, connection.cursor() as cursor:
        cursor.execute("select current_setting('server_version_num')::int / 10000")
        assert cursor.fetchone() == (postgres_version,)
        assert web.info.server_version // 10000 == postgres_version


def test_as_role_changes_login_and_claims_and_gives_them_back(sql: Sql) -> None:
    question = (
        "select session_user, current_setting('request.jwt.claims', true)::jsonb ->> 'org_role'"
    )

    with sql.as_role("handrail_web", ALICE):
        assert sql.rows(question) == [("handrail_web", "owner")]
    with sql.as_role("worker"):
        assert sql.value("select session_user::text") == "handrail_worker"
        assert sql.value("select current_setting('request.jwt.claims', true)") == ""
    assert sql.value("select session_user::text") == "postgres"


def test_as_role_is_left_when_a_statement_is_refused(sql: Sql) -> None:
    with pytest.raises(errors.InsufficientPrivilege), sql.as_role("ingress"):
        sql.execute("create table mine ()")

    assert sql.value("select session_user::text") == "postgres"


def test_sql_writes_one(sql: Sql) -> None:
    assert sql.value("select count(*) from django_session") == 0
    sql.execute("insert into django_session values ('alice', '', now())")


test_sql_sees_nothing_of_the_test_before = test_sql_writes_one


def write_session(dsn: str) -> None:
    with psycopg.connect(dsn) as other:
        other.execute("insert into django_session values ('alice', '', now())")


def test_database_is_shared_with_other_connections(database: Database) -> None:
    write_session(database.dsn("handrail_worker"))

    with connection.cursor() as cursor:
        cursor.execute("select session_key, session_user::text from django_session")
        assert cursor.fetchall() == [("alice", "handrail_worker")]


def test_database_is_empty_again_and_keeps_what_migrations_wrote(database: Database) -> None:
    with database.connect() as worker:
        assert worker.execute("select count(*) from django_session").fetchone() == (0,)
        assert worker.execute("select count(*) > 0 from django_migrations").fetchone() == (True,)


@pytest.fixture
def forgotten() -> Iterator[list[psycopg.Connection[Any]]]:
    """Connections that outlive the clean-up of `database`, which comes after this fixture."""
    connections: list[psycopg.Connection[Any]] = []
    yield connections
    for each in connections:
        each.close()


def test_a_connection_left_open_in_a_transaction_does_not_block_the_next_test(
    forgotten: list[psycopg.Connection[Any]], database: Database
) -> None:
    forgotten.append(database.connect("superuser", autocommit=False))
    forgotten[0].execute("lock table django_session in access exclusive mode")


def test_django_can_work_as_another_role(database: Database) -> None:
    database.use_django_as("handrail_web")

    with connection.cursor() as cursor:
        cursor.execute("select session_user::text")
        assert cursor.fetchone() == ("handrail_web",)


@pytest.mark.django_db
def test_django_works_as_the_worker_in_a_transaction() -> None:
    with connection.cursor() as cursor:
        cursor.execute("select session_user::text")
        assert cursor.fetchone() == ("handrail_worker",)
        cursor.execute("insert into django_session values ('bob', '', now())")


def test_what_the_transaction_wrote_is_gone(sql: Sql) -> None:
    assert sql.value("select count(*) from django_session") == 0


def test_a_process_is_given_only_its_own_passwords(database: Database) -> None:
    names = [name for name in database.environment("web") if "DATABASE_PASSWORD" in name]

    assert names == ["HANDRAIL_DATABASE_PASSWORD_WEB", "HANDRAIL_DATABASE_PASSWORD_INGRESS"]


def test_a_subprocess_reaches_the_database(database: Database) -> None:
    write_session(database.dsn())
    code = (
        "import psycopg; from handrail.config.environment import load_environment\n"
        "with psycopg.connect(load_environment().database_dsn()) as c:\n"
        "  print(c.execute('select session_key from django_session').fetchone()[0])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=database.environment("worker"),
        capture_output=True,
        text=True,
        check=True,
    )

    assert result.stdout == "alice\n"
