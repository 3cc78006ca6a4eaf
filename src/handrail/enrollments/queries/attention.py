"""What needs a person: the list, and one entry with what can be done about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection

from handrail.core.paging import Keyset, Page
from handrail.enrollments.queries.detail import EnrollmentDetail, get_enrollment
from handrail.enrollments.queries.steps import get_step
from handrail.enrollments.words import Step

ATTENTION_PAGE = 25
MOST_COUNTED = 1000
# By the partial index attention_items_list (organization_id, opened_at, id).
_ROWS = """
select a.id, a.kind, a.subject_id, a.cause, a.opened_at, a.enrollment_id, a.resolved_at, a.resolution,
  coalesce(btrim(l.first_name || ' ' || l.last_name), ''), coalesce(t.title, ''), coalesce(p.name, ''),
  case a.kind
    when 'call' then exists (
      select from intents i where i.id = a.subject_id and i.status = 'needs_person' and not i.uncertain)
    else a.kind = 'provider_calls' end,
  case when a.kind = 'provider_calls' then (
    select count(*) from (
      select distinct i.partner_account_id from intents i
      where i.provider_id = a.subject_id and i.awaits_provider and i.status = 'needs_person'
      limit 1000) as them) end,  -- MOST_COUNTED
  coalesce(e.status, ''), coalesce(r.external_enrollment_id, '')
from (select * from attention_items a where {where}) a
left join enrollments e on e.id = a.enrollment_id and e.organization_id = a.organization_id
left join learners l on l.id = e.learner_id and l.organization_id = a.organization_id
left join programs t on t.id = e.program_id and t.organization_id = a.organization_id
left join partner_lms_providers p on p.id = a.provider_id and p.organization_id = a.organization_id
left join partner_lms_enrollments r on a.kind in ('run', 'completion_revoked', 'partner_not_told')
  and r.id = a.subject_id and r.organization_id = a.organization_id
"""
_LIST: Final = (
    _ROWS.replace(
        "{where}",
        "a.organization_id = %(organization)s and a.resolved_at is null and {place} order by {order} limit %(limit)s",
    )
    + "order by {order}"
)
_ONE: Final = _ROWS.replace("{where}", "a.id = %s")
# By attention_items_enrollment; and those of the providers its calls wait for, by attention_items_open.
_ABOUT_ENROLLMENT: Final = """
a.resolved_at is null
  and (a.enrollment_id = %(enrollment)s
       or a.kind = 'provider_calls' and a.subject_id in (
            select i.provider_id from enrollment_steps s
            join partner_lms_enrollments r on r.id = s.partner_enrollment_id
            join intents i on i.provider_id = r.provider_id and i.partner_account_id = r.partner_account_id
            where s.enrollment_id = %(enrollment)s and s.status = 'in_progress' and i.awaits_provider
              and i.status = 'needs_person'
              and (i.partner_enrollment_id is null and r.status = 'requested' or i.partner_enrollment_id = r.id)))
"""
_OF_ENROLLMENT: Final = _ROWS.replace("{where}", _ABOUT_ENROLLMENT) + "order by a.opened_at, a.id"
# By intents_await_provider.
_WAITING = """
select i.partner_account_id, i.id, btrim(l.first_name || ' ' || l.last_name), i.kind, i.error, e.id
from (select * from intents i
      where i.provider_id = %(provider)s and i.awaits_provider and i.status = 'needs_person' and {place}
      order by {order} limit %(limit)s) i
join partner_accounts a on a.id = i.partner_account_id
join learners l on l.id = a.learner_id and l.organization_id = a.organization_id
left join lateral (
  select e.id from enrollments e
  join enrollment_steps s on s.enrollment_id = e.id
  join partner_lms_enrollments r on r.id = s.partner_enrollment_id and r.partner_account_id = a.id
  where e.learner_id = l.id and e.organization_id = l.organization_id
  order by s.status = 'in_progress' desc, e.created_at desc limit 1) e on true
