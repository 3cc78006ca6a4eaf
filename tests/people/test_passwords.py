"""Changing a password, and choosing a new one by mail through a real mail server."""

import pytest
from django.test import Client

from handrail.core.mail import send_waiting_mails
from tests.cast import PASSWORD, Person, School
from tests.core.html import Page
from tests.databases import Database
from tests.people.mailbox import Mailbox

NEW = "staple battery horse correct"


@pytest.fixture
def deliver(database: Database) -> "Deliver":
    return Deliver(database)


class Deliver:
    """The worker's job: send what waits, as the service role."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self) -> None:
        self._database.use_django_as("worker")
        send_waiting_mails()
        self._database.use_django_as("web")


def can_sign_in(person: Person, password: str) -> bool:
    answer = Client().post("/accounts/login/", {"login": person.email, "password": password})
    return answer.status_code == 302


def ask_for_link(email: str) -> Page:
    answer = Client().post("/accounts/password/reset/", {"email": email}, follow=True)
    return Page(answer.content.decode())


def choose(client: Client, link: str, password: str) -> Page:
    """Follow the link of the message and fill in the form."""
    form = client.get(link, follow=True)
    address = form.redirect_chain[-1][0] if form.redirect_chain else link
    answer = client.post(address, {"password1": password, "password2": password}, follow=True)
    return Page(answer.content.decode())


def test_change(school: School, client: Client, mailbox: Mailbox, deliver: Deliver) -> None:
    school.lena.sign_in(client)
    answer = client.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW},
        follow=True,
    )
    deliver()

    assert Page(answer.content.decode()).one("h1").text == "Sign in"  # with the new one
    assert "Your password is changed" in answer.content.decode()
    assert (can_sign_in(school.lena, PASSWORD), can_sign_in(school.lena, NEW)) == (False, True)
    to, _, text = mailbox.read()
    assert (to, "From: 127.0.0.1" in text) == ("lena@example.org", True)


def test_change_ends_the_sessions_on_other_computers(school: School, client: Client) -> None:
    elsewhere = school.lena.sign_in(Client())
    school.lena.sign_in(client)
    client.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW},
    )
    assert elsewhere.get("/student/progress").status_code == 302


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("wrong", NEW, "type your current password"),
        (PASSWORD, "short", "too short"),
        (PASSWORD, "q1w2e3r4t5y6", "too common"),
    ],
)
def test_change_is_refused_in_words(
    school: School, client: Client, old: str, new: str, words: str
) -> None:
    school.lena.sign_in(client)
    answer = client.post(
        "/accounts/password/change/", {"oldpassword": old, "password1": new, "password2": new}
    )
    page = Page(answer.content.decode())

    assert words in page.one("div", class_="hr-error-summary").text
    assert can_sign_in(school.lena, PASSWORD)


def test_reset(school: School, mailbox: Mailbox, deliver: Deliver) -> None:
    page = ask_for_link(" Lena@Example.org")
    deliver()
    to, subject, text = mailbox.read()
    done = choose(Client(), mailbox.find_link(), NEW)

    assert page.one("h1").text == "Check your email"
    assert (to, subject) == ("lena@example.org", "Choose a new password")
    assert "http://localhost:8000/accounts/password/reset/key/" in text
    assert done.one("h1").text == "Your password is changed"
    assert (can_sign_in(school.lena, PASSWORD), can_sign_in(school.lena, NEW)) == (False, True)


def test_a_link_works_once(school: School, mailbox: Mailbox, deliver: Deliver) -> None:
    ask_for_link(school.lena.email)
    deliver()
    link = mailbox.find_link()
    choose(Client(), link, NEW)
    again = Page(Client().get(link, follow=True).content.decode())

    assert again.one("h1").text == "This link does not work any more"


def test_a_link_for_somebody_else_does_not_work(
    school: School, mailbox: Mailbox, deliver: Deliver
) -> None:
    ask_for_link(school.lena.email)
    deliver()
    forged = mailbox.find_link().replace(school.lena.profile.hex, school.alice.profile.hex)
    for link in (
        forged,
        forged.replace(school.alice.profile.hex, "0"),
        "/accounts/password/reset/key/x-y/",
    ):
        page = Page(Client().get(link, follow=True).content.decode())
        assert page.one("h1").text == "This link does not work any more"
    assert can_sign_in(school.alice, PASSWORD)


def test_a_link_is_followed_while_somebody_else_is_signed_in(
    school: School, client: Client, mailbox: Mailbox, deliver: Deliver
) -> None:
    ask_for_link(school.lena.email)
    deliver()
    school.bob.sign_in(client)
    choose(client, mailbox.find_link(), NEW)

    assert can_sign_in(school.lena, NEW)
    assert can_sign_in(school.bob, PASSWORD)
    assert client.get("/admin/pipeline").status_code == 302  # Bob is signed out


def test_a_reset_lets_in_again_who_was_locked_out(
    school: School, mailbox: Mailbox, deliver: Deliver
) -> None:
    for _ in range(5):
        can_sign_in(school.lena, "wrong")
    assert not can_sign_in(school.lena, PASSWORD)
    ask_for_link(school.lena.email)
    deliver()
    choose(Client(), mailbox.find_link(), NEW)

    assert can_sign_in(school.lena, NEW)


def test_an_unknown_address_gets_the_same_page_and_a_message_that_says_so(
    school: School, mailbox: Mailbox, deliver: Deliver
) -> None:
    page = ask_for_link("stranger@example.org")
    deliver()
    to, subject, text = mailbox.read()

    assert page.one("h1").text == "Check your email"
    assert (to, subject) == ("stranger@example.org", "No account has this address")
    assert "/accounts/" not in text


def test_a_closed_account_gets_no_link(school: School, mailbox: Mailbox, deliver: Deliver) -> None:
    school.change("profiles", school.lena.profile, is_active=False)
    ask_for_link(school.lena.email)
    deliver()

    assert mailbox.read()[1] == "No account has this address"


def test_messages_are_limited(school: School, mailbox: Mailbox, deliver: Deliver) -> None:
    headings = [ask_for_link(school.lena.email).one("h1").text for _ in range(6)]
    deliver()

    assert headings == ["Check your email"] * 5 + ["Too many attempts"]
    assert len(mailbox.messages) == 5


def test_the_link_leads_to_our_own_address_whatever_host_was_named(
    school: School, mailbox: Mailbox, deliver: Deliver
) -> None:
    client = Client(headers={"Host": "127.0.0.1:6666"})
    client.post("/accounts/password/reset/", {"email": school.lena.email})
    deliver()

    assert "6666" not in mailbox.read()[2]


@pytest.mark.parametrize("path", ["/accounts/password/change/", "/accounts/reauthenticate/"])
def test_the_link_for_who_forgot_the_password_stands_behind_its_field(
    school: School, client: Client, path: str
) -> None:
    school.lena.sign_in(client)
    shown = client.get(path).content.decode()

    assert 0 < shown.index('type="password"') < shown.index("Forgot your password?")
