"""Fixtures for tests that start servers and processes of their own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from handrail.config.embedded_postgres import EmbeddedPostgres
from tests.databases import make_server_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder on a short path that an unprivileged account can reach; removed afterwards."""
    folder = make_server_folder()
    yield folder
    remove(folder)


@pytest.fixture(scope="module")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A running server without roles and database of ours, for the tests of one file."""
    folder = make_server_folder()
    with EmbeddedPostgres(folder / "data") as postgres:
        yield postgres
    remove(folder)


def remove(folder: Path) -> None:
    """Remove the folder, and where its links lead: as root the data may be elsewhere."""
    for link in folder.glob("**/data"):
        if link.is_symlink():
            shutil.rmtree(link.resolve(), ignore_errors=True)
    shutil.rmtree(folder)
