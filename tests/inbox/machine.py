"""A handler that stands for the step machine, and helpers of the applier's tests."""

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg

from handrail.inbox.applier import Applier
from handrail.inbox.registry import Outcome, ParsedEvent
from tests.inbox.world import World

Connection = psycopg.Connection[tuple[Any, ...]]
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
        self, connection: Connection, events: Sequence[ParsedEvent], /
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


def run_until(connection: Connection, condition: Callable[[], bool]) -> None:
    """Let an applier run in a thread until the condition holds."""
    stop = threading.Event()
    applier = Applier(waiting=timedelta(hours=1))
    thread = threading.Thread(target=applier.run, args=[connection, stop])
    thread.start()
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    stop.set()
    thread.join(5)
    assert condition()
    assert not thread.is_alive()
