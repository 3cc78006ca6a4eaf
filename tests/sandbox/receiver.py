"""A receiver of webhooks: keeps what arrives, answers as it is told."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import loads
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    at: float
    status: int  # that it was answered with

    @property
    def json(self) -> Any:
        return loads(self.body)

    @property
    def event(self) -> str:
        return str(self.json["event"])

    @property
    def id(self) -> str:
        return self.headers.get("webhook-id") or self.headers["x-webhook-id"]


@dataclass(slots=True)
class Receiver:
    port: int = 0
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # then 200
    received: list[Received] = field(default_factory=list)
    delay_seconds: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, slug: str) -> str:
        return f"http://127.0.0.1:{self.port}/{slug}"

    def clear(self) -> None:
        with self._lock:
            self.received.clear()
            self.answers.clear()
        self.delay_seconds = 0.0

    def take(
        self, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str]]:
        with self._lock:
            status, extra = self.answers.pop(0) if self.answers else (200, {})
            self.received.append(Received(path, headers, body, time.time(), status))
        time.sleep(self.delay_seconds)
        return status, extra

    def of(self, enrollment: str, *, event: str = "") -> list[Received]:
        with self._lock:
            seen = list(self.received)
        return [
            it
            for it in seen
            if it.json["data"]["enrollmentId"] == enrollment and event in ("", it.event)
        ]

    def wait(
        self, enrollment: str, count: int, *, event: str = "", seconds: float = 15
    ) -> list[Received]:
        """Wait for so many webhooks of an enrollment and return them."""
        deadline = time.monotonic() + seconds
        while len(seen := self.of(enrollment, event=event)) < count:
            assert time.monotonic() < deadline, f"only {[it.event for it in seen]}"
            time.sleep(0.01)
        return seen


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@contextmanager
def run_receiver() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, extra = receiver.take(self.path, headers, body)
            self.send_response(status)
            for name, value in {"Content-Length": "0", **extra}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            return

    server = _Server(("127.0.0.1", 0), Handler)
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
