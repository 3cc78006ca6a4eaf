from collections.abc import Iterator

import pytest

from tests.databases import Database
from tests.factories import World


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    world = World(database)
    yield world
    world.close()
