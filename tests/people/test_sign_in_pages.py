"""Sign-in and account pages, in our words and our look, as django-allauth serves them."""

import pytest
from django.test import Client

from tests.core.html import Page
from tests.databases import Database


@pytest.fixture(autouse=True)
def _as_web(database: Database) -> None:
    database.use_django_as("web")


def read(client: Client, path: str, status: int = 200) -> Page:
    response = client.get(path)
    assert response.status_code == status
    page = Page(response.content.decode())
    assert page.find_faults() == []
    assert len(page.all("h1")) == 1
    return page


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/accounts/login/", "Sign in"),
        ("/accounts/signup/", "You cannot make an account yourself"),
        ("/accounts/password/reset/", "Forgot your password?"),
        ("/accounts/password/reset/done/", "Check your email"),
        ("/accounts/password/reset/key/1-set-password/", "This link does not work any more"),
        ("/accounts/password/reset/key/done/", "Your password is changed"),
        ("/accounts/inactive/", "This account is closed"),
    ],
)
def test_page_for_those_who_are_not_signed_in(client: Client, path: str, heading: str) -> None:
    page = read(client, path)
    assert page.one("h1").text == heading
    assert page.one("title").text == f"{heading} · Handrail"


def test_wrong_password_is_said_without_telling_which_part_is_wrong(client: Client) -> None:
    response = client.post(
        "/accounts/login/", {"login": "charlie@example.org", "password": "not the password"}
    )
    page = Page(response.content.decode())
    assert "not correct" in page.one("div", class_="hr-error-summary").text
    assert page.one("input", id="id_login").attributes["value"] == "charlie@example.org"
    assert "value" not in page.one("input", id="id_password").attributes
    assert page.one("title").text == "Error: Sign in · Handrail"


def test_sign_in_keeps_where_one_wanted_to_go(client: Client) -> None:
    page = read(client, "/accounts/login/?next=/student/progress")
    assert [field.attributes["value"] for field in page.all("input", name="next")] == [
        "/student/progress"
    ] * 2  # with a password, with a passkey


def test_missing_address_is_tied_to_its_field(client: Client) -> None:
    response = client.post("/accounts/password/reset/", {"email": ""})
    page = Page(response.content.decode())
    field = page.one("input", id="id_email").attributes
    assert (field["aria-invalid"], field["aria-describedby"]) == ("true", "id_email_error")
    assert page.find_faults() == []
