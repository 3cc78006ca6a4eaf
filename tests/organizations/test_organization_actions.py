import pytest

from handrail.organizations.actions import (
    OrganizationFacts,
    OrganizationRefused,
    find_organization,
    find_organization_problems,
    save_organization,
)
from handrail.organizations.models import Organization

pytestmark = pytest.mark.django_db
NORTHSIDE = OrganizationFacts("northside", "Northside", time_zone="America/Chicago")


def test_an_organization_is_created_then_changed_then_the_same() -> None:
    assert save_organization(NORTHSIDE)[1] == "created"
    assert save_organization(NORTHSIDE)[1] == "same"

    renamed, became = save_organization(OrganizationFacts("northside", "North"))

    assert became == "changed"
    stored = Organization.objects.get(id=renamed.id)
    assert (stored.name, stored.time_zone, stored.learner_word) == ("North", "UTC", "student")


def test_every_problem_is_told_by_field() -> None:
    facts = OrganizationFacts("North Side", " ", learner_word="pupil", time_zone="Mars/Olympus")

    assert find_organization_problems(facts) == {
        "slug": "'North Side' cannot be a slug; write lower-case letters, digits and hyphens, "
        "at most 63, not a hyphen first",
        "name": "write the organization's name",
        "learner_word": "'pupil' is not known; write one of student, apprentice, participant, learner",
        "time_zone": "'Mars/Olympus' is no time zone; write one such as America/Indiana/Indianapolis",
    }
    assert find_organization_problems(NORTHSIDE) == {}


@pytest.mark.parametrize("name", ["North\nside", "\x1b[31mNorthside", "n" * 201])
def test_a_name_is_a_line_of_text(name: str) -> None:
    assert find_organization_problems(OrganizationFacts("a", name)) == {
        "name": "write at most 200 characters, and no control characters"
    }
    assert find_organization_problems(OrganizationFacts("a", "n" * 200)) == {}


@pytest.mark.parametrize("zone", ["../../etc/passwd", "/etc/localtime", "EST5EDT4", "+05", ""])
def test_no_zone_but_a_named_one(zone: str) -> None:
    assert list(find_organization_problems(OrganizationFacts("a", "A", time_zone=zone))) == [
        "time_zone"
    ]


def test_the_only_organization_need_not_be_named() -> None:
    with pytest.raises(OrganizationRefused, match="There is none yet; make one with"):
        find_organization()
    only, _ = save_organization(NORTHSIDE)

    assert find_organization() == only
    assert find_organization("northside") == only


def test_one_of_several_must_be_named() -> None:
    save_organization(NORTHSIDE)
    save_organization(OrganizationFacts("southside", "Southside"))

    with pytest.raises(OrganizationRefused) as refused:
        find_organization()
    assert str(refused.value) == (
        "Say which organization, by --organization. There are: northside, southside."
    )
    with pytest.raises(OrganizationRefused) as refused:
        find_organization("eastside")
    assert str(refused.value) == (
        "There is no organization 'eastside'. There are: northside, southside."
    )
