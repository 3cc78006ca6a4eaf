"""The sandbox as a process of its own, and a client for it."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

SOURCE = Path(__file__).resolve().parents[2] / "src"
TOKEN = "control-token-of-the-tests"


def with_query(path: str, **query: object) -> str:
    return f"{path}?{urlencode(query)}"


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str]  # names in lower case
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)

    @property
    def text(self) -> str:
        return self.raw.decode()


@dataclass(slots=True)
class Sandbox:
    """Start, kill and ask one sandbox; its state stays in `folder`."""

    folder: Path
    config: dict[str, Any]
    options: tuple[str, ...] = ()
    port: int = 0
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    @property
    def state(self) -> Path:
        return self.folder / "sandbox.sqlite"

    def popen(self) -> subprocess.Popen[str]:
        path = self.folder / "sandbox.json"
        path.write_text(json.dumps(self.config))
        command = [sys.executable, "-m", "handrail_sandbox", "--config", str(path)]
        command += ["--state", str(self.state), "--port", str(self.port), *self.options]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )

    def start(self) -> "Sandbox":
        """Start it, on the same port as before."""
        process = self.popen()
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("sandbox ready on http://127.0.0.1:"):
            _, errors = process.communicate(timeout=10)
            raise AssertionError(f"the sandbox did not start: {line}{errors}")
        self.port = int(line.rpartition(":")[2])
        self._process = process
        return self

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> tuple[int, str]:
        """Stop it as a supervisor does; return the exit code and what it wrote to stderr."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> tuple[int, str]:
        if self._process is None:
            return 0, ""
        self._process.send_signal(number)
        _, errors = self._process.communicate(timeout=20)
        code, self._process = self._process.returncode, None
        return code, errors

    def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = 20.0,
    ) -> Reply:
        """One request on a connection of its own; what http.client raises comes through."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, names, answer.read())
        finally:
            connection.close()

    def ask(
        self,
        slug: str,
        method: str,
        path: str,
        fields: Mapping[str, Any] | None = None,
        *,
        key: str = "",
        seconds: float = 20.0,
    ) -> Reply:
        """One request to a platform's API with the right proof."""
        headers = dict(self.config["partners"][slug].get("credentials", {}))
        headers["Content-Type"] = "application/json"
        if key:
            headers["Idempotency-Key"] = key
        body = None if fields is None else json.dumps(fields).encode()
        return self.send(method, f"/{slug}{path}", body=body, headers=headers, seconds=seconds)

    def control(self, method: str, path: str, fields: Mapping[str, Any] | None = None) -> Any:
        """One call of /control that must succeed; return its JSON."""
        body = None if fields is None else json.dumps(fields).encode()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        reply = self.send(method, f"/control/{path}", body=body, headers=headers, seconds=60)
        assert reply.status == 200, reply.text
        return reply.json

    def post_form(self, path: str, cookie: str = "", **fields: str) -> Reply:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if cookie:
            headers["Cookie"] = cookie
        return self.send("POST", path, body=urlencode(fields).encode(), headers=headers)

    def list_all(self, name: str, **query: object) -> list[dict[str, Any]]:
        """Return all of a list of /control, page by page."""
        items: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            page = self.control("GET", with_query(name, after=after, **query))
            items += page["items"]
            after = page["next_after"]
        return items

    def wait_idle(self, seconds: float = 20.0) -> None:
        status = self.control("GET", with_query("idle", seconds=seconds))
        assert status["idle"], status


Start = Callable[..., Sandbox]  # the fixture `start`: a configuration and options
