"""The web process: pages, API and ingress under one uvicorn."""

from typing import Any

import uvicorn

from handrail.config.environment import Environment, load_environment
from handrail.config.http_protocol import server_options
from handrail.config.webhook_protocol import WebhookProtocol


def serve_web() -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests that are under way."""
    uvicorn.run("handrail.config.asgi:application", **build_options(load_environment()))


def build_options(environment: Environment) -> dict[str, Any]:
    """Return uvicorn's arguments."""
    host, port = environment.bind
    return {
        "host": host,
        "port": port,
        "proxy_headers": bool(environment.trusted_proxies),
        "forwarded_allow_ips": list(environment.trusted_proxies),
        "log_config": None,  # Django's logging takes its lines.
        **server_options(),
        "http": WebhookProtocol,
    }
