"""The statements of the applier: claim, settle, and look again at what waits."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from handrail.core.direct_connection import DirectConnection, Query
from handrail.inbox.wire import (
    FLOAT8_OID,
    TEXT_OID,
    UUID_OID,
    WireArray,
    encode_array,
    encode_float,
    encode_text,
)

FEW = 16
"""So many bodies, of at most 1 MiB each, always fit in a batch: a claim of fewer got all there was."""
_MOST_BYTES = FEW * 1024 * 1024  # of the bodies in one batch
_LONGEST_REASON = 1000  # characters
_LONGEST_WORD = 255  # characters of a kind or of a partner's id


class Claimed(NamedTuple):
    """A stored event, locked until the transaction ends."""

    id: UUID
    endpoint_id: UUID
    endpoint_kind: str
    organization_id: UUID | None
    provider_id: UUID | None
    event_id: str
    received_at: datetime
    sent_at: datetime | None
    attempts: int
    due_at: datetime
    is_first_look: bool
    """Nobody has looked at it before: it never waited and never failed."""
    digest: bytes
    body: bytes | None


class Settlement(NamedTuple):
    """What is to be written down about one event."""

    id: UUID
    status: str
    reason: str = ""
    kind: str = ""
    match_external_id: str = ""
    retry_seconds: float | None = None
    """It failed; if its status is `received`, it is tried again after so long."""


# The bodies of one batch are bounded too: what is beyond is let go again with the commit.
_CLAIM = b"""
with due as materialized (
  select e.id, e.endpoint_id, e.organization_id, e.provider_id, e.event_id, e.received_at, e.sent_at, e.attempts,
         e.reason, e.digest, e.body, e.next_attempt_at
  from webhook_events e
  where e.status = 'received' and e.next_attempt_at <= now()
    and e.next_attempt_at >= coalesce($1, '-infinity'::timestamptz)
  order by e.next_attempt_at, e.received_at, e.id
  limit $2
  for no key update skip locked
), weighed as (
  select *, row_number() over arrival as place, sum(octet_length(body)) over arrival as bytes
  from due window arrival as (order by next_attempt_at, received_at, id)
)
select w.id, w.endpoint_id, p.kind, w.organization_id, w.provider_id, w.event_id, w.received_at, w.sent_at, w.attempts,
       w.next_attempt_at, w.reason = '', w.digest, w.body
from weighed w join webhook_endpoints p on p.id = w.endpoint_id
where w.place = 1 or w.bytes <= $3
order by w.place
"""

# An event waits longer and longer: a quarter of its age, from 0.1 seconds to 5 minutes.
_SETTLE = b"""
update webhook_events e
set status = case when g.status = 'waiting' and e.received_at < now() - $1::interval
                  then 'needs_attention' else g.status end,
    reason = case when g.status = 'waiting' and e.received_at < now() - $1::interval
                  then 'it waited long enough: ' || g.reason else g.reason end,
    kind = coalesce(nullif(g.kind, ''), e.kind),
    match_external_id = coalesce(nullif(g.match_external_id, ''), e.match_external_id),
    attempts = e.attempts + (g.retry_seconds is not null)::integer,
    next_attempt_at = case g.status
      when 'waiting' then now() + least('5 minutes', greatest('100 milliseconds', (now() - e.received_at) / 4))
      when 'received' then now() + g.retry_seconds * interval '1 second'
      else e.next_attempt_at end,
    applied_at = case when g.status in ('applied', 'ignored') then now() end
from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::float8[])
     as g (id, status, reason, kind, match_external_id, retry_seconds)
where e.id = g.id
"""

_RAISE = b"""
select open_attention(organization_id, 'webhook_event', id, 'A message of the partner needs a person: ' || reason,
                      jsonb_build_object('event_id', event_id, 'kind', kind), null, provider_id)
from webhook_events where id = any ($1) and status = 'needs_attention'
"""

_LOOK_AGAIN = b"""
update webhook_events set status = 'received', next_attempt_at = now()
where id in (
  select id from webhook_events where id = any ($1) and status = 'waiting'
  for no key update skip locked
)
"""

_SWEEP = b"""
update webhook_events set status = 'received', next_attempt_at = now()
where id in (
  select id from webhook_events where status = 'waiting' and next_attempt_at <= now()
  order by next_attempt_at limit 1000
  for no key update skip locked
)
"""


_BEGIN, _COMMIT = Query(b"begin"), Query(b"commit")


def begin(connection: DirectConnection) -> None:
    """Begin a transaction without claiming anything."""
    connection.fetch(_BEGIN)


def claim_due(
    connection: DirectConnection, *, since: datetime | None = None, limit: int
) -> list[Claimed]:
    """Begin a transaction and lock the events that are due in it, the oldest first, at most `limit`.

    Those that others have locked are left out. `since`: those due before are not looked for. While
    somebody holds an old snapshot (a backup), the index keeps an entry of every event that was ever
    due, and a claim from the beginning reads them all: 37 ms with 80,000 of them, *measured*.
    """
    _, rows = connection.fetch(_BEGIN, Query(_CLAIM, (since, limit, _MOST_BYTES)))
    return [Claimed._make(row) for row in rows]


def settle(
    connection: DirectConnection, settlements: Sequence[Settlement], *, waiting: timedelta
) -> None:
    """Write down what became of claimed events, and commit the transaction that locked them.

    What needs a person goes to the attention list; what still waits `waiting` after it was received
    needs a person.
    """

    def encode_texts(values: Iterable[str], longest: int) -> WireArray:
        return encode_array(TEXT_OID, [encode_text(value, longest) for value in values])

    queries = []
    if settlements:
        values = (
            waiting,
            encode_array(UUID_OID, [each.id.bytes for each in settlements]),
            encode_texts((each.status for each in settlements), _LONGEST_WORD),
            encode_texts((each.reason for each in settlements), _LONGEST_REASON),
            encode_texts((each.kind for each in settlements), _LONGEST_WORD),
            encode_texts((each.match_external_id for each in settlements), _LONGEST_WORD),
            encode_array(FLOAT8_OID, [encode_float(each.retry_seconds) for each in settlements]),
        )
        queries.append(Query(_SETTLE, values))
    doubtful = [each.id for each in settlements if each.status in ("needs_attention", "waiting")]
    if doubtful:
        queries.append(Query(_RAISE, (doubtful,)))
    connection.fetch(*queries, _COMMIT)


def look_again(connection: DirectConnection, events: Sequence[UUID]) -> None:
    """Make waiting events due now; not those that somebody wakes at this moment."""
    connection.fetch(Query(_LOOK_AGAIN, (list(events),)))


def sweep_waiting(connection: DirectConnection) -> None:
    """Make waiting events due whose time to be looked at has come.

    A transaction of its own, so that no lock on a waiting event is held while the step machine
    waits for somebody who is about to wake that event.
    """
    connection.fetch(Query(_SWEEP))


def tell_attention_list(connection: DirectConnection) -> None:
    """Put what the ingress noticed (conflicting and refused messages) on the attention list."""
    connection.fetch(Query(b"select tell_about_webhooks()"))
