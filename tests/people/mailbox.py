"""A real mail server for tests, and what a person does with a message: read it, follow its link."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from pytest_django import Settings

from handrail.config.embedded_postgres import find_free_port


class Mailbox:
    """Takes every message; `refuse` makes it answer with that line instead, for a while."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.refuse = ""

    async def handle_RCPT(  # noqa: N802 - the name it has there
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[Any]
    ) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - the name it has there
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        message = message_from_bytes(content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.messages.append(message)
        return "250 Message accepted for delivery"

    def read(self) -> tuple[str, str, str]:
        """The newest message: to whom, subject, text."""
        message = self.messages[-1]
        body = message.get_body()
        assert body is not None
        return str(message["To"]), str(message["Subject"]), str(body.get_content())

    def find_link(self) -> str:
        """The path of the link in the newest message."""
        (found,) = re.findall(r"https?://[^/\s]+(/\S+)", self.read()[2])[:1]
        return str(found)


@contextmanager
def use_mail_server(settings: Settings) -> Iterator[Mailbox]:
    """Run a server that the settings point at, with our outbox in front of it as in production."""
    with run_mail_server() as (mailbox, host, port):
        settings.EMAIL_BACKEND = "handrail.core.mail.OutboxBackend"
        settings.HANDRAIL_MAIL_TRANSPORT = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = host, port
        settings.EMAIL_HOST_USER = ""
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        yield mailbox


@contextmanager
def run_mail_server() -> Iterator[tuple[Mailbox, str, int]]:
    """Run a server; yield its mailbox, host and port."""
    mailbox = Mailbox()
    port = find_free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mailbox, "127.0.0.1", port
    finally:
        controller.stop()
