"""The applier process: one lane that listens, and a second one that helps while there is a backlog.

A lane is an `Applier` with a connection and a thread of its own. PostgreSQL works for both at once,
and one lane reads JSON while the other waits for its statement: with two, a backlog shrinks nearly
twice as fast on two cores, *measured*. The second one sleeps otherwise, so that a single event has
one lane to go.
"""

import gc
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
from django.conf import settings

from handrail.core.direct_connection import DirectConnection
from handrail.inbox.applier import Applier, is_conflict, is_trouble

logger = logging.getLogger(__name__)

TROUBLE_SECONDS = 1.0

# Planning costs more than running, and plans that were made while the tables were empty must not read
# them whole when they are full; an event under which a statement runs away is one that fails.
_OPTIONS = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c statement_timeout=30s"


def run_applier(stop: threading.Event, *, until_idle: bool = False) -> None:
    """Apply events as handrail_worker until `stop` is set, or until nothing is due.

    A batch that is under way is finished first; a lost connection is made again. `stop` is set at
    the end.
    """
    # What the start has made stays: looked through for garbage every few batches, it took 4 % of the time.
    gc.freeze()
    backlog = threading.Event()
    with ThreadPoolExecutor(1, "helper") as pool:
        helping = pool.submit(_help, stop, backlog)
        try:
            _lead(stop, backlog, until_idle=until_idle)
        finally:
            stop.set()
            backlog.set()
        helping.result()


def _lead(stop: threading.Event, backlog: threading.Event, *, until_idle: bool) -> None:
    """Apply what is due, look after what waits, sleep until something comes."""
    lane = _make_lane(backlog.set)

    def work(connection: DirectConnection) -> None:
        connection.execute("listen handrail_inbox")
        while not stop.is_set():
            applied = lane.apply_due()
            if until_idle and not applied:
                stop.set()
            elif not until_idle and not lane.has_backlog:
                lane.wait()

    while not stop.is_set():
        _work(lane, work, stop)


def _help(stop: threading.Event, backlog: threading.Event) -> None:
    """Apply batches from when there is a backlog until nothing is due."""
    lane = _make_lane(lambda: None)

    def work(_: DirectConnection) -> None:
        while not stop.is_set() and lane.apply_batch():
            pass

    try:
        while not stop.is_set():
            backlog.wait()
            if not stop.is_set():
                backlog.clear()
                _work(lane, work, stop)
    except BaseException:
        stop.set()  # Let the process end and be started again, not limp on.
        raise


def _make_lane(on_backlog: Callable[[], object]) -> Applier:
    waiting = timedelta(hours=settings.HANDRAIL_WAITING_HOURS)
    return Applier(waiting=waiting, on_backlog=on_backlog)


def _work(lane: Applier, work: Callable[[DirectConnection], None], stop: threading.Event) -> None:
    """Connect and work; when the database is in trouble, say so and come back after a moment."""
    try:
        with DirectConnection.open(
            settings.HANDRAIL_SECRET_DSNS["worker"],
            application_name="handrail_applier",
            options=_OPTIONS,
        ) as connection:
            lane.use(connection)
            work(connection)
    except psycopg.Error as error:
        if not is_trouble(error):
            raise
        if is_conflict(error):
            logger.info("a batch is tried again: %s", type(error).__name__)
            return
        logger.warning("events cannot be applied now: %s", str(error).partition("\n")[0])
        stop.wait(TROUBLE_SECONDS)
