"""The pipeline: where everybody is, who is stuck, what takes long."""

from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_safe

from handrail.console.views.common import leave_empty_page, make_page_urls, render_page
from handrail.core.paging import BadPlace
from handrail.enrollments.queries.attention import count_open_items, list_attention
from handrail.enrollments.queries.pipeline import (
    STUCK_DAYS,
    TIMED_ENROLLMENTS,
    get_pipeline,
    list_at_step,
    list_stuck,
)
from handrail.partners.models import Course
from handrail.people.access import (
    forms_only,
    get_facts,
    get_workplace,
    sign_in_required,
    staff_required,
)
from handrail.people.middleware import WORKPLACE_KEY
from handrail.programs.models import Program

FIRST_ENTRIES = 5
MOST_COUNTED = 1000


@require_safe
@staff_required
def show_pipeline(request: HttpRequest) -> HttpResponseBase:
    organization = get_workplace(request).organization_id
    try:
        stuck = list_stuck(organization, now=timezone.now(), place=request.GET.get("at", ""))
    except BadPlace:
        raise Http404 from None
    if answer := leave_empty_page(request, stuck):
        return answer
    context = {
        "pipeline": get_pipeline(organization),
        "stuck": stuck.rows,
        "stuck_days": STUCK_DAYS,
        "timed": TIMED_ENROLLMENTS,
        "attention": list_attention(organization, limit=FIRST_ENTRIES).rows,
        "attention_count": count_open_items(organization, at_most=MOST_COUNTED),
        **make_page_urls(request, stuck),
    }
    return render_page(request, "console/pipeline.html", context)


@require_safe
@staff_required
def show_at_step(request: HttpRequest, program_id: UUID, course_id: UUID) -> HttpResponseBase:
    status = "failed" if request.GET.get("status") == "failed" else "in_progress"
    organization = get_workplace(request).organization_id
    program = Program.objects.filter(organization_id=organization, id=program_id).first()
    course = (
        Course.objects.filter(organization_id=organization, id=course_id)
        .select_related("provider")
        .defer("provider__credentials")
        .first()
    )
    if program is None or course is None:
        raise Http404
    try:
        page = list_at_step(
            organization,
            program_id=program_id,
            course_id=course_id,
            status=status,
            place=request.GET.get("at", ""),
        )
    except BadPlace:
        raise Http404 from None
    if answer := leave_empty_page(request, page):
        return answer
    context = {
        "program": program,
        "course": course,
        "status": status,
        "rows": page.rows,
        **make_page_urls(request, page),
    }
    return render_page(request, "console/at_step.html", context)


@forms_only("console:pipeline")
@sign_in_required
def switch_organization(request: HttpRequest) -> HttpResponseBase:
    """Open the console of another organization that the person works in."""
    try:
        wanted = UUID(request.POST.get("organization", ""))
    except ValueError:
        raise Http404 from None
    facts = get_facts(request)
    chosen = next((e for e in facts.affiliations if e.works and e.organization_id == wanted), None)
    if chosen is None:
        raise Http404
    request.session[WORKPLACE_KEY] = str(wanted)
    messages.success(request, f"You are now working in {chosen.name}.")
    return redirect("console:pipeline")
