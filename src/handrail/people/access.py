"""Who may open a view, and what a request knows of the person who asks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

from handrail.organizations.identity import NOBODY, Identity
from handrail.people.affiliations import Affiliation

View = Callable[..., HttpResponseBase]
_FACTS = "handrail_facts"
_OWN = "handrail_own_transactions"


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
            return redirect_to_login(request.get_full_path())
        response = view(request, *args, **kwargs)
        # Computers are shared: after signing out, going back shows nothing.
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    return guarded


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
