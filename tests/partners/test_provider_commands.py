"""`handrail provider configure` and `handrail provider list`, as processes."""

import json
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction

from handrail.core.crypto import Keyring
from handrail.organizations.actions import OrganizationFacts, save_organization
from handrail.partners.actions import ProviderFacts, find_provider, save_provider
from handrail.partners.commands import SecretsRefused, read_secrets
from handrail.partners.endpoints import find_endpoint
from handrail.partners.providers import open_credentials
from tests.command_line import Said, handrail, handrail_at_terminal
from tests.databases import Database

SECRET = "shared-secret-of-the-tests"
ADDRESS = "https://api.careersafe.example"
FACTS = ProviderFacts("careersafe", "CareerSafe", "careersafe", "hybrid", "shared-secret")


@pytest.fixture
def database(database: Database) -> Database:
    """Northside has CareerSafe."""
    add_provider("northside", FACTS)
    return database


def add_provider(organization: str, facts: ProviderFacts) -> None:
    with transaction.atomic():
        save_provider(save_organization(OrganizationFacts(organization, organization))[0], facts)


def configure(
    database: Database, *options: str, stdin: str | bytes = "", **environment: str
) -> Said:
    words = ("provider", "configure", "careersafe", *options)
    return handrail(database, *words, stdin=stdin, **environment)


def read_credentials() -> dict[str, str]:
    provider = find_provider("careersafe", organization_slug="northside")
    return open_credentials(
        provider.id, provider.credentials, Keyring(settings.HANDRAIL_SECRET_KEYS)
    )


def test_address_and_secrets_are_set_and_nothing_secret_is_said(database: Database) -> None:
    said = configure(
        database,
        *("--base-url", ADDRESS, "--link-url", "https://careersafe.example/join"),
        stdin=f"api_key=key-1\norganization_id = NORTH\n\n# from their mail\nwebhook_secret={SECRET}\n",
    )

    assert (said.code, said.err) == (0, "")
    assert said.lines == [
        "northside/careersafe: CareerSafe",
        "  adapter      careersafe, mode hybrid",
        f"  API          {ADDRESS}",
        "  link         https://careersafe.example/join",
        "  credentials  api_key, organization_id",
        "  webhooks     http://localhost:8000/api/webhooks/partners/careersafe (shared-secret, secret set)",
    ]
    assert read_credentials() == {"api_key": "key-1", "organization_id": "NORTH"}


def test_secrets_may_be_json(database: Database) -> None:
    configure(database, stdin=json.dumps({"api_key": "a=b\u00e9", "organization_id": "N"}))

    assert read_credentials() == {"api_key": "a=b\u00e9", "organization_id": "N"}


def test_a_mistyped_name_is_refused_with_those_that_count(database: Database) -> None:
    said = configure(database, stdin=f"api_key=key-1\nwebook_secret={SECRET}\nfoo_bar=x\nold=")

    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "handrail: careersafe has no use for webook_secret, foo_bar. Nothing was changed. "
        "It takes: api_key, organization_id, webhook_secret.\n"
    )
    assert read_credentials() == {}


def test_rotation_says_until_when_the_secret_of_before_counts(database: Database) -> None:
    configure(database, stdin=f"webhook_secret={SECRET}")

    said = configure(database, "--previous-ends", "7d", stdin=f"webhook_secret={SECRET}-2")

    endpoint = find_endpoint(find_provider("careersafe"))
    assert endpoint is not None
    assert endpoint.previous_ends_at is not None
    until = f"{endpoint.previous_ends_at:%Y-%m-%d %H:%M} UTC"
    assert said.lines[-1] == f"               the secret of before counts until {until}"


def test_a_refused_address_leaves_the_secrets_as_they_were(database: Database) -> None:
    said = configure(
        database, "--base-url", "http://10.0.0.8", stdin=f"api_key=key-1\nwebhook_secret={SECRET}"
    )

    assert (said.code, said.out) == (1, "")
    assert said.err == (
        "handrail: The base URL cannot be used: the address must begin with https://.\n"
    )
    endpoint = find_endpoint(find_provider("careersafe"))
    assert endpoint is not None
    assert (read_credentials(), endpoint.has_secret) == ({}, False)


