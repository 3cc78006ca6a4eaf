"""The ingress under a real uvicorn, and a proxy before the database that can be cut or stalled."""

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import uvicorn

from handrail.config.http_protocol import server_options
from handrail.config.webhook_protocol import WebhookProtocol
from handrail.inbox.ingress import PREFIX, SHORT_WAY, Ingress, Limits
from tests.inbox.world import KEYRING


class Answer(NamedTuple):
    status: int
    reason: str
    headers: Mapping[str, str]


class Application:
    """What config/asgi.py does, for the webhook paths alone."""

    def __init__(self, dsn: str, limits: Limits | None, *, with_short_way: bool) -> None:
        self._with_short_way = with_short_way
        self.over_asgi = 0  # requests that did not go the short way
        self.ingress = Ingress(dsn, keyring=KEYRING, limits=limits)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.over_asgi += 1
            await self.ingress(scope, receive, send)
            return
        await receive()
        await self.ingress.start()
        if self._with_short_way:
            scope["state"][SHORT_WAY] = self.ingress.take_whole
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.ingress.stop()
        await send({"type": "lifespan.shutdown.complete"})


class Server:
    """An ingress that listens on a free port, as long as it is used as a context manager."""

    def __init__(
        self, dsn: str, *, limits: Limits | None = None, with_short_way: bool = True
    ) -> None:
        self.application = Application(dsn, limits, with_short_way=with_short_way)
        options = {**server_options(), "http": WebhookProtocol, "port": 0, "log_config": None}
        self._server = uvicorn.Server(uvicorn.Config(self.application, **options))
        self._thread = threading.Thread(target=self._server.run)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("uvicorn did not start")
            time.sleep(0.01)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def post(
        self, key: str, body: bytes, headers: Mapping[str, str] | None = None, method: str = "POST"
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, PREFIX + key, body, dict(headers or {}))
            return read_answer(connection.getresponse())

    def open(self) -> socket.socket:
        """A raw connection, for senders that misbehave."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


def read_answer(response: http.client.HTTPResponse) -> Answer:
    content = json.loads(response.read())
    assert response.headers["content-type"] == "application/json"
    assert content["status"] == ("ok" if response.status < 300 else "error")
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, content["reason"], headers)


def read_raw_answer(connection: socket.socket) -> Answer:
    """The answer that arrives on a raw connection."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return read_answer(response)


class DatabaseProxy:
    """Stands before the database's socket: passes on, hangs, or is away."""

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder = folder
        self._target = target
        self._listener: socket.socket | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._flowing = threading.Event()

    def open(self) -> None:
        """Be there, and pass on."""
        listener = socket.socket(socket.AF_UNIX)
        path = self.folder / ".s.PGSQL.5432"
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        listener.listen()
        self._listener = listener
        self._flowing.set()
        threading.Thread(target=self._accept, args=[listener], daemon=True).start()

    def stall(self) -> None:
        """Let nothing through; connections stay."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let through again."""
        self._flowing.set()

    def cut(self) -> None:
        """Be away: end every connection and take no new one."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for pair in self._pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()
        self._flowing.set()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._target))
            self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=[source, sink], daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                self._flowing.wait()
                sink.sendall(chunk)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@contextlib.contextmanager
def run_proxy(folder: Path, target: Path) -> Iterator[DatabaseProxy]:
    proxy = DatabaseProxy(folder, target)
    proxy.open()
    try:
        yield proxy
    finally:
        proxy.cut()
