"""The reference of the commands and the code name the same commands, options and defaults."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from handrail.config.cli import COMMANDS

PAGE = (Path(__file__).parent.parent / "docs/reference/commands.md").read_text()
SHOWN = [name for name, command in COMMANDS.items() if not command.hidden]
NOTHING: tuple[Any, ...] = (None, False, "", (), [])


def read_sections() -> dict[str, str]:
    """Return the text below each heading."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def read_rows(section: str) -> dict[frozenset[str], str]:
    """Return the default of each argument or option, by its names: `{--dry-run, --apply}`."""
    rows = re.findall(r"^\| (`[^|]+) \|[^|]*\|([^|]*)\|$", section, re.MULTILINE)
    names = re.compile(r"`(--[a-z-]+|[A-Z]+)")
    return {frozenset(names.findall(first)): default.strip() for first, default in rows}


def load_parameters(name: str) -> list[Any]:
    """Return what the command takes, as the command line understands it."""
    module, _, function = COMMANDS[name].target.partition(":")
    application = typer.Typer(add_completion=False)
    application.command()(getattr(import_module(module), function))
    return get_command(application).params


def name_parameter(parameter: Any) -> frozenset[str]:
    """Return the names under which the reference lists it."""
    if parameter.param_type_name == "argument":
        return frozenset({str(parameter.name).upper()})
    return frozenset([*parameter.opts, *parameter.secondary_opts])


def test_the_reference_has_a_section_for_every_command_and_no_other() -> None:
    assert sorted(read_sections()) == sorted(SHOWN)
    assert len(SHOWN) > 15


def test_the_table_at_the_top_leads_to_every_command() -> None:
    head = PAGE.partition("\n## ")[0]
    assert sorted(re.findall(r"\[([a-z -]+)\]\(#", head)) == sorted(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_a_section_lists_what_the_command_takes(name: str) -> None:
    taken = {name_parameter(each) for each in load_parameters(name)}

    assert set(read_rows(read_sections()[name])) == taken


@pytest.mark.parametrize("name", SHOWN)
def test_a_default_in_code_stands_in_the_section(name: str) -> None:
    rows = read_rows(read_sections()[name])
    defaults = {
        name_parameter(each): each.default
        for each in load_parameters(name)
        if each.default not in NOTHING and each.param_type_name == "option"
    }
    shown = {names: rows[names].strip("`") for names in defaults}

    switches = {names: "--dry-run" for names in defaults if "--apply" in names}
    assert shown == {names: str(default) for names, default in defaults.items()} | switches
