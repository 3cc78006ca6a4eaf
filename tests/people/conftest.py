from collections.abc import Iterator

import pytest
from pytest_django import Settings

from tests.people.mailbox import Mailbox, use_mail_server


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    """A real SMTP server that the settings point at."""
    with use_mail_server(settings) as mailbox:
        yield mailbox
