"""The applier: events that arrive before their enrollment."""

import time
from datetime import timedelta

import pytest

from handrail.core.direct_connection import DirectConnection
from handrail.inbox.applier import Applier
from handrail.inbox.registry import Outcome, ParsedEvent
from tests.databases import Database
from tests.inbox.machine import Machine, apply_all, read_status
from tests.inbox.world import Endpoint, World


def make_matching(machine: Machine, known: set[str]) -> None:
    """Let the machine know these enrollments; events of others wait."""

    def decide(event: ParsedEvent) -> Outcome:
        external_id = event.message["id"]
        if external_id in known:
            return Outcome(event.id, "applied", "", "progress.updated", external_id)
        return Outcome(event.id, "waiting", "no enrollment", "progress.updated", external_id)

    machine.decide = decide


def test_an_event_waits_until_it_is_woken(
    world: World, milady: Endpoint, machine: Machine, applier: Applier, database: Database
) -> None:
    known: set[str] = set()
    make_matching(machine, known)
    event = world.store(milady, {"id": "enr-1"})
    other = world.store(milady, {"id": "enr-2"})
    apply_all(applier)
    assert read_status(world, event) == ("waiting", "no enrollment")

    known |= {"enr-1", "enr-2"}
    assert applier.apply_due() is False
    with database.connect("worker") as worker:
        woken = worker.execute(
            "select wake_waiting_events(%s, %s)", [milady.provider_id, ["enr-1", "enr-9"]]
        ).fetchone()
    apply_all(applier)

    assert woken == (1,)
    assert read_status(world, event)[0] == "applied"
    assert read_status(world, other)[0] == "waiting"


def test_what_a_person_was_asked_about_for_waiting_too_long_is_woken_too(
    world: World, milady: Endpoint, machine: Machine, applier: Applier, database: Database
) -> None:
    known: set[str] = set()
    make_matching(machine, known)
    event = world.store(milady, {"id": "enr-1"}, age=timedelta(hours=25))
    other = world.store(
        milady, {"id": "enr-1"}, status="needs_attention", match_external_id="enr-1"
    )
    apply_all(applier)
    assert read_status(world, event) == (
        "needs_attention",
        "it waited long enough: no enrollment",
    )
    is_open = "select subject_id from attention_items where resolved_at is null"
    assert world.rows(is_open) == [(event,)]

    known.add("enr-1")
    with database.connect("worker") as worker:
        worker.execute("select wake_waiting_events(%s, %s)", [milady.provider_id, ["enr-1"]])
    apply_all(applier)

    assert read_status(world, event)[0] == "applied"
    assert world.rows(is_open) == []
    assert read_status(world, other) == ("needs_attention", "because")


def test_an_event_that_is_parked_is_looked_at_again_at_once(
    world: World, milady: Endpoint, machine: Machine, applier: Applier
) -> None:
    """Its enrollment may be stored, unseen, while it is being parked."""
    known: set[str] = set()
    make_matching(machine, known)
    park = machine.decide

    def decide(event: ParsedEvent) -> Outcome:
        outcome = park(event)
        known.add("enr-1")  # It comes too late for this look.
        return outcome

    machine.decide = decide
    event = world.store(milady, {"id": "enr-1"})
    apply_all(applier)

    assert read_status(world, event)[0] == "applied"
    assert len(machine.batches) == 2


def test_an_event_that_waits_is_looked_at_ever_more_rarely(
    world: World, milady: Endpoint, machine: Machine, applier: Applier
) -> None:
    make_matching(machine, set())
    for age in (0, 10, 100_000):
        world.store(milady, {"id": "enr-1"}, age=timedelta(seconds=age))
    applier = Applier(waiting=timedelta(days=365))
    applier.use(DirectConnection.open(world.worker_dsn))
    with applier._connection:
        apply_all(applier)

    seconds = "extract(epoch from next_attempt_at - now())::float"
    waits = world.rows(f"select {seconds} from webhook_events order by received_at desc")
    assert [round(wait, 1) for (wait,) in waits] == pytest.approx([0.1, 2.5, 300], abs=0.2)


def test_the_sweep_finds_what_nobody_woke(
    world: World, milady: Endpoint, machine: Machine, applier: Applier
) -> None:
    known: set[str] = set()
    make_matching(machine, known)
    event = world.store(milady, {"id": "enr-1"})
    apply_all(applier)
    known.add("enr-1")
    deadline = time.monotonic() + 5
    while read_status(world, event)[0] != "applied":
        assert time.monotonic() < deadline
        applier.apply_due()
        time.sleep(0.02)


def test_what_waited_long_enough_needs_a_person(
    world: World, milady: Endpoint, machine: Machine, applier: Applier
) -> None:
    make_matching(machine, set())
    young = world.store(milady, {"id": "enr-1"}, age=timedelta(hours=23))
    old = world.store(milady, {"id": "enr-2"}, age=timedelta(hours=25))
    apply_all(applier)

    assert read_status(world, young) == ("waiting", "no enrollment")
    assert read_status(world, old) == (
        "needs_attention",
        "it waited long enough: no enrollment",
    )
