"""The example organization of `handrail run`: made at the first start, then left to the visitor."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from psycopg import sql
from psycopg.conninfo import make_conninfo

from handrail.config.embedded_cluster import write_private_file
from handrail.config.environment import DatabaseRole
from handrail.config.installation import Installation, LocalInstallation
from handrail.config.parsing import parse_host_port

SLUG = "northside"
STUDY_SECONDS = 2400.0
"""How long sandbox learners take for a course once the visitor is there: leisurely."""
_MORE = {"retry_seconds": [5, 30, 300, 1800, 7200]}
_MORE_IN_THE_PAST = {"retry_seconds": [0.1, 0.5, 2, 5]}
# What migrations leave in the tables stays when a start that was broken off is begun again.
_LIST_TABLES = """
select relname from pg_class
where relnamespace = 'public'::regnamespace and relkind = 'r' order by relname
"""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the example of an installation is remembered."""

    local: LocalInstallation
    installation: Installation

    @property
    def memory(self) -> Path:
        return self.local.folder / "example.json"

    @property
    def sandbox(self) -> Path:
        return self.local.folder / "sandbox"

    @property
    def admin_dsn(self) -> str:
        return make_conninfo(self.local.admin_dsn(), dbname="handrail")

    @property
    def handrail(self) -> str:
        """Where the sandbox reaches the web process."""
        host, port = parse_host_port(self.installation.variables["HANDRAIL_BIND"])
        return f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104 - compared


def load_example(*, folder: Path, sandbox_port: int) -> None:
    """Make the example in an empty installation, and say who can sign in; go on with it later.

    Runs as the service role with the installation's own server running, before its processes
    start. Prints the news on standard output, and what takes time on standard error.
    """
    if not settings.HANDRAIL_SANDBOX:
        return  # no practice partners, no example
    local = LocalInstallation(folder)
    local.sandbox_port = sandbox_port
    place = _Place(local, local.read())
    memory = _remember(place)
    if memory.get("state") == "made":
        if not _is_there(place):
            return  # a backup of something else was restored
        _go_on(place, memory)
    elif memory or _is_empty(place):
        if memory:
            erase_rows(place.admin_dsn, but=memory["seeds"])
            shutil.rmtree(place.sandbox, ignore_errors=True)
        memory = _make(place)
    else:
        return  # an installation that began without the example
    sys.stdout.write(describe_example(place.local, memory))


def describe_example(local: LocalInstallation, memory: dict[str, Any]) -> str:
    """What the visitor is told at every start."""
    rows = [
        f"  {each['role']:<8} {each['email']:<32} {each['password']}" for each in memory["sign_ins"]
    ]
    return "\n".join(
        [
            "The example school Northside is there. Who can sign in:",
            *rows,
            f"The practice partners are at http://127.0.0.1:{local.sandbox_port}/ . Their learners study by",
            "themselves, at a leisurely pace; only the student does nothing before you do.",
            "",
        ]
    )


def play_learners(folder: Path) -> None:
    """Let the example's learners go on, beside the other processes, until SIGTERM."""
    from handrail.config.example.living import play_learners as play  # noqa: PLC0415 - has models

    play(folder, slug=SLUG)


def _remember(place: _Place) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(place.memory.read_text())
    except FileNotFoundError:
        return {}
    return found


def _is_empty(place: _Place) -> bool:
    with psycopg.connect(place.admin_dsn) as admin:
        return admin.execute("select exists (select from organizations)").fetchone() == (False,)


def _is_there(place: _Place) -> bool:
    query = "select exists (select from organizations where slug = %s)"
    with psycopg.connect(place.admin_dsn) as admin:
        return admin.execute(query, [SLUG]).fetchone() == (True,)


def _make(place: _Place) -> dict[str, Any]:
    from handrail.config.example.making import Making, make_example  # noqa: PLC0415 - has models

    sys.stderr.write(
        "Making the example school and its past. That takes half a minute, once;"
        " nobody can sign in before.\n"
    )
    write_private_file(
        place.memory, json.dumps({"state": "begun", "seeds": list_full_tables(place.admin_dsn)})
    )
    sign_ins, resting = make_example(
        Making(
            local=place.local,
            installation=place.installation,
            plan=_plan(place, more=_MORE_IN_THE_PAST),
            files=place.local.folder / "example",
            admin_dsn=place.admin_dsn,
            web_password=place.installation.variables[DatabaseRole.WEB.password_variable],
        )
    )
    memory = {
        "state": "made",
        "resting": resting,
        "sign_ins": [asdict(each) for each in sign_ins],
    }
    _connect_sandbox(place, memory)
    _let_study(place)
    write_private_file(place.memory, json.dumps(memory, indent=1))
    return memory


def _go_on(place: _Place, memory: dict[str, Any]) -> None:
    """Tell both sides where the other is, if that changed since the last start."""
    try:
        config = json.loads((place.sandbox / "config.json").read_text())
    except FileNotFoundError:
        _connect_sandbox(place, memory)  # with new secrets on both sides
        return
    hooks = {
        each["webhook_url"].split("/api/")[0]
        for each in config["partners"].values()
        if "webhook_url" in each
    }
    if config["public_url"] != _plan(place).address or hooks != {place.handrail}:
        _connect_sandbox(place, memory)


def _connect_sandbox(place: _Place, memory: dict[str, Any]) -> None:
    from handrail.config.sandbox_setup import set_up_sandbox  # noqa: PLC0415 - has models
    from handrail.organizations.actions import find_organization  # noqa: PLC0415 - has models

    more = {**_MORE, "leave_alone": memory["resting"]}
    set_up_sandbox(find_organization(SLUG), _plan(place, more=more))


def _plan(place: _Place, *, more: dict[str, Any] | None = None) -> Any:
    from handrail.config.sandbox_setup import SandboxPlan  # noqa: PLC0415 - has models

    return SandboxPlan(
        folder=place.sandbox,
        port=place.local.sandbox_port,
        handrail=place.handrail,
        study=lambda _: {"seconds": STUDY_SECONDS, "messages": 4},
        more=more or {},
    )


def list_full_tables(admin_dsn: str) -> list[str]:
    """The tables with rows: before the example those in which migrations left some."""
    with psycopg.connect(admin_dsn) as admin:
        tables = [name for (name,) in admin.execute(_LIST_TABLES)]
        exists = sql.SQL("select exists (select from {})")
        return [
            name
            for name in tables
            if admin.execute(exists.format(sql.Identifier(name))).fetchone() == (True,)
        ]


def erase_rows(admin_dsn: str, *, but: Sequence[str]) -> None:
    """Take away what a start left that was broken off before anybody could use it."""
    with psycopg.connect(admin_dsn) as admin:
        tables = [name for (name,) in admin.execute(_LIST_TABLES) if name not in but]
        names = sql.SQL(", ").join(map(sql.Identifier, tables))
        admin.execute(sql.SQL("truncate {}").format(names))


def _let_study(place: _Place) -> None:
    """Let the sandbox's learners go on: the first within a minute, not all at once."""
    from handrail.config.example.study import spread_study  # noqa: PLC0415 - not needed later

    spread_study(place.sandbox / "state.sqlite", seconds=STUDY_SECONDS)
