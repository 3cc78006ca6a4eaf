"""One enrollment and its steps: how it stands, how it came to that, what can be done."""

from dataclasses import dataclass
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_safe

from handrail.console.decisions import (
    Offer,
    decide,
    keep_allowed,
    list_enrollment_offers,
    list_id_offers,
    list_step_offers,
)
from handrail.console.views.common import make_page_urls, render_page
from handrail.core.paging import BadPlace, Page
from handrail.credentials.queries import get_document, list_credentials
from handrail.enrollments.queries.attention import list_enrollment_attention
from handrail.enrollments.queries.detail import (
    EnrollmentDetail,
    get_enrollment,
    list_actor_names,
    list_changes,
    list_sensitive_results,
)
from handrail.enrollments.queries.progress import group_stages, list_run_certificates
from handrail.enrollments.queries.steps import get_entered_ids, get_step, list_steps
from handrail.enrollments.words import Change, Step, tell_cause, tell_change, tell_staff
from handrail.people.access import forms_only, get_facts, get_workplace, staff_required


@dataclass(frozen=True, slots=True)
class ToldChange:
    """A change in words."""

    change: Change
    what: str
    why: str


@require_safe
@staff_required
def show_enrollment(request: HttpRequest, enrollment_id: UUID) -> HttpResponseBase:
    enrollment = _get_enrollment(enrollment_id)
    return _render_enrollment(request, enrollment, list_enrollment_offers(enrollment))


@forms_only("console:enrollment", "enrollment_id")
@staff_required
def decide_enrollment(request: HttpRequest, enrollment_id: UUID, name: str) -> HttpResponseBase:
    enrollment = _get_enrollment(enrollment_id)
    offers = list_enrollment_offers(enrollment)
    if decide(request, offers, name):
        return redirect("console:enrollment", enrollment_id)
    return _render_enrollment(request, enrollment, offers)


@require_safe
@staff_required
def show_step(request: HttpRequest, step_id: UUID) -> HttpResponseBase:
    step, enrollment = _get_step(step_id)
    return _render_step(request, step, enrollment, _list_offers(step, enrollment))


@forms_only("console:step", "step_id")
@staff_required
def decide_step(request: HttpRequest, step_id: UUID, name: str) -> HttpResponseBase:
    step, enrollment = _get_step(step_id)
    offers = _list_offers(step, enrollment)
    if decide(request, offers, name):
        return redirect("console:enrollment", enrollment.id)
    return _render_step(request, step, enrollment, offers)


@require_safe
@staff_required
def download(_request: HttpRequest, credential_id: UUID) -> HttpResponseBase:
    document = get_document(credential_id)
    if document is None:
        raise Http404
    number, pdf = document
    headers = {"Content-Disposition": f'attachment; filename="certificate-{number}.pdf"'}
    return HttpResponse(pdf, content_type="application/pdf", headers=headers)


def _get_enrollment(enrollment_id: UUID) -> EnrollmentDetail:
    enrollment = get_enrollment(enrollment_id)
    if enrollment is None:
        raise Http404
    return enrollment


def _get_step(step_id: UUID) -> tuple[Step, EnrollmentDetail]:
    step = get_step(step_id)
    if step is None:
        raise Http404
    return step, _get_enrollment(step.enrollment_id)


def _list_offers(step: Step, enrollment: EnrollmentDetail) -> list[Offer]:
    offers = list_step_offers(step, enrollment.status)
    if step.run_id and enrollment.status in ("active", "suspended", "completed"):
        offers += list_id_offers(get_entered_ids(step.run_id))
    return offers


def _render_enrollment(
    request: HttpRequest, enrollment: EnrollmentDetail, offers: list[Offer]
) -> HttpResponseBase:
    try:
        changes = list_changes(enrollment.id, place=request.GET.get("at", ""))
    except BadPlace:
        raise Http404 from None
    steps = list_steps([enrollment.id]).get(enrollment.id, ())
    context = {
        "enrollment": enrollment,
        "stages": group_stages(steps),
        "reasons": {
            each.id: tell_staff(each)
            for each in steps
            if enrollment.is_live and each.status in ("in_progress", "failed")
        },
        "attention": list_enrollment_attention(enrollment.id),
        "credential": list_credentials([enrollment.id]).get(enrollment.id),
        "changes": _tell(request, enrollment, changes),
        "offers": keep_allowed(request, offers),
        "can_transfer": enrollment.is_live and get_facts(request).identity.is_admin,
        "base_url": reverse("console:enrollment", args=[enrollment.id]),
        **make_page_urls(request, changes),
    }
    return render_page(request, "console/enrollment.html", context)


def _render_step(
    request: HttpRequest, step: Step, enrollment: EnrollmentDetail, offers: list[Offer]
) -> HttpResponseBase:
    is_admin = get_facts(request).identity.is_admin
    context = {
        "step": step,
        "enrollment": enrollment,
        "reason": tell_staff(step)
        if enrollment.is_live and step.status in ("in_progress", "failed")
        else "",
        "attention": list_enrollment_attention(enrollment.id) if step.needs_person else (),
        "certificates": list_run_certificates([step.run_id]).get(step.run_id, ())
        if step.run_id
        else (),
        "results": list_sensitive_results(step.run_id) if step.run_id and is_admin else (),
        "offers": keep_allowed(request, offers),
        "base_url": reverse("console:step", args=[step.id]),
    }
    return render_page(request, "console/step.html", context)


def _tell(
    request: HttpRequest, enrollment: EnrollmentDetail, changes: Page[Change]
) -> list[ToldChange]:
    workplace = get_workplace(request)
    names = dict(list_actor_names(workplace.organization_id))
    if enrollment.profile_id is not None:
        names.setdefault(enrollment.profile_id, f"the {workplace.learner_word}")
    return [
        ToldChange(each, tell_change(each), tell_cause(each, actor=_name(each, names)))
        for each in changes.rows
    ]


def _name(change: Change, names: dict[UUID, str]) -> str:
    if change.actor_id is None:
        return ""
    return names.get(change.actor_id, "somebody who no longer works here")
