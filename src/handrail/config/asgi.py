"""The application that uvicorn serves: webhooks, health and static files here, the rest Django."""

import json
import os
from http import HTTPStatus
from typing import Any

from asgiref.typing import (
    ASGIReceiveCallable,
    ASGISendCallable,
    HTTPScope,
    Scope,
)
from django.conf import settings
from django.core.asgi import get_asgi_application

from handrail.config.bodies import BodyLimits
from handrail.config.environment import DatabaseRole, load_environment
from handrail.config.health import Readiness
from handrail.config.static import serve_static
from handrail.core.crypto import Keyring
from handrail.inbox.ingress import SHORT_WAY, Ingress

WEBHOOKS = "/api/webhooks/"

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "handrail.config.settings")
_django: Any = get_asgi_application()


class OuterApplication:
    """Answers `lifespan` itself (Django does not), bounds bodies, and routes by path."""

    def __init__(self) -> None:
        environment = load_environment()
        self._ingress: Any = Ingress(
            environment.database_dsn(DatabaseRole.INGRESS),
            keyring=Keyring(environment.secret_keys),
        )
        self._readiness = Readiness()
        self._bounded = BodyLimits(self._route)

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one connection of type `http` or `lifespan`; there are no others."""
        if scope["type"] == "http" and scope["path"].startswith(WEBHOOKS):
            await self._ingress(scope, receive, send)  # It bounds bodies itself, and fairly.
        elif scope["type"] == "http":
            await self._bounded(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(scope, receive, send)

    async def _live(self, scope: Any, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        while True:
            event = await receive()
            if event["type"] == "lifespan.startup":
                await self._ingress.start()
                scope["state"][SHORT_WAY] = self._ingress.take_whole
                await send({"type": "lifespan.startup.complete"})
            elif event["type"] == "lifespan.shutdown":
                await self._ingress.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _route(
        self, scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        path = scope["path"]
        if path == "/healthz":
            await _send_json(send, HTTPStatus.OK, {"process": "ok"})
        elif path == "/readyz":
            await _send_json(send, *await self._readiness.ask())
        elif path.startswith(settings.STATIC_URL):
            await serve_static(scope, send)
        else:
            await _django(scope, receive, send)


async def _send_json(send: ASGISendCallable, status: HTTPStatus, content: dict[str, str]) -> None:
    body = json.dumps(content).encode()
    start: Any = {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})


application = OuterApplication()
