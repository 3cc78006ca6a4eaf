from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.partners import SLUGS, make_config
from tests.sandbox.process import Sandbox, Start
from tests.sandbox.receiver import Receiver, run_receiver


@pytest.fixture(scope="session")
def shared_receiver() -> Iterator[Receiver]:
    with run_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def sandbox(
    tmp_path_factory: pytest.TempPathFactory, shared_receiver: Receiver
) -> Iterator[Sandbox]:
    """One sandbox for the tests that only add people of their own to it."""
    urls = {slug: shared_receiver.url(slug) for slug in SLUGS}
    it = Sandbox(tmp_path_factory.mktemp("sandbox"), make_config(urls)).start()
    yield it
    code, errors = it.stop()
    assert (code, errors) == (0, "")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with run_receiver() as it:
        yield it


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a sandbox of the test's own; it must end without a word on stderr."""
    started: list[Sandbox] = []

    def start_one(config: dict[str, Any], *options: str) -> Sandbox:
        folder = tmp_path / f"sandbox-{len(started)}"
        folder.mkdir()
        started.append(Sandbox(folder, config, options).start())
        return started[-1]

    yield start_one
    for it in started:
        assert it.stop()[1] == ""
