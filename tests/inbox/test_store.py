"""Group commit: one bad neighbor, two writers, locks held by others."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from handrail.inbox.connection import RETRY_SECONDS
from tests.databases import Database
from tests.inbox.conftest import Serve
from tests.inbox.server import DatabaseProxy, Server
from tests.inbox.test_ingress import wait_until
from tests.inbox.world import World, sign_hex

BODY = b'{"event":"course.completed"}'


@pytest.fixture
def refusing(world: World) -> None:
    """A database that refuses the event with the id `bad`."""
    world.admin.execute("""
        create function refuse_bad() returns trigger language plpgsql as $$
        begin
          if new.event_id = 'bad' then
            raise exception 'no such thing' using errcode = 'check_violation';
          end if;
          return new;
        end $$""")
    world.admin.execute(
        "create trigger refuse_bad before insert on webhook_events"
        " for each row execute function refuse_bad()"
    )


@pytest.fixture
def clean_up(world: World) -> Iterator[None]:
    yield
    world.admin.execute("drop trigger if exists refuse_bad on webhook_events")
    world.admin.execute("drop function if exists refuse_bad")


@pytest.mark.usefixtures("clean_up", "refusing")
def test_one_message_that_the_database_refuses_does_not_stop_its_neighbors(
    world: World,
    serve: Serve,
    proxy: DatabaseProxy,
    proxied: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    ingress = serve(dsn=proxied)
    ingress.post("milady", BODY, sign_hex(BODY, "first"))
    proxy.stall()  # So that all the following come into one batch.
    ids = ["one", "two", "bad", "three", "four"]
    with ThreadPoolExecutor(6) as pool:
        futures = []
        for event_id in ["opener", *ids]:
            futures.append(pool.submit(ingress.post, "milady", BODY, sign_hex(BODY, event_id)))
            time.sleep(0.05)
        proxy.flow()
        answers = [future.result() for future in futures]

    assert [answer.status for answer in answers] == [202, 202, 202, 503, 202, 202]
    assert answers[3].headers["retry-after"] == "60"
    assert "a batch of 5 messages failed: CheckViolation" in caplog.text
    assert "the database refuses a message" in caplog.text
    stored = {event_id for (event_id,) in world.events("event_id")}
    assert stored == {"first", "opener", "one", "two", "three", "four"}


def test_messages_that_arrive_together_are_one_transaction(
    world: World, serve: Serve, proxy: DatabaseProxy, proxied: str
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    ingress = serve(dsn=proxied)
    ingress.post("milady", BODY, sign_hex(BODY, "first"))
    proxy.stall()
    with ThreadPoolExecutor(30) as pool:
        futures = []
        for number in range(30):
            headers = sign_hex(BODY, f"{number:02}")
            futures.append(pool.submit(ingress.post, "milady", BODY, headers))
            time.sleep(0.01)
        time.sleep(0.2)
        proxy.flow()
        assert {future.result().status for future in futures} == {202}

    batches = world.rows(
        "select count(*), array_agg(event_id order by received_at) from webhook_events"
        " group by xmin::text order by min(received_at)"
    )
    assert [size for size, _ in batches] == [1, 1, 29]
    assert batches[2][1] == [f"{number:02}" for number in range(1, 30)]


def test_a_batch_that_is_larger_than_the_socket_takes_at_once(
    world: World, serve: Serve, proxy: DatabaseProxy, proxied: str
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    ingress = serve(dsn=proxied)
    ingress.post("milady", BODY, sign_hex(BODY, "first"))
    proxy.stall()
    bodies = [b"%d" % number * 1_000_000 for number in range(10)]
    with ThreadPoolExecutor(11) as pool:
        futures = [pool.submit(ingress.post, "milady", BODY, sign_hex(BODY, "opener"))]
        time.sleep(0.1)
        futures += [pool.submit(ingress.post, "milady", body, sign_hex(body)) for body in bodies]
        time.sleep(0.5)
        proxy.flow()
        assert {future.result().status for future in futures} == {202}

    assert {body for (body,) in world.events("body")} == {BODY, *bodies}


def test_a_connection_that_was_lost_while_idle_is_not_noticed_by_a_sender(
    world: World, ingress: Server
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    for number in range(3):
        body = b"%d" % number
        assert ingress.post("milady", body, sign_hex(body)).status == 202
        world.admin.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where usename = 'handrail_ingress'"
        )
        time.sleep(RETRY_SECONDS)

    assert world.events("body") == [(b"0",), (b"1",), (b"2",)]


def test_a_connection_that_is_lost_in_the_middle_of_a_batch_is_made_again(
    world: World, ingress: Server, database: Database
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    ingress.post("milady", BODY, sign_hex(BODY, "first"))
    time.sleep(RETRY_SECONDS)
    with database.connect("superuser", autocommit=False) as other:
        # The same id in another transaction: the batch waits for its end.
        other.execute(
            "insert into webhook_events (endpoint_id, event_id, digest)"
            " select id, 'second', '' from webhook_endpoints"
        )
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(ingress.post, "milady", BODY, sign_hex(BODY, "second"))
            time.sleep(0.3)
            world.admin.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                " where usename = 'handrail_ingress' and wait_event_type = 'Lock'"
            )
            other.rollback()
            assert future.result().status == 202

    assert world.events("event_id") == [("first",), ("second",)]


def test_a_lock_on_organization_and_endpoint_holds_up_no_message(
    world: World, ingress: Server, database: Database
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    ingress.post("milady", BODY, sign_hex(BODY, "first"))
    with database.connect("superuser", autocommit=False) as other:
        other.execute("select from organizations for update")
        other.execute("select from webhook_endpoints for update")
        other.execute("select from partner_lms_providers for update")
        began = time.monotonic()

        assert ingress.post("milady", BODY, sign_hex(BODY, "second")).status == 202
        assert ingress.post("milady", BODY, sign_hex(BODY, "second")).status == 200
        assert ingress.post("milady", BODY, {}).status == 401
        assert ingress.post("milady", b"{}", sign_hex(b"{}", "second")).status == 202
        assert time.monotonic() - began < 1
        time.sleep(1.2)
        assert ingress.post("milady", BODY, sign_hex(BODY, "third")).status == 202
        assert world.value("select refused_count from webhook_endpoints") == 0
        other.rollback()

    deadline = time.monotonic() + 5
    while world.rows("select refused_count, repeated_count from webhook_endpoints") != [(1, 1)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_was_counted_is_written_when_the_ingress_stops(
    world: World, database: Database
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    with Server(database.dsn("ingress")) as ingress:
        for _ in range(7):
            assert ingress.post("milady", BODY, {}).status == 401

    assert world.value("select refused_count from webhook_endpoints") == 7


def test_what_was_counted_while_the_database_was_away_is_written_when_it_is_back(
    world: World, serve: Serve, proxy: DatabaseProxy, proxied: str, caplog: pytest.LogCaptureFixture
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    ingress = serve(dsn=proxied)
    for _ in range(3):
        assert ingress.post("milady", BODY, {}).status == 401
    proxy.cut()
    wait_until(lambda: "refused messages could not be counted" in caplog.text)
    assert world.value("select refused_count from webhook_endpoints") == 0
    proxy.open()

    wait_until(lambda: world.value("select refused_count from webhook_endpoints") == 3)


def test_a_refused_flood_writes_once_a_second_and_opens_one_item(
    world: World, ingress: Server
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    with ThreadPoolExecutor(16) as pool:
        statuses = set(pool.map(lambda _: ingress.post("milady", BODY, {}).status, range(300)))
    assert statuses == {401}
    deadline = time.monotonic() + 5
    while world.value("select refused_count from webhook_endpoints") != 300:
        assert time.monotonic() < deadline
        time.sleep(0.05)

    world.tell_attention_list()
    world.tell_attention_list()
    assert world.rows("select details ->> 'refused' from attention_items") == [("300",)]


@pytest.mark.every_postgres
def test_the_function_tells_what_became_of_each_message(world: World, database: Database) -> None:
    endpoint = world.make_endpoint()
    unknown = UUID("01900000-0000-7000-8000-000000000000")
    world.store(endpoint, b"seen", event_id="s")
    with database.connect("ingress") as ingress:

        def store(*messages: tuple[UUID, str, bytes]) -> str:
            ids, events, bodies = zip(*messages, strict=True)
            types, times = ["text/plain"] * len(ids), [None] * len(ids)
            query = """select store_webhook_events(%s::uuid[], %s::text[], %s::bytea[], %s::text[],
                       %s::timestamptz[], '{}', '{}', '{}', '{}')"""
            row = ingress.execute(
                query, [list(ids), list(events), list(bodies), types, times]
            ).fetchone()
            assert row is not None
            return str(row[0])

        mine = endpoint.id
        assert store((mine, "z", b"1"), (mine, "a", b"2")) == "nn"
        letters = store(
            (mine, "s", b"seen"),
            (mine, "s", b"other"),
            (mine, "new", b"x"),
            (mine, "new", b"x"),
            (mine, "new", b"y"),
            (unknown, "new", b"x"),
            (mine, "z", b"1"),
        )
        assert letters == "scnscus"
        assert store((unknown, "q", b"")) == "u"

    assert world.events("event_id", "body") == [
        ("s", b"seen"),
        ("z", b"1"),
        ("a", b"2"),
        ("new", b"x"),
    ]
    assert world.rows(
        "select event_id, body from webhook_event_conflicts order by received_at"
    ) == [("s", b"other"), ("new", b"y")]
