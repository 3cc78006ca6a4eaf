import pytest
from django.test import Client

from handrail.organizations.actions import OrganizationFacts, OrganizationRefused
from handrail.organizations.models import Membership, Organization
from handrail.people.actions import Owner, ProfileRefused, create_organization, create_profile
from handrail.people.models import Profile
from tests.databases import Database

PASSWORD = "correct horse battery"
FACTS = OrganizationFacts("northside", "Northside")
ALICE = Owner("Alice@Example.org", name="Alice  Owner", password=PASSWORD)


def describe_members() -> list[tuple[str, str, str, str]]:
    found = Membership.objects.order_by("organization__slug", "profile__email")
    return list(found.values_list("organization__slug", "profile__email", "profile__name", "role"))


@pytest.mark.django_db
def test_an_organization_begins_with_its_owner() -> None:
    _, alice = create_organization(FACTS, ALICE)

    assert describe_members() == [("northside", "alice@example.org", "Alice Owner", "owner")]
    assert alice.check_password(PASSWORD)


def test_the_owner_can_sign_in_at_once(database: Database) -> None:
    create_organization(FACTS, ALICE)
    database.use_django_as("web")

    answer = Client().post("/accounts/login/", {"login": "alice@example.org", "password": PASSWORD})

    assert (answer.status_code, answer.headers["Location"]) == (302, "/")


@pytest.mark.django_db
def test_somebody_who_signs_in_already_keeps_name_and_password() -> None:
    create_organization(FACTS, ALICE)

    create_organization(
        OrganizationFacts("southside", "Southside"),
        Owner("alice@example.ORG", name="Mallory", password="another password"),
    )

    assert describe_members() == [
        ("northside", "alice@example.org", "Alice Owner", "owner"),
        ("southside", "alice@example.org", "Alice Owner", "owner"),
    ]
    assert Profile.objects.get().check_password(PASSWORD)


@pytest.mark.django_db
def test_a_slug_that_is_taken_changes_nothing() -> None:
    create_organization(FACTS, ALICE)

    with pytest.raises(OrganizationRefused, match="There is an organization 'northside' already"):
        create_organization(
            OrganizationFacts("northside", "Mine now"),
            Owner("mallory@example.org", password=PASSWORD),
        )

    assert describe_members() == [("northside", "alice@example.org", "Alice Owner", "owner")]
    assert Organization.objects.get().name == "Northside"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("owner", "message"),
    [
        (Owner("alice", password=PASSWORD), "'alice' is not an e-mail address"),
        (Owner("alice@example.org"), "at least 12 characters"),
        (Owner("alice@example.org", password="password1234"), "too common"),
        (Owner("alice.long@example.org", password="alice.long@example"), "too similar"),
        (Owner("alice@example.org", name="A\0", password=PASSWORD), "a control character"),
    ],
)
def test_an_owner_that_cannot_be_leaves_no_organization(owner: Owner, message: str) -> None:
    with pytest.raises(ProfileRefused, match=message):
        create_organization(FACTS, owner)

    assert not Organization.objects.exists()
    assert not Profile.objects.exists()


@pytest.mark.django_db
def test_a_profile_is_stored_with_its_address_in_small_letters() -> None:
    profile = create_profile(email=" Bob@Example.org ", password=PASSWORD)

    assert (profile.email, profile.name) == ("bob@example.org", "")
