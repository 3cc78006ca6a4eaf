"""The applier: every event ends somewhere, once, in its order."""

import hashlib
import threading
import time
from collections.abc import Sequence
from datetime import timedelta

import psycopg
import pytest

from handrail.core.direct_connection import DirectConnection
from handrail.inbox import applier as applier_module
from handrail.inbox.applier import Applier
from handrail.inbox.process import run_applier
from handrail.inbox.registry import Outcome, ParsedEvent, register_handler
from tests.databases import Database
from tests.inbox.machine import (
    Machine,
    apply_all,
    read_status,
    run_until,
    running_applier,
)
from tests.inbox.world import Endpoint, World


def test_events_are_applied_once_in_the_order_of_arrival(
    world: World, machine: Machine, milady: Endpoint, applier: Applier
) -> None:
    for number in (3, 1, 2):
        world.store(milady, event_id=f"e{number}", age=timedelta(seconds=10 - number))

    assert applier.apply_due() is True
    assert applier.apply_due() is False

    assert machine.applied == ["e1", "e2", "e3"]
    assert machine.batches == [["e1", "e2", "e3"]]
    columns = ("status", "reason", "kind", "attempts", "applied_at is not null")
    assert world.events(*columns) == [("applied", "", "course.completed", 0, True)] * 3


def test_what_a_batch_had_no_room_for_is_a_backlog(
    world: World, machine: Machine, milady: Endpoint, connection: DirectConnection
) -> None:
    """Nobody notifies of it any more: without looking again it would lie until the next second."""
    applier = Applier(waiting=timedelta(hours=1), batch=2)
    applier.use(connection)
    backlogs = []
    for number in range(3):
        world.store(milady, event_id=f"few{number}")
    while applier.apply_due():
        backlogs.append(applier.has_backlog)
    assert backlogs == [True, False]

    applier = Applier(waiting=timedelta(hours=1))
    applier.use(connection)
    for number in range(18):
        world.store(milady, {"text": "x" * (1024 * 1024 - 20)}, event_id=f"large{number}")
    assert applier.apply_due()
    assert (len(machine.batches[-1]) < 18, applier.has_backlog) == (True, True)
    assert applier.apply_due()
    assert applier.has_backlog is False


def test_the_handler_is_given_what_was_stored(
    world: World, milady: Endpoint, applier: Applier
) -> None:
    taken: list[ParsedEvent] = []

    def handle(_: DirectConnection, events: Sequence[ParsedEvent], /) -> list[Outcome]:
        taken.extend(events)
        return [Outcome(event.id, "ignored", "nothing we use", "x.y", "enr-1") for event in events]

    register_handler("partner", handle)
    id = world.store(milady, {"a": [1, 2.5, "ü"]}, event_id="e1")
    apply_all(applier)

    ((received_at,),) = world.events("received_at")
    assert taken == [
        ParsedEvent(
            *(id, milady.id, world.alice, milady.provider_id, "e1", received_at, None),
            *({"a": [1, 2.5, "ü"]}, 0),
        )
    ]
    assert world.events("status", "reason", "kind", "match_external_id") == [
        ("ignored", "nothing we use", "x.y", "enr-1")
    ]


