"""The people of the demo: learners, and a case manager who settles what only a person can decide.

The case manager acts as at our pages, through their own actions, as `handrail_web` with her claims,
and reads the partner's own page.
"""

import secrets
from contextlib import suppress
from functools import partial
from typing import NamedTuple
from uuid import UUID

from handrail.config.demo.asking import fetch
from handrail.config.demo.browser import SiteAway, look_up
from handrail.config.demo.players import Places, Players
from handrail.enrollments.actions import enter_partner_id, retry_call
from handrail.organizations.identity import Identity
from handrail.organizations.models import Organization
from handrail.people.actions import add_member, create_profile
from handrail.people.models import Profile

CASE_MANAGER = "case.manager@example.org"
SEEN = "seen on the partner's page"
NOT_SEEN = "not on the partner's page"

# Calls that may have happened, at a partner that cannot be asked whether they did.
_UNDECIDABLE = """
select i.id, i.kind, p.base_url, p.id, l.email_normalized, coalesce(c.code, '')
from attention_items t
join intents i on i.id = t.subject_id
join partner_lms_providers p on p.id = i.provider_id
join partner_accounts a on a.id = i.partner_account_id
join learners l on l.id = a.learner_id
left join partner_lms_enrollments r on r.id = i.partner_enrollment_id
left join partner_lms_courses c on c.id = r.course_id
where t.kind = 'call' and t.resolved_at is null and i.status = 'needs_person'
  and t.details ->> 'cause' = 'undecidable' and not p.offers_lookup
"""
_KNOWN_IDS = """
select external_enrollment_id from partner_lms_enrollments
where provider_id = %s and external_enrollment_id = any (%s)
"""


class _Case(NamedTuple):
    intent_id: UUID
    kind: str
    base_url: str
    provider_id: UUID
    email: str
    course: str


class Cast:
    """Everybody in the demo who does something; `act` lets each do what there is to do."""

    def __init__(self, organization: Organization, places: Places, *, seed: int) -> None:
        self._organization = organization
        self._players = Players(organization, places, seed=seed)
        self.case_manager = _hire(organization)

    def act(self) -> None:
        """Let everybody do what there is to do now.

        Raises:
            django.db.OperationalError, InterfaceError: the database is away; try again.
        """
        self._players.act()
        self._decide_cases()

    def close(self) -> None:
        """Close the connection of the people at the pages."""
        self._players.close()

    def _decide_cases(self) -> None:
        """Look at the partner's own page, as a case manager does, and settle what can be settled."""
        manager = Identity(self.case_manager.id, self._organization.id, "staff")
        for case in map(_Case._make, fetch(_UNDECIDABLE)):
            with suppress(SiteAway):
                page = look_up(case.base_url, case.email)
                if page.is_working:
                    continue  # what is missing may come yet
                found = page.account if case.kind == "create_account" else ""
                if case.kind == "enroll":
                    found = _pick_new(
                        case, [id for id, code in page.enrollments if code == case.course]
                    )
                if found:
                    action = partial(enter_partner_id, external_id=found, note=SEEN)
                else:
                    action = partial(retry_call, look_up=False, note=NOT_SEEN)
                self._players.pages.act(manager, partial(action, case.intent_id))


def _hire(organization: Organization) -> Profile:
    manager = create_profile(
        email=CASE_MANAGER, password=secrets.token_urlsafe(24), name="Casey Manager"
    )
    add_member(organization, manager, role="staff")
    return manager


def _pick_new(case: _Case, ids: list[str]) -> str:
    """Return the newest of these ids that nobody here has yet; empty when there is none."""
    known = {id for (id,) in fetch(_KNOWN_IDS, case.provider_id, ids)}
    return next((id for id in ids if id not in known), "")
