"""The command line: `handrail COMMAND`, or `python -m handrail.config.cli COMMAND`.

A new command is one entry in `COMMANDS`. Its function lives in its app
(`handrail/<app>/commands.py`) and is an ordinary typer command: arguments by annotation, the
docstring is its help. That module imports models and the like inside the function, so that help is
quick and needs no database. Before the function is called, the environment is complete and Django
is set up.
"""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import typer

from handrail.config.errors import Refusal


@dataclass(frozen=True, slots=True)
class Command:
    """Where a command's function is, and what must be ready before it is called."""

    target: str
    """`module:function`."""
    help: str
    process: str = "worker"
    """Whose settings and database role it has (a key of `installation.ROLES`); empty: it prepares
    itself."""
    hidden: bool = False
    context_settings: dict[str, Any] = field(default_factory=dict)


_ours = "handrail.config.commands:"
COMMANDS: dict[str, Command] = {
    "run": Command(f"{_ours}run", "Run everything here until Ctrl-C.", ""),
    "demo": Command(f"{_ours}demo", "Show everything on an example, in fast motion.", ""),
    "web": Command(f"{_ours}web", "Serve pages, API and webhooks.", "web"),
    "applier": Command("handrail.inbox.commands:applier", "Apply stored webhooks.", "applier"),
    "events": Command("handrail.inbox.commands:events", "Show stored webhooks."),
    "replay": Command("handrail.inbox.commands:replay", "Apply stored webhooks once more."),
    "import-catalog": Command("handrail.programs.commands:import_catalog", "Take a catalog over."),
    "import-roster": Command(
        "handrail.enrollments.commands:import_roster", "Enroll from a CSV file."
    ),
    "import-results": Command(
        "handrail.enrollments.commands:import_results", "Take a partner's results over."
    ),
    "create-organization": Command(
        "handrail.people.commands:create_organization", "Create one with its first owner."
    ),
    "provider configure": Command(
        "handrail.partners.commands:configure", "Set address and secrets."
    ),
    "provider list": Command("handrail.partners.commands:list_all", "Show the partners."),
    "worker": Command("handrail.core.commands:worker", "Make calls to partners, do jobs."),
    "reconcile": Command(
        "handrail.enrollments.commands:reconcile", "Ask the partners what got lost."
    ),
    "sandbox": Command(
        f"{_ours}sandbox",
        "Play the partners.",
        "",
        context_settings={"ignore_unknown_options": True, "help_option_names": []},
    ),
    "setup-database": Command(f"{_ours}setup_database", "Create roles and database.", ""),
    "migrate": Command(f"{_ours}migrate", "Bring the database up to date.", "migrate"),
    "check": Command("handrail.enrollments.commands:check", "Count what breaks a promise."),
    "doctor": Command(f"{_ours}doctor", "Say what is wrong and how to mend it.", ""),
    "backup": Command(f"{_ours}backup", "Write the database to a file.", ""),
    "restore": Command(f"{_ours}restore", "Replace the database by a backup.", ""),
    "reseal-secrets": Command(f"{_ours}reseal_secrets", "Use the newest key for all secrets."),
    "release-outbound": Command(f"{_ours}release_outbound", "Let calls and mail out again."),
    "load-example": Command(f"{_ours}load_example", "Load the example.", hidden=True),
    "learners": Command(f"{_ours}learners", "Play the example's learners.", hidden=True),
}


def main() -> None:
    """Run a command; what a person can mend is told in a sentence, not a traceback."""
    if not all(word.isascii() or _is_text(word) for word in sys.argv):
        _refuse("An argument is not UTF-8. Write it in UTF-8, or give the file another name.", 2)
    name, arguments = split_command(sys.argv[1:])
    if name in ("-h", "--help", "help"):
        typer.echo(write_help())
        return
    entry = COMMANDS.get(name)
    if entry is None:
        near = get_close_matches(name, COMMANDS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        _refuse(f"There is no command {name}.{hint} See: handrail --help", 2)
    run_command(name, entry, arguments)


def _is_text(word: str) -> bool:
    """Whether it was UTF-8; bytes that are none come as letters that cannot be written."""
    return not any("\ud800" <= letter <= "\udfff" for letter in word)


def split_command(words: list[str]) -> tuple[str, list[str]]:
    """Return the command's name, which may be of two words, and its arguments."""
    two = " ".join(words[:2])
    if two in COMMANDS:
        return two, words[2:]
    return (words[0], words[1:]) if words else ("--help", [])


def write_help() -> str:
    """Return the list of commands."""
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:<{width}}  {c.help}" for name, c in COMMANDS.items() if not c.hidden]
    usage = "Usage: handrail COMMAND [ARGUMENTS]     (handrail COMMAND --help tells more)"
    what = "Carries a learner through a training program taught by several partners."
    return "\n".join([usage, "", what, "", *lines])


def run_command(name: str, entry: Command, arguments: list[str]) -> NoReturn:
    """Import the command's function, prepare the process, call it, end with its exit code."""
    module_name, _, function_name = entry.target.partition(":")
    function = getattr(import_module(module_name), function_name)
    application = typer.Typer(
        add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False
    )
    prepared = _prepare_before(function, entry.process) if entry.process else function
    application.command(context_settings=entry.context_settings)(prepared)
    try:
        application(arguments, prog_name=f"handrail {name}")
    except Refusal as error:
        _refuse(str(error), error.exit_code)
    except Exception as error:
        from handrail.config.database import describe_failure

        if not (words := describe_failure(error)):
            raise
        _refuse(words, 1)
    sys.exit(0)


def _prepare_before(function: Callable[..., Any], process: str) -> Callable[..., Any]:
    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        with ExitStack() as stack:
            prepare(process, stack)
            return function(*arguments, **named)

    return call


def prepare(process: str, stack: ExitStack) -> None:
    """Complete the environment for `process`, check its database role, set Django up, check tables.

    Without `HANDRAIL_DATABASE_URL` the installation below `./var` is used; its server, where it
    does not run, is started until `stack` ends.

    Raises:
        Refusal: what a person must mend first.
    """
    from handrail.config.installation import ROLES, open_local_installation

    if not os.environ.get("HANDRAIL_DATABASE_URL"):
        _, installation = stack.enter_context(open_local_installation(Path("var")))
        os.environ.update(installation.environment_of(process))
    os.environ["HANDRAIL_PROCESS_ROLE"] = ROLES[process][0].value
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "handrail.config.settings")
    import django

    from handrail.config.database import check_migrations, check_process_roles
    from handrail.config.environment import DatabaseRole, load_environment

    environment = load_environment()
    works = environment.process_role is not DatabaseRole.OWNER
    if works:
        check_process_roles(environment)
    django.setup()
    if works:
        check_migrations()


def _refuse(sentence: str, code: int) -> NoReturn:
    typer.echo(f"handrail: {sentence}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
