"""Setting providers up: addresses, credentials, secrets and how a secret is changed."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection
from pytest_django import Settings

from handrail.core.crypto import CannotDecrypt, Keyring
from handrail.inbox.endpoints import locate_secret
from handrail.organizations.actions import OrganizationFacts, save_organization
from handrail.organizations.models import Organization
from handrail.partners.actions import (
    ProviderFacts,
    ProviderRefused,
    configure_provider,
    find_provider,
    rotate_webhook_secret,
    save_provider,
)
from handrail.partners.endpoints import (
    Endpoint,
    SecretRefused,
    find_endpoint,
    find_secret_problem,
    make_secret,
)
from handrail.partners.models import Provider
from handrail.partners.providers import open_credentials
from handrail.partners.signatures import SCHEMES

pytestmark = pytest.mark.django_db
MILADY = ProviderFacts("milady", "Milady RISE", "milady", "api", "hmac-sha256-hex")
DAY = timedelta(hours=24)
FIRST, SECOND, THIRD = (f"{word}-secret-of-the-tests" for word in ("first", "second", "third"))


@pytest.fixture
def organization() -> Organization:
    return save_organization(OrganizationFacts("northside", "Northside"))[0]


@pytest.fixture
def provider(organization: Organization) -> Provider:
    save_provider(organization, MILADY)
    return find_provider("milady")


def keyring() -> Keyring:
    return Keyring(settings.HANDRAIL_SECRET_KEYS)


def read_credentials(provider: Provider) -> dict[str, str]:
    provider.refresh_from_db()
    return open_credentials(provider.id, provider.credentials, keyring())


def read_secrets(endpoint: Endpoint) -> Sequence[str | None]:
    """The present and the previous secret, opened as the ingress opens them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select secret, previous_secret from webhook_endpoints where id = %s", [endpoint.id]
        )
        row = cursor.fetchone() or ()
    return [
        sealed
        and keyring().decrypt(bytes(sealed), place=locate_secret(endpoint.id, column)).decode()
        for sealed, column in zip(row, ("secret", "previous_secret"), strict=True)
    ]


def rotate(provider: Provider, secret: str, keep: timedelta = DAY) -> Endpoint:
    return rotate_webhook_secret(provider, secret, keep=keep)


def test_credentials_are_merged_by_name_and_sealed(provider: Provider) -> None:
    configure_provider(provider.id, credentials={"api_key": "key-1", "organization_id": "NORTH"})
    configure_provider(provider.id, credentials={"api_key": "key-2"})

    assert read_credentials(provider) == {"api_key": "key-2", "organization_id": "NORTH"}
    assert b"key-2" not in bytes(provider.credentials or b"")
    configure_provider(provider.id, credentials={"organization_id": ""})
    assert read_credentials(provider) == {"api_key": "key-2"}


def test_credentials_open_in_their_own_row_only(
    organization: Organization, provider: Provider
) -> None:
    configure_provider(provider.id, credentials={"api_key": "key-1"})
    save_provider(organization, ProviderFacts("hsi", "HSI", "hsi", "api"))
    stolen = find_provider("hsi")
    Provider.objects.filter(id=stolen.id).update(
        credentials=Provider.objects.values_list("credentials", flat=True).get(id=provider.id)
    )

    with pytest.raises(CannotDecrypt):
        read_credentials(stolen)


def test_what_is_not_given_stays(provider: Provider) -> None:
    configure_provider(provider.id, base_url="https://api.milady.example", mode="hybrid")
    configure_provider(provider.id, link_url="https://milady.example/start")

    provider.refresh_from_db()
    assert (provider.base_url, provider.link_url, provider.mode) == (
        "https://api.milady.example",
        "https://milady.example/start",
        "hybrid",
    )


