"""docs/reference/states.md against the machine: a tour along every arrow, and no step beside one."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.databases import Database, Sql
from tests.enrollments import tours
from tests.factories import World

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "states.md"
TABLES = {
    "Step": "enrollment_steps",
    "Enrollment": "enrollments",
    "Run": "partner_lms_enrollments",
    "Intent": "intents",
}
Arrow = tuple[str, str]
_WATCH = """
create schema watched;
grant usage on schema watched to public;
create table watched.arrows (of text, before text, after text, primary key (of, before, after));
create function watched.note() returns trigger language plpgsql security definer as $$
begin
  if tg_op = 'INSERT' then
    insert into watched.arrows values (tg_table_name, '[*]', new.status) on conflict do nothing;
  elsif old.status <> new.status then
    insert into watched.arrows values (tg_table_name, old.status, new.status) on conflict do nothing;
  end if;
  return null;
end
$$;
"""


def read_diagram(title: str) -> set[Arrow]:
    """The arrows of the section that begins with this title."""
    _, _, section = DOCUMENT.read_text().partition(f"\n## {title}")
    diagram = section.split("```mermaid\n")[1].split("```")[0]
    return set(re.findall(r"^  (\S+) --> (\w+): .+$", diagram, flags=re.MULTILINE))


@pytest.fixture
def arrows(world: World, database: Database) -> Iterator[Callable[[str], set[Arrow]]]:
    """Notes each change of a status by a trigger, for there is no history of runs and calls."""
    world.admin.execute(_WATCH.encode())
    for table in TABLES.values():
        world.admin.execute(
            f"create trigger watched after insert or update on {table} "
            "for each row execute function watched.note()".encode()
        )
    yield lambda table: set(
        world.rows("select before, after from watched.arrows where of = %s", table)
    )
    world.admin.execute("drop schema watched cascade")


def test_the_machine_goes_along_every_arrow_and_nowhere_else(
    world: World, arrows: Callable[[str], set[Arrow]]
) -> None:
    for tour in tours.ALL:
        tour(world)
    new_attempts = set(
        world.rows("select from_status, to_status from step_events where from_status = to_status")
    )

    for title, table in TABLES.items():
        gone = arrows(table) | (new_attempts if table == "enrollment_steps" else set())
        assert sorted(gone) == sorted(read_diagram(title)), title


@pytest.mark.every_postgres
def test_the_states_are_those_of_the_tables(sql: Sql) -> None:
    for title, table in TABLES.items():
        constraint = sql.value(
            "select pg_get_constraintdef(oid) from pg_constraint "
            "where contypid <> 0 and conname = %s",
            [f"{table}_status_check"],
        )
        drawn = {state for arrow in read_diagram(title) for state in arrow}
        assert drawn - {"[*]"} == set(re.findall(r"'(\w+)'", constraint)), title
