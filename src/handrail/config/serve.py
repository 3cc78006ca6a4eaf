"""The web process: pages, API and ingress under one uvicorn."""

from typing import Any

import uvicorn

from handrail.config.environment import Environment, load_environment
from handrail.config.http_protocol import server_options
from handrail.config.installation import check_port, next_port
from handrail.config.parsing import format_host_port
from handrail.config.webhook_protocol import WebhookProtocol


def serve_web() -> None:
    """Serve until SIGTERM or Ctrl-C, then finish the requests that are under way.

    Raises:
        PortInUse: nobody can listen at HANDRAIL_BIND.
    """
    environment = load_environment()
    host, port = environment.bind
    check_port(host, port, example=f"HANDRAIL_BIND={format_host_port((host, next_port(port)))}")
    uvicorn.run("handrail.config.asgi:application", **build_options(environment))


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
