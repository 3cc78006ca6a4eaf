"""Fixtures: a real PostgreSQL for every test.

Each process of pytest starts an embedded server once (in memory where there is room), makes the
roles, migrates once as the owner. Then, each in a few milliseconds:

`sql`       A superuser's psycopg connection in one transaction, rolled back after the test. Look at
            walls and functions with it: `with sql.as_role("web", {"sub": ..., "org_role": "staff",
            "organization_id": ...}): sql.rows("select ...")`. Setting up data as the superuser
            passes row security by. Statements that must fail: see `Sql` in tests/databases.py.
`database`  A committed database for tests with several connections, processes or Django's ORM:
            `database.dsn("handrail_worker")`, `database.connect("web")`,
            `database.environment("web")` for a subprocess. Django's connection works as
            `handrail_worker`, or another role after `database.use_django_as("web")`. Afterwards all
            rows are as the migrations left them.
`db`        pytest-django's (also `@pytest.mark.django_db`): Django's connection as
            `handrail_worker`, rolled back. `transaction=True` is not for us: use `database`.

`sql` and `database` do not see each other's uncommitted rows; take one of them in a test.

`@pytest.mark.every_postgres` runs a test of `sql` or `database` on PostgreSQL 18 and on 16;
`pytest --pg 16` runs all tests on 16.
"""

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from pytest_django import DjangoDbBlocker

from handrail.config.environment import DatabaseRole
from tests.databases import Database, Sql, TestServer

VERSIONS = (18, 16)
# A busy machine is slow; that is no fault of what is tested.
settings.register_profile("handrail", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("handrail")
pytest_plugins = ["tests.web"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("handrail")
    group.addoption("--pg", type=int, choices=VERSIONS, default=18, help="PostgreSQL to test on")
    group.addoption(
        "--no-fsync", action="store_true", help="let the test server forget what it confirmed"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "every_postgres: runs on each PostgreSQL version that we support"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.get_closest_marker("every_postgres"):
        metafunc.parametrize("postgres_version", VERSIONS)


class Servers:
    """The servers of this session by version, started when first asked for."""

    def __init__(self, *, durable: bool) -> None:
        self._durable = durable
        self._servers: dict[int, TestServer] = {}
        self._failures: dict[int, Exception] = {}

    def get(self, version: int) -> TestServer:
        if version in self._failures:
            pytest.fail(f"the test server did not start: {self._failures[version]}", pytrace=False)
        if version not in self._servers:
            try:
                self._servers[version] = TestServer(version, durable=self._durable)
            except Exception as error:
                self._failures[version] = error
                raise
        return self._servers[version]

    def stop(self) -> None:
        for server in self._servers.values():
            server.stop()


@pytest.fixture(scope="session")
def servers(
    request: pytest.FixtureRequest, django_db_blocker: DjangoDbBlocker
) -> Iterator[Servers]:
    servers = Servers(durable=not request.config.getoption("--no-fsync"))
    yield servers
    with django_db_blocker.unblock():
        servers.stop()


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest, servers: Servers, django_db_blocker: DjangoDbBlocker
) -> None:
    """Let pytest-django's `db` use our server instead of making a database of its own."""
    with django_db_blocker.unblock():
        servers.get(request.config.getoption("--pg")).use_in_django(DatabaseRole.WORKER)


@pytest.fixture
def postgres_version(request: pytest.FixtureRequest) -> int:
    version: int = request.config.getoption("--pg")
    return version


@pytest.fixture
def server(
    servers: Servers, postgres_version: int, django_db_blocker: DjangoDbBlocker
) -> TestServer:
    with django_db_blocker.unblock():
        return servers.get(postgres_version)


@pytest.fixture
def sql(server: TestServer) -> Iterator[Sql]:
    connection = psycopg.connect(server.dsn("superuser"))
    yield Sql(connection)
    connection.close()  # rolls back


@pytest.fixture
def database(server: TestServer, django_db_blocker: DjangoDbBlocker) -> Iterator[Database]:
    with django_db_blocker.unblock():
        server.use_in_django(DatabaseRole.WORKER)
        try:
            yield Database(server)
        finally:
            server.reset()
            server.use_in_django(DatabaseRole.WORKER)
