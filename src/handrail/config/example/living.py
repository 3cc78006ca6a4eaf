"""The example's learners go on by themselves: they choose, sign up at the portal, and are heard of.

A process of `handrail run`. What they do at partners with an interface is the sandbox's part.
"""

import json
import logging
import signal
import threading
from contextlib import closing
from pathlib import Path

from django.db import InterfaceError, OperationalError

from handrail.config.demo.asking import leave_database
from handrail.config.demo.players import Places, Players
from handrail.config.environment import DatabaseRole
from handrail.config.installation import LocalInstallation
from handrail.organizations.actions import find_organization

ROUND_SECONDS = 5.0
SEED = 1

logger = logging.getLogger(__name__)


def play_learners(folder: Path, *, slug: str) -> None:
    """Let everybody do what there is to do, round after round, until SIGTERM or Ctrl-C.

    `folder`: of the installation. Works as the service role. The visitor's student, and those who
    got stuck, do nothing.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    password = LocalInstallation(folder).read().variables[DatabaseRole.WEB.password_variable]
    memory = json.loads((folder / "example.json").read_text())
    places = Places(web_password=password, results=folder / "sandbox" / "results" / "jri.csv")
    resting = memory["resting"]
    organization = find_organization(slug)
    with closing(Players(organization, places, seed=SEED, leave_alone=resting)) as players:
        while not stop.wait(ROUND_SECONDS):
            try:
                _play_round(players)
            except (OperationalError, InterfaceError) as error:
                logger.warning("the learners wait for the database: %s", error)
                leave_database()


def _play_round(players: Players) -> None:
    report = players.act()
    if report and (report.completed or report.rows_refused):
        logger.info(
            "took the portal's results over: %d completed, %d rows refused",
            report.completed,
            report.rows_refused,
        )
