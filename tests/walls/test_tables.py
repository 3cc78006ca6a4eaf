"""Raw SQL of each role against every table: whose rows it sees, and that it writes nothing of the machine's."""

from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from tests.databases import Database, Sql
from tests.factories import World
from tests.walls.scene import Scene
from tests.walls.test_functions import set_claims

_TENANT_TABLES = """
select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attname = 'organization_id'
order by 1
"""
_TABLES = """
select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') order by 1
"""
# Tables without an organization, and what each role may do there.
OTHER_TABLES = {
    "account_emailaddress",
    "account_emailconfirmation",
    "auth_group",
    "auth_group_permissions",
    "auth_permission",
    "django_cache",
    "django_content_type",
    "django_migrations",
    "django_session",
    "installation",
    "mfa_authenticator",
    "organizations",
    "outgoing_mails",
    "pgqueuer",
    "pgqueuer_log",
    "pgqueuer_schedules",
    "pgqueuer_statistics",
    "profiles",
}
# Of a learner's own organization a student reads the catalog, and of other tables only his or her own rows.
CATALOG = {
    "partner_lms_courses",
    "partner_lms_providers",
    "program_partner_lms",
    "program_versions",
    "programs",
}
ADMINISTRATORS_ONLY = {"sensitive_results"}
MACHINES = (
    *("enrollments", "enrollment_requirements", "enrollment_steps", "step_events", "intents"),
    *("partner_accounts", "partner_lms_enrollments", "partner_certificates", "sensitive_results"),
    "credentials",
)
# Rights to write that are not the machine's, by role: nothing of a state is among them.
WRITES = {
    "web": {
        "django_cache": "delete insert update",
        "django_session": "delete insert update",
        "mfa_authenticator": "delete insert update",
        "profiles": "update(last_login,name,password)",
    },
    "ingress": {},
    "readonly": {},
}


@pytest.fixture
def tables(world: World) -> list[str]:
    return world.column(_TENANT_TABLES)


@pytest.mark.every_postgres
def test_every_table_is_behind_a_wall_or_listed(sql: Sql) -> None:
    tenant = {name for (name,) in sql.rows(_TENANT_TABLES)}
    assert {name for (name,) in sql.rows(_TABLES)} - tenant == OTHER_TABLES
    unprotected = sql.rows(
        "select relname from pg_class where relname = any (%s) and not (relrowsecurity and relforcerowsecurity)",
        [[*tenant, "organizations", "profiles"]],
    )
    assert unprotected == []


def test_the_scene_has_rows_of_both_in_every_table(
    world: World, scene: Scene, tables: list[str]
) -> None:
    """So that what follows says something; who adds a table adds rows to the scene."""
    both = {scene.alices.organization.id, scene.charlies.organization.id}
    for table in tables:
        found = set(world.column(f"select organization_id from {table}"))
        assert found >= both, table


def see(connection: psycopg.Connection[Any], table: str) -> set[UUID] | str:
    """The organizations whose rows show, or the state of the refusal."""
    try:
        with connection.transaction():
            rows = connection.execute(f"select distinct organization_id from {table}".encode())
            return {organization for (organization,) in rows}
    except psycopg.Error as error:
        return str(error.sqlstate)


@pytest.mark.parametrize("role", ["web", "readonly"])
def test_staff_see_their_organization_only(
    database: Database, scene: Scene, tables: list[str], role: str
) -> None:
    seen = {}
    with database.connect(role, autocommit=False) as connection:
        for who in ("Alice", "Bob", "Charlie"):
            set_claims(connection, scene.claims[who])
            own = scene.charlies if who == "Charlie" else scene.alices
            for table in tables:
                expected: set[UUID] | str = {own.organization.id}
                if table in ADMINISTRATORS_ONLY and role == "readonly":
                    expected = "42501"
                elif table in ADMINISTRATORS_ONLY and who == "Bob":
                    expected = set()
                found = see(connection, table)
                if found != expected:
                    seen[who, table] = found
    assert seen == {}


def test_students_see_their_own_rows_and_the_catalog(
    database: Database, scene: Scene, tables: list[str]
) -> None:
    school = scene.alices
    wrong = {}
    with database.connect("web", autocommit=False) as web:
        set_claims(web, scene.claims["Ada"])
        seen = {table: see(web, table) for table in tables}
        for table, found in seen.items():
            if table in CATALOG:
                expected: set[UUID] = {school.organization.id}
            elif found:
                expected = {school.organization.id}
                learner = "id" if table == "learners" else "learner_id"
                rows = web.execute(f"select distinct {learner} from {table}".encode()).fetchall()
                if rows != [(school.ada.id,)]:
                    wrong[table] = rows
            else:
                expected = set()
            if found != expected:
                wrong[table] = found  # type: ignore[assignment]
    assert wrong == {}
    assert {table for table, found in seen.items() if found} - CATALOG == {
        "enrollment_steps",
        "enrollments",
        "learners",
        "partner_accounts",
        "partner_certificates",
        "partner_lms_enrollments",
    }


