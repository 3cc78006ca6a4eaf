"""What stands around every page: the organization's name and the navigation of the person's role."""

from collections.abc import Iterator
from typing import TypedDict

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from handrail.enrollments.queries.attention import count_open_items
from handrail.people.access import RequestFacts, get_facts

MOST_COUNTED = 99


class NavItem(TypedDict):
    """An entry of the navigation, as base.html shows it."""

    label: str
    url: str
    current: bool
    count: str


def describe_frame(request: HttpRequest) -> dict[str, object]:
    """Context processor: `organization_name` and `nav`.

    The database is asked only when the navigation is shown: error pages leave it out.
    """
    facts = get_facts(request)
    if not facts.affiliations:
        return {}
    return {
        "organization_name": _choose_name(facts),
        "nav": SimpleLazyObject(lambda: list(_build_navigation(request, facts))),
    }


def _choose_name(facts: RequestFacts) -> str:
    if facts.workplace is not None:
        return facts.workplace.name
    return facts.affiliations[0].name if len(facts.affiliations) == 1 else ""


def _build_navigation(request: HttpRequest, facts: RequestFacts) -> Iterator[NavItem]:
    if any(each.works for each in facts.affiliations):
        yield _make_item(request, "Pipeline", "console:pipeline")
        yield _make_item(request, "Attention", "console:attention", count=_count(facts))
        yield _make_item(request, "People", "console:people")
        yield _make_item(request, "Partner messages", "console:events")
    if any(each.learns for each in facts.affiliations):
        yield _make_item(request, "My training", "student:progress")


def _make_item(request: HttpRequest, label: str, name: str, *, count: str = "") -> NavItem:
    url = reverse(name)
    current = request.path == url or request.path.startswith(f"{url}/")
    return {"label": label, "url": url, "current": current, "count": count}


def _count(facts: RequestFacts) -> str:
    if facts.workplace is None:
        return ""
    found = count_open_items(facts.workplace.organization_id, at_most=MOST_COUNTED + 1)
    return f"{MOST_COUNTED}+" if found > MOST_COUNTED else str(found or "")
