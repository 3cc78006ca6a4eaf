"""Finding and showing stored messages.

They answer for the database role and the claims of the transaction: staff see those of their
organization, the service role all.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from handrail.core.paging import Keyset, Page
from handrail.inbox.models import WebhookEvent
from handrail.inbox.parsing import Unreadable, parse_message

RARE = ("waiting", "ignored", "needs_attention")
"""Statuses with an index of their own; `received` and `applied` are found by looking through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSearch:
    """What to look for; what is empty does not matter."""

    organization_id: UUID | None = None
    endpoint: str = ""
    """The endpoint's key."""
    status: str = ""
    kind: str = ""
    """One of the kinds it was translated to, such as `course.completed`."""
    event_id: str = ""
    external_id: str = ""
    """The partner's enrollment id."""
    since: datetime | None = None
    until: datetime | None = None


class EventRow(NamedTuple):
    """One line of a list."""

    id: UUID
    endpoint_key: str
    organization_id: UUID | None
    event_id: str
    received_at: datetime
    status: str
    reason: str
    kind: str
    match_external_id: str | None
    attempts: int
    conflicts: int
    """Messages with the same id and other bytes that nobody has dismissed."""


_COLUMNS = """e.id, p.key, e.organization_id, e.event_id, e.received_at, e.status, e.reason, e.kind,
  e.match_external_id, e.attempts,
  (select count(*) from webhook_event_conflicts c where c.webhook_event_id = e.id and c.dismissed_at is null)"""

_MATCHES = """
  (%(organization_id)s::uuid is null or e.organization_id = %(organization_id)s::uuid)
  and (%(status)s::text is null or e.status = %(status)s)
  and (%(kind)s::text is null or %(kind)s = any (string_to_array(e.kind, ' ')))
  and (%(event_id)s::text is null or e.event_id = %(event_id)s)
  and (%(external_id)s::text is null
       or e.provider_id = p.provider_id and e.match_external_id = %(external_id)s)
  and (%(since)s::timestamptz is null or e.received_at >= %(since)s)
  and (%(until)s::timestamptz is null or e.received_at < %(until)s)
  and {place}
  order by {order} limit %(limit)s
"""
_ENDPOINT = "(%(endpoint)s::text is null or p.key = %(endpoint)s)"

# The list of an organization is put together from those of its endpoints (webhook_events_list).
_BY_ENDPOINT = f"""
select found.* from webhook_endpoints p
cross join lateral (select {_COLUMNS} from webhook_events e where e.endpoint_id = p.id and {_MATCHES}) found
where {_ENDPOINT} and (%(organization_id)s::uuid is null or p.organization_id = %(organization_id)s::uuid)
order by {{order}} limit %(limit)s
"""  # noqa: S608 - put together from constants

_BY_STATUS = f"""
select {_COLUMNS}
from webhook_events e
join (select id as endpoint, key, provider_id from webhook_endpoints) p on p.endpoint = e.endpoint_id
where {_ENDPOINT} and {_MATCHES}
"""  # noqa: S608 - put together from constants


_ORDER = Keyset(columns={"received_at": "timestamptz", "id": "uuid"}, newest_first=True)


def list_events(search: EventSearch, *, place: str = "", limit: int = 50) -> Page[EventRow]:
    """Return a page of what matches, the newest first.

    Raises:
        BadPlace: `place` is none that a page gave.
    """
    values = {name: getattr(search, name) or None for name in search.__dataclass_fields__}
    return _ORDER.fetch(
        _BY_STATUS if search.status in RARE else _BY_ENDPOINT,
        values,
        make=EventRow,
        key=lambda row: (row.received_at, row.id),
        place=place,
        limit=limit,
    )


def get_event(event_id: UUID) -> WebhookEvent:
    """Return one event with its endpoint; its conflicts and decisions are related to it.

    Raises:
        WebhookEvent.DoesNotExist: there is none, or it is not this reader's.
    """
    return WebhookEvent.objects.select_related("endpoint").get(pk=event_id)


class Body(NamedTuple):
    """The bytes of a message, in a form that can be shown."""

    text: str
    """JSON is indented; what is no UTF-8 is in hexadecimal, 32 bytes a line."""
    form: str
    """json, text, hex, or erased."""


def read_body(message_id: UUID) -> Body:
    """Return the body of an event or a conflict, for the service role and for administrators.

    It may hold what staff must not see, such as the result of a screening.

    Raises:
        django.db.Error: the reader is no administrator of its organization.
        LookupError: there is no such message.
    """
    with connection.cursor() as cursor:
        cursor.execute("select read_webhook_body(%s)", [message_id])
        row = cursor.fetchone()
    if row is None:
        raise LookupError(f"there is no message {message_id}")
    return show_body(row[0])


def show_body(body: bytes | memoryview | None) -> Body:
    """Put bytes into a form that can be shown."""
    if body is None:
        return Body("", "erased")
    try:
        text = bytes(body).decode()
    except UnicodeDecodeError:
        return Body(bytes(body).hex(" ", -32).replace(" ", "\n"), "hex")
    try:
        message = parse_message(bytes(body))
        return Body(json.dumps(message, indent=2, ensure_ascii=False), "json")
    except (Unreadable, RecursionError):  # as it came, with what a second name would hide
        return Body(text, "text")
