from collections.abc import Iterator

import pytest

from tests.sandbox.partners import SLUGS, make_config
from tests.sandbox.process import Sandbox
from tests.sandbox.receiver import Receiver, run_receiver
from tests.scripted_partner import ScriptedPartner, run_scripted_partner

pytest.register_assert_rewrite("tests.partners.adapter_contract")


@pytest.fixture(scope="session")
def receiver() -> Iterator[Receiver]:
    with run_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Sandbox]:
    """The partners as a process of their own, for tests that bring their own people."""
    urls = {slug: receiver.url(slug) for slug in SLUGS}
    it = Sandbox(tmp_path_factory.mktemp("sandbox"), make_config(urls)).start()
    yield it
    assert it.stop() == (0, "")


@pytest.fixture
def scripted() -> Iterator[ScriptedPartner]:
    with run_scripted_partner() as partner:
        yield partner
