"""A migration may load a file of functions again: nothing is in its way, and no right is lost."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.db.migrations.loader import MigrationLoader

import handrail
from handrail.core.migrations_sql import LoadSQL
from tests.databases import Sql

SOURCE = Path(handrail.__file__).parent
FILES = sorted(
    f"{path.parent.parent.name}/{path.name}"
    for path in SOURCE.glob("*/sql/*.sql")
    if "create or replace function" in (text := path.read_text()) and "create table" not in text
)


def load(sql: Sql, name: str) -> None:
    app, _, file = name.partition("/")
    with sql.as_role("owner"):
        sql.execute((SOURCE / app / "sql" / file).read_text())


def describe_functions(sql: Sql) -> list[tuple[Any, ...]]:
    return sql.rows(
        "select oid::regprocedure::text, proowner::regrole::text, prosecdef, "
        "array(select unnest(proconfig) order by 1), array(select unnest(proacl)::text order by 1), "
        "md5(prosrc) from pg_proc "
        "where pronamespace = 'public'::regnamespace order by 1"
    )


@pytest.mark.every_postgres
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_functions_can_be_loaded_again(sql: Sql, name: str) -> None:
    before = describe_functions(sql)
    load(sql, name)
    load(sql, "enrollments/rights.sql")  # as docs/decisions/0007 says

    assert describe_functions(sql) == before


def test_the_files_of_the_machine_are_among_them() -> None:
    machine = [name for name in FILES if name.startswith("enrollments/machine_")]
    assert len(machine) == 9


def find_loads() -> dict[str, list[str]]:
    """The files that each migration after the machine was first loaded loads again."""
    migrations = MigrationLoader(None).disk_migrations.items()
    return {
        name: [f"{each.app}/{each.name}" for each in one.operations if isinstance(each, LoadSQL)]
        for (app, name), one in sorted(migrations)
        if app == "enrollments" and name > "0005"
    }


MIGRATIONS = find_loads()


@pytest.mark.parametrize("first", MIGRATIONS)
def test_a_database_that_lacks_functions_of_today_is_migrated(sql: Sql, first: str) -> None:
    """An older database: whichever functions it lacks, wherever it stands."""
    before = describe_functions(sql)
    machine = [name for name in FILES if name.startswith("enrollments/machine_")]
    text = "".join((SOURCE / name.replace("/", "/sql/")).read_text() for name in machine)
    names = re.findall(r"create or replace function (\w+)", text)
    dropped = sql.rows(
        "select oid::regprocedure::text from pg_proc "
        "where proname = any (%s) and prorettype <> 'trigger'::regtype",
        [names],
    )
    for (function,) in dropped:
        sql.execute(f"drop function {function}")
    sql.execute("grant create on schema public to handrail_machine")  # as migrate_database() does

    for migration, files in MIGRATIONS.items():
        for file in files if migration >= first else []:
            load(sql, file)

    assert describe_functions(sql) == before