def test_an_event_that_is_committed_very_late_is_found_too(
    world: World,
    machine: Machine,
    milady: Endpoint,
    applier: Applier,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world.store(milady, event_id="first")
    apply_all(applier)
    world.store(milady, event_id="late", age=timedelta(seconds=3))
    world.store(milady, event_id="very late", age=timedelta(hours=1))
    apply_all(applier)
    assert machine.applied == ["first", "late"]

    monkeypatch.setattr(applier_module, "LOOK_BACK_SECONDS", 0)
    apply_all(applier)
    assert machine.applied == ["first", "late", "very late"]


def test_a_large_batch_is_taken_in_portions(
    world: World, machine: Machine, milady: Endpoint, connection: DirectConnection
) -> None:
    for number in range(10):
        world.store(milady, event_id=f"{number}", age=timedelta(seconds=100 - number))
    applier = Applier(waiting=timedelta(hours=1), batch=4)
    applier.use(connection)
    apply_all(applier)

    assert [len(batch) for batch in machine.batches] == [4, 4, 2]
    assert machine.applied == [str(number) for number in range(10)]


def test_a_batch_is_bounded_in_bytes_too(
    world: World, machine: Machine, milady: Endpoint, applier: Applier
) -> None:
    body = b'{"a": "' + b"x" * (1024 * 1024 - 20) + b'"}'
    for number in range(18):
        world.store(milady, body, event_id=f"{number:02}", age=timedelta(seconds=100 - number))
    apply_all(applier)

    assert [len(batch) for batch in machine.batches] == [16, 2]
    assert machine.applied == [f"{number:02}" for number in range(18)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[" * 100_000, "the JSON is nested too deep"),
        (b'{"a": "\xff"}', "the text is not UTF-8 (byte 7)"),
        (b'{"a": 1, "a": 2}', "the name 'a' is there twice in one object"),
        (b'{"a": NaN}', "NaN is not a number in JSON"),
        (b"", "the text is not JSON: Expecting value (line 1, column 1)"),
    ],
)
def test_what_cannot_be_read_needs_a_person_and_its_neighbors_do_not(
    *, world: World, machine: Machine, milady: Endpoint, applier: Applier, body: bytes, reason: str
) -> None:
    first, bad, last = (world.store(milady, b) for b in (b"{}", body, b"{}"))
    apply_all(applier)

    assert read_status(world, bad) == ("needs_attention", reason)
    assert [read_status(world, event) for event in (first, last)] == [("applied", "")] * 2
    assert len(machine.batches) == 1
    assert world.rows(
        "select organization_id, provider_id, kind, subject_id, cause from attention_items"
    ) == [
        (
            *(world.alice, milady.provider_id, "webhook_event", bad),
            f"A message of the partner needs a person: {reason}",
        )
    ]


def test_bytes_that_were_changed_in_the_store_are_not_applied(
    world: World, machine: Machine, milady: Endpoint, applier: Applier
) -> None:
    changed = world.store(milady, b"{}", digest=hashlib.sha256(b"{ }").digest())
    erased = world.store(milady, body=b"", digest=hashlib.sha256(b"").digest())
    world.admin.execute("update webhook_events set body = null where id = %s", [erased])
    apply_all(applier)

    assert read_status(world, changed) == (
        "needs_attention",
        "its bytes are not those that were received",
    )
    assert read_status(world, erased)[0] == "needs_attention"
    assert machine.applied == []


def test_a_kind_that_nobody_understands_needs_a_person(
    world: World, milady: Endpoint, applier: Applier
) -> None:
    register_handler("partner", lambda _, events: [Outcome(e.id, "applied") for e in events])
    stripe = world.value(
        "insert into webhook_endpoints (key, kind) values ('stripe', 'stripe') returning id"
    )
    id = world.store(milady, endpoint_id=stripe, organization_id=None, provider_id=None)
    apply_all(applier)

    assert read_status(world, id) == (
        "needs_attention",
        "nothing here understands messages of a stripe endpoint",
    )


def test_two_appliers_share_the_work_and_apply_nothing_twice(
    world: World, milady: Endpoint, machine: Machine, database: Database
) -> None:
    for number in range(200):
        world.store(milady, event_id=f"{number}", age=timedelta(seconds=300 - number))

    def work() -> None:
        with database.connect("worker") as connection:
            applier = Applier(waiting=timedelta(hours=1), batch=10)
            applier.use(connection)
            apply_all(applier)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(machine.applied, key=int) == [str(number) for number in range(200)]


def test_what_another_applier_holds_is_left_to_it(
    world: World, milady: Endpoint, machine: Machine, applier: Applier, database: Database
) -> None:
    held, free = world.store(milady, event_id="held"), world.store(milady, event_id="free")
    with database.connect("worker", autocommit=False) as other:
        other.execute("select from webhook_events where id = %s for no key update", [held])
        apply_all(applier)
        assert machine.applied == ["free"]
    apply_all(applier)

    assert machine.applied == ["free", "held"]
    assert read_status(world, free) == ("applied", "")


def test_a_notification_wakes_it(world: World, milady: Endpoint, machine: Machine) -> None:
    delays = []
    with running_applier():
        time.sleep(0.5)  # It is idle now.
        for number in range(5):
            began = time.monotonic()
            with world.admin.transaction():
                world.store(milady, event_id=f"{number}")
                world.admin.execute("notify handrail_inbox")
            while len(machine.applied) <= number:
                time.sleep(0.001)
            delays.append(time.monotonic() - began)

    assert sorted(delays)[2] < 0.2


def test_a_backlog_is_worked_off_in_two_lanes(
    world: World, milady: Endpoint, machine: Machine
) -> None:
    threads: set[str] = set()
    batches: list[int] = []
    together = threading.Barrier(2, timeout=10)

    def handle(_: DirectConnection, events: Sequence[ParsedEvent], /) -> list[Outcome]:
        threads.add(threading.current_thread().name)
        batches.append(len(events))
        if len(batches) in {2, 3}:
            together.wait()  # Both are at work at the same time.
        return [Outcome(event.id, "applied") for event in events]

    register_handler("partner", handle)
    world.admin.execute(
        "insert into webhook_events (endpoint_id, organization_id, provider_id, event_id, digest, body)"
        " select %s, %s, %s, n, sha256('{}'), '{}' from generate_series(1, 2600) as n",
        [milady.id, world.alice, milady.provider_id],
    )
    stop = threading.Event()
    run_applier(stop, until_idle=True)

    assert world.rows("select distinct status from webhook_events") == [("applied",)]
    assert sum(batches) == 2600
    assert len(threads) == 2
    assert stop.is_set()


def test_a_fault_in_the_applier_itself_ends_the_process(
    world: World, milady: Endpoint, machine: Machine
) -> None:
    world.admin.execute("alter table webhook_events rename column reason to because")
    try:
        with pytest.raises(psycopg.errors.UndefinedColumn):
            run_applier(threading.Event())
    finally:
        world.admin.execute("alter table webhook_events rename column because to reason")


def test_without_a_notification_it_looks_every_second(
    world: World, milady: Endpoint, machine: Machine
) -> None:
    threading.Timer(0.3, world.store, [milady]).start()
    began = time.monotonic()
    run_until(lambda: bool(machine.applied))

    assert time.monotonic() - began < 4
