"""The applier: an event that fails harms no other, and trouble is not the event's fault."""

from collections.abc import Sequence
from datetime import timedelta

import psycopg
import pytest

from handrail.core.direct_connection import DirectConnection
from handrail.inbox import process
from handrail.inbox.applier import RETRY_DELAYS, Applier
from handrail.inbox.registry import Outcome, ParsedEvent, register_handler
from tests.inbox.machine import Machine, apply_all, make_due, read_status, run_until
from tests.inbox.world import Endpoint, World


def test_the_event_that_raises_stands_alone(
    world: World, machine: Machine, milady: Endpoint, applier: Applier,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    def decide(event: ParsedEvent) -> Outcome:
        if event.event_id == "e5":
            raise KeyError("patient's secret")
        return Outcome(event.id, "applied")

    machine.decide = decide
    ids = [world.store(milady, event_id=f"e{n}", age=timedelta(seconds=9 - n)) for n in range(9)]
    apply_all(applier)

    assert machine.applied == ["e0", "e1", "e2", "e3", "e4", "e6", "e7", "e8"]
    assert read_status(world, ids[5]) == ("received", "applying it failed (KeyError)")
    assert f"applying event {ids[5]} failed" in caplog.text


@pytest.mark.parametrize(
    "harm",
    ["select 1/0", "insert into machine (event_id) values (null)", "select pg_sleep(60)", "select"],
)
def test_an_event_that_fails_in_the_database_stands_alone(
    *,
    world: World,
    milady: Endpoint,
    machine: Machine,
    connection: DirectConnection,
    applier: Applier,
    harm: str,
) -> None:
    connection.execute("set statement_timeout = '200ms'")

    def decide(event: ParsedEvent) -> Outcome:
        if event.event_id == "bad":
            connection.execute(harm.encode())
            if harm == "select":
                raise RecursionError
        return Outcome(event.id, "applied")

    machine.decide = decide
    events = [world.store(milady, event_id=name) for name in ("a", "bad", "c")]
    apply_all(applier)

    assert machine.applied == ["a", "c"]
    assert [read_status(world, event)[0] for event in events] == ["applied", "received", "applied"]


def test_the_log_tells_no_result_of_a_screening(
    *,
    world: World,
    milady: Endpoint,
    machine: Machine,
    connection: DirectConnection,
    applier: Applier,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The database names the row that it refuses, with all that stands in it."""
    world.admin.execute("alter table machine add result text check (result <> 'positive')")

    def decide(event: ParsedEvent) -> Outcome:
        connection.execute("insert into machine (event_id, result) values ('x', 'positive')")
        return Outcome(event.id, "applied")

    machine.decide = decide
    event = world.store(milady, event_id="bad")
    apply_all(applier)

    assert read_status(world, event) == ("received", "applying it failed (CheckViolation)")
    assert f"applying event {event} failed: new row" in caplog.text
    assert "positive" not in caplog.text


def test_a_constraint_that_is_checked_at_the_end_finds_its_event(
    world: World, milady: Endpoint, machine: Machine, applier: Applier
) -> None:
    world.admin.execute("alter table machine add unique (event_id) deferrable initially deferred")
    world.admin.execute("insert into machine (event_id) values ('b')")
    events = [world.store(milady, event_id=name) for name in ("a", "b", "c")]
    apply_all(applier)

    assert [read_status(world, event) for event in events] == [
        ("applied", ""),
        ("received", "applying it failed (UniqueViolation)"),
        ("applied", ""),
    ]


def test_after_some_attempts_a_person_is_needed(
    world: World, machine: Machine, milady: Endpoint, applier: Applier
) -> None:
    def decide(event: ParsedEvent) -> Outcome:
        raise ValueError(event.attempts)

    machine.decide = decide
    id = world.store(milady)
    waits = []
    for _ in RETRY_DELAYS:
        apply_all(applier)
        waits.append(
            world.value(
                "select round(extract(epoch from next_attempt_at - now())) from webhook_events"
            )
        )
        assert read_status(world, id) == ("received", "applying it failed (ValueError)")
        assert applier.apply_due() is False  # Not before its time.
        make_due(world)
    apply_all(applier)

    assert waits == list(RETRY_DELAYS)
    assert read_status(world, id) == (
        "needs_attention",
        f"applying it failed (ValueError), {len(RETRY_DELAYS) + 1} times; the log tells more",
    )
    assert world.value("select count(*) from attention_items where subject_id = %s", id) == 1


@pytest.mark.parametrize("fault", ["missing", "foreign", "status", "no reason"])
def test_a_handler_that_answers_wrongly_harms_only_that_event(
    world: World, milady: Endpoint, applier: Applier, fault: str
) -> None:
    def handle(_: DirectConnection, events: Sequence[ParsedEvent], /) -> list[Outcome]:
        outcomes = [Outcome(event.id, "applied") for event in events if event.event_id != "bad"]
        for event in events:
            if event.event_id == "bad":
                outcomes += {
                    "missing": [],
                    "foreign": [Outcome(milady.id, "applied")],
                    "status": [Outcome(event.id, "received")],  # type: ignore[arg-type]
                    "no reason": [Outcome(event.id, "ignored")],
                }[fault]
        return outcomes

    register_handler("partner", handle)
    events = [world.store(milady, event_id=name) for name in ("a", "bad", "c")]
    apply_all(applier)

    assert [read_status(world, event)[0] for event in events] == ["applied", "received", "applied"]


def test_words_of_any_kind_can_be_written_down(
    world: World, milady: Endpoint, machine: Machine, applier: Applier
) -> None:
    machine.decide = lambda event: Outcome(
        event.id, "ignored", "r\0\ud800" + "x" * 5000, "k" * 5000, "e" * 100_000
    )
    world.store(milady)
    apply_all(applier)

    assert world.events("length(reason)", "length(kind)", "length(match_external_id)") == [
        (999, 255, 255)
    ]


def test_a_deadlock_uses_up_no_attempt(world: World, milady: Endpoint, machine: Machine) -> None:
    failures = [psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure]

    def decide(event: ParsedEvent) -> Outcome:
        if failures:
            raise failures.pop()
        return Outcome(event.id, "applied")

    machine.decide = decide
    for number in range(5):
        world.store(milady, event_id=f"{number}", age=timedelta(seconds=9 - number))
    run_until(lambda: len(machine.applied) == 5)

    assert machine.applied == ["0", "1", "2", "3", "4"]
    assert world.events("status", "attempts") == [("applied", 0)] * 5


@pytest.mark.parametrize("error", [psycopg.errors.DiskFull, psycopg.errors.ReadOnlySqlTransaction])
def test_a_database_in_trouble_is_not_the_event_s_fault(
    *,
    world: World,
    milady: Endpoint,
    machine: Machine,
    connection: DirectConnection,
    monkeypatch: pytest.MonkeyPatch,
    error: type[psycopg.Error],
) -> None:
    monkeypatch.setattr(process, "TROUBLE_SECONDS", 0.01)
    troubles = [error] * 20

    def decide(event: ParsedEvent) -> Outcome:
        if troubles:
            raise troubles.pop()
        return Outcome(event.id, "applied")

    machine.decide = decide
    world.store(milady)
    run_until(lambda: len(machine.applied) == 1)

    assert world.events("status", "attempts") == [("applied", 0)]


def test_it_goes_on_over_a_new_connection_when_the_old_one_is_lost(
    world: World, milady: Endpoint, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TROUBLE_SECONDS", 0.05)
    killed: list[bool] = []

    def decide(event: ParsedEvent) -> Outcome:
        if event.event_id == "2" and not killed:
            killed.append(True)
            world.admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'handrail_applier'"
            )
        return Outcome(event.id, "applied")

    machine.decide = decide
    for number in range(4):
        world.store(milady, event_id=f"{number}", age=timedelta(seconds=9 - number))
    run_until(lambda: len(machine.applied) >= 4)

    assert machine.applied == ["0", "1", "2", "3"]
    assert killed == [True]


def test_an_event_under_which_connections_are_lost_stands_alone_too(
    world: World, milady: Endpoint, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "TROUBLE_SECONDS", 0.01)

    def decide(event: ParsedEvent) -> Outcome:
        if event.event_id == "bad":
            world.admin.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = 'handrail_applier'"
            )
        return Outcome(event.id, "applied")

    machine.decide = decide
    for place, name in enumerate(("a", "bad", "c", "d")):
        world.store(milady, event_id=name, age=timedelta(seconds=9 - place))
    run_until(lambda: len(machine.applied) >= 3)

    assert machine.applied == ["a", "c", "d"]
    assert ("received", "the connection was lost", 1) in world.events(
        "status", "reason", "attempts"
    )
