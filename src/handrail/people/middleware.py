"""The transaction and the identity of each request."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from allauth.account.internal.stagekit import LOGIN_SESSION_KEY
from django.contrib.auth import SESSION_KEY
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import Resolver404, resolve
from django.utils import timezone

from handrail.organizations.identity import NOBODY, Identity, set_identity
from handrail.people.access import RequestFacts, get_facts, has_own_transactions
from handrail.people.affiliations import Affiliation, list_affiliations

WORKPLACE_KEY = "organization_id"
"""In the session: the organization whose console the person chose last."""
_STAFF_FACES = ("/admin", "/api/")
_SIGN_IN = "/accounts/"
_RETRY_SECONDS = 5


class IdentityMiddleware:
    """Outermost: runs each request in one transaction, as the person of its session.

    The face decides as what: `/admin` and `/api/` as somebody who works in the chosen organization,
    everything else as the person alone. Templates are rendered inside. An answer of 500 or above
    and an exception of the view (also a 404) roll back. A view under `own_transactions` gets no
    transaction and opens its own with `open_as`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        facts = get_facts(request)
        facts.own_transactions = _needs_no_transaction(request)
        try:
            if facts.own_transactions:
                return self._get_response(request)
            return self._answer_in_transaction(request, facts)
        finally:
            timezone.deactivate()

    def _answer_in_transaction(self, request: HttpRequest, facts: RequestFacts) -> HttpResponse:
        try:
            connection.ensure_connection()
        except OperationalError:
            return _say_unavailable()
        with transaction.atomic():
            response = self._get_response(request)
            if facts.failed or response.status_code >= 500:
                transaction.set_rollback(True)
        return response

    def process_view(
        self, request: HttpRequest, view: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        """Find out who asks; the session and the other middleware are there now."""
        facts = get_facts(request)
        if not facts.own_transactions:
            _identify(request, facts)
            return None
        try:
            with transaction.atomic(durable=True):
                _identify(request, facts)
        except OperationalError:
            return _say_unavailable()
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Remember that the view did not come to its end: what it wrote is taken back."""
        get_facts(request).failed = True


def _needs_no_transaction(request: HttpRequest) -> bool:
    """Whether the view opens its own, or there is none: that answer asks no database."""
    try:
        return has_own_transactions(resolve(request.path_info).func)
    except Resolver404:
        return True


def _identify(request: HttpRequest, facts: RequestFacts) -> None:
    """Let the transaction run as the person of the session.

    The session's own claim is believed only to read that person's row; `request.user` then
    compares the session's hash with the password, and ends a session that is none any more.
    """
    claimed = request.session.get(SESSION_KEY)
    set_identity(Identity(UUID(claimed)) if claimed else NOBODY)
    if request.user.is_authenticated:
        facts.identity = Identity(request.user.pk)
        facts.affiliations = list_affiliations(request.user.pk)
        if request.path_info.startswith(_STAFF_FACES):
            facts.workplace = _choose_workplace(request, facts.affiliations)
    elif request.path_info.startswith(_SIGN_IN):
        facts.identity = _find_half_signed_in(request)
    if facts.workplace is not None:
        place = facts.workplace
        facts.identity = Identity(request.user.pk, place.organization_id, place.role)
        timezone.activate(place.zone)
    set_identity(facts.identity)


def _choose_workplace(request: HttpRequest, affiliations: list[Affiliation]) -> Affiliation | None:
    """The organization chosen last, while the person still works there; else the first."""
    places = [each for each in affiliations if each.works]
    chosen = request.session.get(WORKPLACE_KEY)
    return next((each for each in places if str(each.organization_id) == chosen), None) or next(
        iter(places), None
    )


def _find_half_signed_in(request: HttpRequest) -> Identity:
    """Somebody whose password was right and whose second factor is still to come.

    Only the pages of signing in are reached in this state; they need that person's factors.
    """
    stashed = request.session.get(LOGIN_SESSION_KEY)
    if isinstance(stashed, dict) and stashed.get("user_pk"):
        return Identity(UUID(stashed["user_pk"]))
    return NOBODY


def _say_unavailable() -> HttpResponse:
    response = HttpResponse(render_to_string("503.html"), status=503)
    response["Retry-After"] = str(_RETRY_SECONDS)
    return response
