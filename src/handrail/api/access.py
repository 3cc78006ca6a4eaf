"""Who may call: staff with their session and a CSRF token, or a service with the service token."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.views.decorators.csrf import csrf_exempt

from handrail.core.actions import NotAllowed
from handrail.core.crypto import equal_in_constant_time
from handrail.organizations.identity import Identity, set_identity
from handrail.people.access import get_facts

_BEARER = "bearer "


class Problem(Exception):
    """What is wrong with a request, in words; `field` names what must be changed."""

    def __init__(self, status: HTTPStatus, words: str, *, field: str = "") -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.field = field

    def answer(self) -> JsonResponse:
        """The answer: `{"error": words, "field": field}`, the field only where there is one."""
        content = {"error": self.words} | ({"field": self.field} if self.field else {})
        return JsonResponse(content, status=self.status)


@dataclass(frozen=True, slots=True)
class Question:
    """A JSON object from somebody who may ask."""

    body: Mapping[str, Any]
    by_service: bool
    """A service asks, which works for every organization; else staff, for their own."""

    def read_uuid(self, field: str) -> UUID:
        """A required id.

        Raises:
            Problem: it is missing or no id.
        """
        value = self.body.get(field)
        if value is None:
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{field} is missing.", field=field)
        try:
            return UUID(value)
        except (ValueError, AttributeError, TypeError):
            words = f"{field} is not an id (a UUID)."
            raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, words, field=field) from None


def door(view: Callable[[Question], JsonResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A view that takes a JSON object by POST, from staff or a service, and answers in JSON."""

    @csrf_exempt  # Checked below, for sessions.
    @wraps(view)
    def guarded(request: HttpRequest) -> HttpResponse:
        try:
            if request.method != "POST":
                raise Problem(HTTPStatus.METHOD_NOT_ALLOWED, "Use POST.")
            by_service = _check_caller(request)
            response = view(Question(_read_body(request), by_service))
        except Problem as problem:
            response = problem.answer()
        except NotAllowed:
            # Staff here may be learners elsewhere: they see their own rows there, no more.
            response = Problem(HTTPStatus.FORBIDDEN, "Only staff may do this.").answer()
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response["Allow"] = "POST"
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            response["WWW-Authenticate"] = "Bearer"
        response["Cache-Control"] = "no-store"
        return response

    return guarded


def work_for(organization_id: UUID) -> None:
    """Let the rest of the transaction run for a service, as staff of this organization."""
    set_identity(Identity(organization_id=organization_id, role="staff"))


def _check_caller(request: HttpRequest) -> bool:
    """Return whether a service asks.

    Raises:
        Problem: nobody, somebody else, or a session without its CSRF token.
    """
    authorization = request.headers.get("Authorization", "")
    if authorization:
        token = authorization[len(_BEARER) :].strip()
        is_bearer = authorization[: len(_BEARER)].lower() == _BEARER
        if is_bearer and equal_in_constant_time(token, settings.HANDRAIL_SERVICE_TOKEN):
            return True
        raise Problem(HTTPStatus.UNAUTHORIZED, "The token is not valid.")
    if not request.user.is_authenticated:
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "Sign in as staff, or send the service token as a bearer token.",
        )
    if get_facts(request).workplace is None:
        raise Problem(HTTPStatus.FORBIDDEN, "Only staff may do this.")
    if _has_no_csrf_token(request):
        raise Problem(HTTPStatus.FORBIDDEN, "The CSRF token is missing or not valid.")
    return False


def _has_no_csrf_token(request: HttpRequest) -> bool:
    check = CsrfViewMiddleware(lambda _: HttpResponse())
    check.process_request(request)
    return check.process_view(request, lambda _: HttpResponse(), (), {}) is not None


def _read_body(request: HttpRequest) -> Mapping[str, Any]:
    if request.content_type != "application/json":
        words = "Send a JSON object with Content-Type: application/json."
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, words)
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        raise Problem(HTTPStatus.BAD_REQUEST, "The body is not JSON.") from None
    if not isinstance(body, dict):
        raise Problem(HTTPStatus.BAD_REQUEST, "The body is not a JSON object.")
    return body
