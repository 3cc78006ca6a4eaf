"""`handrail run`: database, migrations and all processes as one group."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from handrail.config.database import setup_database
from handrail.config.embedded_postgres import EmbeddedPostgres
from handrail.config.errors import (
    AlreadyRunning,
    ChildFailed,
    ConfigurationError,
    EmbeddedServerError,
)
from handrail.config.installation import (
    Installation,
    LocalInstallation,
    check_port,
    next_port,
    read_installation,
)
from handrail.config.parent_death import make_die_with_parent
from handrail.config.parsing import format_host_port, parse_host_port, parse_switch
from handrail.config.supervisor import Group, ProcessSpec

EXAMPLE = "handrail.config.example"
READY_SECONDS = 60.0
WATCH_SECONDS = 0.5
LONGEST_WAIT = 30.0
OTHERS_SECONDS = 5.0


def run_installation(*, port: int) -> int:
    """Run everything on this machine until Ctrl-C or SIGTERM; return the exit code.

    With `HANDRAIL_DATABASE_URL` it uses that database, else the embedded server below `./var`.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # until the group takes the signals
        signal.signal(number, _end)
    host, port, example = _choose_address(port)
    local = None
    if not os.environ.get("HANDRAIL_DATABASE_URL"):
        local = LocalInstallation(Path("var"), bind=(host, port), say=say)
    if local is None or not local.is_used():  # It may be that one who has the port.
        check_port(host, port, example=example)
    with contextlib.ExitStack() as stack:
        if local is None:
            installation = read_installation(os.environ, bind=(host, port))
        else:
            installation = stack.enter_context(started(local))
            check_port(host, port, example=example)  # Meanwhile it may have been taken.
        run_step(installation, "migrate")
        news = _load_example(installation, local)
        address = installation.variables["HANDRAIL_BASE_URL"]
        announcement = f"{news}Handrail is ready: {address}   (Ctrl-C stops it)"
        companions = [_announce(host, port, announcement)]
        if local is not None:
            companions.append(keep_database(local.postgres, say=say))
        specs = list_processes(installation, local)
        if local is not None and news:
            specs.append(installation.spec_of("learners", "--folder", str(local.folder)))
        return asyncio.run(_keep_running(specs, companions))


def _choose_address(port: int) -> tuple[str, int, str]:
    """Return host and port, and what to write for another port; HANDRAIL_BIND counts before PORT."""
    bind = os.environ.get("HANDRAIL_BIND")
    if not bind:
        return "127.0.0.1", port, f"PORT={next_port(port)} make run"
    try:
        host, port = parse_host_port(bind)
    except ValueError as error:
        raise ConfigurationError([f"HANDRAIL_BIND {error}."]) from None
    other = format_host_port((host, next_port(port)))
    return host, port, f"HANDRAIL_BIND={other} make run"


def _load_example(installation: Installation, local: LocalInstallation | None) -> str:
    if local is None or find_spec(EXAMPLE) is None:
        return ""
    where = ("--folder", str(local.folder), "--sandbox-port", str(local.sandbox_port))
    return run_step(installation, "load-example", *where)


def run_step(installation: Installation, process: str, *arguments: str) -> str:
    """Run a command of ours to its end, as a process with its own passwords; return its output.

    Raises:
        ChildFailed: it did not succeed.
    """
    spec = installation.spec_of(process, *arguments)
    result = subprocess.run(
        spec.arguments,
        env=spec.environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        start_new_session=True,  # Ctrl-C is ours: it is ended with what it started.
        preexec_fn=make_die_with_parent(signal.SIGKILL),
    )
    if result.returncode:
        raise ChildFailed(f"{process} did not succeed. Nothing was started.\n{result.stdout}")
    return result.stdout


def list_processes(
    installation: Installation, local: LocalInstallation | None
) -> list[ProcessSpec]:
    """Return the group's children in the order in which they are stopped."""
    specs = [installation.spec_of(name) for name in ("web", "applier", "worker")]
    wanted = parse_switch(installation.variables.get("HANDRAIL_SANDBOX", "off"))
    if wanted and local is not None and sandbox_config(local.folder).exists():
        folder = local.folder / "sandbox"
        specs.append(
            installation.spec_of(
                "sandbox",
                *("--config", str(sandbox_config(local.folder))),
                *("--state", str(folder / "state.sqlite")),
                *("--port", str(local.sandbox_port)),
            )
        )
    return specs


def sandbox_config(folder: Path) -> Path:
    """Return where the sandbox's configuration of the installation below `folder` is."""
    return folder / "sandbox" / "config.json"


@contextlib.contextmanager
def started(local: LocalInstallation) -> Iterator[Installation]:
    """Run the embedded server of `local`, with roles and database made, until the block ends."""
    try:
        installation = _start_after_others(local)
        setup_database(local.postgres.admin_dsn(), local.postgres.passwords)
        yield installation
    finally:
        local.postgres.stop()


def _start_after_others(local: LocalInstallation) -> Installation:
    """Start; a command that has started the server for itself gets some seconds to end."""
    deadline = time.monotonic() + OTHERS_SECONDS
    while True:
        try:
            return local.start()
        except AlreadyRunning:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


async def _keep_running(
    specs: list[ProcessSpec], companions: list[Coroutine[Any, Any, None]]
) -> int:
    return await Group(specs, say=say).run(*companions)


async def keep_database(postgres: EmbeddedPostgres, *, say: Callable[[str], None]) -> None:
    """Start the database server again whenever it dies; `say` tells of it."""
    wait = WATCH_SECONDS
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        if postgres.is_running():
            wait = WATCH_SECONDS
            continue
        say("The database server ended. Starting it again.")
        try:
            postgres.relaunch()
            while not await asyncio.to_thread(postgres.is_ready):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(WATCH_SECONDS)
        except EmbeddedServerError as error:
            say(str(error))
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT)
        else:
            say("The database server is back.")


async def _announce(host: str, port: int, announcement: str) -> None:
    """Say where to go as soon as somebody would be answered there."""
    for _ in range(int(READY_SECONDS / WATCH_SECONDS)):
        if await is_ready(host, port):
            say(announcement)
            return
        await asyncio.sleep(WATCH_SECONDS)
    say("Handrail is not ready yet; `handrail doctor` says what is wrong.")


async def is_ready(host: str, port: int) -> bool:
    """Whether the web process there takes requests."""
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host, port)
            with contextlib.closing(writer):
                writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
                return (await reader.readline()).split()[1:2] == [b"200"]
    except (OSError, TimeoutError):
        return False


def say(line: str) -> None:
    """Print a line at once, also where the output is a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _end(*_: object) -> NoReturn:
    say("Stopping before it was ready. The next start goes on.")
    raise SystemExit(0)
