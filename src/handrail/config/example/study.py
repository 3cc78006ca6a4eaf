"""Lets the sandbox's learners go on studying once the example's past is over."""

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path

MESSAGES = 4
FIRST_SECONDS = 15.0


def spread_study(state: Path, *, seconds: float) -> None:
    """Plan everybody's next sign of life, by chance over the time between two of one person.

    `state`: the sandbox's file; the sandbox must not be running. `seconds`: for a whole course.
    """
    now, pace = time.time(), seconds / (MESSAGES + 1)
    chance = random.Random(1)  # noqa: S311 - plays chance
    with closing(sqlite3.connect(state)) as theirs, theirs:
        theirs.execute("insert or replace into settings values ('paused_study', 'no')")
        studying = theirs.execute(
            "select id, percent from enrollments where study_next_at is not null order by number"
        ).fetchall()
        theirs.executemany(
            "update enrollments set study_next_at = ?, study_step = ? where id = ?",
            [
                (now + FIRST_SECONDS + chance.random() * pace, int(percent / 100 * MESSAGES), id)
                for id, percent in studying
            ],
        )
