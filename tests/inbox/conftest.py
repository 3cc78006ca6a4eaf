import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from handrail.core.direct_connection import DirectConnection
from handrail.inbox import registry
from handrail.inbox.applier import Applier
from handrail.inbox.ingress import Limits
from handrail.inbox.registry import register_handler
from tests.databases import Database
from tests.inbox.machine import Machine
from tests.inbox.server import DatabaseProxy, Server, run_proxy
from tests.inbox.world import Endpoint, World, make_world

Serve = Callable[..., Server]


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    world = make_world(database)
    with world.admin:
        yield world


@pytest.fixture
def serve(database: Database) -> Iterator[Serve]:
    """Start an ingress with these limits; it is stopped after the test."""
    with ExitStack() as stack:

        def start(limits: Limits | None = None, dsn: str = "") -> Server:
            return stack.enter_context(Server(dsn or database.dsn("ingress"), limits=limits))

        yield start


@pytest.fixture
def ingress(serve: Serve) -> Server:
    return serve()


@pytest.fixture
def proxy(database: Database) -> Iterator[DatabaseProxy]:
    parts = conninfo_to_dict(database.dsn("ingress"))
    folder = Path(tempfile.mkdtemp(prefix="handrail-proxy-"))
    with run_proxy(folder, Path(str(parts["host"])) / f".s.PGSQL.{parts['port']}") as proxy:
        yield proxy
    shutil.rmtree(folder)


@pytest.fixture
def proxied(database: Database, proxy: DatabaseProxy) -> str:
    """The connection string of the ingress through the proxy."""
    return make_conninfo(database.dsn("ingress"), host=str(proxy.folder), port=5432)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """Take back what a test registers with the inbox."""
    verifiers, handlers = list(registry._verifiers), dict(registry._handlers)
    yield
    registry._verifiers[:] = verifiers
    registry._handlers.clear()
    registry._handlers.update(handlers)


@pytest.fixture
def machine(world: World) -> Iterator[Machine]:
    machine = Machine(world)
    register_handler("partner", machine)
    yield machine
    world.admin.execute("drop table machine")


@pytest.fixture
def milady(world: World) -> Endpoint:
    return world.make_endpoint("milady")


@pytest.fixture
def connection(database: Database) -> Iterator[DirectConnection]:
    with database.connect("worker") as connection:
        yield connection


@pytest.fixture
def applier(connection: DirectConnection) -> Applier:
    applier = Applier(waiting=timedelta(hours=24))
    applier.use(connection)
    return applier
