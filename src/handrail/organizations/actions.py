"""What is done with organizations, as the service role."""

from dataclasses import dataclass
from unicodedata import category
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db import connection

from handrail.core.refusal import Refusal
from handrail.core.slugs import SLUG_RULE, is_slug
from handrail.organizations.models import Organization

LONGEST_NAME = 200
LEARNER_WORDS = ("student", "apprentice", "participant", "learner")


class OrganizationRefused(Refusal):
    """There is no such organization, or its description cannot be used."""


@dataclass(frozen=True, slots=True)
class OrganizationFacts:
    """What an organization is described by. `time_zone` is an IANA name."""

    slug: str
    name: str
    learner_word: str = "student"
    time_zone: str = "UTC"


def find_organization(slug: str = "") -> Organization:
    """The organization of this slug; with an empty one the only organization there is.

    Raises:
        OrganizationRefused: there is none, or there are several to choose from.
    """
    if slug:
        found = Organization.objects.filter(slug=slug).first()
        if found is None:
            raise OrganizationRefused(f"There is no organization {slug!r}. {_list_slugs()}")
        return found
    some = list(Organization.objects.order_by("slug")[:2])
    if len(some) != 1:
        raise OrganizationRefused(f"Say which organization, by --organization. {_list_slugs()}")
    return some[0]


def save_organization(facts: OrganizationFacts) -> tuple[Organization, str]:
    """Create or update an organization, and lock it until the caller's transaction ends.

    Returns it with what became of it: "created", "changed" or "same".
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into organizations (slug, name, learner_word, time_zone)"
            " values (%s, %s, %s, %s) on conflict (slug) do nothing",
            [facts.slug, facts.name, facts.learner_word, facts.time_zone],
        )
        created = cursor.rowcount == 1
    organization = Organization.objects.select_for_update().get(slug=facts.slug)
    wanted = {
        "name": facts.name,
        "learner_word": facts.learner_word,
        "time_zone": facts.time_zone,
    }
    changed = [name for name, value in wanted.items() if getattr(organization, name) != value]
    for name in changed:
        setattr(organization, name, wanted[name])
    if changed:
        organization.save(update_fields=changed)
    return organization, "created" if created else "changed" if changed else "same"


def find_organization_problems(facts: OrganizationFacts) -> dict[str, str]:
    """What is wrong with a description: by field, what to write instead."""
    problems = {}
    if not is_slug(facts.slug):
        problems["slug"] = f"{facts.slug!r} cannot be a slug; write {SLUG_RULE}"
    if not facts.name.strip():
        problems["name"] = "write the organization's name"
    elif len(facts.name) > LONGEST_NAME or any(category(each) == "Cc" for each in facts.name):
        problems["name"] = f"write at most {LONGEST_NAME} characters, and no control characters"
    if facts.learner_word not in LEARNER_WORDS:
        words = ", ".join(LEARNER_WORDS)
        problems["learner_word"] = f"{facts.learner_word!r} is not known; write one of {words}"
    if not _is_time_zone(facts.time_zone):
        example = "America/Indiana/Indianapolis"
        problems["time_zone"] = f"{facts.time_zone!r} is no time zone; write one such as {example}"
    return problems


def _is_time_zone(name: str) -> bool:
    """Whether both Python and the database know it."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    with connection.cursor() as cursor:
        cursor.execute("select exists (select from pg_timezone_names where name = %s)", [name])
        (known,) = cursor.fetchone() or (False,)
    return bool(known)


def _list_slugs() -> str:
    slugs = list(Organization.objects.order_by("slug").values_list("slug", flat=True)[:11])
    if not slugs:
        return "There is none yet; make one with: handrail create-organization"
    return f"There are: {', '.join(slugs[:10])}{' and more' if len(slugs) > 10 else ''}."
