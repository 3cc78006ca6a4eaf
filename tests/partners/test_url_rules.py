import pytest
from pytest_django import Settings

from handrail.partners.url_rules import find_call_url_problem, find_link_problem

HTTPS = "the address must begin with https://"


@pytest.fixture(autouse=True)
def _sandbox_is_listed(settings: Settings) -> None:
    settings.HANDRAIL_ALLOWED_PRIVATE_HOSTS = frozenset({("127.0.0.1", 9100)})


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://api.partner.example/v1", ""),  # cannot be found from here: checked at each call
        ("https://93.184.215.14", ""),
        ("http://127.0.0.1:9100/milady", ""),
        ("http://api.partner.example", HTTPS),
        ("http://127.0.0.1:9101/milady", HTTPS),
        ("https://127.0.0.1:9101/milady", "127.0.0.1 is not a public address"),
        ("https://10.0.0.8", "10.0.0.8 is not a public address"),
        ("https://169.254.169.254/latest", "169.254.169.254 is not a public address"),
        ("https://[::1]/", "::1 is not a public address"),
        ("https://localhost/", "localhost leads to 127.0.0.1, which is not a public address"),
        ("ftp://api.partner.example", HTTPS),
        (
            "https://user:secret@api.partner.example",
            "the address must be https://host/path and nothing more",
        ),
        (
            "https://api.partner.example/?key=1",
            "the address must be https://host/path and nothing more",
        ),
        (
            "https://api.partner.example/ path",
            "an address has no spaces and at most 500 characters",
        ),
        ("https://api.partner.example/\n", "an address has no spaces and at most 500 characters"),
        ("https://x/" + "y" * 500, "an address has no spaces and at most 500 characters"),
        (
            "https://api.partner.example:port",
            "this is no address; write one such as https://host/path",
        ),
        ("milady", "the address must be https://host/path and nothing more"),
    ],
)
def test_addresses_that_we_would_call(url: str, problem: str) -> None:
    # Which of its addresses a name leads to first is the resolver's choice.
    assert find_call_url_problem(url).replace("::1, which", "127.0.0.1, which") == problem


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://portal.partner.example/course?id=7#start", ""),
        ("http://127.0.0.1:9100/jri/portal", ""),
        ("http://portal.partner.example/", HTTPS),
        ("javascript:alert(1)", HTTPS),
        ("//portal.partner.example/", HTTPS),
        (
            "https://me@portal.partner.example/",
            "the address must be https://host/path, without a name and password",
        ),
        (
            "https://portal.partner.example/\x00",
            "an address has no spaces and at most 500 characters",
        ),
    ],
)
def test_links_that_learners_can_follow(url: str, problem: str) -> None:
    assert find_link_problem(url) == problem
