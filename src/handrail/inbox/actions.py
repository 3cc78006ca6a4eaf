"""What people and commands do with endpoints and stored messages.

Each runs in the caller's transaction, as its database role and claims allow.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal
from uuid import UUID

from django.db import connection

from handrail.core.crypto import Keyring
from handrail.inbox.endpoints import locate_secret
from handrail.inbox.models import WebhookEndpoint


def replay_events(events: Sequence[UUID], *, reason: str) -> None:
    """Have events that need attention or were ignored looked at again.

    The reason is kept, with the name of the person from the claims.

    Raises:
        django.db.Error: one is not there, not this person's, in another state, or erased; none is
            replayed then.
    """
    _decide(events, "replay", reason)


def ignore_events(events: Sequence[UUID], *, reason: str) -> None:
    """Settle events that need attention: a person says that they change nothing.

    Raises:
        django.db.Error: as `replay_events`.
    """
    _decide(events, "ignore", reason)


def _decide(events: Sequence[UUID], decision: Literal["replay", "ignore"], reason: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select decide_webhook_events(%s::uuid[], %s, %s)", [list(events), decision, reason]
        )


def dismiss_conflict(conflict: UUID, *, reason: str) -> None:
    """Take a message with the id of another one off the attention list; the first one stands.

    Raises:
        django.db.Error: it is not there, dismissed already, or not this person's.
    """
    with connection.cursor() as cursor:
        cursor.execute("select dismiss_webhook_conflict(%s, %s)", [conflict, reason])


def create_partner_endpoint(
    *,
    organization_id: UUID,
    organization_slug: str,
    provider_id: UUID,
    provider_slug: str,
    scheme: str | None,
) -> WebhookEndpoint:
    """Give a provider its address: its slug, or organization-slug where that is taken.

    As the service role. Without a scheme the address answers 404.
    """
    keys = [provider_slug, f"{organization_slug}-{provider_slug}"]
    with connection.cursor() as cursor:
        for key in keys:
            cursor.execute(
                "insert into webhook_endpoints (key, kind, scheme, organization_id, provider_id) "
                "values (%s, 'partner', %s, %s, %s) on conflict (key) do nothing returning id",
                [key, scheme, organization_id, provider_id],
            )
            if row := cursor.fetchone():
                return WebhookEndpoint.objects.get(pk=row[0])
    raise ValueError(f"the addresses {' and '.join(keys)} are taken")


def set_endpoint_secret(
    endpoint_id: UUID, secret: bytes, *, keyring: Keyring, keep_previous: timedelta
) -> None:
    """Set an endpoint's secret; the one before counts for `keep_previous` longer (0: not at all).

    As the service role.

    Raises:
        LookupError: there is no such endpoint.
        CannotDecrypt: the secret before cannot be opened, so it cannot be kept.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "select secret from webhook_endpoints where id = %s for no key update", [endpoint_id]
        )
        row = cursor.fetchone()
        if row is None:
            raise LookupError(f"there is no endpoint {endpoint_id}")
        previous = None
        if row[0] is not None and keep_previous:
            before = keyring.decrypt(bytes(row[0]), place=locate_secret(endpoint_id, "secret"))
            previous = keyring.encrypt(before, place=locate_secret(endpoint_id, "previous_secret"))
        cursor.execute(
            "update webhook_endpoints set secret = %s, previous_secret = %s, previous_secret_ends_at = "
            "case when %s then now() + %s * interval '1 second' end where id = %s",
            [
                keyring.encrypt(secret, place=locate_secret(endpoint_id, "secret")),
                previous,
                previous is not None,
                keep_previous.total_seconds(),
                endpoint_id,
            ],
        )
