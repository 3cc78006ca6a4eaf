"""`handrail demo`: the whole system on an example, from roster to certificates, in fast motion."""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import NoReturn

from handrail.config.demo.display import Display, open_display
from handrail.config.demo.wish import Wish
from handrail.config.embedded_postgres import find_free_port
from handrail.config.environment import DatabaseRole
from handrail.config.errors import Refusal
from handrail.config.installation import Installation, LocalInstallation, check_port, next_port
from handrail.config.run import keep_database, list_processes, run_step, started
from handrail.config.supervisor import Group

FOLDER = Path("var") / "demo"
INTERRUPTED = 130  # as shells say it of Ctrl-C
# What the demo shortens; whoever wants other rhythms sets the variable.
RHYTHMS = {
    "HANDRAIL_RETRY_BASE_SECONDS": "0.3",
    "HANDRAIL_RETRY_MAX_SECONDS": "2",
    "HANDRAIL_CALL_TIMEOUT_SECONDS": "2",
    "HANDRAIL_RECONCILE_SECONDS": "5",
    "HANDRAIL_WAITING_HOURS": "24",
}


def run_demo(wish: Wish) -> int:
    """Run the demo to its end and return the exit code: 0 only if everything came out right.

    Raises:
        Refusal: what a person must mend first.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # until the group takes the signals
        signal.signal(number, _end)
    began = time.monotonic()
    _clear_environment()
    bind = ("127.0.0.1", wish.port or find_free_port())
    check_port(*bind, example=f"PORT={next_port(bind[1])} make demo")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with open_display(FOLDER / "demo.log") as display:
        local = LocalInstallation(FOLDER, bind=bind, say=display.say)
        display.say(f"Making a database of its own in {FOLDER} ...")
        local.erase()
        with started(local) as installation:
            run_step(installation, "migrate")
            return _perform(installation, local, display, wish, began)


def _perform(
    installation: Installation,
    local: LocalInstallation,
    display: Display,
    wish: Wish,
    began: float,
) -> int:
    """Work as the service role from here on, beside the processes of the group."""
    os.environ.update(installation.environment_of("worker"))
    os.environ["DJANGO_SETTINGS_MODULE"] = "handrail.config.settings"
    import django  # noqa: PLC0415 - its settings are those of this installation

    django.setup()
    from handrail.config.demo.direction import Director, Stage  # noqa: PLC0415 - models, as above

    stage = Stage(
        local=local,
        web_password=local.postgres.passwords[DatabaseRole.WEB],
        wish=wish,
        began=began,
    )
    director = Director(stage, display)
    director.prepare()
    group = Group(list_processes(installation, local), say=display.take_line)
    companions = [director.run(group.stop), keep_database(local.postgres, say=display.say)]
    try:
        code = asyncio.run(group.run(*companions))
    finally:
        director.close()
    if director.verdict is None:
        display.say("Stopped before the end.")
        return code or INTERRUPTED
    return code or director.verdict


def _clear_environment() -> None:
    """Take nothing of the environment but the rhythms: the demo must reach nobody's real system."""
    if os.environ.get("HANDRAIL_DATABASE_URL"):
        raise Refusal(
            "HANDRAIL_DATABASE_URL is set. The demo makes a database of its own each time and "
            "touches no other: unset it, for instance with: env -u HANDRAIL_DATABASE_URL make demo"
        )
    for name in [name for name in os.environ if name.startswith("HANDRAIL_")]:
        if name not in RHYTHMS:
            del os.environ[name]
    for name, value in RHYTHMS.items():
        os.environ.setdefault(name, value)


def _end(*_: object) -> NoReturn:
    raise SystemExit(INTERRUPTED)
