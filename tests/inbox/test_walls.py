"""Who may do what with endpoints and messages, tried with raw SQL as each role."""

from uuid import UUID

import pytest
from psycopg import errors

from tests.databases import Sql
from tests.inbox.world import Endpoint, World, claims

pytestmark = pytest.mark.every_postgres

STORE = """select store_webhook_events(%s::uuid[], %s::text[], %s::bytea[], %s::text[], %s::timestamptz[],
                                       '{}', '{}', '{}', '{}')"""
TABLES = (
    "webhook_endpoints",
    "webhook_events",
    "webhook_event_conflicts",
    "webhook_event_decisions",
)
REFUSED = (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)
RESULT = b'{"result": "positive"}'


class Walls:
    """Alice's and Charlie's organizations with an event that needs attention and a conflict each."""

    def __init__(self, world: World) -> None:
        self.world = world
        world.admin.execute(
            "insert into profiles (id, email, password) values (%s, 'alice@example.org', '')",
            [claims(world.alice)["sub"]],
        )
        self.milady = world.make_endpoint("milady")
        self.hsi = world.make_endpoint("hsi", organization=world.charlie)
        self.event = self._make(self.milady)
        self.foreign = self._make(self.hsi)
        self.conflict, self.foreign_conflict = (
            world.value(
                "insert into webhook_event_conflicts"
                " (webhook_event_id, endpoint_id, organization_id, event_id, digest, body)"
                " values (%s, %s, %s, 'e', 'd', 'other bytes') returning id",
                *(event, endpoint.id, endpoint.organization_id),
            )
            for event, endpoint in ((self.event, self.milady), (self.foreign, self.hsi))
        )

        world.admin.execute(
            "insert into webhook_event_decisions"
            " (webhook_event_id, organization_id, decision, from_status, from_reason, reason)"
            " values (%s, %s, 'replay', 'needs_attention', '', 'tried again')",
            [self.event, world.alice],
        )

    def _make(self, endpoint: Endpoint) -> UUID:
        return self.world.store(endpoint, RESULT, event_id="e", status="needs_attention")


@pytest.fixture
def walls(sql: Sql) -> Walls:
    return Walls(World(sql.connection, ""))


def test_the_ingress_reads_endpoints_and_nothing_else(sql: Sql, walls: Walls) -> None:
    with sql.as_role("ingress"):
        assert (
            len(sql.rows("select id, key, scheme, secret, previous_secret from webhook_endpoints"))
            == 2
        )
        tables = sql.rows("select tablename from pg_tables where schemaname = 'public'")
        readable = []
        for (table,) in tables:
            try:
                with sql.savepoint():
                    sql.execute(f"select * from {table} limit 1")
                readable.append(table)
            except errors.InsufficientPrivilege:
                continue
        assert set(readable) <= {"installation", "django_migrations"}
        assert len(tables) > 20
        for column in ("organization_id", "provider_id", "refused_count"):
            with pytest.raises(errors.InsufficientPrivilege), sql.savepoint():
                sql.execute(f"select {column} from webhook_endpoints")


def test_the_ingress_writes_nothing_by_itself(sql: Sql, walls: Walls) -> None:
    with sql.as_role("ingress"):
        for table in TABLES:
            for statement in (f"insert into {table} default values", f"delete from {table}",
                              f"truncate {table}", f"update {table} set id = id"):  # fmt: skip
                with pytest.raises(errors.InsufficientPrivilege), sql.savepoint():
                    sql.execute(statement)


def test_the_ingress_calls_no_function_of_ours_but_one(sql: Sql, walls: Walls) -> None:
    allowed = sql.rows("""
        select p.proname from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prosecdef
          and has_function_privilege('handrail_ingress', p.oid, 'execute')""")

    assert allowed == [("store_webhook_events",)]


def test_the_ingress_does_not_see_an_archived_endpoint(sql: Sql, walls: Walls) -> None:
    sql.execute("update webhook_endpoints set archived_at = now() where key = 'hsi'")
    with sql.as_role("ingress"):
        assert sql.rows("select key from webhook_endpoints") == [("milady",)]


def test_an_event_gets_the_organization_of_its_endpoint(sql: Sql, walls: Walls) -> None:
    with sql.as_role("ingress"):
        sql.execute(STORE, [[walls.hsi.id], ["x"], [b"{}"], [""], [None]])

    assert sql.rows(
        "select organization_id, provider_id from webhook_events where event_id = 'x'"
    ) == [(walls.world.charlie, walls.hsi.provider_id)]


@pytest.mark.parametrize("role", ["web", "worker", "readonly"])
def test_nobody_else_stores_messages(sql: Sql, walls: Walls, role: str) -> None:
    with sql.as_role(role, claims(walls.world.alice, "owner")):
        with pytest.raises(errors.InsufficientPrivilege), sql.savepoint():
            sql.execute(STORE, [[walls.hsi.id], ["x"], [b"{}"], [""], [None]])
        with pytest.raises(REFUSED), sql.savepoint():
            sql.execute(
                "insert into webhook_events (endpoint_id, event_id, digest) values (%s, 'x', '')",
                [walls.hsi.id],
            )


