"""Second factors under row security: an authenticator app, recovery codes, a passkey."""

import re
import time

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core.cache import cache
from django.test import Client

from tests.cast import PASSWORD, Person, School
from tests.core.html import Page
from tests.people.mailbox import Mailbox
from tests.web import Browser


def make_code(secret: str) -> str:
    """What the authenticator app shows now."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30)))


def read(client: Client, path: str) -> Page:
    answer = client.get(path, follow=True)
    assert answer.status_code == 200
    page = Page(answer.content.decode())
    assert page.find_faults() == []
    return page


def confirm(client: Client, path: str) -> Page:
    """Open a page that asks for the password once more."""
    assert read(client, path).one("h1").text == "Show that it is you"
    answer = client.post(
        "/accounts/reauthenticate/", {"password": PASSWORD, "next": path}, follow=True
    )
    assert answer.redirect_chain[-1][0] == path
    return Page(answer.content.decode())


def enroll(client: Client, person: Person) -> tuple[str, list[str]]:
    """Sign in and add an authenticator app; its secret, and the recovery codes that are shown."""
    person.sign_in(client)
    page = confirm(client, "/accounts/2fa/totp/activate/")
    secret = page.one("input", id="authenticator_secret").attributes["value"]
    assert (
        page.one("img", class_="hr-qr").attributes["src"].startswith("data:image/svg+xml;base64,")
    )
    answer = client.post("/accounts/2fa/totp/activate/", {"code": make_code(secret)}, follow=True)
    shown = Page(answer.content.decode())
    codes = re.findall(r"\b\d{8}\b", " ".join(each.text for each in shown.all("textarea")))
    assert len(codes) == 10, answer.content.decode()
    forget_used_codes()
    return secret, codes


def forget_used_codes() -> None:
    """A code works once in its 30 seconds; a test does not wait that long."""
    cache.clear()


def begin(person: Person) -> Client:
    client = Client()
    answer = client.post("/accounts/login/", {"login": person.email, "password": PASSWORD})
    assert answer.headers["Location"] == "/accounts/2fa/authenticate/"
    return client


@pytest.fixture
def secret(school: School) -> str:
    return enroll(Client(), school.lena)[0]


def test_an_authenticator_app_is_asked_for_from_then_on(school: School, secret: str) -> None:
    client = begin(school.lena)
    page = read(client, "/accounts/2fa/authenticate/")
    answer = client.post("/accounts/2fa/authenticate/", {"code": make_code(secret)}, follow=True)

    assert page.one("h1").text == "Enter your code"
    assert len(page.all("input", id="id_code")) == 1
    assert Page(answer.content.decode()).one("h1").text == "My training"


def test_the_password_alone_opens_nothing(school: School, secret: str) -> None:
    client = begin(school.lena)

    for path in ("/student/progress", "/admin/pipeline", "/accounts/email/", "/accounts/2fa/"):
        answer = client.get(path)
        assert answer.status_code == 302, path
        assert "/accounts/login/" in answer.headers["Location"], path


def test_a_wrong_code_is_told_and_too_many_are_put_off(school: School, secret: str) -> None:
    client = begin(school.lena)
    told = [
        Page(client.post("/accounts/2fa/authenticate/", {"code": "000000"}).content.decode())
        .one("div", class_="hr-error-summary")
        .text
        for _ in range(6)
    ]

    assert "This code is not correct, or it is too old. Enter the newest one." in told[0]
    assert "Too many" in told[5]


def test_a_code_works_once(school: School, secret: str) -> None:
    code = make_code(secret)
    first, second = begin(school.lena), begin(school.lena)
    first.post("/accounts/2fa/authenticate/", {"code": code})
    answer = second.post("/accounts/2fa/authenticate/", {"code": code})

    assert first.get("/student/progress").status_code == 200
    assert "This code is not correct" in answer.content.decode()


def test_each_recovery_code_works_once(school: School) -> None:
    _, codes = enroll(Client(), school.lena)
    first, second = begin(school.lena), begin(school.lena)
    first.post("/accounts/2fa/authenticate/", {"code": codes[0]})
    second.post("/accounts/2fa/authenticate/", {"code": codes[0]})

    assert first.get("/student/progress").status_code == 200
    assert second.get("/student/progress").status_code == 302


def test_secrets_are_sealed_where_they_are_stored(school: School) -> None:
    secret, codes = enroll(Client(), school.lena)
    stored = str(school.world.column("select data::text from mfa_authenticator"))

    assert secret not in stored
    assert not any(code in stored for code in codes)


def test_a_message_tells_that_a_factor_was_added(school: School, mailbox: Mailbox) -> None:
    enroll(Client(), school.lena)
    waiting = school.world.rows("select recipient, subject from outgoing_mails")

    assert waiting == [("lena@example.org", "Authenticator App Activated")]


def test_it_can_be_taken_away_again(school: School) -> None:
    client = Client()
    enroll(client, school.lena)
    read(client, "/accounts/2fa/totp/deactivate/")
    client.post("/accounts/2fa/totp/deactivate/")

    school.lena.sign_in(Client())
    assert school.world.value("select count(*) from mfa_authenticator") == 0


@pytest.mark.parametrize(
    ("path", "labels"),
    [
        (
            "/accounts/2fa/totp/activate/",
            ["The key, where you cannot scan", "Code that the app shows now"],
        ),
        (
            "/accounts/2fa/webauthn/add/",
            ["What you call this key (optional)", "Sign in with this key alone (a passkey)"],
        ),
    ],
)
def test_what_is_asked_for_is_called_in_plain_words(
    school: School, client: Client, path: str, labels: list[str]
) -> None:
    school.lena.sign_in(client)
    page = confirm(client, path)

    assert page.find_faults() == []
    assert [each.text for each in page.all("label")] == labels


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/2fa/",
        "/accounts/2fa/totp/activate/",
        "/accounts/2fa/webauthn/",
        "/accounts/2fa/webauthn/add/",
    ],
)
def test_each_page_can_be_read(school: School, client: Client, path: str) -> None:
    school.lena.sign_in(client)
    page = read(client, path)
    if page.one("h1").text == "Show that it is you":
        page = confirm(client, path)
    assert len(page.all("h1")) == 1


@pytest.mark.parametrize(
    "credential",
    ["{}", '{"response": {}}', '{"response": {"userHandle": "!"}}', "[]", "null"],
)
def test_a_made_up_passkey_is_refused(school: School, client: Client, credential: str) -> None:
    answer = client.post("/accounts/2fa/webauthn/login/", {"credential": credential})

    assert (answer.status_code, answer.headers["Location"]) == (302, "/accounts/login/")
    assert client.get("/student/progress").status_code == 302


def test_a_passkey_is_added_and_signs_in(real_school: School, browser: Browser) -> None:
    browser.driver.execute_cdp_cmd("WebAuthn.enable", {})
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    added = browser.driver.execute_cdp_cmd("WebAuthn.addVirtualAuthenticator", {"options": options})
    try:
        browser.sign_in(real_school.lena)
        browser.open("/accounts/2fa/webauthn/add/")
        browser.one("#id_password").send_keys(PASSWORD)
        browser.one("main form button[type=submit]").click()
        browser.one("label[for=id_passwordless]").click()
        browser.one("#mfa_webauthn_add").click()
        browser.wait_for(lambda: "/add" not in browser.path)
        browser.click("Sign out")
        browser.open("/accounts/login/")
        browser.click("Sign in with a passkey")
        browser.wait_for(lambda: browser.path.startswith("/student/progress"))

        assert browser.heading == "My training"
        faults = [each for each in browser.find_faults() if "username fields" not in each]
        assert faults == []  # Chromium would like a field for the name beside each password
    finally:
        browser.driver.execute_cdp_cmd("WebAuthn.removeVirtualAuthenticator", added)
        browser.driver.execute_cdp_cmd("WebAuthn.disable", {})
