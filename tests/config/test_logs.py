"""What Django says of a request names no address, and of another host name only one line."""

import logging

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

KEY = "/accounts/password/reset/key/1-abc123/"
FAILURES: dict[str, Exception] = {
    "broken": RuntimeError("a mistake of ours"),
    "refused": PermissionDenied(),
    "missing": Http404(),
}


def fail(request: HttpRequest, kind: str) -> HttpResponse:
    raise FAILURES[kind]


urlpatterns = [path("<kind>/key-abc123", fail)]


def ask(kind: str) -> int:
    client = Client(raise_request_exception=False)
    return client.get(f"/{kind}/key-abc123").status_code


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[])
def test_a_page_that_fails_is_logged_with_its_trace_and_without_its_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert ask("broken") == 500
    (record,) = caplog.records

    assert record.getMessage() == "Internal Server Error: a page"
    assert "a mistake of ours" in caplog.text
    assert "abc123" not in caplog.text


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[])
@pytest.mark.parametrize(("kind", "status"), [("refused", 403), ("missing", 404)])
def test_what_a_visitor_may_not_see_or_does_not_find_is_no_line(
    caplog: pytest.LogCaptureFixture, kind: str, status: int
) -> None:
    assert ask(kind) == status
    assert caplog.records == []


def test_a_form_without_its_token_is_logged_without_its_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("django.security.csrf")
    logger.warning("Forbidden (%s): %s", "CSRF token missing.", KEY)

    assert caplog.messages == ["Forbidden (CSRF token missing.): a page"]


@override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=["django.middleware.common.CommonMiddleware"])
def test_another_host_name_is_one_line_without_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    assert (
        Client().get("/missing/key-abc123", headers={"host": "evil.example.org"}).status_code == 400
    )
    (record,) = caplog.records

    assert (record.name, record.levelname) == ("django.security.DisallowedHost", "WARNING")
    line = logging.Formatter("%(message)s").format(record)
    assert line == "Invalid HTTP_HOST header: 'evil.example.org'."
