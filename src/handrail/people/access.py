"""Who may open a view, and what a request knows of the person who asks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from handrail.organizations.identity import NOBODY, Identity
from handrail.people.affiliations import Affiliation

View = Callable[..., HttpResponseBase]
_FACTS = "handrail_facts"
_OWN = "handrail_own_transactions"
_READING = ("GET", "HEAD")
SIGNED_OUT = "You were signed out. What you sent was not saved: please do it again."


@dataclass(slots=True)
class RequestFacts:
    """What the identity middleware finds out."""

    identity: Identity = NOBODY
    affiliations: list[Affiliation] = field(default_factory=list)
    workplace: Affiliation | None = None
    """The organization whose console is open; only under /admin and /api/."""
    own_transactions: bool = False
    failed: bool = False


def get_facts(request: HttpRequest) -> RequestFacts:
    """Return the facts of a request; before the middleware has looked: nobody."""
    facts: RequestFacts | None = request.__dict__.get(_FACTS)
    if facts is None:
        facts = request.__dict__[_FACTS] = RequestFacts()
    return facts


def get_workplace(request: HttpRequest) -> Affiliation:
    """Return the organization whose console is open; for views under `staff_required`."""
    workplace = get_facts(request).workplace
    if workplace is None:
        raise PermissionDenied
    return workplace


def sign_in_required(view: View) -> View:
    """Send those who are not signed in to the sign-in page, and back afterwards."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _send_to_sign_in(request)
        response = view(request, *args, **kwargs)
        # Computers are shared: after signing out, going back shows nothing.
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return guarded


def _send_to_sign_in(request: HttpRequest) -> HttpResponseBase:
    if request.method in _READING:
        answer = redirect_to_login(request.get_full_path())
    else:
        messages.error(request, SIGNED_OUT)
        answer = redirect_to_login(_find_page_before(request))
    if request.headers.get("HX-Request"):  # htmx would put the sign-in page into the list
        return HttpResponse(headers={"HX-Redirect": answer["Location"]})
    return answer


def _find_page_before(request: HttpRequest) -> str:
    """The page of ours whose form was sent; the start page where the browser does not say."""
    before = request.headers.get("Referer", "")
    if not url_has_allowed_host_and_scheme(before, {request.get_host()}):
        return "/"
    address = urlsplit(before)
    return f"{address.path or '/'}?{address.query}" if address.query else address.path or "/"


def forms_only(page: str, *ids: str) -> Callable[[View], View]:
    """Let what a form sends reach the view; who opens its address, once more, comes to `page`.

    `page` is the name of an address that takes `ids` of the view's keyword arguments.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            if request.method in _READING:
                return HttpResponseRedirect(reverse(page, kwargs={n: kwargs[n] for n in ids}))
            answer: HttpResponseBase = require_POST(view)(request, **kwargs)
            return answer

        return guarded

    return decorate


def staff_required(view: View) -> View:
    """As `sign_in_required`, and refuse those who work in no organization."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if get_facts(request).workplace is None:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return sign_in_required(guarded)


def own_transactions(view: View) -> View:
    """Run the view outside a transaction: it calls a partner, and reads in its own with `open_as`."""
    setattr(view, _OWN, True)
    return view


def has_own_transactions(view: Any) -> bool:
    """Whether `own_transactions` stands on the view."""
    return getattr(view, _OWN, False) is True