order by {order}
"""
_WAITING_ORDER = Keyset(columns={"i.partner_account_id": "uuid", "i.id": "uuid"})
_OLDEST_FIRST = Keyset(columns={"a.opened_at": "timestamptz", "a.id": "uuid"})
_CALL = """
select i.kind, i.status, i.uncertain, i.calls, i.partner_enrollment_id, i.partner_account_id, p.offers_lookup,
  p.name, i.details ->> 'external_id', i.details ->> 'cause', call_is_awaited(i.id)
from intents i join partner_lms_providers p on p.id = i.provider_id and p.organization_id = i.organization_id
where i.id = %s
"""
_STEP_OF_RUN = """
select s.id from enrollment_steps s
left join partner_lms_enrollments r on r.id = s.partner_enrollment_id and r.organization_id = s.organization_id
where s.enrollment_id = %(enrollment)s
  and (s.partner_enrollment_id = %(run)s or %(run)s is null and r.partner_account_id = %(account)s)
order by s.status = 'in_progress' desc, s.sequence_order, s.id limit 1
"""
_RUN_KINDS = ("run", "completion_revoked", "partner_not_told")


@dataclass(frozen=True, slots=True)
class AttentionRow:
    """An entry of the list, the oldest first."""

    id: UUID
    kind: str
    subject_id: UUID
    cause: str
    """In plain words."""
    opened_at: datetime
    enrollment_id: UUID | None
    resolved_at: datetime | None
    resolution: str | None
    learner_name: str
    program_title: str
    provider_name: str
    can_retry: bool
    """Whether trying again needs no look at the partner first."""
    waiting: int | None
    """How many learners wait for the provider, counted no further than `MOST_COUNTED`."""
    enrollment_status: str
    run_external_id: str
    """The partner's id of the enrollment that the entry is about; empty where it is about none."""

    @property
    def who_waits(self) -> str:
        """How many learners wait for the provider, in words; "" where nobody does."""
        if not self.waiting:
            return ""
        if self.waiting >= MOST_COUNTED:
            return f"{MOST_COUNTED} people or more wait"
        return "1 person waits" if self.waiting == 1 else f"{self.waiting} people wait"


@dataclass(frozen=True, slots=True)
class WaitingCall:
    """A call that waits until its provider is configured anew."""

    account_id: UUID
    id: UUID
    learner_name: str
    kind: str
    error: str
    """The partner's words."""
    enrollment_id: UUID | None


@dataclass(frozen=True, slots=True)
class CallFacts:
    """The call that only a person can decide about."""

    kind: str
    status: str
    uncertain: bool
    """Nobody knows whether the partner did it."""
    calls: int
    run_id: UUID | None
    account_id: UUID
    offers_lookup: bool
    provider_name: str
    external_id: str | None
    """The id the partner answered with, where that is the difficulty."""
    cause: str | None
    awaited: bool
    """Whether a step still waits for its answer."""


@dataclass(frozen=True, slots=True)
class AttentionCase:
    """An entry with what it is about."""

    item: AttentionRow
    call: CallFacts | None = None
    step: Step | None = None
    enrollment: EnrollmentDetail | None = None
    """Of a certificate."""
    choices: tuple[str, ...] = field(default=())
    """What resolves it, the usual one first: see `list_choices`."""


