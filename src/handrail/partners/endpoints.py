"""Where a provider's webhooks arrive: the endpoint's key, scheme and secrets."""

import base64
import binascii
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import connection

from handrail.core.crypto import CannotDecrypt, Keyring
from handrail.core.refusal import Refusal
from handrail.inbox.endpoints import locate_secret
from handrail.partners.models import Provider

SHORTEST_SECRET = 16
LONGEST_SECRET = 512
_LONGEST_KEY = 127


class SecretRefused(Refusal):
    """A webhook secret that the endpoint's scheme cannot use."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A provider's endpoint; `scheme` None: it sends no webhooks."""

    id: UUID
    key: str
    scheme: str | None
    has_secret: bool = False
    previous_ends_at: datetime | None = None

    @property
    def url(self) -> str:
        """The address to give to the partner."""
        return f"{settings.HANDRAIL_BASE_URL}/api/webhooks/partners/{self.key}"


_FIND = """
select id, key, scheme, secret is not null,
       case when previous_secret_ends_at > now() then previous_secret_ends_at end
from webhook_endpoints where organization_id = %s and provider_id = %s and archived_at is null
order by created_at limit 1
"""
_END_PREVIOUS = """
update webhook_endpoints
set previous_secret = case when %(end)s::timestamptz is not null then previous_secret end,
    previous_secret_ends_at = case when %(end)s::timestamptz is not null
                                   then least(previous_secret_ends_at, %(end)s) end
where id = %(id)s and previous_secret is not null
"""
_ADD = """
insert into webhook_endpoints (key, kind, scheme, organization_id, provider_id)
values (%s, 'partner', %s, %s, %s)
on conflict (key) do nothing returning id
"""


def find_endpoint(provider: Provider) -> Endpoint | None:
    """The provider's endpoint."""
    with connection.cursor() as cursor:
        cursor.execute(_FIND, [provider.organization_id, provider.id])
        row = cursor.fetchone()
    return Endpoint(*row) if row else None


def save_endpoint(provider: Provider, *, organization_slug: str, scheme: str | None) -> str:
    """Create or update a provider's endpoint: "created", "changed" or "same".

    Its key is the provider's slug for the first of that name in the installation, organization
    and slug for the next, and never changes: the partner knows it.
    """
    found = find_endpoint(provider)
    with connection.cursor() as cursor:
        if found is not None:
            if found.scheme == scheme:
                return "same"
            cursor.execute(
                "update webhook_endpoints set scheme = %s where id = %s", [scheme, found.id]
            )
            return "changed"
        plain = f"{organization_slug}-{provider.slug}"
        number = 1
        key = provider.slug
        while True:
            cursor.execute(_ADD, [key, scheme, provider.organization_id, provider.id])
            if cursor.fetchone():
                return "created"
            end = f"-{number}" if number > 1 else ""
            key = f"{plain[: _LONGEST_KEY - len(end)]}{end}"
            number += 1


def set_webhook_secret(
    endpoint: Endpoint, secret: str, *, previous_ends_at: datetime | None
) -> None:
    """Set the secret that the partner signs with.

    The one of before stays valid until `previous_ends_at`; None: it ends now. When `secret` is the
    present one, the one of before may end earlier by this, and not later.

    Raises:
        SecretRefused: the scheme cannot use it.
    """
    problem = find_secret_problem(endpoint.scheme, secret)
    if problem:
        raise SecretRefused(f"The webhook secret cannot be used: {problem}.")
    keyring = Keyring(settings.HANDRAIL_SECRET_KEYS)
    with connection.cursor() as cursor:
        cursor.execute(
            "select secret from webhook_endpoints where id = %s for update", [endpoint.id]
        )
        (sealed,) = cursor.fetchone() or (None,)
        before = _open_secret(keyring, endpoint.id, sealed)
        if before and hmac.compare_digest(before, secret.encode()):
            cursor.execute(_END_PREVIOUS, {"id": endpoint.id, "end": previous_ends_at})
            return
        keep = bool(before) and previous_ends_at is not None
        cursor.execute(
            "update webhook_endpoints"
            " set secret = %s, previous_secret = %s, previous_secret_ends_at = %s,"
            "   told_refused_count = refused_count where id = %s",
            [
                keyring.encrypt(secret.encode(), place=locate_secret(endpoint.id, "secret")),
                keyring.encrypt(before, place=locate_secret(endpoint.id, "previous_secret"))
                if keep
                else None,
                previous_ends_at if keep else None,
                endpoint.id,
            ],
        )
        # What is refused from now on is told anew.
        cursor.execute(
            "select close_attention('webhook_refused', %s, 'the secret was changed')", [endpoint.id]
        )


def _open_secret(keyring: Keyring, endpoint_id: UUID, sealed: bytes | None) -> bytes:
    """The present secret; nothing when there is none, or none that anybody can still check with."""
    if sealed is None:
        return b""
    try:
        return keyring.decrypt(bytes(sealed), place=locate_secret(endpoint_id, "secret"))
    except CannotDecrypt:
        return b""  # the ingress refuses with it too; the new one mends that


def find_secret_problem(scheme: str | None, secret: str) -> str:
    """Why a webhook secret cannot be used with this scheme; empty when it can."""
    if scheme is None:
        return "this provider sends no webhooks; set its webhook_scheme in the catalog first"
    if not secret.isascii() or not secret.isprintable() or secret != secret.strip():
        return "it must be printable ASCII without space around it"
    if scheme == "standard-webhooks":
        try:
            key = binascii.a2b_base64(secret.removeprefix("whsec_"), strict_mode=True)
        except binascii.Error:
            key = b""
        if not 24 <= len(key) <= 64:  # Standard Webhooks 1.0, "Signature scheme"
            return "it must be whsec_ and 24 to 64 bytes in base64"
    elif not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET:
        return f"it must have {SHORTEST_SECRET} to {LONGEST_SECRET} characters"
    return ""


def make_secret(scheme: str) -> str:
    """A new random secret as partners of this scheme use them."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    return f"whsec_{key}" if scheme == "standard-webhooks" else secrets.token_urlsafe(32)
