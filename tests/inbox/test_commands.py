"""`handrail events`, `handrail replay`, `handrail applier`, run as a person runs them."""

import subprocess
import sys
from datetime import timedelta

import pytest

from tests.databases import Database
from tests.inbox.world import Endpoint, World


@pytest.fixture
def milady(world: World) -> Endpoint:
    return world.make_endpoint("milady")


def call(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "handrail.config.cli", *arguments],
        env=database.environment("worker"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run(database: Database, *arguments: str) -> str:
    result = call(database, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.parametrize("command", ["events", "replay"])
@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--endpoint", "miladi"), "there is no endpoint 'miladi'; see: handrail provider list"),
        (("--status", "faild"), "needs_attention"),
        (("--since", "yesterday"), "write one such as 2026-11-28 or 2026-11-28T09:30, in UTC"),
    ],
)
def test_a_mistyped_choice_is_told(
    milady: Endpoint, database: Database, command: str, option: tuple[str, str], words: str
) -> None:
    result = call(database, command, *option)

    assert result.returncode == 2
    assert words in result.stderr


def test_events_are_listed_and_one_is_shown(
    world: World, milady: Endpoint, database: Database
) -> None:
    assert run(database, "events") == "No stored webhook matches.\n"
    event = world.store(
        milady, {"a": 1}, event_id="msg_1", status="needs_attention", kind="course.completed"
    )
    world.store(milady, event_id="msg_2", age=timedelta(days=2))
    world.admin.execute(
        "insert into webhook_event_conflicts"
        " (webhook_event_id, endpoint_id, organization_id, event_id, digest, body)"
        " values (%s, %s, %s, 'msg_1', '', 'other')",
        [event, milady.id, world.alice],
    )

    listed = run(database, "events", "--limit", "1")
    found = run(database, "events", "--since", "2026-01-01", "--status", "received")
    shown = run(database, "events", "--id", str(event))

    line, more = listed.splitlines()
    assert line.endswith(
        f"{event}  milady  needs_attention  course.completed  msg_1  (because)  [1 with the same id]"
    )
    assert more == "There are older ones: raise --limit (now 1) or narrow the search."
    assert "msg_2" in found
    assert "endpoint:     milady\n" in shown
    assert 'body (json):\n{\n  "a": 1\n}\n' in shown
    assert shown.endswith("(text):\nother\n")


def test_replay_says_what_it_would_do_and_does_it_when_told(
    world: World, milady: Endpoint, database: Database
) -> None:
    hsi = world.make_endpoint("hsi")
    for number in range(3):
        world.store(milady, event_id=f"e{number}", status="needs_attention")
    world.store(hsi, event_id="other", status="needs_attention")
    world.store(milady, event_id="left", status="ignored")
    world.store(milady, event_id="old", status="needs_attention", age=timedelta(days=9))
    arguments = ["replay", "--endpoint", "milady", "--since", "2026-01-01", "--reason", "mended"]
    since = world.value("select (now() - interval '1 day')::date::text")
    arguments[arguments.index("2026-01-01")] = since

    would = run(database, *arguments)
    before = world.value("select count(*) from webhook_events where status = 'received'")
    did = run(database, *arguments, "--apply")

    assert would == "Webhooks to replay: 3. Nothing was done. Do it with --apply\n"
    assert before == 0
    assert did == "Webhooks replayed: 3.\n"
    assert sorted(world.rows("select event_id from webhook_events where status = 'received'")) == [
        ("e0",),
        ("e1",),
        ("e2",),
    ]
    assert world.rows(
        "select distinct decision, reason, actor_id from webhook_event_decisions"
    ) == [("replay", "mended", None)]


def test_one_event_is_replayed_by_its_id(
    world: World, milady: Endpoint, database: Database
) -> None:
    events = [world.store(milady, status=status) for status in ("ignored", "needs_attention")]

    did = run(database, "replay", "--id", str(events[0]), "--id", str(events[1]), "--apply")

    assert did == "Webhooks replayed: 2.\n"
    assert world.events("status") == [("received",)] * 2


def make_mixed(world: World, milady: Endpoint) -> tuple[list[str], str]:
    """Options that name five events, two of which can be replayed, and what is said of the others."""
    applied, waiting, *possible = (
        world.store(milady, event_id=status, status=status)
        for status in ("applied", "waiting", "ignored", "needs_attention")
    )
    unknown = "01a20741-6c23-7ad0-9ed2-411cf2460cdd"
    only = "only what needs attention or was ignored can be decided about"
    named = [possible[0], applied, unknown, waiting, possible[1], possible[1]]
    return [part for each in named for part in ("--id", str(each))], (
        f"Skipped: Event {applied} is applied: {only}.\n"
        f"Skipped: There is no event {unknown}.\n"
        f"Skipped: Event {waiting} is waiting: {only}.\n"
    )


def test_ids_that_cannot_be_replayed_are_named_and_skipped(
    world: World, milady: Endpoint, database: Database
) -> None:
    options, skipped = make_mixed(world, milady)
    before = world.rows("select * from webhook_events order by id")

    would = call(database, "replay", *options)
    left = world.rows("select * from webhook_events order by id")
    did = call(database, "replay", *options, "--apply")

    assert (would.returncode, would.stderr) == (1, skipped)
    assert would.stdout == "Webhooks to replay: 2. Nothing was done. Do it with --apply\n"
    assert left == before
    assert (did.returncode, did.stderr) == (1, skipped)
    assert did.stdout == "Webhooks replayed: 2.\n"
    assert sorted(world.rows("select event_id, status from webhook_events")) == [
        ("applied", "applied"),
        ("ignored", "received"),
        ("needs_attention", "received"),
        ("waiting", "waiting"),
    ]
    assert world.value("select count(*) from webhook_event_decisions") == 2


@pytest.mark.parametrize("apply", [[], ["--apply"]])
def test_an_unknown_id_alone_leaves_nothing_to_do(
    milady: Endpoint, database: Database, apply: list[str]
) -> None:
    unknown = "01a20741-6c23-7ad0-9ed2-411cf2460cdd"

    result = call(database, "replay", "--id", unknown, *apply)

    assert (result.returncode, result.stderr) == (1, f"Skipped: There is no event {unknown}.\n")
    assert result.stdout == (
        "Webhooks replayed: 0.\n" if apply else "Webhooks to replay: 0. Nothing was done.\n"
    )


def test_one_event_does_not_stop_the_others_of_its_page(
    world: World, milady: Endpoint, database: Database
) -> None:
    for number in range(3):
        world.store(milady, event_id=f"e{number}", status="needs_attention")
    world.admin.execute("update webhook_events set body = null where event_id = 'e1'")
    erased = world.value("select id from webhook_events where event_id = 'e1'")

    would = call(database, "replay")
    did = call(database, "replay", "--apply")

    assert would.returncode == did.returncode == 1
    assert would.stderr == did.stderr
    assert did.stderr == (
        f"Skipped: Event {erased} cannot be replayed:"
        " its body was erased when its time to be kept was over.\n"
    )
    assert would.stdout == "Webhooks to replay: 2. Nothing was done. Do it with --apply\n"
    assert did.stdout == "Webhooks replayed: 2.\n"
    assert sorted(world.rows("select event_id, status from webhook_events")) == [
        ("e0", "received"),
        ("e1", "needs_attention"),
        ("e2", "received"),
    ]


def test_a_reason_is_needed(milady: Endpoint, database: Database) -> None:
    result = call(database, "replay", "--reason", " ")

    assert result.returncode == 2
    assert "a reason is needed" in result.stderr
