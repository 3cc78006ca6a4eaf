"""Making the database: roles, ownership, rights, migrations; and the check each process makes.

Works on the embedded server and on any PostgreSQL 16 or later.
"""

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import psycopg
from django.core.management import call_command
from django.db import OperationalError as DjangoOperationalError
from django.db import connection as django_connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor
from psycopg import sql
from psycopg.conninfo import make_conninfo

from handrail.config.environment import DatabaseRole, Environment
from handrail.config.errors import DatabaseError

Connection = psycopg.Connection[tuple[Any, ...]]
MOST_NAMED = 3
MIGRATION_LOCK = 4_727_110  # any number, the same in every process


def setup_database(
    admin_dsn: str, passwords: Mapping[DatabaseRole, str], *, name: str = "handrail"
) -> None:
    """Create the roles with these passwords, and the database `name` with its rights.

    A repeat changes nothing but the passwords. `admin_dsn` is a superuser's, or that of somebody
    who may create roles and databases.

    Raises:
        DatabaseError: the server is too old, or a role has rights that it must not have.
    """
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        if admin.info.server_version < 160000:
            raise DatabaseError(["The server is older than PostgreSQL 16. Use a newer one."])
        _run_script(admin, "roles.sql")
        for role, password in passwords.items():
            _set_password(admin, role.login, password)
        _create_database(admin, name)
        problems = [
            f"The role {login} has the attribute {attribute}. Take it away: "
            f"ALTER ROLE {login} NO{attribute}"
            for login, attribute in admin.execute(_FORBIDDEN_ATTRIBUTES)
        ]
    if problems:
        raise DatabaseError(problems)
    with psycopg.connect(make_conninfo(admin_dsn, dbname=name), autocommit=True) as admin:
        _run_script(admin, "database.sql")


