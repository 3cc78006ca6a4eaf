"""Views for the tests of the middleware, below the addresses of the faces."""

from collections.abc import Callable, Iterator

from django.db import connection
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import path

from handrail.organizations.identity import open_as
from handrail.people.access import (
    forms_only,
    get_facts,
    own_transactions,
    sign_in_required,
    staff_required,
)
from handrail.people.forms import LoginWebAuthnForm, UserTokenForm


def read_claims() -> str:
    with connection.cursor() as cursor:
        cursor.execute("select current_setting('request.jwt.claims', true)")
        return str(cursor.fetchone()[0] or "none")


def leave_trace() -> None:
    """Write something that is there afterwards only when the request was committed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into django_cache (cache_key, value, expires) values ('trace', '', now()) "
            "on conflict do nothing"
        )


def tell_claims(request: HttpRequest) -> HttpResponse:
    leave_trace()
    return HttpResponse(read_claims())


def render_claims(request: HttpRequest) -> HttpResponseBase:
    """Rendered after the view has returned."""
    return TemplateResponse(request, "people/account.html", {"affiliations": LazyClaims()})


class LazyClaims:
    def __iter__(self) -> Iterator[dict[str, str]]:
        yield {"name": read_claims()}


def stream_claims(request: HttpRequest) -> HttpResponseBase:
    def stream() -> Iterator[str]:
        yield read_claims()
        with open_as(get_facts(request).identity):
            yield read_claims()

    return StreamingHttpResponse(stream())


def answer_500(request: HttpRequest) -> HttpResponse:
    leave_trace()
    return HttpResponse(status=500)


def raise_404(request: HttpRequest) -> HttpResponse:
    leave_trace()
    raise Http404


def raise_error(request: HttpRequest) -> HttpResponse:
    leave_trace()
    raise ValueError


def fail_in_database(request: HttpRequest) -> HttpResponse:
    request.session["seen"] = True
    with connection.cursor() as cursor:
        cursor.execute("select 1 / 0")
    return HttpResponse()


def present(form: type[Form]) -> Callable[[HttpRequest], HttpResponse]:
    """Fill in a form with something that is not right, and go on."""

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("taken" if form(request.GET).is_valid() else read_claims())

    return view


@own_transactions
def work_outside(request: HttpRequest) -> HttpResponse:
    state = f"{connection.in_atomic_block} {read_claims()} {request.user.is_authenticated}"
    with open_as(get_facts(request).identity):
        return HttpResponse(f"{state} {read_claims()}")


views = {
    "claims": tell_claims,
    "link": present(UserTokenForm),
    "passkey": present(LoginWebAuthnForm),
    "lazy": render_claims,
    "stream": stream_claims,
    "500": answer_500,
    "404": raise_404,
    "error": raise_error,
    "database": fail_in_database,
    "outside": work_outside,
    "forms": forms_only("console:pipeline")(tell_claims),
    "own-forms": forms_only("console:pipeline")(work_outside),
    "signed-in": sign_in_required(tell_claims),
    "staff": staff_required(tell_claims),
}
_faces = [
    path(f"{face}/test/{name}", view)
    for face in ("student", "admin", "accounts", "api")
    for name, view in views.items()
]


def make_urls() -> list[object]:
    from handrail.config.urls import urlpatterns as real

    return [*_faces, *real]


urlpatterns = make_urls()
