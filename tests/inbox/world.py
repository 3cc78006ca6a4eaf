"""Two organizations with endpoints, and senders that sign as partners do."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings

from handrail.core.crypto import Keyring
from handrail.inbox.endpoints import locate_secret
from tests.databases import Database

KEYRING = Keyring(settings.HANDRAIL_SECRET_KEYS)
SECRET = "whsec_" + base64.b64encode(b"alice and bob share this key 001").decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"charlie's key is not for endpoint").decode()
_numbers = count(1)

Admin = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Endpoint:
    id: UUID
    key: str
    scheme: str | None
    organization_id: UUID
    provider_id: UUID


@dataclass
class World:
    """Alice's school owns the endpoints; Charlie's has one of its own and sees none of hers."""

    admin: Admin
    worker_dsn: str
    alice: UUID = field(init=False)
    charlie: UUID = field(init=False)

    def __post_init__(self) -> None:
        self.alice = self.make_organization("alice")
        self.charlie = self.make_organization("charlie")

    def make_organization(self, slug: str) -> UUID:
        id: UUID = self.value(
            "insert into organizations (slug, name) values (%s, %s) returning id", slug, slug
        )
        return id

    def make_endpoint(
        self,
        key: str = "milady",
        *,
        scheme: str | None = "standard-webhooks",
        secret: str | None = SECRET,
        organization: UUID | None = None,
    ) -> Endpoint:
        organization = organization or self.alice
        provider = self.value(
            "insert into partner_lms_providers (organization_id, slug, name, adapter, mode)"
            " values (%s, %s, %s, 'milady', 'api') returning id",
            *(organization, key, key),
        )
        id = self.value(
            "insert into webhook_endpoints (key, kind, scheme, organization_id, provider_id)"
            " values (%s, 'partner', %s, %s, %s) returning id",
            *(key, scheme, organization, provider),
        )
        if secret is not None:
            self.set_secret(id, secret)
        return Endpoint(id, key, scheme, organization, provider)

    def set_secret(
        self, endpoint: UUID, secret: str, previous: str | None = None, ends_in: float = 3600
    ) -> None:
        ends_at = datetime.now(UTC) + timedelta(seconds=ends_in)
        self.admin.execute(
            "update webhook_endpoints set secret = %s, previous_secret = %s,"
            " previous_secret_ends_at = %s where id = %s",
            [
                KEYRING.encrypt(secret.encode(), place=locate_secret(endpoint, "secret")),
                previous
                and KEYRING.encrypt(
                    previous.encode(), place=locate_secret(endpoint, "previous_secret")
                ),
                ends_at if previous else None,
                endpoint,
            ],
        )

    def store(
        self,
        endpoint: Endpoint,
        body: bytes | str | dict[str, Any] = b"{}",
        *,
        event_id: str = "",
        status: str = "received",
        age: timedelta = timedelta(),
        **columns: Any,
    ) -> UUID:
        """A stored event without going through the ingress."""
        content = make_bytes(body)
        columns = {
            "endpoint_id": endpoint.id,
            "organization_id": endpoint.organization_id,
            "provider_id": endpoint.provider_id,
            "event_id": event_id or f"evt-{next(_numbers)}",
            "digest": hashlib.sha256(content).digest(),
            "body": content,
            "status": status,
            "received_at": datetime.now(UTC) - age,
            "next_attempt_at": datetime.now(UTC) - age,
            "reason": "" if status in {"received", "applied"} else "because",
            **columns,
        }
        places = ", ".join(["%s"] * len(columns))
        id: UUID = self.value(
            f"insert into webhook_events ({', '.join(columns)}) values ({places}) returning id",
            *columns.values(),
        )
        return id

    def tell_attention_list(self) -> None:
        """What the applier does every second."""
        with psycopg.connect(self.worker_dsn) as worker:
            worker.execute("select tell_about_webhooks()")

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.admin.execute(query.encode(), values).fetchall()

    def value(self, query: str, *values: Any) -> Any:
        ((value,),) = self.rows(query, *values)
        return value

    def events(self, *columns: str) -> list[tuple[Any, ...]]:
        return self.rows(f"select {', '.join(columns)} from webhook_events order by received_at")


def make_bytes(body: bytes | str | dict[str, Any]) -> bytes:
    if isinstance(body, dict):
        body = json.dumps(body)
    return body.encode() if isinstance(body, str) else body


def make_world(database: Database) -> World:
    return World(database.connect("superuser"), database.dsn("worker"))


def sign_hex(body: bytes, event_id: str = "", secret: str = SECRET) -> dict[str, str]:
    """The headers of scheme hmac-sha256-hex."""
    signature = hmac.digest(secret.encode(), body, "sha256").hex()
    return {"x-webhook-signature": signature} | ({"x-webhook-id": event_id} if event_id else {})


def claims(organization: UUID, role: str = "staff") -> dict[str, Any]:
    return {
        "sub": "0190a0a0-0000-7000-8000-00000000a11c",
        "organization_id": str(organization),
        "org_role": role,
    }
