"""After a restore: what was called since the backup is found out before it is called again."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from psycopg import sql

from handrail.enrollments.promises import check_promises
from handrail.partners.adapters.milady import adapter as milady
from handrail.partners.adapters.origin import OriginAdapter
from handrail.partners.protocol import Offers
from handrail.partners.registry import load_adapters
from tests.command_line import handrail
from tests.databases import Database, find_tables
from tests.provisioning.campus import Campus
from tests.provisioning.world import World, run_worker_here, wait_until


class Backup:
    """The rows of all tables as they are now; `restore` brings them back and holds calls."""

    def __init__(self, world: World) -> None:
        self._world = world
        with world.database.connect("superuser") as admin:
            self._tables = find_tables(admin)
            admin.execute("drop schema if exists test_backup cascade")
            admin.execute("create schema test_backup")
            for table in self._tables:
                admin.execute(f"create table test_backup.{table} as table public.{table}".encode())

    def restore(self) -> None:
        with self._world.database.connect("superuser", autocommit=False) as admin:
            admin.execute("set local session_replication_role = replica")
            for table in self._tables:
                admin.execute(f"delete from public.{table}".encode())
                columns = sql.SQL(", ").join(self._list_columns(admin, table))
                admin.execute(
                    sql.SQL(
                        "insert into public.{t} ({c}) overriding system value select {c} from test_backup.{t}"
                    ).format(t=sql.Identifier(table), c=columns)
                )
        self._world.rows("select hold_outbound()")

    def _list_columns(self, admin: Any, table: str) -> Iterator[sql.Identifier]:
        rows = admin.execute(
            "select attname from pg_attribute where attrelid = %s::regclass"
            " and attnum > 0 and not attisdropped and attgenerated = ''",
            [f"public.{table}"],
        )
        return (sql.Identifier(name) for (name,) in rows)


@pytest.fixture
def back_up(campus: Campus) -> Iterator[Callable[[], Backup]]:
    yield lambda: Backup(campus.world)
    with campus.world.database.connect("superuser") as admin:
        admin.execute("drop schema if exists test_backup cascade")


def enroll(campus: Campus, slug: str) -> Callable[[], UUID]:
    """Prepare; each call enrolls the same learner, as somebody would who does it again."""
    program = campus.world.add_program([campus.add_course(slug)])
    learner = campus.world.add_learner("Alice")
    return lambda: campus.world.enroll(program, learner)


def is_active(world: World, enrollment: UUID) -> bool:
    return bool(world.get_run(enrollment)["status"] == "active")


def work_until(world: World, done: Callable[[], object]) -> None:
    with run_worker_here("provisioning"):
        wait_until(done)


def list_made(campus: Campus, slug: str) -> list[str]:
    return [each[0] for each in campus.list_ledger(slug) if each[1] == "created"]


def test_a_call_that_was_made_after_the_backup_is_looked_up(
    campus: Campus, back_up: Callable[[], Backup]
) -> None:
    world = campus.world
    enrollment = enroll(campus, "careersafe")()
    backup = back_up()
    work_until(world, lambda: is_active(world, enrollment))
    id = world.get_run(enrollment)["external_enrollment_id"]

    backup.restore()
    assert not is_active(world, enrollment)
    assert handrail(world.database, "release-outbound").lines == [
        "Calls and mail go out again.",
        "Open calls that may have been made already: 1. Each is found out first.",
    ]
    work_until(world, lambda: is_active(world, enrollment))

    assert list_made(campus, "careersafe") == ["create_account", "enroll"]
    assert world.get_run(enrollment)["external_enrollment_id"] == id
    assert check_promises() == []


def test_a_call_that_the_backup_does_not_know_at_all_is_looked_up(
    campus: Campus, back_up: Callable[[], Backup]
) -> None:
    world = campus.world
    again = enroll(campus, "careersafe")
    backup = back_up()
    first = again()
    work_until(world, lambda: is_active(world, first))
    id = world.get_run(first)["external_enrollment_id"]

    backup.restore()
    world.rows("select release_outbound(false)")
    second = again()
    work_until(world, lambda: is_active(world, second))

    assert list_made(campus, "careersafe") == ["create_account", "enroll"]
    assert world.get_run(second)["external_enrollment_id"] == id


def test_what_was_not_made_after_the_backup_is_made(
    campus: Campus, back_up: Callable[[], Backup]
) -> None:
    world = campus.world
    enrollment = enroll(campus, "careersafe")()
    back_up().restore()
    world.rows("select release_outbound(false)")
    work_until(world, lambda: is_active(world, enrollment))

    assert list_made(campus, "careersafe") == ["create_account", "enroll"]
    assert world.list_attention() == []


@pytest.mark.parametrize("known", [True, False])
def test_where_nobody_can_tell_a_person_decides(
    campus: Campus, back_up: Callable[[], Backup], *, known: bool
) -> None:
    """NDS offers neither look-up nor key."""
    world = campus.world
    again = enroll(campus, "nds")
    backup = back_up()
    enrollment = again()
    backup = back_up() if known else backup
    work_until(world, lambda: is_active(world, enrollment))

    backup.restore()
    world.rows("select release_outbound(false)")
    enrollment = enrollment if known else again()
    work_until(world, world.list_attention)

    ((kind, words),) = world.list_attention()
    assert (kind, words) == (
        "call",
        (
            "The partner may have done it; look there. What happened: an earlier call was not answered, "
            "or is not in the backup that was restored."
        ),
    )
    assert list_made(campus, "nds") == ["create_account", "enroll"]
    # The person looked there, and vouches that it was not done: then it is made, with the next one.
    with run_worker_here("provisioning"):
        while not is_active(world, enrollment):
            wait_until(lambda: is_active(world, enrollment) or world.list_attention())
            for (intent,) in world.rows("select id from intents where status = 'needs_person'"):
                world.rows("select retry_call(%s, false, 'not there')", intent)


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A platform that honors our key and offers no look-up."""
    assert isinstance(milady, OriginAdapter)
    offers = Offers(find_account=False, find_enrollment=False, idempotency_hours=24)
    monkeypatch.setitem(
        load_adapters(), "milady", OriginAdapter(replace(milady.sheet, offers=offers))
    )