@pytest.mark.parametrize("role", ["staff", "admin", "owner"])
def test_staff_see_what_belongs_to_their_organization(sql: Sql, walls: Walls, role: str) -> None:
    with sql.as_role("web", claims(walls.world.alice, role)):
        assert sql.rows("select id from webhook_events") == [(walls.event,)]
        assert sql.rows("select id from webhook_event_conflicts") == [(walls.conflict,)]
        assert sql.rows("select key from webhook_endpoints") == [("milady",)]
    with sql.as_role("web", claims(walls.world.charlie, role)):
        assert sql.rows("select id from webhook_events") == [(walls.foreign,)]


def test_a_student_and_a_partner_see_nothing(sql: Sql, walls: Walls) -> None:
    for person in ({"sub": claims(walls.world.alice)["sub"]}, claims(walls.world.alice, "partner")):
        with sql.as_role("web", person):
            for table in TABLES:
                assert sql.rows(f"select id from {table}") == []


def test_without_claims_a_query_raises(sql: Sql, walls: Walls) -> None:
    for table in TABLES:
        with pytest.raises(errors.InsufficientPrivilege, match="no identity"), sql.as_role("web"):
            sql.rows(f"select id from {table}")


def test_events_without_an_organization_are_the_service_s(sql: Sql, walls: Walls) -> None:
    sql.execute("update webhook_events set organization_id = null")
    with sql.as_role("web", claims(walls.world.alice, "owner")):
        assert sql.rows("select id from webhook_events") == []
    with sql.as_role("worker"):
        assert len(sql.rows("select id from webhook_events")) == 2


@pytest.mark.parametrize("role", ["web", "readonly"])
def test_no_page_gets_near_a_secret_or_a_body(sql: Sql, walls: Walls, role: str) -> None:
    with sql.as_role(role, claims(walls.world.alice, "owner")):
        for column, table in (
            ("secret", "webhook_endpoints"),
            ("previous_secret", "webhook_endpoints"),
            ("*", "webhook_endpoints"),
            ("body", "webhook_events"),
            ("*", "webhook_events"),
            ("body", "webhook_event_conflicts"),
        ):
            with pytest.raises(errors.InsufficientPrivilege), sql.savepoint():
                sql.rows(f"select {column} from {table}")


@pytest.mark.parametrize("role", ["web", "readonly"])
def test_pages_change_nothing_by_themselves(sql: Sql, walls: Walls, role: str) -> None:
    with sql.as_role(role, claims(walls.world.alice, "owner")):
        for table in TABLES:
            for statement in (f"update {table} set id = id", f"delete from {table}"):
                with pytest.raises(REFUSED), sql.savepoint():
                    sql.execute(statement)


def test_not_even_the_service_deletes(sql: Sql, walls: Walls) -> None:
    with sql.as_role("worker"):
        for table in TABLES:
            for statement in (f"delete from {table}", f"truncate {table}"):
                with pytest.raises(errors.InsufficientPrivilege), sql.savepoint():
                    sql.execute(statement)


def test_a_body_is_read_by_administrators_of_its_organization(sql: Sql, walls: Walls) -> None:
    for role in ("admin", "owner"):
        with sql.as_role("web", claims(walls.world.alice, role)):
            assert sql.rows("select read_webhook_body(%s)", [walls.event]) == [(RESULT,)]
            assert sql.rows("select read_webhook_body(%s)", [walls.conflict]) == [(b"other bytes",)]
            assert sql.rows("select read_webhook_body(%s)", [walls.milady.id]) == []
    with sql.as_role("worker"):
        assert sql.rows("select read_webhook_body(%s)", [walls.foreign]) == [(RESULT,)]


FOREIGN = [
    ("select read_webhook_body(%(event)s)", "staff"),
    ("select read_webhook_body(%(foreign)s)", "owner"),
    ("select read_webhook_body(%(foreign_conflict)s)", "owner"),
    ("select decide_webhook_events(array[%(foreign)s::uuid], 'replay', 'r')", "owner"),
    ("select decide_webhook_events(array[%(event)s, %(foreign)s]::uuid[], 'ignore', 'r')", "owner"),
    ("select decide_webhook_events(array[%(event)s::uuid], 'replay', 'r')", "partner"),
    ("select dismiss_webhook_conflict(%(foreign_conflict)s, 'r')", "owner"),
    ("select dismiss_webhook_conflict(%(conflict)s, 'r')", "partner"),
    ("select wake_waiting_events(%(provider)s, array['enr-1'])", "owner"),
    ("select tell_about_webhooks()", "owner"),
]


@pytest.mark.parametrize(("call", "role"), FOREIGN)
def test_functions_refuse_a_foreign_id_and_a_wrong_role(
    sql: Sql, walls: Walls, call: str, role: str
) -> None:
    ids = {
        "event": walls.event,
        "foreign": walls.foreign,
        "conflict": walls.conflict,
        "foreign_conflict": walls.foreign_conflict,
        "provider": walls.milady.provider_id,
    }
    for person in (claims(walls.world.alice, role), None):
        with pytest.raises(errors.InsufficientPrivilege), sql.as_role("web", person):
            sql.execute(call, ids)
    assert sql.rows("select distinct status from webhook_events") == [("needs_attention",)]
    assert sql.rows("select distinct dismissed_at from webhook_event_conflicts") == [(None,)]


