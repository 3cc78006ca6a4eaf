from collections.abc import Iterator

import pytest
from pytest_django import Settings

from tests.databases import Database
from tests.provisioning.campus import Campus
from tests.provisioning.world import World
from tests.sandbox.partners import make_config
from tests.sandbox.process import Sandbox
from tests.scripted_partner import ScriptedPartner, run_scripted_partner

_FAULTS = {"hang_seconds": 2, "retry_after_seconds": 1}


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    world = World(database)
    yield world
    world.close()


@pytest.fixture
def partner(settings: Settings) -> Iterator[ScriptedPartner]:
    """A partner that answers as scripted, to which the worker may call."""
    with run_scripted_partner() as partner:
        settings.HANDRAIL_ALLOWED_PRIVATE_HOSTS = frozenset({partner.host_port})
        yield partner


@pytest.fixture(autouse=True)
def quick(settings: Settings) -> None:
    """Do not wait as long as an installation does."""
    settings.HANDRAIL_RETRY_BASE_SECONDS = 0.05
    settings.HANDRAIL_RETRY_MAX_SECONDS = 0.2
    settings.HANDRAIL_CALL_TIMEOUT_SECONDS = 1.0


@pytest.fixture(scope="session")
def practice_partners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The practice partners as a process of their own; nobody studies unless told."""
    folder = tmp_path_factory.mktemp("sandbox")
    sandbox = Sandbox(folder, make_config({}, faults=_FAULTS)).start()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def campus(world: World, practice_partners: Sandbox, settings: Settings) -> Iterator[Campus]:
    """The practice partners as providers; a test sees only what it asked of them itself."""
    settings.HANDRAIL_ALLOWED_PRIVATE_HOSTS = frozenset({("127.0.0.1", practice_partners.port)})
    yield Campus(world, practice_partners)
    practice_partners.control("DELETE", "faults")
