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
from handrail.console.views.common import link, render_page
from handrail.enrollments.queries.detail import list_actor_names
from handrail.inbox.models import WebhookEndpoint, WebhookEvent
from handrail.inbox.queries import EventPage, EventSearch, get_event, list_events, read_body
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
    page = EventPage([], "")
    if not form.errors:
        search = EventSearch(organization_id=organization, **values)
        page = _list(search, request.GET.get("older", ""))
    context = {
        "form": form,
        "rows": page.rows,
        "partners": partners,
        "searched": any(values.values()),
        "next_url": link("console:events", **values, older=page.older) if page.older else "",
    }
    return render_page(request, "console/events.html", context)


def _name_partners(organization: UUID) -> dict[str, str]:
    """The name of the provider behind each endpoint, by the endpoint's key."""
    name = Provider.objects.filter(id=OuterRef("provider_id")).values("name")
    endpoints = WebhookEndpoint.objects.filter(organization_id=organization)
    return dict(endpoints.order_by("key").values_list("key", Coalesce(Subquery(name), "key")))


def _list(search: EventSearch, older: str) -> EventPage:
    try:
        return list_events(search, older=older)
    except ValueError:
        raise Http404 from None


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
