"""A migration may load a file of functions again: nothing is in its way, and no right is lost."""

from pathlib import Path
from typing import Any

import pytest

import handrail
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
