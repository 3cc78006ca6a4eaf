import re

import pytest
from pytest_django import Settings

from handrail.organizations.models import Membership, Organization
from handrail.people.models import Profile
from tests.command_line import handrail, handrail_at_terminal
from tests.databases import Database

PASSWORD = "correct horse battery"
NORTHSIDE = (
    "create-organization",
    "northside",
    "Northside Institute",
    "--owner",
    "alice@example.org",
)


@pytest.fixture(autouse=True)
def _hashers_of_production(settings: Settings) -> None:
    """The command runs with its own settings; what it stored is checked here."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]


def test_the_password_is_read_twice_from_standard_input(database: Database) -> None:
    said = handrail(
        database,
        *NORTHSIDE,
        *("--owner-name", "Alice Owner", "--time-zone", "America/Chicago"),
        *("--learner-word", "apprentice"),
        stdin=f"{PASSWORD}\n{PASSWORD}\n",
    )

    assert (said.code, said.err) == (0, "")
    assert said.out == "The organization northside is there, and alice@example.org owns it.\n"
    organization = Organization.objects.get(slug="northside")
    assert organization.name == "Northside Institute"
    assert (organization.time_zone, organization.learner_word) == ("America/Chicago", "apprentice")
    member = Membership.objects.select_related("profile").get(organization=organization)
    assert (member.role, member.profile.name) == ("owner", "Alice Owner")
    assert member.profile.check_password(PASSWORD)


def test_the_password_is_asked_at_a_terminal_and_not_shown(database: Database) -> None:
    said = handrail_at_terminal(database, *NORTHSIDE, typed=f"{PASSWORD}\n{PASSWORD}\n")

    assert said.code == 0
    assert "Password:" in said.out
    assert "Once more:" in said.out
    assert PASSWORD not in said.out
    assert Profile.objects.get().check_password(PASSWORD)


def test_a_generated_password_is_shown_once(database: Database) -> None:
    said = handrail(database, *NORTHSIDE, "--generate-password")

    assert said.code == 0
    found = re.fullmatch(r"Password, shown only now: (\S{24})", said.lines[1])
    assert found is not None
    assert Profile.objects.get().check_password(found[1])


def test_an_owner_who_signs_in_already_is_not_asked(database: Database) -> None:
    handrail(database, *NORTHSIDE, stdin=f"{PASSWORD}\n{PASSWORD}\n")

    said = handrail(database, "create-organization", "southside", "South", *NORTHSIDE[3:])

    assert said.code == 0
    assert Membership.objects.count() == 2
    assert Profile.objects.get().check_password(PASSWORD)


@pytest.mark.parametrize(
    ("arguments", "typed", "message"),
    [
        (
            NORTHSIDE,
            f"{PASSWORD}\n{PASSWORD}!\n",
            "handrail: The two passwords are not the same. Nothing was created.\n",
        ),
        (
            ("create-organization", "Nord Side", "N", "--owner", "a@example.org"),
            f"{PASSWORD}\n{PASSWORD}\n",
            (
                "handrail: slug: 'Nord Side' cannot be a slug; write lower-case letters, digits and "
                "hyphens, at most 63, not a hyphen first\n"
            ),
        ),
        (
            ("create-organization", "northside", "N", "--owner", "alice"),
            f"{PASSWORD}\n{PASSWORD}\n",
            "handrail: This person cannot be entered: 'alice' is not an e-mail address.\n",
        ),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    database: Database, arguments: tuple[str, ...], typed: str, message: str
) -> None:
    said = handrail(database, *arguments, stdin=typed)

    assert (said.code, said.out, said.err) == (1, "", message)
    assert not Organization.objects.exists()


def test_a_password_is_never_an_argument(database: Database) -> None:
    said = handrail(database, "create-organization", "--help")

    assert "--generate-password" in said.out
    assert "--password" not in said.out


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_a_password_that_is_no_text_is_told(database: Database, errors: str) -> None:
    password = b"a long caf\xe9 password\n"
    said = handrail(database, *NORTHSIDE, stdin=password * 2, PYTHONIOENCODING=f"utf-8:{errors}")

    assert (said.code, said.out) == (1, "")
    assert said.err == "handrail: The password is not UTF-8. Nothing was created.\n"
    assert Organization.objects.count() == 0