def test_an_address_that_must_not_be_called_is_refused(provider: Provider) -> None:
    with pytest.raises(ProviderRefused) as refused:
        configure_provider(
            provider.id, base_url="https://10.0.0.8", link_url="http://x.example", mode="apo"
        )

    assert str(refused.value) == (
        "The base URL cannot be used: 10.0.0.8 is not a public address. "
        "The link cannot be used: the address must begin with https://. "
        "The mode cannot be used: write one of api, link, hybrid."
    )
    provider.refresh_from_db()
    assert (provider.base_url, provider.mode) == ("", "api")


def test_a_first_secret_has_none_before_it(provider: Provider) -> None:
    endpoint = rotate(provider, FIRST)

    assert read_secrets(endpoint) == [FIRST, None]
    assert (endpoint.has_secret, endpoint.previous_ends_at) == (True, None)


def test_the_secret_of_before_stays_for_its_time(provider: Provider) -> None:
    rotate(provider, FIRST)

    endpoint = rotate(provider, SECOND)

    assert read_secrets(endpoint) == [SECOND, FIRST]
    assert endpoint.previous_ends_at is not None
    assert abs(endpoint.previous_ends_at - datetime.now(UTC) - DAY) < timedelta(minutes=1)


def test_a_third_secret_ends_the_first(provider: Provider) -> None:
    for secret in (FIRST, SECOND):
        rotate(provider, secret)

    assert read_secrets(rotate(provider, THIRD)) == [THIRD, SECOND]


def test_a_secret_that_leaked_ends_at_once(provider: Provider) -> None:
    rotate(provider, FIRST)

    endpoint = rotate(provider, SECOND, keep=timedelta())

    assert read_secrets(endpoint) == [SECOND, None]
    assert endpoint.previous_ends_at is None


def test_a_new_secret_takes_the_refused_messages_off_the_list(provider: Provider) -> None:
    endpoint = rotate(provider, FIRST)

    def refuse_and_tell(count: int) -> int:
        """Count refusals as the ingress does, tell of them as the applier does."""
        with connection.cursor() as cursor:
            cursor.execute(
                "update webhook_endpoints set refused_count = refused_count + %s, "
                "last_refused_reason = 'no signature matches' where id = %s",
                [count, endpoint.id],
            )
            cursor.execute("select tell_about_webhooks()")
            cursor.execute(
                "select count(*) from attention_items where kind = 'webhook_refused' "
                "and subject_id = %s and resolved_at is null",
                [endpoint.id],
            )
            return int(cursor.fetchone()[0])

    assert refuse_and_tell(3) == 1
    rotate(provider, SECOND)
    assert refuse_and_tell(0) == 0

    assert refuse_and_tell(1) == 1


def test_the_same_secret_again_ends_the_one_of_before_earlier_and_never_later(
    provider: Provider,
) -> None:
    rotate(provider, FIRST)
    endpoint = rotate(provider, SECOND)

    assert rotate(provider, SECOND, keep=2 * DAY) == endpoint
    earlier = rotate(provider, SECOND, keep=DAY / 2)
    assert read_secrets(earlier) == [SECOND, FIRST]
    assert earlier.previous_ends_at is not None
    assert abs(earlier.previous_ends_at - datetime.now(UTC) - DAY / 2) < timedelta(minutes=1)

    ended = rotate(provider, SECOND, keep=timedelta())  # it leaked
    assert read_secrets(ended) == [SECOND, None]
    assert ended.previous_ends_at is None
    assert rotate(provider, SECOND) == ended


def test_a_secret_can_be_replaced_when_its_key_is_lost(
    provider: Provider, settings: Settings
) -> None:
    rotate(provider, FIRST)
    settings.HANDRAIL_SECRET_KEYS = (("new", b"n" * 32),)

    assert read_secrets(rotate(provider, SECOND)) == [SECOND, None]


def test_a_provider_without_webhooks_takes_no_secret(organization: Organization) -> None:
    save_provider(organization, ProviderFacts("jri", "JRI", "jri", "link"))

    with pytest.raises(SecretRefused, match="this provider sends no webhooks"):
        rotate_webhook_secret(find_provider("jri"), FIRST, keep=DAY)


