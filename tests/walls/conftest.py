from collections.abc import Iterator

import pytest

from tests.databases import Database
from tests.factories import World
from tests.walls.scene import Scene


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    world = World(database)
    yield world
    world.close()


@pytest.fixture
def scene(world: World) -> Scene:
    return Scene(world)
