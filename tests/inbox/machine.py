"""A handler that stands for the step machine, and helpers of the applier's tests."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

from handrail.core.direct_connection import DirectConnection
from handrail.inbox.applier import Applier
from handrail.inbox.process import run_applier
from handrail.inbox.registry import Outcome, ParsedEvent
from tests.inbox.world import World

Decide = Callable[[ParsedEvent], Outcome]


class Machine:
    """A handler that writes each event it applies into a table, in the batch's transaction."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.batches: list[list[str]] = []
        self.decide: Decide = lambda event: Outcome(event.id, "applied", "", "course.completed")
        world.admin.execute("create table machine (place serial, event_id text not null)")
        world.admin.execute("grant all on machine, machine_place_seq to handrail_worker")

    def __call__(
        self, connection: DirectConnection, events: Sequence[ParsedEvent], /
    ) -> Sequence[Outcome]:
        self.batches.append([event.event_id for event in events])
        outcomes = []
        for event in events:
            connection.execute("insert into machine (event_id) values (%s)", [event.event_id])
            outcomes.append(self.decide(event))
        return outcomes

    @property
    def applied(self) -> list[str]:
        rows = self.world.rows("select event_id from machine order by place")
        return [event_id for (event_id,) in rows]


def apply_all(applier: Applier) -> None:
    while applier.apply_due():
        pass


def read_status(world: World, event: UUID) -> tuple[str, str]:
    ((status, reason),) = world.rows(
        "select status, reason from webhook_events where id = %s", event
    )
    return status, reason


def make_due(world: World) -> None:
    world.admin.execute("update webhook_events set next_attempt_at = now()")


@contextmanager
def running_applier() -> Iterator[threading.Event]:
    """Run the applier as its process does; give what stops it."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_applier, stop)
        try:
            yield stop
        finally:
            stop.set()
        running.result(10)


def run_until(condition: Callable[[], bool], *, seconds: float = 15) -> None:
    """Let an applier run until the condition holds."""
    deadline = time.monotonic() + seconds
    with running_applier() as stop:
        while not condition() and time.monotonic() < deadline and not stop.is_set():
            time.sleep(0.02)
    assert condition()