def test_at_a_terminal_secrets_are_asked_for_and_not_shown(database: Database) -> None:
    said = handrail_at_terminal(
        database, "provider", "configure", "careersafe", typed=f"api_key={SECRET}\n\n"
    )

    assert said.code == 0
    assert SECRET not in said.out
    assert read_credentials() == {"api_key": SECRET}


def test_at_a_terminal_an_address_alone_asks_for_nothing(database: Database) -> None:
    said = handrail_at_terminal(
        database, "provider", "configure", "careersafe", "--base-url", ADDRESS, typed=""
    )

    assert said.code == 0
    assert "KEY=VALUE" not in said.out
    assert find_provider("careersafe").base_url == ADDRESS


def test_two_organizations_must_be_told_apart(database: Database) -> None:
    add_provider("southside", FACTS)

    said = configure(database, stdin="api_key=key-1")
    assert (said.code, said.err) == (
        1,
        "handrail: Say whose careersafe, by --organization: northside, southside\n",
    )
    said = configure(database, "--organization", "southside", stdin="api_key=key-1")
    assert said.lines[-1].endswith("partners/southside-careersafe (shared-secret, no secret yet)")
    assert read_credentials() == {}  # northside's


def test_list_shows_what_is_set_and_what_is_not(database: Database) -> None:
    add_provider("northside", ProviderFacts("jri", "Job Ready Indy", "jri", "link"))

    assert handrail(database, "provider", "list").lines == [
        "northside/careersafe: CareerSafe",
        "  adapter      careersafe, mode hybrid",
        "  API          no address yet",
        "  link         none yet",
        "  credentials  none yet",
        "  webhooks     http://localhost:8000/api/webhooks/partners/careersafe (shared-secret, no secret yet)",
        "",
        "northside/jri: Job Ready Indy",
        "  adapter      jri, mode link",
        "  link         none yet",
        "  credentials  none yet",
        "  webhooks     it sends none",
    ]
    said = handrail(database, "provider", "list", "--organization", "southside")
    assert said.out == "There is no provider yet. Describe some: handrail import-catalog FILE\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("just words", "Line 1 of the secrets is not KEY=VALUE."),
        ("api_key=a\nsecret value\n", "Line 2 of the secrets is not KEY=VALUE."),
        ('{"api_key": ', "The secrets are no JSON object."),
        ('{"api_key": 7}', "In the JSON of the secrets each value must be a text."),
        ("api_key=a\napi_key=b", "A secret is there twice."),
        ('{"api_key": "a", "api_key": "b"}', "A secret is there twice."),
        ('{"api_key": {}}', "In the JSON of the secrets each value must be a text."),
        (
            "API-Key=a",
            "'API-Key' cannot name a secret; write small letters, digits and _, as in api_key",
        ),
        ("api_key=a\x1bb", "The value of api_key holds a control character."),
        ("{" * 100_000, "The secrets are no JSON object."),
    ],
)
def test_secrets_that_cannot_be_read_are_not_repeated(text: str, message: str) -> None:
    with pytest.raises(SecretsRefused) as refused:
        read_secrets(text)

    assert str(refused.value) == message


def test_secrets_that_are_no_text_are_told(database: Database) -> None:
    said = configure(database, stdin=b"api_key=caf\xe9\n", PYTHONIOENCODING="utf-8:strict")

    assert (said.code, said.out) == (1, "")
    assert said.err == "handrail: What stands on standard input is not UTF-8.\n"


def test_no_secret_is_an_argument(database: Database, tmp_path: Path) -> None:
    said = handrail(database, "provider", "configure", "--help")

    options = [word for word in said.out.split() if word.startswith("--")]
    assert sorted(set(options)) == [
        *("--base-url", "--help", "--link-url", "--mode", "--organization", "--previous-ends"),
    ]


def test_a_time_that_is_none_is_told(database: Database) -> None:
    said = configure(database, "--previous-ends", "tomorrow")

    assert said.code == 2
    assert "write one such as 30m, 24h or 7d" in " ".join(said.err.split())
