"""The sandbox as an organization's partners: its configuration file, and our side of it.

Used by `handrail run` and `handrail demo`. Works in Django, as the service role.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import transaction

from handrail.config.embedded_cluster import write_private_file
from handrail.organizations.models import Organization
from handrail.partners.actions import configure_provider, rotate_webhook_secret
from handrail.partners.endpoints import find_endpoint, make_secret
from handrail.partners.models import Course, Provider
from handrail_sandbox.config import parse_config
from handrail_sandbox.platforms import PLATFORMS, Platform

Study = Mapping[str, object]
"""How the people of a partner study: docs/reference/sandbox.md, `study`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxPlan:
    """What the sandbox of an installation is like; `folder` holds its file and its state."""

    folder: Path
    port: int
    handrail: str
    """Where the sandbox reaches the web process: `http://127.0.0.1:8000`."""
    study: Callable[[str], Study]
    """By the slug of a platform."""
    more: Mapping[str, object] = field(default_factory=dict)
    """Further keys of the configuration: `seed`, `faults`, `leave_alone`, ..."""

    @property
    def address(self) -> str:
        """Where the sandbox is; each platform below its slug."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "config.json"

    @property
    def state(self) -> Path:
        """The sandbox's database (SQLite)."""
        return self.folder / "state.sqlite"

    @property
    def results(self) -> Path:
        """The results file of the platform with a portal."""
        return self.folder / "results" / "jri.csv"


def set_up_sandbox(organization: Organization, plan: SandboxPlan) -> None:
    """Let the sandbox play this organization's partners, and tell our side where and with what.

    Writes the sandbox's configuration; sets the address, the credentials and the endpoint's secret
    of each provider whose adapter the sandbox plays. A repeat keeps the secrets of before and
    changes addresses, courses and rhythms; start the sandbox afterwards.
    """
    before = _read_before(plan.config)
    partners = {}
    with transaction.atomic():
        for provider in Provider.objects.filter(organization=organization, archived_at=None):
            if provider.adapter in PLATFORMS:
                known = before.get("partners", {}).get(provider.adapter, {})
                partners[provider.adapter] = _connect(provider, plan, known)
    config = {
        "control_token": before.get("control_token") or secrets.token_urlsafe(24),
        "public_url": plan.address,
        "time_zone": organization.time_zone,
        **plan.more,
        "partners": partners,
    }
    parse_config(config)  # a mistake shows here, not in the sandbox's output
    plan.folder.mkdir(parents=True, exist_ok=True)
    write_private_file(plan.config, json.dumps(config, indent=1, ensure_ascii=False))


def read_control_token(config: Path) -> str:
    """Return the token of the sandbox's /control."""
    return str(json.loads(config.read_text())["control_token"])


def _read_before(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    return found


def _connect(provider: Provider, plan: SandboxPlan, known: Mapping[str, Any]) -> dict[str, Any]:
    """Set up one provider; return what the sandbox must know of it."""
    platform = PLATFORMS[provider.adapter]
    described: dict[str, Any] = {
        "courses": [_describe(each) for each in provider.courses.order_by("code")],
        "study": dict(plan.study(platform.slug)),
    }
    if platform.has_portal:
        _set_links(provider, f"{plan.address}/{platform.slug}/portal")
        return {"credentials": {}, **described, "results_file": str(plan.results)}
    headers = known.get("credentials") or _make_headers(platform)
    base_url = f"{plan.address}/{platform.slug}"
    # Configuring lets the calls go that wait for it, so it is done only when something is new.
    if not known or provider.base_url != base_url:
        configure_provider(
            provider.id,
            base_url=base_url,
            credentials={
                "api_key": headers[platform.key_header].removeprefix("Bearer "),
                "organization_id": headers[platform.organization_header],
            },
        )
    endpoint = find_endpoint(provider)
    if endpoint is not None and endpoint.scheme:
        secret = known.get("webhook_secret") or make_secret(endpoint.scheme)
        rotate_webhook_secret(provider, secret, keep=timedelta())
        described |= {
            "webhook_url": f"{plan.handrail}/api/webhooks/partners/{endpoint.key}",
            "webhook_scheme": endpoint.scheme,
            "webhook_secret": secret,
        }
    return {"credentials": headers, **described}


def _make_headers(platform: Platform) -> dict[str, str]:
    key = secrets.token_urlsafe(24)
    return {
        platform.key_header: f"Bearer {key}" if platform.key_header == "Authorization" else key,
        platform.organization_header: f"{platform.prefix}-{secrets.token_hex(4).upper()}",
    }


def _set_links(provider: Provider, portal: str) -> None:
    """People come by themselves: the provider's link, and one for each course."""
    configure_provider(provider.id, link_url=portal)
    for course in provider.courses.all():
        Course.objects.filter(id=course.id).update(link_url=f"{portal}/{course.code}")


def _describe(course: Course) -> dict[str, Any]:
    described: dict[str, Any] = {
        "code": course.code,
        "title": course.title,
        "hours": float(course.hours),
        "credential": course.credential_name,
        "kind": "screening" if course.kind == "screening" else "course",
    }
    if course.valid_months:
        described["valid_months"] = course.valid_months
    return described
