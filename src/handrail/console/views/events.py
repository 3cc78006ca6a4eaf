"""The messages of partners: search, show, apply once more."""

from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from handrail.console.decisions import EVENT_DECISIONS, Offer, decide, offer
from handrail.console.forms import EventSearchForm
from handrail.console.views.common import leave_empty_page, make_page_urls, render_page
from handrail.core.paging import BadPlace, Page
from handrail.enrollments.queries.detail import list_actor_names
from handrail.inbox.models import WebhookEndpoint, WebhookEvent
from handrail.inbox.queries import EventRow, EventSearch, get_event, list_events, read_body
from handrail.partners.models import Provider
from handrail.people.access import forms_only, get_facts, get_workplace, staff_required

MOST_CONFLICTS = 20
"""So many messages beside one with the same id are shown."""


@require_safe
@staff_required
def show_events(request: HttpRequest) -> HttpResponseBase:
    organization = get_workplace(request).organization_id
    partners = _name_partners(organization)
    form = EventSearchForm(request.GET or None, partners=partners)
    values = form.cleaned_data if form.is_valid() else {}
    page: Page[EventRow] = Page([])
    if not form.errors:
        search = EventSearch(organization_id=organization, **values)
        try:
            page = list_events(search, place=request.GET.get("at", ""))
        except BadPlace:
            raise Http404 from None
        if answer := leave_empty_page(request, page):
            return answer
    context = {
        "form": form,
        "rows": page.rows,
        "partners": partners,
        "searched": any(values.values()),
        **make_page_urls(request, page),
    }
    return render_page(request, "console/events.html", context)


def _name_partners(organization: UUID) -> dict[str, str]:
    """The name of the provider behind each endpoint, by the endpoint's key."""
    name = Provider.objects.filter(id=OuterRef("provider_id")).values("name")
    endpoints = WebhookEndpoint.objects.filter(organization_id=organization)
    return dict(endpoints.order_by("key").values_list("key", Coalesce(Subquery(name), "key")))


@require_safe
@staff_required
def show_event(request: HttpRequest, event_id: UUID) -> HttpResponseBase:
    event = _get(event_id)
    return _render(request, event, _list_offers(event))


@forms_only("console:event", "event_id")
@staff_required
def decide_event(request: HttpRequest, event_id: UUID, name: str) -> HttpResponseBase:
    event = _get(event_id)
    offers = _list_offers(event)
    if decide(request, offers, name):
        return redirect("console:event", event_id)
    return _render(request, event, offers)


def _get(event_id: UUID) -> WebhookEvent:
    try:
        return get_event(event_id)
    except (WebhookEvent.DoesNotExist, ValidationError):
        raise Http404 from None


def _list_offers(event: WebhookEvent) -> list[Offer]:
    names = {"needs_attention": ["replay", "ignore"], "ignored": ["replay"]}.get(event.status, [])
    return [offer(name, EVENT_DECISIONS[name], event.id) for name in names]


def _render(request: HttpRequest, event: WebhookEvent, offers: list[Offer]) -> HttpResponseBase:
    is_admin = get_facts(request).identity.is_admin
    organization = get_workplace(request).organization_id
    names = list_actor_names(organization)
    context = {
        "event": event,
        "offers": offers,
        "base_url": reverse("console:event", args=[event.id]),
        "partner": _name_partners(organization).get(event.endpoint.key, event.endpoint.key),
        "body": read_body(event.id) if is_admin else None,
        "conflicts": [
            (each, read_body(each.id) if is_admin else None)
            for each in event.conflicts.order_by("received_at")[:MOST_CONFLICTS]
        ],
        "decisions": [
            (each, names.get(each.actor_id, "") if each.actor_id else "the command line")
            for each in event.decisions.order_by("decided_at")
        ],
    }
    return render_page(request, "console/event.html", context)
