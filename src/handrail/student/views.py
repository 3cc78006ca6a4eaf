"""What somebody who learns sees and does: only what is their own, by row security."""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from handrail.core.actions import NotAllowed, NotFound, Refused
from handrail.credentials.queries import get_document, list_credentials
from handrail.enrollments.actions import choose_elective, unchoose_elective
from handrail.enrollments.launch import Opened, open_course
from handrail.enrollments.queries.progress import list_own_progress
from handrail.people.access import forms_only, get_facts, own_transactions, sign_in_required
from handrail.student.presenting import present_enrollment


@require_safe
@sign_in_required
def show_progress(request: HttpRequest) -> HttpResponseBase:
    found = list_own_progress()
    credentials = list_credentials([each.id for each in found])
    enrollments = [present_enrollment(each, credentials.get(each.id)) for each in found]
    return render(request, "student/progress.html", {"enrollments": enrollments})


@forms_only("student:progress")
@sign_in_required
def choose(request: HttpRequest, step_id: UUID) -> HttpResponseBase:
    return _decide(request, step_id, choose_elective, "Your choice is saved.")


@forms_only("student:progress")
@sign_in_required
def take_back(request: HttpRequest, step_id: UUID) -> HttpResponseBase:
    return _decide(request, step_id, unchoose_elective, "Your choice is taken back.")


def _decide(
    request: HttpRequest, step_id: UUID, action: Callable[[UUID], None], done: str
) -> HttpResponseBase:
    try:
        action(step_id)
    except Refused as error:
        messages.error(request, error.words)
        return redirect("student:progress")  # to its top, where the words stand
    except (NotAllowed, NotFound):
        raise Http404 from None
    messages.success(request, done)
    return redirect(f"{reverse('student:progress')}#step-{step_id}")


@forms_only("student:progress")
@own_transactions
@sign_in_required
def launch(request: HttpRequest, step_id: UUID) -> HttpResponseBase:
    """Open a course at the partner: a page that leads there at once.

    No redirect: browsers hold the answer to a form to our content policy, which knows no partner.
    """
    result = open_course(step_id, get_facts(request).identity)
    if result is None:
        raise Http404
    if not isinstance(result, Opened):
        return render(request, "student/not_opened.html", {"words": result}, status=503)
    context = {"url": result.url, "partner": result.partner}
    return render(request, "student/opening.html", context)


@require_safe
@sign_in_required
def download(_request: HttpRequest, credential_id: UUID) -> HttpResponseBase:
    document = get_document(credential_id)
    if document is None:
        raise Http404
    number, pdf = document
    headers = {"Content-Disposition": f'attachment; filename="certificate-{number}.pdf"'}
    return HttpResponse(pdf, content_type="application/pdf", headers=headers)
