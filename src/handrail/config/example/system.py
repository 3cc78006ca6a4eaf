"""The real system while the example's past is made: web, sandbox, applier and worker.

Web and sandbox are the processes of `handrail run`. Applier and worker run here, in this process,
so that each day can end when nothing is under way any more; their other duties (certificates,
timers, mail) wait for the real start.
"""

import asyncio
import http.client
import logging
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TextIO

from django.conf import settings
from django.db import connection

from handrail.config.errors import ChildFailed
from handrail.config.example.partners import Partners, wait_until
from handrail.config.installation import Installation, LocalInstallation
from handrail.config.parent_death import make_die_with_parent
from handrail.config.run import list_processes
from handrail.config.sandbox_setup import SandboxPlan, read_control_token
from handrail.config.supervisor import ProcessSpec
from handrail.core.crypto import Keyring
from handrail.core.direct_connection import DirectConnection
from handrail.core.worker import make_context
from handrail.enrollments.provisioning import Provisioner, Rhythm
from handrail.enrollments.reconciling import Reconciler
from handrail.inbox.applier import Applier

STOP_SECONDS = 15.0
_RHYTHM = Rhythm(retry_base=0.02, retry_max=0.1, call_timeout=10.0)
_WAITING = timedelta(hours=24)
_BUSY = """
select exists (select from intents where status in ('queued', 'sending', 'failed', 'unknown') and not held)
    or exists (select from webhook_events where status = 'received')
"""


class System:
    """What is running; `settle` returns when nothing is under way."""

    def __init__(self, partners: Partners, applier: Applier) -> None:
        self.partners = partners
        self._applier = applier

    def settle(self) -> None:
        """Apply what arrives, until every call is made and every webhook applied."""
        wait_until(self._is_settled, "Rest in the example's past")

    def ask_partner(self, slug: str) -> None:
        """Ask a partner once how far its learners are, as the reconciler does round after round."""
        asyncio.run(_ask_partner(slug))

    def _is_settled(self) -> bool:
        while self._applier.apply_due():
            pass
        with connection.cursor() as cursor:
            cursor.execute(_BUSY)
            if cursor.fetchone() != (False,):
                return False
        return self.partners.is_quiet() and not self._applier.apply_due()


@contextmanager
def run_system(
    local: LocalInstallation, installation: Installation, plan: SandboxPlan
) -> Iterator[System]:
    """Run all of it until the block ends; `plan` is what the sandbox was set up with."""
    specs = {each.name: each for each in list_processes(installation, local)}
    with ExitStack() as stack:
        # What goes wrong in the past is told in it, and not on the terminal.
        log = stack.enter_context(
            (local.folder / "example" / "making.log").open("w", encoding="utf-8")
        )
        stack.enter_context(_log_into(log))
        stack.enter_context(_run_processes([specs["sandbox"], specs["web"]], log))
        wait_until(lambda: _answers(plan.address, "/"), "The sandbox's start")
        wait_until(lambda: _answers(plan.handrail, "/readyz"), "The web process's start")
        partners = Partners(plan.address, read_control_token(plan.config))
        stack.callback(partners.close)
        partners.pause_study()
        database = stack.enter_context(
            DirectConnection.open(settings.HANDRAIL_SECRET_DSNS["worker"])
        )
        applier = Applier(waiting=_WAITING)
        applier.use(database)
        stack.enter_context(_run_worker())
        yield System(partners, applier)


async def _ask_partner(slug: str) -> None:
    context = make_context(asyncio.Event())
    reconciler = Reconciler(context, Keyring(settings.HANDRAIL_SECRET_KEYS))
    try:
        await reconciler.go_round(slug=slug)
    finally:
        await reconciler.close()
        await context.pool.close()


@contextmanager
def _log_into(log: TextIO) -> Iterator[None]:
    with ExitStack() as stack:
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.name == "stderr":
                stack.callback(handler.setStream, handler.setStream(log))
        yield


@contextmanager
def _run_processes(specs: Sequence[ProcessSpec], log: TextIO) -> Iterator[None]:
    processes = [
        subprocess.Popen(
            spec.arguments,
            env=dict(spec.environment),
            stdout=log,
            stderr=log,
            preexec_fn=make_die_with_parent(signal.SIGKILL),  # noqa: PLW1509 - before any thread
        )
        for spec in specs
    ]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _run_worker() -> Iterator[None]:
    """Make calls to partners in a thread of their own."""
    ready = threading.Event()
    handles: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def work() -> None:
        stop = asyncio.Event()
        handles.append((asyncio.get_running_loop(), stop))
        ready.set()
        context = make_context(stop)
        await Provisioner(context, _RHYTHM, Keyring(settings.HANDRAIL_SECRET_KEYS)).run()
        await context.pool.close()

    thread = threading.Thread(target=lambda: asyncio.run(work()), name="example worker")
    thread.start()
    ready.wait()
    try:
        yield
    finally:
        loop, stop = handles[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(STOP_SECONDS)
        if thread.is_alive():
            raise ChildFailed("The calls to partners did not come to an end.")


def _answers(address: str, path: str) -> bool:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()
