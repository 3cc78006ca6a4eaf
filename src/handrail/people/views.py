"""The page of one's own account; the rest is allauth's."""

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from handrail.people.access import get_facts, sign_in_required


@require_safe
@sign_in_required
def show_account(request: HttpRequest) -> HttpResponseBase:
    facts = get_facts(request)
    return render(request, "people/account.html", {"affiliations": facts.affiliations})