def count_open_items(organization_id: UUID, *, at_most: int) -> int:
    """Return how many there are, counted no further than `at_most` (index attention_items_list)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select count(*) from (select from attention_items where organization_id = %s "
            "and resolved_at is null limit %s) as open_items",
            [organization_id, at_most],
        )
        return int(cursor.fetchone()[0])


def list_attention(
    organization_id: UUID, *, place: str = "", limit: int = ATTENTION_PAGE
) -> Page[AttentionRow]:
    """Return a page of what needs a person.

    Raises:
        BadPlace: `place` is none that a page gave.
    """
    return _OLDEST_FIRST.fetch(
        _LIST,
        {"organization": organization_id},
        make=AttentionRow,
        key=lambda row: (row.opened_at, row.id),
        place=place,
        limit=limit,
    )


def list_enrollment_attention(enrollment_id: UUID) -> list[AttentionRow]:
    """Return what needs a person about one enrollment (index attention_items_enrollment)."""
    with connection.cursor() as cursor:
        cursor.execute(_OF_ENROLLMENT, {"enrollment": enrollment_id})
        return [AttentionRow(*row) for row in cursor.fetchall()]


def list_waiting_calls(provider_id: UUID, *, place: str = "") -> Page[WaitingCall]:
    """Return a page of the calls that wait for a provider.

    Raises:
        BadPlace: `place` is none that a page gave.
    """
    return _WAITING_ORDER.fetch(
        _WAITING,
        {"provider": provider_id},
        make=WaitingCall,
        key=lambda row: (row.account_id, row.id),
        place=place,
        limit=ATTENTION_PAGE,
    )


def get_attention_case(item_id: UUID) -> AttentionCase | None:
    """Return an entry, settled or not; None: there is none, or it is not this reader's."""
    with connection.cursor() as cursor:
        cursor.execute(_ONE, [item_id])
        row = cursor.fetchone()
    if row is None:
        return None
    item = AttentionRow(*row)
    call = _get_call(item.subject_id) if item.kind == "call" else None
    step = _find_step(item, call)
    about = item.enrollment_id if item.kind == "certificate" else None
    enrollment = get_enrollment(about) if about else None
    choices = () if item.resolved_at else list_choices(item, call, step)
    return AttentionCase(item, call, step, enrollment, choices)


_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "certificate": ("correct-name", "reissue", "render", "dismiss"),
    "webhook_event": ("replay", "ignore"),
    "webhook_conflict": ("dismiss_conflict",),
}


def list_choices(item: AttentionRow, call: CallFacts | None, step: Step | None) -> tuple[str, ...]:
    """Return what resolves an entry, the usual one first.

    try_again, look_up, enter_id, continue: the call. try_all: the provider's calls. complete, fail,
    skip, reopen: the step. correct-name, reissue, render: the certificate. replay, ignore,
    dismiss_conflict: a message. dismiss: it is known.
    """
    by_hand = ("complete", "fail", "skip") if step and step.status == "in_progress" else ()
    if call is not None:
        return (*_list_call_choices(call), *(by_hand if call.awaited else ()))
    if item.kind == "run":
        return by_hand or ("dismiss",)
    if item.kind == "provider_calls" and item.waiting:
        return ("try_all",)
    if item.kind == "completion_revoked" and step and step.status == "completed":
        return ("reopen", "dismiss")
    return _CHOICES.get(item.kind, ("dismiss",))


def _list_call_choices(call: CallFacts) -> tuple[str, ...]:
    if not call.awaited:
        return ("try_again", "dismiss") if call.status == "needs_person" else ("dismiss",)
    if call.status != "needs_person":
        return ()
    if call.cause == "one_enrollment":
        return ("continue", "try_again", "enter_id")
    look_up = ("look_up",) if call.offers_lookup else ()
    if call.uncertain:
        return (*look_up, "enter_id", "try_again")
    return ("try_again", *look_up, "enter_id")


def _get_call(intent_id: UUID) -> CallFacts | None:
    with connection.cursor() as cursor:
        cursor.execute(_CALL, [intent_id])
        row = cursor.fetchone()
    return CallFacts(*row) if row else None


def _find_step(item: AttentionRow, call: CallFacts | None) -> Step | None:
    """The step the entry is about: the one that waits for the call or points at the run."""
    run = call.run_id if call else item.subject_id if item.kind in _RUN_KINDS else None
    if item.enrollment_id is None or (call is None and run is None):
        return None
    account = call.account_id if call else None
    values = {"enrollment": item.enrollment_id, "run": run, "account": account}
    with connection.cursor() as cursor:
        cursor.execute(_STEP_OF_RUN, values)
        row = cursor.fetchone()
    return get_step(row[0]) if row else None
