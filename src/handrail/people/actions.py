"""What is done with people who can sign in, as the service role."""

from dataclasses import dataclass

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from handrail.core.refusal import Refusal
from handrail.organizations.actions import (
    OrganizationFacts,
    OrganizationRefused,
    find_organization_problems,
    save_organization,
)
from handrail.organizations.models import Membership, Organization
from handrail.people.models import Profile, normalize_email
from handrail.people.text import clean_text, find_email_problem, find_text_problem


class ProfileRefused(Refusal):
    """The address or the password cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who is to own an organization. A password is needed where nobody signs in with the address."""

    email: str
    name: str = ""
    password: str = ""


def find_profile(email: str) -> Profile | None:
    """Who signs in with this address."""
    return Profile.objects.filter(email=normalize_email(email)).first()


def create_profile(*, email: str, password: str, name: str = "") -> Profile:
    """Create somebody who can sign in at once: whoever runs this vouches for the address.

    Raises:
        ProfileRefused: the address, the name or the password cannot be used.
    """
    name = clean_text(name)
    problem = find_email_problem(email.strip()) or find_text_problem(name)
    if problem:
        raise ProfileRefused(f"This person cannot be entered: {problem}.")
    try:
        validate_password(password, Profile(email=email, name=name))
    except ValidationError as error:
        raise ProfileRefused(" ".join(error.messages)) from error
    return Profile.objects.create_user(email=email, password=password, name=name)


def add_member(organization: Organization, profile: Profile, *, role: str) -> None:
    """Give somebody a role (staff, admin, owner, partner) in an organization.

    Raises:
        django.db.IntegrityError: the person has one there already.
    """
    Membership.objects.create(organization=organization, profile=profile, role=role)


def create_organization(facts: OrganizationFacts, owner: Owner) -> tuple[Organization, Profile]:
    """Create an organization with its first owner, in one transaction.

    Somebody who can sign in already keeps name and password.

    Raises:
        OrganizationRefused: the slug is taken, or the description cannot be used.
        ProfileRefused: the owner's address or password cannot be used.
    """
    problems = find_organization_problems(facts)
    if problems:
        raise OrganizationRefused("; ".join(f"{name}: {text}" for name, text in problems.items()))
    with transaction.atomic():
        organization, what = save_organization(facts)
        if what != "created":
            raise OrganizationRefused(f"There is an organization {facts.slug!r} already.")
        profile = find_profile(owner.email) or create_profile(
            email=owner.email, password=owner.password, name=owner.name
        )
        add_member(organization, profile, role="owner")
    return organization, profile
