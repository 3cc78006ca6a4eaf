"""Mail: stored in the transaction that causes it, handed to the mail server by a job.

So nobody waits for a mail server, no network call runs inside a database transaction, how long an
answer takes does not tell whether an address is known, and a server that is away loses nothing.
"""

import logging
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from smtplib import SMTPRecipientsRefused
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.filebased import EmailBackend as FileBackend
from django.db import connection, transaction

KEPT = timedelta(hours=72)
"""A message that could not be sent for so long is given up; its links do not work any longer."""
_CLAIM = """
update outgoing_mails
set attempts = attempts + 1, next_attempt_at = now() + least(interval '1 hour', interval '1 minute' * 2 ^ attempts)
where id = (select id from outgoing_mails where next_attempt_at <= now() order by next_attempt_at limit 1
            for update skip locked)
  and not (select outbound_held from installation)
returning id, recipient, subject, body, created_at, now()
"""

logger = logging.getLogger(__name__)


class OutboxBackend(BaseEmailBackend):
    """Django's way into the outbox. Text only; one row for each recipient."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Store the messages; they leave when the transaction has been committed."""
        rows = [
            (recipient, str(message.subject), str(message.body))
            for message in email_messages
            for recipient in message.recipients()
        ]
        with connection.cursor() as cursor:
            cursor.executemany("select queue_mail(%s, %s, %s)", rows)
        return len(email_messages)


class FolderBackend(FileBackend):
    """Keeps each message as a file that nobody else reads: it may hold the link to a new password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        folder: str = settings.EMAIL_FILE_PATH  # type: ignore[misc]  # set where mail goes to files
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        super().__init__(*args, **kwargs)

    def open(self) -> bool:
        """Make the file of this message; in a folder that was there before, others may look."""
        made = bool(super().open())
        if made:
            os.fchmod(self.stream.fileno(), 0o600)
        return made


class _Mail(NamedTuple):
    id: UUID
    recipient: str
    subject: str
    body: str
    created_at: datetime
    now: datetime


def send_waiting_mails(_payload: str = "") -> None:
    """Send what is due; a job when there is a new message, and a timer for what failed before.

    A crash between the mail server's word and ours sends a message twice.
    """
    while (mail := _claim_mail()) is not None:
        try:
            _send(mail)
        except SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            _fail(mail, error, for_good=all(code >= 500 for code in codes))
        except OSError as error:  # also smtplib's own errors
            _fail(mail, error, for_good=False)
        else:
            _forget(mail)


def _claim_mail() -> _Mail | None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_CLAIM)
        row = cursor.fetchone()
    return _Mail(*row) if row else None


def _send(mail: _Mail) -> None:
    transport = get_connection(settings.HANDRAIL_MAIL_TRANSPORT)
    EmailMessage(mail.subject, mail.body, to=[mail.recipient], connection=transport).send()


def _fail(mail: _Mail, error: OSError, *, for_good: bool) -> None:
    # The address stays out of the log; the row's id finds it while the row is there.
    if for_good or mail.now - mail.created_at > KEPT:
        logger.warning("message %s is given up: %s", mail.id, type(error).__name__)
        _forget(mail)
        return
    logger.warning("message %s waits: %s", mail.id, type(error).__name__)
    with connection.cursor() as cursor:
        cursor.execute(
            "update outgoing_mails set error = %s where id = %s", [repr(error)[:500], mail.id]
        )


def _forget(mail: _Mail) -> None:
    with connection.cursor() as cursor:
        cursor.execute("delete from outgoing_mails where id = %s", [mail.id])
