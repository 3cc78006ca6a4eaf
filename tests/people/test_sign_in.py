"""Signing in and out as the web's role, under row security."""

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client
from pytest_django import Settings

from tests.cast import PASSWORD, School
from tests.core.html import Page

WRONG = "not the password at all"


def attempt(client: Client, email: str, password: str, **more: str) -> Page:
    """Send the form; the page that comes back, also where one is sent on."""
    form = {"login": email, "password": password, **more}
    answer = client.post("/accounts/login/", form, follow=True)
    return Page(answer.content.decode())


def test_people_come_to_where_they_belong(school: School) -> None:
    homes = {
        school.alice: "/admin/pipeline",
        school.bob: "/admin/pipeline",
        school.lena: "/student/progress",
    }
    for person, home in homes.items():
        client = person.sign_in(Client())
        assert client.get("/").headers["Location"] == home


def test_the_address_may_be_written_in_any_way(school: School, client: Client) -> None:
    page = attempt(client, "  LENA@Example.org ", PASSWORD)
    assert page.one("h1").text == "My training"


def test_the_page_one_wanted_is_the_page_one_gets(school: School, client: Client) -> None:
    answer = client.post(
        "/accounts/login/?next=/accounts/email/",
        {"login": school.lena.email, "password": PASSWORD},
    )
    assert answer.headers["Location"] == "/accounts/email/"


def test_nobody_is_sent_to_another_site(school: School, client: Client) -> None:
    answer = client.post(
        "/accounts/login/?next=https://evil.example/",
        {"login": school.lena.email, "password": PASSWORD},
    )
    assert answer.headers["Location"] == "/"


@pytest.mark.parametrize("email", ["lena@example.org", "stranger@example.org"])
def test_a_wrong_password_and_an_unknown_address_look_the_same(
    school: School, client: Client, email: str
) -> None:
    page = attempt(client, email, WRONG)
    assert "not correct" in page.one("div", class_="hr-error-summary").text
    assert client.get("/student/progress").status_code == 302


def test_an_unknown_address_costs_as_much_hashing_as_a_wrong_password(
    school: School, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    encode = MD5PasswordHasher.encode

    def count(self: MD5PasswordHasher, password: str, salt: str) -> str:
        hashed.append(password)
        return encode(self, password, salt)

    monkeypatch.setattr(MD5PasswordHasher, "encode", count)
    attempt(client, "lena@example.org", WRONG)
    known, hashed[:] = len(hashed), []
    attempt(client, "stranger@example.org", WRONG)

    assert (known, len(hashed)) == (1, 1)


def test_a_closed_account_is_told_so_only_with_its_password(school: School) -> None:
    school.change("profiles", school.lena.profile, is_active=False)

    assert attempt(Client(), school.lena.email, PASSWORD).one("h1").text == "This account is closed"
    assert "not correct" in attempt(Client(), school.lena.email, WRONG).one("main").text


def test_the_time_of_the_sign_in_is_kept(school: School, client: Client) -> None:
    school.lena.sign_in(client)
    seen = school.world.column("select email from profiles where last_login is not null")
    assert seen == ["lena@example.org"]


@pytest.fixture
def _stronger_hashes(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]


@pytest.mark.usefixtures("_stronger_hashes")
def test_a_weak_hash_is_replaced_by_a_strong_one(school: School, client: Client) -> None:
    school.lena.sign_in(client)
    found = school.world.value("select password from profiles where email = 'lena@example.org'")

    assert found.startswith("pbkdf2_sha256$")
    school.lena.sign_in(Client())


def test_signing_out_ends_the_session(school: School, client: Client) -> None:
    school.lena.sign_in(client)
    cookie = client.cookies["session"].value
    answer = client.post("/accounts/logout/")
    client.cookies["session"] = cookie

    assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    assert client.get("/student/progress").headers["Location"].startswith("/accounts/login/")


def test_the_session_gets_a_new_name_at_sign_in(school: School, client: Client) -> None:
    client.get("/accounts/login/")
    client.cookies["session"] = "chosen-by-an-attacker"
    school.lena.sign_in(client)
    assert client.cookies["session"].value != "chosen-by-an-attacker"


def test_remembered_only_when_asked_for(school: School) -> None:
    for asked, seconds in (({}, ""), ({"remember": "on"}, 14 * 24 * 3600)):
        client = Client()
        attempt(client, school.lena.email, PASSWORD, **asked)
        assert client.cookies["session"]["max-age"] == seconds


# How often.


def test_an_account_is_closed_to_guesses_after_five_wrong_ones(
    school: School, client: Client
) -> None:
    for _ in range(5):
        assert "not correct" in attempt(client, school.lena.email, WRONG).one("main").text
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    page = attempt(elsewhere, school.lena.email, PASSWORD)

    assert "Too many wrong attempts" in page.one("div", class_="hr-error-summary").text
    school.bob.sign_in(Client(REMOTE_ADDR="192.0.2.8"))


def test_an_address_of_the_network_is_closed_after_ten_wrong_ones(school: School) -> None:
    for number in range(10):
        attempt(Client(), f"nobody-{number}@example.org", WRONG)
    page = attempt(Client(), school.lena.email, PASSWORD)

    assert "Too many wrong attempts" in page.one("div", class_="hr-error-summary").text
    school.lena.sign_in(Client(REMOTE_ADDR="192.0.2.7"))


def test_a_forged_header_does_not_make_another_address(school: School) -> None:
    for number in range(10):
        forged = Client(headers={"X-Forwarded-For": f"198.51.100.{number}"})
        attempt(forged, f"nobody-{number}@example.org", WRONG)
    page = attempt(
        Client(headers={"X-Forwarded-For": "198.51.100.77"}), school.lena.email, PASSWORD
    )

    assert "Too many wrong attempts" in page.one("div", class_="hr-error-summary").text


def test_right_passwords_do_not_count(school: School) -> None:
    for _ in range(8):
        school.lena.sign_in(Client())


def test_too_many_sign_ins_are_put_off_with_a_page(school: School) -> None:
    answers = [
        Client().post("/accounts/login/", {"login": school.lena.email, "password": PASSWORD})
        for _ in range(31)
    ]
    page = Page(answers[-1].content.decode())

    assert [each.status_code for each in answers] == [302] * 30 + [429]
    assert page.one("h1").text == "Too many attempts"


# The account's own page.


def test_the_account_page_tells_who_one_is(school: School, client: Client) -> None:
    school.alice.sign_in(client)
    page = Page(client.get("/accounts/email/").content.decode())

    told = [each.text for each in page.all("dd")]
    assert told == ["Alice", "alice@example.org", "Owner"]
    assert client.get("/accounts/").headers["Location"] == "/accounts/email/"


@pytest.mark.parametrize(
    "path", ["/accounts/confirm-email/", "/accounts/confirm-email/x/", "/accounts/login/code/"]
)
def test_pages_that_are_of_no_use_here_are_not_there(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404
