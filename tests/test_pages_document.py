"""docs/reference/pages.md lists the pages there are."""

import re
from pathlib import Path

from django.urls import URLResolver, get_resolver

PAGE = (Path(__file__).parent.parent / "docs/reference/pages.md").read_text()
NO_PAGES = {
    "/api",
    "/admin/organization",  # takes a form
    "/admin/certificates",  # files, as are the student's
    "/student/certificates",
    "/student/steps",  # takes forms
}


def list_addresses(resolver: URLResolver, before: str = "/") -> set[str]:
    """Return the first two parts of every address; `/accounts` and `/api` are one each."""
    found: set[str] = set()
    for each in resolver.url_patterns:
        path = before + str(each.pattern)
        if path in ("/accounts/", "/api/"):
            found.add(shorten(path))
        elif isinstance(each, URLResolver):
            found |= list_addresses(each, path)
        elif "RedirectView" not in each.lookup_str:
            found.add(shorten(path))
    return found


def shorten(path: str) -> str:
    """Return the first two parts, without what stands for an id (`<...>`, `CAPITALS`)."""
    return re.sub(r"/(<.*|[A-Z]+)?$", "", "/".join(path.split("/")[:3]))


def test_it_lists_every_page_and_no_other() -> None:
    table = PAGE.partition("## Which there are")[2].partition("## ")[0]
    listed = {
        shorten(address)
        for row in table.splitlines()
        for address in re.findall(r"`(/[a-z]*/?[\w/.]*)`", row)
        if not re.match("/([A-Z]|transfer)", address)  # below the page of its row
    }

    assert listed == list_addresses(get_resolver()) - NO_PAGES
    assert len(listed) > 8