def test_replay_records_who_and_why(sql: Sql, walls: Walls) -> None:
    person = claims(walls.world.alice)
    with sql.as_role("web", person):
        sql.execute("select decide_webhook_events(%s, 'replay', 'mended')", [[walls.event]])
        columns = "webhook_event_id, decision, from_status, from_reason, reason, actor_id::text"
        mended = f"select {columns} from webhook_event_decisions where reason = 'mended'"
        assert sql.rows(mended) == [
            (walls.event, "replay", "needs_attention", "because", "mended", person["sub"])
        ]
        assert sql.rows("select status, reason, attempts from webhook_events") == [
            ("received", "", 0)
        ]


@pytest.mark.parametrize("status", ["received", "waiting", "applied"])
def test_only_what_is_unsettled_is_decided_about(sql: Sql, walls: Walls, status: str) -> None:
    sql.execute("update webhook_events set status = %s, reason = 'r'", [status])
    with sql.as_role("worker"):
        for decision in ("replay", "ignore"):
            with pytest.raises(errors.CheckViolation), sql.savepoint():
                sql.execute("select decide_webhook_events(%s, %s, 'r')", [[walls.event], decision])


def test_what_was_ignored_can_be_replayed_but_not_what_was_erased(sql: Sql, walls: Walls) -> None:
    sql.execute("update webhook_events set status = 'ignored'")
    sql.execute("update webhook_events set body = null where id = %s", [walls.foreign])
    with sql.as_role("worker"):
        sql.execute("select decide_webhook_events(%s, 'replay', 'r')", [[walls.event]])
        with pytest.raises(errors.CheckViolation, match="cannot be replayed"), sql.savepoint():
            sql.execute("select decide_webhook_events(%s, 'replay', 'r')", [[walls.foreign]])
        with pytest.raises(errors.NoDataFound), sql.savepoint():
            sql.execute("select decide_webhook_events(%s, 'replay', 'r')", [[walls.milady.id]])
        with pytest.raises(errors.CheckViolation), sql.savepoint():
            sql.execute("select decide_webhook_events(%s, 'ignore', ' ')", [[walls.foreign]])


def test_an_endpoint_says_what_it_is(sql: Sql, walls: Walls) -> None:
    for statement in (
        "update webhook_endpoints set kind = 'other'",
        "update webhook_endpoints set kind = 'stripe'",
        "update webhook_endpoints set provider_id = null",
        "update webhook_endpoints set organization_id = null",
        "update webhook_endpoints set previous_secret = 'x'",
        "update webhook_endpoints set key = 'A/b' where key = 'hsi'",
        "update webhook_events set status = 'done'",
        "update webhook_events set status = 'ignored', reason = ''",
        "update webhook_events set event_id = ''",
    ):
        with pytest.raises(errors.CheckViolation), sql.savepoint():
            sql.execute(statement)
    with pytest.raises(errors.ForeignKeyViolation), sql.savepoint():
        sql.execute(
            "update webhook_endpoints set organization_id = %s where key = 'hsi'",
            [walls.world.alice],
        )


HOT = [
    (
        "webhook_events_due",
        """select id from webhook_events where status = 'received' and next_attempt_at <= now()
           order by next_attempt_at, received_at, id limit 500""",
    ),
    (
        "webhook_events_match",
        """update webhook_events set reason = 'x'
           where provider_id = %(provider)s and match_external_id = any (array['enr-1', 'enr-2'])
             and status = 'waiting'""",
    ),
    (
        "webhook_events_list",
        """select id from webhook_events where endpoint_id = %(endpoint)s
           order by received_at desc, id desc limit 50""",
    ),
    (
        "webhook_events_rare",
        """select id from webhook_events where organization_id = %(organization)s and status = 'waiting'
           order by received_at desc, id desc limit 50""",
    ),
]


@pytest.mark.parametrize(("index", "query"), HOT)
def test_frequent_queries_use_their_index(sql: Sql, walls: Walls, index: str, query: str) -> None:
    values = {
        "provider": walls.milady.provider_id,
        "endpoint": walls.milady.id,
        "organization": walls.world.alice,
    }
    sql.execute(
        """insert into webhook_events (endpoint_id, organization_id, provider_id, event_id, digest, status, reason,
                                       match_external_id, received_at)
           select %(endpoint)s, %(organization)s, %(provider)s, 'n-' || n, '',
                  case when n %% 100 = 0 then 'waiting' else 'applied' end, 'r', 'enr-' || n,
                  now() - n * interval '1 second'
           from generate_series(1, 20000) as n""",
        values,
    )
    sql.execute("analyze webhook_events")

    plan = "\n".join(line for (line,) in sql.rows(f"explain {query}", values))

    assert f" {index} " in plan, plan
    assert "Sort" not in plan, plan
