"""The worker process: what apps register for it runs side by side in one event loop.

An app's `ready()` registers a service (calls to partners, the rhythm of the reconciler) or a job
(`core.jobs`). A service that fails is started again; it never takes the others with it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psycopg
from django.conf import settings
from django.utils.module_loading import import_string

from handrail.core.channel import DatabaseAway
from handrail.core.outbound import OutboundPool

RESTART_SECONDS = 1.0
STOP_SECONDS = 12.0
"""From the wish to stop until what still runs is cancelled."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerContext:
    """What services share."""

    dsn: str
    """Of the service role."""
    stop: asyncio.Event
    """Set when the process is to end: begin nothing new, finish what is under way."""
    pool: OutboundPool


Service = Callable[[WorkerContext], Awaitable[None]]
"""Runs until the context's `stop` is set, then finishes what is under way."""
_services: dict[str, str] = {}


def register_service(name: str, function: str) -> None:
    """Take a service by the dotted path of its `Service`, imported when the worker starts."""
    _services[name] = function


def make_context(stop: asyncio.Event) -> WorkerContext:
    """What services share, by the settings."""
    return WorkerContext(
        dsn=settings.HANDRAIL_SECRET_DSNS["worker"],
        stop=stop,
        pool=OutboundPool(
            allowed_private_hosts=settings.HANDRAIL_ALLOWED_PRIVATE_HOSTS,
            total_seconds=settings.HANDRAIL_CALL_TIMEOUT_SECONDS,
            first_pause_seconds=settings.HANDRAIL_RETRY_BASE_SECONDS,
        ),
    )


async def run_worker(stop: asyncio.Event, *, only: frozenset[str] = frozenset()) -> None:
    """Run the services (`only` these, where any are named) until `stop` is set.

    Returns when all have finished what was under way, at the latest after `STOP_SECONDS`.
    """
    context = make_context(stop)
    tasks = [
        asyncio.create_task(_keep_running(name, import_string(function), context), name=name)
        for name, function in _services.items()
        if not only or name in only
    ]
    try:
        await stop.wait()
        _, late = await asyncio.wait(tasks, timeout=STOP_SECONDS) if tasks else ((), ())
        for task in late:
            logger.warning("%s did not finish in time", task.get_name())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await context.pool.close()


async def _keep_running(name: str, service: Service, context: WorkerContext) -> None:
    while not context.stop.is_set():
        try:
            await service(context)
        except (DatabaseAway, psycopg.OperationalError) as error:
            logger.warning("%s waits for the database: %s", name, error)
        except Exception:
            logger.exception("%s failed and is started again", name)
        await wait_for(context.stop, RESTART_SECONDS)


async def wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, at most so long; return whether it is."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
