"""What partners report: translates stored webhooks and has the machine apply them.

Registered with the inbox for endpoints of kind `partner`. One call of the machine for the batch,
in the order of arrival.
"""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from handrail.core.direct_connection import DirectConnection, Query
from handrail.inbox.registry import Outcome, ParsedEvent
from handrail.partners.protocol import (
    Adapter,
    CertificateFacts,
    Ignored,
    PartnerFact,
    Unintelligible,
)
from handrail.partners.registry import UnknownAdapter, get_adapter

CLOCK_TOLERANCE = timedelta(minutes=5)
"""A partner's clock may be ahead by so much; a later time is not believed."""
_ADAPTERS_SECONDS = 5.0

_ADAPTERS = "select id, adapter from partner_lms_providers where id = any (%s)"
_APPLY = b"select ref, outcome, reason from apply_partner_events($1::jsonb)"
# From what has to be told first: a person, a wait; a message is ignored when all of it is.
_WEIGHT: Mapping[str, int] = {"needs_attention": 3, "waiting": 2, "applied": 1, "ignored": 0}
_to_json = json.JSONEncoder(separators=(",", ":")).encode


def apply_webhooks(connection: DirectConnection, events: Sequence[ParsedEvent]) -> list[Outcome]:
    """Apply webhooks of partners inside the caller's transaction; one outcome for each."""
    adapters = _names.find(connection, {each.provider_id for each in events if each.provider_id})
    outcomes: list[Outcome] = []
    translated: list[tuple[ParsedEvent, list[PartnerFact]]] = []
    for event in events:
        try:
            facts = _translate(event, adapters)
        except Ignored as error:
            outcomes.append(Outcome(event.id, "ignored", error.reason))
        except (Unintelligible, UnknownAdapter) as error:
            outcomes.append(Outcome(event.id, "needs_attention", str(error)))
        else:
            translated.append((event, facts))
    if translated:
        outcomes += _apply(connection, translated)
    return outcomes


def _translate(event: ParsedEvent, adapters: Mapping[UUID, str]) -> list[PartnerFact]:
    if event.provider_id is None or event.provider_id not in adapters:
        raise Unintelligible("its endpoint belongs to no provider")
    adapter: Adapter = get_adapter(adapters[event.provider_id])
    facts = adapter.translate(event.message)
    if not facts:
        raise Ignored("it says nothing that we use")
    return facts


def _apply(
    connection: DirectConnection, translated: Sequence[tuple[ParsedEvent, list[PartnerFact]]]
) -> Iterable[Outcome]:
    described = []
    owners: list[int] = []
    for number, (event, facts) in enumerate(translated):
        for fact in facts:
            described.append(_describe(event, fact, ref=len(owners)))
            owners.append(number)
    found: list[tuple[str, str]] = [("", "")] * len(translated)
    (rows,) = connection.fetch(Query(_APPLY, (_to_json(described),)))
    for ref, outcome, reason in rows:
        number = owners[int(ref)]
        known = found[number][0]
        if not known or _WEIGHT[outcome] > _WEIGHT[known]:
            found[number] = (outcome, reason)
    return [
        _conclude(event, facts, *found[number]) for number, (event, facts) in enumerate(translated)
    ]


def _conclude(
    event: ParsedEvent, facts: Sequence[PartnerFact], outcome: Any, reason: str
) -> Outcome:
    if len(facts) == 1:
        return Outcome(event.id, outcome, reason, facts[0].kind, facts[0].external_enrollment_id)
    ids = (fact.external_enrollment_id for fact in facts if fact.external_enrollment_id)
    kinds = dict.fromkeys(fact.kind for fact in facts)
    return Outcome(event.id, outcome, reason, " ".join(kinds), next(ids, ""))


def _describe(event: ParsedEvent, fact: PartnerFact, *, ref: int) -> dict[str, object]:
    described = describe_fact(
        fact,
        ref=str(ref),
        provider_id=event.provider_id,
        received_at=event.received_at,
        cause_kind="webhook",
    )
    described["cause_id"] = event.id.hex
    return described


def describe_fact(
    fact: PartnerFact,
    *,
    ref: str,
    provider_id: UUID | None,
    received_at: datetime,
    cause_kind: str,
) -> dict[str, object]:
    """A fact as the machine takes it: the fields of the SQL type partner_event that say something."""
    described: dict[str, object] = {
        "ref": ref,
        "kind": fact.kind,
        "provider_id": provider_id and provider_id.hex,  # cheaper than its usual form
        "received_at": received_at.isoformat(),
        "cause_kind": cause_kind,
    }
    if fact.external_enrollment_id:
        described["external_enrollment_id"] = fact.external_enrollment_id
    if fact.run_id is not None:
        described["run_id"] = fact.run_id.hex
    if fact.account_external_id:
        described["account_external_id"] = fact.account_external_id
    if fact.course_code:
        described["course_code"] = fact.course_code
    if fact.occurred_at is not None and fact.occurred_at < received_at + CLOCK_TOLERANCE:
        described["occurred_at"] = fact.occurred_at.isoformat()
    if fact.percent is not None:
        described["percent"] = str(fact.percent)
    if fact.reason:
        described["reason"] = fact.reason
    if fact.sensitive_result:
        described["sensitive_result"] = fact.sensitive_result
    if fact.certificate is not None:
        described["certificate"] = _describe_certificate(fact.certificate)
    return described


def _describe_certificate(certificate: CertificateFacts) -> dict[str, str]:
    described = {
        "external_id": certificate.external_id,
        "number": certificate.number,
        "download_url": certificate.download_url,
        "verification_url": certificate.verification_url,
    }
    if certificate.issued_on is not None:
        described["issued_on"] = certificate.issued_on.isoformat()
    if certificate.expires_on is not None:
        described["expires_on"] = certificate.expires_on.isoformat()
    return described


class _AdapterNames:
    """Which adapter a provider has, looked up every few seconds."""

    def __init__(self) -> None:
        self._names: dict[UUID, str] = {}
        self._until = 0.0

    def find(self, connection: DirectConnection, providers: set[UUID]) -> Mapping[UUID, str]:
        now = time.monotonic()
        if now > self._until or not self._names.keys() >= providers:
            rows = connection.execute(_ADAPTERS, [list(providers | self._names.keys())])
            self._names = dict(rows.fetchall())
            self._until = now + _ADAPTERS_SECONDS
        return self._names


_names = _AdapterNames()
