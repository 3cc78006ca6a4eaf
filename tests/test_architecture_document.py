"""docs/architecture.md: the files it names are there, its diagrams are those of the machine."""

import re
from pathlib import Path

from tests.databases import Sql
from tests.enrollments.test_states_document import read_diagram

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/architecture.md").read_text()
ARROW = re.compile(r"^  (\S+) --> (\w+|\[\*\])(?:: .+)?$", re.MULTILINE)


def read_arrows(first: str) -> set[tuple[str, str]]:
    """Return the arrows of the state diagram in which everything begins with this state."""
    diagrams = re.findall(r"```mermaid\nstateDiagram-v2\n(.+?)```", PAGE, re.DOTALL)
    (diagram,) = (each for each in diagrams if f"[*] --> {first}\n" in each)
    return {(before, after) for before, after in ARROW.findall(diagram) if after != "[*]"}


def test_every_file_it_names_is_there() -> None:
    named = set(re.findall(r"`([\w*/<>]+\.(?:py|sql))`", PAGE))
    assert [each for each in named if not find(each)] == []
    assert len(named) > 25


def find(name: str) -> list[Path]:
    """Return what a path means that begins at the repository, at the package or anywhere below it."""
    pattern = re.sub("<.+?>", "*", name)
    return [*ROOT.glob(pattern), *ROOT.glob(f"src/handrail/**/{pattern}")]


def test_a_call_goes_the_ways_of_the_machine() -> None:
    drawn = read_arrows("queued")
    assert drawn <= read_diagram("Intent")
    assert len(drawn) > 9


def test_a_message_has_the_states_of_its_table(sql: Sql) -> None:
    check = sql.value(
        "select pg_get_constraintdef(oid) from pg_constraint "
        "where conname = 'webhook_events_status_check'"
    )
    arrows = read_arrows("received")
    assert {state for arrow in arrows for state in arrow} - {"[*]"} == set(
        re.findall(r"'(\w+)'", check)
    )