@pytest.mark.usefixtures("keyed")
def test_the_key_of_before_is_used_while_the_partner_honors_it(
    campus: Campus, back_up: Callable[[], Backup]
) -> None:
    world = campus.world
    enrollment = enroll(campus, "milady")()
    backup = back_up()
    work_until(world, lambda: world.value("select external_id from partner_accounts"))

    backup.restore()
    world.rows("select release_outbound(false)")
    work_until(world, world.list_attention)

    accounts = [each[:2] for each in campus.list_ledger("milady") if each[0] == "create_account"]
    assert accounts == [("create_account", "created"), ("create_account", "replayed")]
    # The enrollment's own key was made after the backup, and is lost: a person decides.
    assert world.list_intents()[-1]["status"] == "needs_person"
    assert not is_active(world, enrollment)


@pytest.mark.usefixtures("keyed")
def test_a_key_that_may_be_older_than_the_partner_honors_is_not_relied_on(
    campus: Campus, back_up: Callable[[], Backup]
) -> None:
    world = campus.world
    enroll(campus, "milady")()
    with world.database.connect("superuser") as admin:
        admin.execute("update intents set updated_at = now() - interval '1 day'")
    back_up().restore()
    world.rows("select release_outbound(false)")
    work_until(world, world.list_attention)

    assert campus.list_ledger("milady") == []


def test_a_call_that_was_being_made_while_the_backup_was_is_uncertain(
    campus: Campus, back_up: Callable[[], Backup]
) -> None:
    world = campus.world
    enroll(campus, "careersafe")()
    world.rows("select claim_intents(9, 3600, 16, '{}', '{}')")
    back_up().restore()

    assert world.rows("select status, uncertain, lease_until from intents") == [
        ("unknown", True, None)
    ]


def test_somebody_who_withdraws_meanwhile_is_taken_out_at_the_partner_too(
    campus: Campus, back_up: Callable[[], Backup]
) -> None:
    world = campus.world
    again = enroll(campus, "careersafe")
    earlier = again()
    work_until(world, lambda: is_active(world, earlier))
    world.rows("select withdraw_enrollment(%s, 'a pause')", earlier)
    work_until(world, lambda: world.get_run(earlier)["status"] == "cancelled")
    enrollment = again()  # the account is known, the call for the place is recorded
    backup = back_up()
    work_until(world, lambda: is_active(world, enrollment))

    backup.restore()
    world.rows("select withdraw_enrollment(%s, 'moved away')", enrollment)
    assert world.get_run(enrollment)["status"] == "cancelling"
    world.rows("select release_outbound(false)")
    work_until(world, lambda: world.get_run(enrollment)["status"] == "cancelled")

    at_partner = campus.list_enrollments("careersafe")
    assert [each["status"] for each in at_partner] == ["ended", "ended"]


def test_after_a_move_in_which_everything_stood_still_nothing_is_doubted(
    campus: Campus, back_up: Callable[[], Backup]
) -> None:
    world = campus.world
    again = enroll(campus, "nds")
    enrollment = again()
    before = world.rows("select id, status, uncertain, error, first_sent_at, details from intents")
    back_up().restore()
    assert handrail(world.database, "release-outbound", "--nothing-lost").lines == [
        "Calls and mail go out again."
    ]

    after = world.rows("select id, status, uncertain, error, first_sent_at, details from intents")
    assert after == before
    work_until(world, lambda: is_active(world, enrollment))
    assert world.list_attention() == []


def test_what_a_person_decided_while_calls_were_held_stays(
    campus: Campus, back_up: Callable[[], Backup]
) -> None:
    world = campus.world
    again = enroll(campus, "careersafe")
    campus.order_fault("careersafe", "create_account", "error_before")
    again()
    work_until(world, lambda: world.value("select calls from intents") or None)
    with world.database.connect("superuser") as admin:
        admin.execute("update intents set status = 'needs_person', uncertain = false")
    back_up().restore()
    ((intent, uncertain),) = world.rows("select id, uncertain from intents")
    assert uncertain
    world.rows("select retry_call(%s, true, 'please look')", intent)
    world.rows("select release_outbound(true)")

    assert world.rows("select status, uncertain from intents") == [("unknown", True)]


def test_after_three_days_calls_are_as_ever(database: Database, campus: Campus) -> None:
    world = campus.world
    again = enroll(campus, "nds")
    world.rows("select hold_outbound()")
    world.rows("select release_outbound(false)")
    left = world.value("select calls_doubted_until - now() from installation")
    assert 71 < left.total_seconds() / 3600 <= 72
    with database.connect("superuser") as admin:
        admin.execute("update installation set calls_doubted_until = now() - interval '1 second'")
    enrollment = again()
    work_until(world, lambda: is_active(world, enrollment))
    assert world.list_attention() == []


def test_releasing_what_is_not_held_changes_nothing(database: Database, campus: Campus) -> None:
    enroll(campus, "nds")()
    assert handrail(database, "release-outbound").out == "Nothing was held.\n"
    assert campus.world.rows("select status, uncertain from intents") == [("queued", False)]
    assert campus.world.value("select calls_doubted_until from installation") is None