STANDARD = "it must be whsec_ and 24 to 64 bytes in base64"


@pytest.mark.parametrize(
    ("scheme", "secret", "problem"),
    [
        ("standard-webhooks", "whsec_" + base64.b64encode(b"k" * 24).decode(), ""),
        ("standard-webhooks", base64.b64encode(b"k" * 64).decode(), ""),
        ("standard-webhooks", "whsec_" + base64.b64encode(b"k" * 23).decode(), STANDARD),
        ("standard-webhooks", "whsec_not base64", STANDARD),
        ("standard-webhooks", "", STANDARD),
        ("shared-secret", "s" * 16, ""),
        ("shared-secret", "s" * 15, "it must have 16 to 512 characters"),
        ("hmac-sha256-hex", "s" * 513, "it must have 16 to 512 characters"),
        (
            "shared-secret",
            "sécret-sécret-sécret",
            "it must be printable ASCII without space around it",
        ),
        ("shared-secret", " " + "s" * 16, "it must be printable ASCII without space around it"),
        (
            "shared-secret",
            "s" * 16 + "\r\nX: y",
            "it must be printable ASCII without space around it",
        ),
    ],
)
def test_which_secret_a_scheme_can_use(scheme: str, secret: str, problem: str) -> None:
    assert find_secret_problem(scheme, secret) == problem


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_made_secret_can_be_used_and_is_another_each_time(scheme: str) -> None:
    first, second = make_secret(scheme), make_secret(scheme)

    assert (find_secret_problem(scheme, first), find_secret_problem(scheme, second)) == ("", "")
    assert first != second


def test_a_provider_is_found_by_its_slug_where_that_is_enough(
    organization: Organization, provider: Provider
) -> None:
    southside, _ = save_organization(OrganizationFacts("southside", "Southside"))
    save_provider(southside, MILADY)

    assert find_provider("milady", organization_slug="northside") == provider
    with pytest.raises(
        ProviderRefused, match="Say whose milady, by --organization: northside, southside"
    ):
        find_provider("milady")
    with pytest.raises(ProviderRefused, match="There is no provider 'hsi' in northside"):
        find_provider("hsi", organization_slug="northside")


def test_two_names_that_make_one_key_get_two_endpoints() -> None:
    keys = []
    for slug, provider in (("a-b", "c"), ("x", "c"), ("x-a", "b-c"), ("a", "b-c"), ("x", "a-b-c")):
        organization, _ = save_organization(OrganizationFacts(slug, slug))
        save_provider(organization, ProviderFacts(provider, "P", "milady", "api", "shared-secret"))
        endpoint = find_endpoint(find_provider(provider, organization_slug=slug))
        assert endpoint is not None
        keys.append(endpoint.key)

    assert keys == ["c", "x-c", "b-c", "a-b-c", "x-a-b-c"]


def test_a_key_that_is_taken_twice_gets_a_number() -> None:
    longest = "p" * 63
    for slug, provider in (
        ("o", "s"),
        ("n", "o-s"),
        ("x", "o-s"),
        ("x-o", "s"),
        ("z" * 63, longest),
    ):
        organization, _ = save_organization(OrganizationFacts(slug, slug))
        save_provider(organization, ProviderFacts(provider, "P", "milady", "api"))
    another, _ = save_organization(OrganizationFacts("z" * 62 + "y", "Z"))
    save_provider(another, ProviderFacts(longest, "P", "milady", "api"))

    with connection.cursor() as cursor:
        cursor.execute("select key from webhook_endpoints order by created_at, id")
        keys = [key for (key,) in cursor.fetchall()]
    assert keys == ["s", "o-s", "x-o-s", "x-o-s-2", longest, f"{'z' * 62}y-{longest}"]
