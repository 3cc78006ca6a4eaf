"""Runs jobs and timers (`core.jobs`) on PgQueuer, in the worker process."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Self, TypeVar

import psycopg
from django.db import close_old_connections
from django.utils.module_loading import import_string
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.psycopg import PsycopgDriver
from pgqueuer.core.executors import (
    AbstractEntrypointExecutor,
    DatabaseRetryEntrypointExecutor,
    EntrypointExecutorParameters,
)
from pgqueuer.models import Job, Schedule
from pgqueuer.ports.driver import NotifyCallback

from handrail.core.jobs import jobs, timers
from handrail.core.worker import WorkerContext

THREADS = 2
HEARTBEAT_TIMEOUT = timedelta(seconds=10)
DEQUEUE_TIMEOUT = timedelta(seconds=2)
BATCH = 4
MAX_ATTEMPTS = 8

T = TypeVar("T")


async def run_jobs(context: WorkerContext) -> None:
    """Run jobs and timers until the context's `stop`; what is under way is finished."""
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="job")
    try:
        async with (
            await _connect(context.dsn, "jobs") as connection,
            await _connect(context.dsn, "jobs, listening") as listening,
        ):
            queuer = _build(_Driver(connection, listening), threads)
            stopping = asyncio.create_task(_stop_with(context.stop, queuer))
            try:
                await queuer.run(
                    dequeue_timeout=DEQUEUE_TIMEOUT,
                    heartbeat_timeout=HEARTBEAT_TIMEOUT,
                    batch_size=BATCH,
                    max_concurrent_tasks=2 * BATCH,
                )
            finally:
                stopping.cancel()
    finally:
        threads.shutdown(wait=False)


async def _stop_with(stop: asyncio.Event, queuer: PgQueuer) -> None:
    await stop.wait()
    queuer.shutdown.set()


async def _connect(dsn: str, name: str) -> psycopg.AsyncConnection[Any]:
    return await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, application_name=f"handrail {name}"
    )


class _Driver(PsycopgDriver):
    """Listens on a connection of its own: a psycopg connection that listens answers nothing else."""

    def __init__(
        self, connection: psycopg.AsyncConnection[Any], listening: psycopg.AsyncConnection[Any]
    ) -> None:
        super().__init__(connection)
        self._listening = PsycopgDriver(listening)

    async def add_listener(self, channel: str, callback: NotifyCallback) -> None:
        await self._listening.add_listener(channel, callback)

    async def remove_listener(self, channel: str, callback: NotifyCallback) -> None:
        await self._listening.remove_listener(channel, callback)

    async def __aenter__(self) -> Self:
        await self._listening.__aenter__()
        await super().__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._listening.__aexit__(*error)
        await super().__aexit__(*error)


def _build(driver: _Driver, threads: ThreadPoolExecutor) -> PgQueuer:
    queuer = PgQueuer(driver)
    for entrypoint, function in jobs.items():
        run = import_string(function)
        queuer.entrypoint(entrypoint, executor_factory=_retrying)(_as_entrypoint(run, threads))
    for name, timer in timers.items():
        run = import_string(timer.function)
        queuer.schedule(name, timer.expression, clean_old=True)(_as_schedule(run, threads))
    return queuer


def _retrying(parameters: EntrypointExecutorParameters) -> AbstractEntrypointExecutor:
    return DatabaseRetryEntrypointExecutor(parameters, max_attempts=MAX_ATTEMPTS)


def _as_entrypoint(run: Callable[[str], object], threads: ThreadPoolExecutor) -> Any:
    async def entrypoint(job: Job) -> None:
        await _run_in_thread(threads, lambda: run((job.payload or b"").decode()))

    return entrypoint


def _as_schedule(run: Callable[[], object], threads: ThreadPoolExecutor) -> Any:
    async def schedule(_: Schedule) -> None:
        await _run_in_thread(threads, run)

    return schedule


async def _run_in_thread(threads: ThreadPoolExecutor, run: Callable[[], T]) -> T:
    """Run Django code in a thread; a connection that was lost meanwhile is made again first."""

    def work() -> T:
        close_old_connections()
        try:
            return run()
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(threads, work)
