"""What people in the demo do in a browser at a partner's own site.

Not Handrail calling a partner (that is `core.outbound`): a student signs up at a portal, a case
manager reads a page.
"""

import html
import http.client
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

SECONDS = 10.0


class SiteAway(Exception):
    """The partner's site does not answer as it should; try again in a moment."""


@dataclass(frozen=True, slots=True)
class OfficePage:
    """What the partner's own page says of one person."""

    is_working: bool
    """Requests are still being worked on: what is missing may come yet."""
    account: str
    """The person's account there; empty when there is none."""
    enrollments: tuple[tuple[str, str], ...]
    """Id and course of each, newest first."""


def sign_up(url: str, *, name: str, email: str) -> None:
    """Open a course's page at the portal and sign up, as its form does.

    Raises:
        SiteAway: try again.
    """
    _ask("GET", url)
    status, text = _ask("POST", url, urlencode({"name": name, "email": email}))
    if status != http.client.SEE_OTHER:
        raise SiteAway(f"{url} answered {status}: {text[:200]}")


def look_up(base_url: str, email: str) -> OfficePage:
    """Search the partner's own page for one address.

    Raises:
        SiteAway: try again.
    """
    url = f"{base_url}/?{urlencode({'q': email})}"
    status, text = _ask("GET", url)
    if status != http.client.OK:
        raise SiteAway(f"{url} answered {status}")
    is_working = "Requests still being worked on" in text
    for person in re.split(r"<li><strong>", text)[1:]:
        facts = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", person))
        if html.unescape(facts.get("E-mail", "")).casefold() == email.casefold():
            found = re.findall(r'<a href="[^"]*/enrollments/([^"/]+)">[^<]*</a> ([^:<]+):', person)
            return OfficePage(is_working, facts.get("Account", ""), tuple(found))
    return OfficePage(is_working, "", ())


def ask_control(address: str, token: str, path: str) -> dict[str, Any]:
    """One reading call of the sandbox's /control.

    Raises:
        SiteAway: try again.
    """
    status, text = _ask("GET", f"{address}/control/{path}", token=token)
    if status != http.client.OK:
        raise SiteAway(f"/control/{path} answered {status}")
    answer: dict[str, Any] = json.loads(text)
    return answer


def _ask(method: str, url: str, form: str = "", *, token: str = "") -> tuple[int, str]:
    parts = urlsplit(url)
    headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    connection = http.client.HTTPConnection(parts.netloc, timeout=SECONDS)
    try:
        connection.request(method, target, body=form or None, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise SiteAway(f"{url}: {error}") from error
    finally:
        connection.close()