def migrate_database(*, verbosity: int = 0) -> None:
    """Apply Django's migrations, connected as the owner (`HANDRAIL_PROCESS_ROLE=owner`).

    Two of them at once wait for each other. The machine may create functions only meanwhile.
    """
    with django_connection.cursor() as cursor:
        cursor.execute("select pg_advisory_lock(%s)", [MIGRATION_LOCK])
        cursor.execute("grant create on schema public to handrail_machine")
        try:
            call_command("migrate", interactive=False, verbosity=verbosity)
            call_command("createcachetable", verbosity=verbosity)
            cursor.execute(_read_script("framework.sql"))
        finally:
            cursor.execute("revoke create on schema public from handrail_machine")
            cursor.execute("select pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def find_pending_migrations(connection: BaseDatabaseWrapper = django_connection) -> list[str]:
    """Return the migrations, as `app.name`, that the code has and the database has not."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]


def check_migrations() -> None:
    """Refuse to work on tables that are not yet those of this version.

    Raises:
        DatabaseError: with what to do; processes of the version before may go on meanwhile.
    """
    if pending := find_pending_migrations():
        problem = f"It is not up to date with this version; {describe_pending(pending)}."
        raise DatabaseError([f"{problem} Bring it up to date first: handrail migrate"])


def describe_pending(pending: Sequence[str]) -> str:
    """Return how many migrations are missing, and the first of them by name."""
    more = ", ..." if len(pending) > MOST_NAMED else ""
    missing = "migration is" if len(pending) == 1 else "migrations are"
    return f"{len(pending)} {missing} missing: {', '.join(pending[:MOST_NAMED])}{more}"


def check_database_role(connection: Connection) -> None:
    """Refuse to work as a role with too many rights, or on a server that forgets commits.

    Raises:
        DatabaseError: with every problem found and how to mend it.
    """
    problems = find_role_problems(connection)
    if problems:
        raise DatabaseError(problems)


def check_process_roles(environment: Environment) -> None:
    """Check the roles that this process will work as, before it does anything else.

    Raises:
        DatabaseError: with every problem found; the database cannot be reached is one too.
    """
    roles = [environment.process_role]
    if environment.process_role is DatabaseRole.WEB:
        roles.append(DatabaseRole.INGRESS)
    for role in roles:
        try:
            with psycopg.connect(environment.database_dsn(role), connect_timeout=10) as own:
                check_database_role(own)
        except psycopg.OperationalError as error:
            raise DatabaseError([f"{role.login} cannot connect: {error}".strip()]) from error


def describe_failure(error: Exception) -> str:
    """Return what to say of an error that lies with the server or the way to it; empty: it does not."""
    if not isinstance(error, psycopg.OperationalError | DjangoOperationalError):
        return ""
    reason = str(error).strip().partition("\n")[0]
    return (
        f"The database cannot be reached or refuses us: {reason}\n"
        "Is the server running? Are address and password right? handrail doctor says more."
    )


def find_role_problems(connection: Connection) -> list[str]:
    """Return what `check_database_role` would refuse, one sentence each."""
    row = connection.execute(_ROLE_FACTS).fetchone()
    if row is None:
        raise TypeError("a SELECT without FROM returned no row")
    role, is_superuser, bypasses, owns, others, fsync, synchronous_commit = row
    checks = (
        (is_superuser, f"{role} is a superuser. Connect as a role of Handrail instead."),
        (bypasses, f"{role} bypasses row security. Mend: ALTER ROLE {role} NOBYPASSRLS"),
        (owns, f"{role} owns tables or is a member of their owner. Use a role of Handrail."),
        (
            others and not owns,
            f"{role} is {others} too. Mend: REVOKE {others} FROM {role}",
        ),
        (fsync == "off", "fsync is off: commits may be lost. Turn it on."),
        (
            synchronous_commit == "off",
            f"synchronous_commit is off for {role}: commits may be lost. Turn it on.",
        ),
    )
    return [sentence for wrong, sentence in checks if wrong]


_FORBIDDEN_ATTRIBUTES = """
select rolname, attribute from pg_roles,
lateral (values ('SUPERUSER', rolsuper), ('BYPASSRLS', rolbypassrls), ('CREATEROLE', rolcreaterole),
  ('CREATEDB', rolcreatedb), ('REPLICATION', rolreplication)) as has (attribute, present)
where rolname in ('handrail_owner', 'handrail_machine', 'handrail_web', 'handrail_worker',
  'handrail_ingress', 'handrail_readonly') and present
order by rolname, attribute
"""

_ROLE_FACTS = """
select current_user, r.rolsuper, r.rolbypassrls,
  exists (
    select from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relkind in ('r', 'p')
      and pg_has_role(current_user, c.relowner, 'member')
  ),
  (select string_agg(rolname, ', ' order by rolname) from pg_roles other
   where other.rolname like 'handrail\\_%' and other.oid <> r.oid and pg_has_role(r.oid, other.oid, 'member')),
  current_setting('fsync'), current_setting('synchronous_commit')
from pg_roles r where r.rolname = current_user
"""


def _run_script(connection: Connection, name: str) -> None:
    with connection.transaction():
        connection.execute(_read_script(name).encode())


def _read_script(name: str) -> str:
    return (resources.files("handrail.core") / "sql" / name).read_text(encoding="utf-8")


def _set_password(admin: Connection, login: str, password: str) -> None:
    """Send the scram verifier, never the password: statements may end up in a server's log."""
    verifier = admin.pgconn.encrypt_password(password.encode(), login.encode(), b"scram-sha-256")
    admin.execute(
        sql.SQL("alter role {} password {}").format(
            sql.Identifier(login), sql.Literal(verifier.decode())
        )
    )


def _create_database(admin: Connection, name: str) -> None:
    if admin.execute("select 1 from pg_database where datname = %s", [name]).fetchone():
        return
    locale = (
        "locale_provider builtin builtin_locale 'PG_UNICODE_FAST' locale 'C'"
        if admin.info.server_version >= 180000
        else "locale 'C.UTF-8'"
    )
    admin.execute(
        sql.SQL(
            "create database {} owner handrail_owner template template0 encoding 'UTF8' {}"
        ).format(sql.Identifier(name), sql.SQL(locale))
    )
