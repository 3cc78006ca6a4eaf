"""`/healthz` (the process lives) and `/readyz` (it can do its work)."""

import asyncio
import logging
import time
from http import HTTPStatus

import psycopg
from asgiref.sync import sync_to_async
from django.db import DatabaseError, InterfaceError, connection

from handrail.config.database import find_pending_migrations, find_role_problems
from handrail.config.environment import load_environment

ANSWER_SECONDS = 1.0  # one look at the database serves all who ask within this time
log = logging.getLogger(__name__)


class Readiness:
    """Answers whether this process can work, looking at most once a second."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._answer: tuple[HTTPStatus, dict[str, str]] = (HTTPStatus.SERVICE_UNAVAILABLE, {})
        self._looked_at = -ANSWER_SECONDS

    async def ask(self) -> tuple[HTTPStatus, dict[str, str]]:
        """Return the status to answer with, and what was found, in words for a monitor."""
        async with self._lock:
            if time.monotonic() - self._looked_at >= ANSWER_SECONDS:
                self._answer = await sync_to_async(look, thread_sensitive=False)()
                self._looked_at = time.monotonic()
            return self._answer


def look() -> tuple[HTTPStatus, dict[str, str]]:
    """Look at the database: reachable, migrated, our role harmless, commits durable."""
    try:
        with psycopg.connect(load_environment().database_dsn(), connect_timeout=3) as own:
            problems = find_role_problems(own)
        pending = find_pending_migrations()
    except (psycopg.Error, DatabaseError, InterfaceError) as error:
        log.warning("not ready: %s", error)
        return HTTPStatus.SERVICE_UNAVAILABLE, {"database": "unreachable"}
    finally:
        connection.close()
    for problem in problems:
        log.warning("not ready: %s", problem)
    found = {
        "database": "ok",
        "migrations": "pending; run handrail migrate" if pending else "ok",
        "roles": "wrong; run handrail doctor" if problems else "ok",
    }
    if pending or problems:
        return HTTPStatus.SERVICE_UNAVAILABLE, found
    return HTTPStatus.OK, found
