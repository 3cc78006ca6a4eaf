"""Lists, one event, and what people decide, through Django as a page and a command use them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import Error, connection, transaction
from django.test.utils import CaptureQueriesContext

from handrail.core.actions import NotFound, Refused
from handrail.core.paging import BadPlace
from handrail.inbox.actions import dismiss_conflict, ignore_events, replay_events
from handrail.inbox.models import WebhookEvent
from handrail.inbox.queries import Body, EventSearch, get_event, list_events, read_body, show_body
from tests.databases import Database
from tests.inbox.server import Server
from tests.inbox.world import Endpoint, World, claims, sign_hex


@pytest.fixture
def milady(world: World) -> Endpoint:
    return world.make_endpoint("milady")


@pytest.fixture
def hsi(world: World) -> Endpoint:
    return world.make_endpoint("hsi")


@pytest.fixture
def charlie_s(world: World) -> Endpoint:
    return world.make_endpoint("certiport", organization=world.charlie)


@contextmanager
def page_of(database: Database, organization: UUID, role: str = "staff") -> Iterator[None]:
    """What the web process does for a signed-in member."""
    database.use_django_as("web")
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            text = json.dumps(claims(organization, role))
            cursor.execute("select set_config('request.jwt.claims', %s, true)", [text])
            yield
    finally:
        database.use_django_as("worker")


def find(**search: object) -> list[str]:
    rows = list_events(EventSearch(**search)).rows  # type: ignore[arg-type]
    return [row.event_id for row in rows]


def store_many(world: World, endpoint: Endpoint, count: int, prefix: str = "e") -> None:
    for number in range(count):
        world.store(endpoint, event_id=f"{prefix}{number}", age=timedelta(minutes=number))


def test_the_newest_come_first_from_all_endpoints(
    world: World, milady: Endpoint, hsi: Endpoint
) -> None:
    for minutes, endpoint in ((3, milady), (1, hsi), (2, milady), (0, hsi)):
        world.store(endpoint, event_id=f"e{minutes}", age=timedelta(minutes=minutes))

    page = list_events(EventSearch())

    assert [row.event_id for row in page.rows] == ["e0", "e1", "e2", "e3"]
    assert [row.endpoint_key for row in page.rows] == ["hsi", "hsi", "milady", "milady"]
    assert (page.previous, page.next) == ("", "")


def test_pages_follow_each_other_without_gap_or_repeat(
    world: World, milady: Endpoint, hsi: Endpoint
) -> None:
    moment = datetime.now(UTC)
    for number in range(23):  # Five of each moment: the id decides.
        world.store(
            (milady, hsi)[number % 2],
            event_id=f"e{number}",
            received_at=moment - timedelta(seconds=number // 5),
        )
    seen, place, sizes = [], "", []
    while True:
        page = list_events(EventSearch(), place=place, limit=5)
        seen += [row.event_id for row in page.rows]
        sizes.append(len(page.rows))
        place = page.next
        if not place:
            break

    assert sizes == [5, 5, 5, 5, 3]
    assert sorted(seen) == sorted(f"e{number}" for number in range(23))
    back = list_events(EventSearch(), place=page.previous, limit=5)
    assert [row.event_id for row in back.rows] == seen[15:20]


def test_a_made_up_place_is_refused(database: Database) -> None:
    with pytest.raises(BadPlace):
        list_events(EventSearch(), place="2026-01-01T00:00:00+00:00~nonsense")


def test_each_filter_finds_its_events(world: World, milady: Endpoint, hsi: Endpoint) -> None:
    world.store(milady, event_id="old", age=timedelta(days=3))
    world.store(
        milady,
        event_id="done",
        status="applied",
        kind="course.completed certificate.issued",
        match_external_id="enr-7",
    )
    world.store(hsi, event_id="odd", status="needs_attention", match_external_id="enr-7")
    world.store(hsi, event_id="done", status="ignored", kind="progress.updated")
    yesterday = datetime.now(UTC) - timedelta(days=1)

    assert find(endpoint="hsi") == ["done", "odd"]
    assert find(status="needs_attention") == ["odd"]
    assert find(status="applied") == ["done"]
    assert find(status="received") == ["old"]
    assert find(status="ignored", endpoint="milady") == []
    assert find(kind="certificate.issued") == ["done"]
    assert find(kind="certificate") == []
    assert find(event_id="done") == ["done", "done"]
    assert find(event_id="done", endpoint="milady") == ["done"]
    assert find(external_id="enr-7") == ["odd", "done"]
    assert find(external_id="enr-7", status="needs_attention") == ["odd"]
    assert find(until=yesterday) == ["old"]
    assert find(since=yesterday, endpoint="milady") == ["done"]
    assert find(organization_id=world.charlie) == []
    assert find(organization_id=world.alice, event_id="odd") == ["odd"]
    assert find(event_id="' or true --") == []


@pytest.mark.parametrize("count", [1, 3])
def test_a_page_is_one_query(world: World, milady: Endpoint, count: int) -> None:
    store_many(world, milady, count)
    with CaptureQueriesContext(connection) as queries:
        assert len(list_events(EventSearch()).rows) == count
    assert len(queries) == 1


def test_staff_see_their_own_and_nothing_of_charlie_s(
    world: World, milady: Endpoint, charlie_s: Endpoint, database: Database
) -> None:
    mine = world.store(milady, event_id="mine", status="needs_attention")
    foreign = world.store(charlie_s, event_id="foreign", status="needs_attention")

    with page_of(database, world.alice):
        assert find() == find(status="needs_attention") == ["mine"]
        assert find(event_id="foreign") == find(endpoint="certiport") == []
        assert get_event(mine).endpoint.key == "milady"
        with pytest.raises(WebhookEvent.DoesNotExist):
            get_event(foreign)
    with page_of(database, world.charlie):
        assert find() == ["foreign"]


def test_administrators_read_bodies_and_staff_do_not(
    world: World, milady: Endpoint, database: Database
) -> None:
    event = world.store(milady, {"result": "positive"})

    with page_of(database, world.alice, "admin"):
        assert read_body(event) == Body('{\n  "result": "positive"\n}', "json")
        with pytest.raises(LookupError):
            read_body(milady.id)
    with pytest.raises(Error), page_of(database, world.alice, "staff"):
        read_body(event)
    with pytest.raises(Error), page_of(database, world.charlie, "owner"):
        read_body(event)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"a":"\xc3\xbc"}', Body('{\n  "a": "ü"\n}', "json")),
        (b"a=1&b=2", Body("a=1&b=2", "text")),
        (b'{"a":1,"a":2}', Body('{"a":1,"a":2}', "text")),
        (b'{"a":' * 990 + b"1" + b"}" * 990, Body('{"a":' * 990 + "1" + "}" * 990, "text")),
        (b"[" * 100_000, Body("[" * 100_000, "text")),
        (b"\xff\x00\x10", Body("ff0010", "hex")),
        (b"\xff" * 33, Body("ff" * 32 + "\nff", "hex")),
        (b"", Body("", "text")),
        (None, Body("", "erased")),
    ],
)
def test_any_body_can_be_shown(body: bytes | None, shown: Body) -> None:
    assert show_body(body) == shown


def test_replayed_events_are_due_and_leave_the_attention_list(
    world: World, milady: Endpoint, database: Database
) -> None:
    person = claims(world.alice)["sub"]
    world.admin.execute(
        "insert into profiles (id, email, password) values (%s, 'alice@example.org', '')", [person]
    )
    event = world.store(milady, status="needs_attention", attempts=6)
    world.admin.execute(
        "select open_attention(%s, 'webhook_event', %s, 'cause')", [world.alice, event]
    )
    with page_of(database, world.alice):
        replay_events([event], reason="the course code was mended")

    assert world.events("status", "reason", "attempts") == [("received", "", 0)]
    assert world.rows("select resolution, resolved_by::text from attention_items") == [
        ("the course code was mended", person)
    ]
    assert [
        (each.decision, each.from_status, each.reason, str(each.actor_id))
        for each in get_event(event).decisions.all()
    ] == [("replay", "needs_attention", "the course code was mended", person)]


def test_events_can_be_left_ignored(world: World, milady: Endpoint) -> None:
    event = world.store(milady, status="needs_attention")
    ignore_events([event], reason="a test of the partner")

    assert world.events("status", "reason", "applied_at is not null") == [
        ("ignored", "a test of the partner", True)
    ]
    with pytest.raises(Refused, match="only what needs attention"):
        ignore_events([event], reason="again")


def test_a_conflict_is_dismissed_once(world: World, ingress: Server) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    for body in (b"{}", b"{ }"):
        assert ingress.post("milady", body, sign_hex(body, "e")).status == 202
    world.tell_attention_list()
    (row,) = list_events(EventSearch()).rows
    (conflict,) = get_event(row.id).conflicts.all()
    assert row.conflicts == 1
    assert read_body(conflict.id) == Body("{}", "json")

    dismiss_conflict(conflict.id, reason="the same but for a blank")

    assert list_events(EventSearch()).rows[0].conflicts == 0
    assert world.value("select count(*) from attention_items where resolved_at is null") == 0
    with pytest.raises(NotFound):
        dismiss_conflict(conflict.id, reason="again")
