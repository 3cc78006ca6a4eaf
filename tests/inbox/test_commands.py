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