def test_a_query_without_identity_raises(
    database: Database, scene: Scene, tables: list[str]
) -> None:
    for role in ("web", "readonly"):
        with database.connect(role, autocommit=False) as connection:
            for table in [*tables, "organizations"]:
                with (
                    pytest.raises(
                        errors.InsufficientPrivilege, match=r"no identity|permission denied"
                    ),
                    connection.transaction(),
                ):
                    connection.execute(f"select from {table}".encode()).fetchall()


def test_an_identity_ends_with_its_transaction(database: Database, scene: Scene) -> None:
    with database.connect("web", autocommit=False) as web:
        set_claims(web, scene.claims["Alice"])
        assert web.execute("select count(*) from learners").fetchone() == (2,)
        web.commit()
        with pytest.raises(errors.InsufficientPrivilege, match="no identity"):
            web.execute("select count(*) from learners")


@pytest.mark.parametrize(
    "claims",
    [
        '{"sub": null}',
        '{"org_role": "owner"}',
        '{"organization_id": "%(a)s"}',
        '{"organization_id": "%(a)s", "org_role": "partner"}',
        '{"organization_id": "%(a)s", "org_role": "learner"}',
    ],
)
def test_an_identity_without_a_role_sees_nothing(
    database: Database, scene: Scene, tables: list[str], claims: str
) -> None:
    text = claims % {"a": scene.alices.organization.id}
    with database.connect("web", autocommit=False) as web:
        web.execute("select set_config('request.jwt.claims', %s, true)", [text])
        assert {table: see(web, table) for table in tables} == {table: set() for table in tables}


@pytest.mark.parametrize(
    "claims", ["no json", "[]", '{"organization_id": "x", "org_role": "owner"}']
)
def test_an_identity_that_cannot_be_read_raises_or_sees_nothing(
    database: Database, scene: Scene, claims: str
) -> None:
    with database.connect("web", autocommit=False) as web:
        web.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        assert see(web, "learners") in ("22P02", set())


def test_the_service_role_sees_all(database: Database, scene: Scene, tables: list[str]) -> None:
    both = {scene.alices.organization.id, scene.charlies.organization.id}
    with database.connect("worker") as worker:
        for table in tables:
            found = see(worker, table)
            assert isinstance(found, set), table
            assert found >= both, table


def test_not_even_the_owner_deletes_what_is_the_machines(database: Database, scene: Scene) -> None:
    with database.connect("owner", autocommit=False) as owner:
        for table in MACHINES:
            for statement in (f"delete from {table}", f"truncate {table} cascade"):
                with pytest.raises(errors.InsufficientPrivilege), owner.transaction():
                    owner.execute(statement.encode())


