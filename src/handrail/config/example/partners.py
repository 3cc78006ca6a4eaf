"""The sandbox as the example's past needs it: told by /control what its learners did, and when."""

import http.client
import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from handrail.config.errors import ChildFailed
from handrail_sandbox.signing import sign

SECONDS = 30.0
POLL_SECONDS = 0.01


class Partners:
    """Talks to a sandbox over one connection that is kept open."""

    def __init__(self, address: str, control_token: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=SECONDS)
        self._token = control_token

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def act(
        self, platform: str, enrollment: str, action: str, *, at: datetime, **more: object
    ) -> None:
        """Let something happen to an enrollment (`complete`, `progress` with `percent`, ...)."""
        path = f"/control/enrollments/{platform}/{enrollment}/{action}"
        self._control("POST", path, {"at": at.isoformat(), **more})

    def pause_study(self) -> None:
        """Let nobody study by himself until the sandbox is told otherwise."""
        self._control("POST", "/control/pause", {"study": True})

    def order_fault(self, platform: str, on: str, kind: str) -> None:
        """Let the next such request or webhook go wrong in this way."""
        order = {"partner": platform, "on": on, "kind": kind, "times": 1}
        self._control("POST", "/control/faults", order)

    def forbid_reading(self, platform: str) -> None:
        """Let the school's key read no progress and no certificate there any more."""
        self._control("POST", f"/control/{platform}/reading/off")

    def list_webhooks(self, platform: str, event: str) -> list[dict[str, Any]]:
        """The webhooks of this kind that the platform sent, the oldest first."""
        query = urlencode({"partner": platform, "event": event, "limit": 1000})
        items: list[dict[str, Any]] = self._control("GET", f"/control/webhooks?{query}")["items"]
        return items

    def is_quiet(self) -> bool:
        """Whether every webhook was delivered, and no request is being worked on."""
        status = self._control("GET", "/control/status")
        return not (status["webhooks_waiting"] or status["working"])

    def sign_up(self, course: str, *, name: str, email: str) -> str:
        """Sign up at the portal, as its form does; return the enrollment's id there."""
        form = urlencode({"name": name, "email": email})
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer, _ = self._ask("POST", f"/jri/portal/{course}", form.encode(), kind)
        found = re.search(r"/learn/([^/?]+)", answer.headers.get("Location", ""))
        if found is None:
            raise ChildFailed(f"The portal did not take {email} in: {answer.status}.")
        return found[1]

    def read_results(self) -> bytes:
        """The results file of the partner with the portal."""
        return self._ask("GET", "/jri/results.csv")[1]

    def _control(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"}
        sent = None if body is None else json.dumps(body).encode()
        answer, text = self._ask(method, path, sent, headers)
        if answer.status != http.client.OK:
            raise ChildFailed(f"The sandbox refused {path} ({sent!r}): {text.decode()[:300]}")
        return json.loads(text)

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> tuple[http.client.HTTPResponse, bytes]:
        self._connection.request(method, path, body=body, headers=dict(headers))
        answer = self._connection.getresponse()
        return answer, answer.read()


def send_webhook(url: str, *, scheme: str, secret: str, event_id: str, body: bytes) -> None:
    """Send a message as a partner does, with a right signature.

    Raises:
        ChildFailed: it was not taken.
    """
    parts = urlsplit(url)
    proof = sign(
        scheme=scheme,
        secret=secret,
        previous_secret=None,
        event_id=event_id,
        body=body,
        now=time.time(),
    )
    connection = http.client.HTTPConnection(parts.netloc, timeout=SECONDS)
    try:
        headers = {"Content-Type": "application/json", **proof}
        connection.request("POST", parts.path, body=body, headers=headers)
        answer = connection.getresponse()
        if answer.status not in (http.client.OK, http.client.ACCEPTED):
            raise ChildFailed(f"{url} answered {answer.status}: {answer.read().decode()[:300]}")
    finally:
        connection.close()


def wait_until(is_so: Callable[[], bool], what: str, *, seconds: float = SECONDS) -> None:
    """Wait until it is so.

    Raises:
        ChildFailed: it did not come about.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise ChildFailed(f"{what} did not come about within {seconds:g} seconds.")
        time.sleep(POLL_SECONDS)
