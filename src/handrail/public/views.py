"""Pages for everybody."""

from uuid import UUID

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from handrail.credentials.queries import verify_credential
from handrail.people.access import get_facts


@require_safe
def go_home(request: HttpRequest) -> HttpResponseBase:
    """Send people to where they belong."""
    if not request.user.is_authenticated:
        return redirect("account_login")
    if any(each.works for each in get_facts(request).affiliations):
        return redirect("console:pipeline")
    return redirect("student:progress")


@require_safe
def verify_typed(request: HttpRequest, typed: str) -> HttpResponseBase:
    """An address copied from paper: capitals and spaces do no harm, a missing letter is told."""
    try:
        credential_id = UUID("".join(typed.split()))
    except ValueError:
        return render(request, "public/verify.html", {"credential": None}, status=404)
    return redirect("public:verify", credential_id)


@require_safe
def verify(request: HttpRequest, credential_id: UUID) -> HttpResponseBase:
    found = verify_credential(credential_id)
    status = 200 if found else 404
    return render(request, "public/verify.html", {"credential": found}, status=status)
