"""Transfer to another program: choose it, see what would happen, do it."""

from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from handrail.console.forms import ReasonForm
from handrail.console.views.common import render_page
from handrail.core.actions import NotAllowed, NotFound, Refused
from handrail.enrollments.actions import transfer_enrollment
from handrail.enrollments.queries.detail import get_enrollment
from handrail.enrollments.transfers import Target, list_targets, preview_transfer
from handrail.people.access import get_facts, get_workplace, staff_required


@require_http_methods(["GET", "HEAD", "POST"])
@staff_required
def transfer(request: HttpRequest, enrollment_id: UUID) -> HttpResponseBase:
    """By administrators; the program stands in the address, so that the preview can be kept."""
    if not get_facts(request).identity.is_admin:
        raise PermissionDenied
    enrollment = get_enrollment(enrollment_id)
    if enrollment is None:
        raise Http404
    organization = get_workplace(request).organization_id
    targets = list_targets(organization, version_id=enrollment.program_version_id)
    target = _find_target(request, targets)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    context = {"enrollment": enrollment, "targets": targets, "target": target, "form": form}
    if target is not None:
        try:
            if request.method == "POST" and form.is_valid():
                reason = form.cleaned_data["reason"]
                new = transfer_enrollment(enrollment_id, target.program_id, reason=reason)
                messages.success(request, f"Transferred to {target.title}.")
                return redirect("console:enrollment", new)
            context["preview"] = preview_transfer(enrollment_id, target.program_id)
        except Refused as error:
            context["refused"] = error.words
        except NotAllowed:
            raise PermissionDenied from None
        except NotFound:
            raise Http404 from None
    return render_page(request, "console/transfer.html", context)


def _find_target(request: HttpRequest, targets: list[Target]) -> Target | None:
    wanted = request.GET.get("program", "")
    if not wanted:
        return None
    found = next((each for each in targets if str(each.program_id) == wanted), None)
    if found is None:
        raise Http404
    return found
