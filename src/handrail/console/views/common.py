"""What the views of the console share."""

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render

from handrail.core.paging import Page
from handrail.people.access import get_facts, get_workplace


def render_page(request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponseBase:
    """Render a page with what every page of the console needs."""
    workplace = get_workplace(request)
    broken = (each.form for each in context.get("offers", ()) if each.form.errors)
    frame = {
        "form": next(broken, None),  # for the title of the page
        "workplace": workplace,
        "workplaces": [each for each in get_facts(request).affiliations if each.works],
        "learners": f"{workplace.learner_word}s",
    }
    return render(request, template, frame | context)


def make_page_urls(request: HttpRequest, page: Page[Any], *, name: str = "at") -> dict[str, str]:
    """Return previous_url and next_url of a list: this address with another place."""

    def address(place: str) -> str:
        if not place:
            return ""
        query = request.GET.copy()
        query[name] = place
        return f"{request.path}?{query.urlencode()}"

    return {"previous_url": address(page.previous), "next_url": address(page.next)}


def leave_empty_page(request: HttpRequest, page: Page[Any]) -> HttpResponseBase | None:
    """Return the way to the list's beginning, where nothing stands at this place any more."""
    if page.rows or "at" not in request.GET:
        return None
    query = request.GET.copy()
    del query["at"]
    return redirect(f"{request.path}?{query.urlencode()}" if query else request.path)