@pytest.mark.parametrize("role", ["web", "readonly", "ingress"])
def test_others_write_in_no_table_of_an_organization(
    database: Database, scene: Scene, tables: list[str], role: str
) -> None:
    with database.connect(role, autocommit=False) as connection:
        connection.execute("set transaction read write")
        set_claims(connection, scene.claims["Alice"])
        for table in tables:
            for statement in (
                f"insert into {table} (organization_id) values ('{scene.alices.organization.id}')",
                f"update {table} set organization_id = organization_id",
                f"delete from {table}",
                f"truncate {table} cascade",
            ):
                with pytest.raises(errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(statement.encode())


def test_what_the_roles_may_write_elsewhere_is_listed(sql: Sql) -> None:
    rows = sql.rows(
        """
        select role, c.relname, string_agg(distinct lower(privilege), ' ' order by lower(privilege))
        from unnest(array['web', 'readonly', 'ingress']) as role,
             unnest(array['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) as privilege, pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
          and has_table_privilege('handrail_' || role, c.oid, privilege) group by 1, 2
        union all
        select role, c.relname, 'update(' || string_agg(a.attname, ',' order by a.attname) || ')'
        from unnest(array['web', 'readonly', 'ingress']) as role, pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and a.attnum > 0
          and has_column_privilege('handrail_' || role, c.oid, a.attnum, 'UPDATE')
          and not has_table_privilege('handrail_' || role, c.oid, 'UPDATE') group by 1, 2
        """
    )
    assert {
        role: {table: rights for each, table, rights in rows if each == role} for role in WRITES
    } == WRITES


def test_the_worker_writes_no_state(database: Database, scene: Scene) -> None:
    """The service role works through the machine too: it cannot write its tables by itself."""
    with database.connect("worker", autocommit=False) as worker:
        for table in (*MACHINES, "credential_documents"):
            for statement in (
                f"insert into {table} (organization_id) values ('{scene.alices.organization.id}')",
                f"update {table} set organization_id = organization_id",
                f"delete from {table}",
                f"truncate {table} cascade",
            ):
                with pytest.raises(errors.InsufficientPrivilege), worker.transaction():
                    worker.execute(statement.encode())


def test_the_worker_makes_learners_and_says_of_none_whose_profile_it_is(
    database: Database, scene: Scene
) -> None:
    plain = {"organization_id": scene.alices.organization.id, "first_name": "Eve"}
    plain |= {"email": "eve@example.org", "email_normalized": "eve@example.org"}
    for values, is_allowed in (
        (plain, True),
        ({**plain, "profile_id": scene.alices.ada_profile}, False),
        ({**plain, "id": scene.alices.organization.id}, False),
    ):
        names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
        insert = f"insert into learners ({names}) values ({marks})".encode()
        with database.connect("worker", autocommit=False) as worker:
            if is_allowed:
                assert worker.execute(insert, list(values.values())).rowcount == 1
            else:
                with pytest.raises(errors.InsufficientPrivilege):
                    worker.execute(insert, list(values.values()))
            worker.rollback()


def test_the_ingress_reads_keys_and_secrets_of_endpoints_and_nothing_else(
    database: Database, scene: Scene
) -> None:
    with database.connect("ingress") as ingress:
        row = ingress.execute("select key, scheme, secret from webhook_endpoints").fetchone()
        assert row is not None
        readable = {
            table
            for (table,) in ingress.execute(_TABLES.encode()).fetchall()
            if see_anything(ingress, table)
        }
    assert readable == {"django_migrations", "installation", "webhook_endpoints"}


def see_anything(connection: psycopg.Connection[Any], table: str) -> bool:
    found = connection.execute(
        "select has_any_column_privilege(%s::regclass, 'select')", [table]
    ).fetchone()
    return found == (True,)


def test_secrets_are_not_for_browsers_nor_reports(database: Database, scene: Scene) -> None:
    for role in ("web", "readonly"):
        with database.connect(role, autocommit=False) as connection:
            set_claims(connection, scene.claims["Alice"])
            for question in (
                "select secret from webhook_endpoints",
                "select previous_secret from webhook_endpoints",
                "select body from webhook_events",
                "select body from webhook_event_conflicts",
            ):
                with pytest.raises(errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(question.encode())
    with database.connect("readonly", autocommit=False) as reports:
        set_claims(reports, scene.claims["Alice"])
        with pytest.raises(errors.InsufficientPrivilege):
            reports.execute("select credentials from partner_lms_providers")


def test_a_profile_is_seen_by_oneself_and_cannot_be_raised(
    database: Database, scene: Scene
) -> None:
    with database.connect("web", autocommit=False) as web:
        set_claims(web, scene.claims["Ada"])
        rows = web.execute("select id from profiles").fetchall()
        assert rows == [(scene.alices.ada_profile,)]
        for statement in (
            "update profiles set is_super_admin = true",
            "update profiles set email = 'alice@example.org'",
            "update profiles set is_active = true",
            "insert into profiles (email, password) values ('x@example.org', '!')",
            "delete from profiles",
        ):
            with pytest.raises(errors.InsufficientPrivilege), web.transaction():
                web.execute(statement.encode())
        assert web.execute("update profiles set name = 'Ada'").rowcount == 1


def test_nobody_writes_where_functions_are_looked_for(database: Database, scene: Scene) -> None:
    for role in ("web", "worker", "ingress", "readonly"):
        with database.connect(role, autocommit=False) as connection:
            connection.execute("set transaction read write")
            set_claims(connection, scene.claims["Alice"])
            for statement in (
                "create function public.claims() returns jsonb language sql as 'select ''{}''::jsonb'",
                "create temp table learners (id uuid)",
                "create schema mine",
                "alter table learners disable row level security",
                "drop policy staff_see_their_organization on learners",
                "set session_replication_role = replica",
                "set row_security = off; select * from learners",
            ):
                with pytest.raises(psycopg.Error), connection.transaction():
                    connection.execute(statement.encode())
