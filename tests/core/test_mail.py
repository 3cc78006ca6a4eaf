"""The outbox: stored with what causes it, sent by a job, kept while the mail server is away."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.mail import EmailMessage, send_mail
from django.db import DatabaseError, connection, transaction
from pytest_django import Settings

from handrail.core.mail import send_waiting_mails
from tests.databases import Database
from tests.factories import World
from tests.people.mailbox import Mailbox, use_mail_server


@pytest.fixture
def mailbox(settings: Settings) -> Iterator[Mailbox]:
    with use_mail_server(settings) as mailbox:
        yield mailbox


@pytest.fixture
def world(database: Database) -> Iterator[World]:
    world = World(database)
    yield world
    world.close()


def write(subject: str = "Hello", *to: str) -> None:
    send_mail(subject, "Text ü 文", None, to or ["lena@example.org"])


def count_waiting(world: World) -> int:
    return int(world.value("select count(*) from outgoing_mails"))


def make_due(world: World) -> None:
    world.admin.execute("update outgoing_mails set next_attempt_at = now()")


def test_a_message_is_stored_with_its_job_and_sent_by_it(world: World, mailbox: Mailbox) -> None:
    write()
    jobs = world.rows("select entrypoint, convert_from(payload, 'UTF8') from pgqueuer")
    ids = world.column("select id::text from outgoing_mails")
    before = len(mailbox.messages)
    send_waiting_mails()

    assert jobs == [("send_mail", ids[0])]
    assert (before, count_waiting(world)) == (0, 0)
    to, subject, text = mailbox.read()
    assert (to, subject, text.strip()) == ("lena@example.org", "Hello", "Text ü 文")
    assert str(mailbox.messages[0]["From"]) == "Handrail <no-reply@localhost>"


def test_a_transaction_that_fails_sends_nothing(world: World, mailbox: Mailbox) -> None:
    with transaction.atomic():
        write()
        transaction.set_rollback(True)
    send_waiting_mails()

    assert (count_waiting(world), mailbox.messages) == (0, [])


def test_each_recipient_gets_a_message_of_his_own(world: World, mailbox: Mailbox) -> None:
    EmailMessage("Hello", "Text", to=["a@example.org"], bcc=["b@example.org"]).send()
    send_waiting_mails()

    assert [str(each["To"]) for each in mailbox.messages] == ["a@example.org", "b@example.org"]


def test_a_server_that_says_later_is_asked_later(world: World, mailbox: Mailbox) -> None:
    write()
    mailbox.refuse = "451 come back later"
    send_waiting_mails()
    (attempts, later, error), *_ = world.rows(
        "select attempts, next_attempt_at > now() + interval '30 seconds', error from outgoing_mails"
    )
    mailbox.refuse = ""
    send_waiting_mails()  # not due yet
    early = len(mailbox.messages)
    make_due(world)
    send_waiting_mails()

    assert (attempts, later, "451" in error) == (1, True, True)
    assert (early, len(mailbox.messages), count_waiting(world)) == (0, 1, 0)


def test_a_server_that_is_away_loses_nothing(
    world: World, mailbox: Mailbox, settings: Settings
) -> None:
    settings.EMAIL_PORT = 1
    write()
    send_waiting_mails()

    assert world.rows("select attempts from outgoing_mails") == [(1,)]


def test_an_address_that_is_refused_for_good_is_given_up(world: World, mailbox: Mailbox) -> None:
    write()
    mailbox.refuse = "550 no such person"
    send_waiting_mails()

    assert count_waiting(world) == 0


def test_after_three_days_a_message_is_given_up(world: World, mailbox: Mailbox) -> None:
    write()
    world.admin.execute("update outgoing_mails set created_at = now() - interval '73 hours'")
    mailbox.refuse = "451 come back later"
    send_waiting_mails()

    assert count_waiting(world) == 0


def test_one_that_cannot_be_sent_does_not_hold_up_the_others(
    world: World, mailbox: Mailbox
) -> None:
    mailbox.refuse = "451 come back later"
    write("first")
    send_waiting_mails()
    mailbox.refuse = ""
    write("second")
    send_waiting_mails()

    assert [str(each["Subject"]) for each in mailbox.messages] == ["second"]


def test_after_a_restore_nothing_goes_out_until_released(world: World, mailbox: Mailbox) -> None:
    world.admin.execute("update installation set outbound_held = true")
    write()
    send_waiting_mails()
    held = len(mailbox.messages)
    world.admin.execute("update installation set outbound_held = false")
    send_waiting_mails()

    assert (held, len(mailbox.messages)) == (0, 1)


def test_a_message_that_is_kept_as_a_file_is_read_by_nobody_else(
    world: World, settings: Settings, tmp_path: Path
) -> None:
    settings.EMAIL_BACKEND = "handrail.core.mail.OutboxBackend"
    settings.HANDRAIL_MAIL_TRANSPORT = "handrail.core.mail.FolderBackend"
    settings.EMAIL_FILE_PATH = str(tmp_path / "mail")
    write("Choose a new password")
    send_waiting_mails()
    (file,) = (tmp_path / "mail").iterdir()

    assert (file.parent.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    assert "Subject: Choose a new password" in file.read_text()
    assert count_waiting(world) == 0


def test_the_web_adds_messages_and_reads_none(
    world: World, mailbox: Mailbox, database: Database
) -> None:
    database.use_django_as("web")
    write()
    for statement in ("select * from outgoing_mails", "delete from outgoing_mails"):
        with pytest.raises(DatabaseError, match="permission denied"), connection.cursor() as cursor:
            cursor.execute(statement)
    assert count_waiting(world) == 1
