"""What needs a person: the list, and one entry with what resolves it."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from handrail.console.decisions import (
    CALL_DECISIONS,
    ENROLLMENT_DECISIONS,
    ENTER_ACCOUNT_ID,
    EVENT_DECISIONS,
    ITEM_DECISIONS,
    OTHER_DECISIONS,
    PROVIDER_DECISIONS,
    STEP_DECISIONS,
    Offer,
    decide,
    keep_allowed,
    offer,
    offer_enrollment,
)
from handrail.console.views.common import leave_empty_page, make_page_urls, render_page
from handrail.core.actions import NotFound, Refused
from handrail.core.paging import BadPlace
from handrail.enrollments.actions import dismiss_attention, retry_call, retry_provider_calls
from handrail.enrollments.queries.attention import (
    ATTENTION_PAGE,
    AttentionCase,
    AttentionRow,
    get_attention_case,
    list_attention,
    list_waiting_calls,
)
from handrail.inbox.models import WebhookEndpoint, WebhookEventConflict
from handrail.partners.models import Provider
from handrail.people.access import forms_only, get_workplace, staff_required

_SET_UP = ("provider_calls", "reconciliation", "webhook_refused")
"""Entries that end when the provider is set up anew."""


@require_safe
@staff_required
def show_list(request: HttpRequest) -> HttpResponseBase:
    try:
        page = list_attention(
            get_workplace(request).organization_id, place=request.GET.get("at", "")
        )
    except BadPlace:
        raise Http404 from None
    if answer := leave_empty_page(request, page):
        return answer
    context = {
        "rows": page.rows,
        "can_retry": any(each.can_retry for each in page.rows),
        **make_page_urls(request, page),
    }
    return render_page(request, "console/attention.html", context)


@forms_only("console:attention")
@staff_required
def retry_selected(request: HttpRequest) -> HttpResponseBase:
    """Try again what is behind several entries; those that do not allow it stay as they are."""
    try:
        items = {UUID(each) for each in request.POST.getlist("item")[:ATTENTION_PAGE]}
    except ValueError:
        raise Http404 from None
    done = sum(_retry(each) for each in items)
    if done:
        what = "What is behind 1 entry is" if done == 1 else f"What is behind {done} entries is"
        messages.success(request, f"{what} tried again.")
    if not items:
        messages.error(request, "Choose at least one entry.")
    elif done < len(items):
        left = len(items) - done
        what = "1 entry was" if left == 1 else f"{left} entries were"
        messages.warning(request, f"{what} settled meanwhile, or cannot be tried again unseen.")
    return redirect("console:attention")


def _retry(item_id: UUID) -> bool:
    case = get_attention_case(item_id)
    if case is None or case.item.resolved_at or not case.item.can_retry:
        return False
    try:
        if case.call is not None:
            retry_call(case.item.subject_id, look_up=False, note="")
        else:
            retry_provider_calls(case.item.subject_id, note="")
    except (Refused, NotFound):
        return False
    return True


@require_safe
@staff_required
def show_case(request: HttpRequest, item_id: UUID) -> HttpResponseBase:
    case = _get_case(item_id)
    return _render(request, case, _list_offers(case))


@forms_only("console:case", "item_id")
@staff_required
def settle(request: HttpRequest, item_id: UUID, name: str) -> HttpResponseBase:
    case = _get_case(item_id)
    offers = _list_offers(case)
    if not decide(request, offers, name):
        return _render(request, case, offers)
    if name in STEP_DECISIONS:
        _close_when_moot(item_id, STEP_DECISIONS[name].title)
    return redirect("console:attention")


def _close_when_moot(item_id: UUID, what: str) -> None:
    """Take the entry off the list when the step was all that waited for it."""
    case = _get_case(item_id)
    if case.call is not None and not case.item.resolved_at and not case.call.awaited:
        dismiss_attention(item_id, note=what)


def _get_case(item_id: UUID) -> AttentionCase:
    case = get_attention_case(item_id)
    if case is None:
        raise Http404
    return case


def _render(request: HttpRequest, case: AttentionCase, offers: list[Offer]) -> HttpResponseBase:
    context = {
        "case": case,
        "item": case.item,
        "offers": keep_allowed(request, offers),
        "base_url": reverse("console:case", args=[case.item.id]),
        "message_id": _find_message(case),
    }
    if case.item.kind in _SET_UP and not case.item.resolved_at:
        context["provider"] = _find_provider(case.item)
    if case.item.kind == "provider_calls":
        context |= _list_waiting(request, case.item.subject_id)
    return render_page(request, "console/case.html", context)


def _find_message(case: AttentionCase) -> UUID | None:
    """The message of a partner that the entry is about."""
    match case.item.kind:
        case "webhook_event":
            return case.item.subject_id
        case "webhook_conflict":
            conflict = WebhookEventConflict.objects.filter(id=case.item.subject_id)
            return conflict.values_list("webhook_event_id", flat=True).first()
    return None


def _find_provider(item: AttentionRow) -> Provider | None:
    """The provider whose set-up the entry is about."""
    if item.kind == "webhook_refused":
        endpoint = WebhookEndpoint.objects.filter(id=item.subject_id)
        found = Provider.objects.filter(id__in=endpoint.values("provider_id"))
    else:
        found = Provider.objects.filter(id=item.subject_id)
    return found.defer("credentials").first()


def _list_waiting(request: HttpRequest, provider_id: UUID) -> dict[str, Any]:
    try:
        page = list_waiting_calls(provider_id, place=request.GET.get("at", ""))
    except BadPlace:
        raise Http404 from None
    return {"waiting": page.rows, **make_page_urls(request, page)}


def _list_offers(case: AttentionCase) -> list[Offer]:
    return [_make_offer(case, name) for name in case.choices]


def _make_offer(case: AttentionCase, name: str) -> Offer:
    subject = case.item.subject_id
    if case.call is not None and name == "enter_id":
        decision = CALL_DECISIONS[name]
        if case.call.kind == "create_account":
            decision = ENTER_ACCOUNT_ID
        return offer(name, decision, subject, external_id=case.call.external_id or "")
    if name in CALL_DECISIONS:
        return offer(name, CALL_DECISIONS[name], subject)
    if name in STEP_DECISIONS and case.step is not None:
        return offer(name, STEP_DECISIONS[name], case.step.id)
    if name in ENROLLMENT_DECISIONS and case.enrollment is not None:
        return offer_enrollment(name, case.enrollment)
    for decisions in (PROVIDER_DECISIONS, EVENT_DECISIONS, OTHER_DECISIONS):
        if name in decisions:
            return offer(name, decisions[name], subject)
    return offer(name, ITEM_DECISIONS[name], case.item.id)
