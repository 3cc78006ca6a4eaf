"""What needs a person: the list, and one entry with what resolves it."""

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from handrail.console.decisions import (
    CALL_DECISIONS,
    EVENT_DECISIONS,
    ITEM_DECISIONS,
    OTHER_DECISIONS,
    STEP_DECISIONS,
    Offer,
    decide,
    keep_allowed,
    offer,
)
from handrail.console.views.common import make_page_urls, render_page
from handrail.enrollments.actions import dismiss_attention
from handrail.enrollments.queries.attention import (
    AttentionCase,
    get_attention_case,
    list_attention,
)
from handrail.enrollments.queries.paging import BadPlace
from handrail.people.access import get_workplace, staff_required


@require_safe
@staff_required
def show_list(request: HttpRequest) -> HttpResponseBase:
    try:
        page = list_attention(
            get_workplace(request).organization_id, place=request.GET.get("at", "")
        )
    except BadPlace:
        raise Http404 from None
    context = {"rows": page.rows, **make_page_urls(request, page)}
    return render_page(request, "console/attention.html", context)


@require_safe
@staff_required
def show_case(request: HttpRequest, item_id: UUID) -> HttpResponseBase:
    case = _get_case(item_id)
    return _render(request, case, _list_offers(case))


@require_POST
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
    }
    return render_page(request, "console/case.html", context)


def _list_offers(case: AttentionCase) -> list[Offer]:
    return [_make_offer(case, name) for name in case.choices]


def _make_offer(case: AttentionCase, name: str) -> Offer:
    subject = case.item.subject_id
    if name in CALL_DECISIONS:
        known = case.call.external_id if case.call and name == "enter_id" else None
        return offer(name, CALL_DECISIONS[name], subject, external_id=known or "")
    if name in STEP_DECISIONS and case.step is not None:
        return offer(name, STEP_DECISIONS[name], case.step.id)
    if name in EVENT_DECISIONS:
        return offer(name, EVENT_DECISIONS[name], subject)
    if name in OTHER_DECISIONS:
        return offer(name, OTHER_DECISIONS[name], subject)
    return offer(name, ITEM_DECISIONS[name], case.item.id)
