"""The people of the demo: students who choose and sign up, and a case manager.

Each does what the person would do, by the same way: at our pages through the pages' own actions,
as `handrail_web` with the person's claims; at the partner's site as a visitor. What is done at the
command line (importing the file of the partner without an API) runs as the service role.
"""

import random
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from handrail.config.demo.asking import fetch
from handrail.config.demo.browser import SiteAway, look_up, sign_up
from handrail.config.demo.pages import Pages
from handrail.enrollments.actions import choose_elective, enter_partner_id, retry_call
from handrail.enrollments.results import import_results
from handrail.organizations.identity import Identity
from handrail.organizations.models import Organization
from handrail.partners.models import Provider
from handrail.people.actions import add_member, create_profile
from handrail.people.models import Profile

CASE_MANAGER = "case.manager@example.org"
SEEN = "seen on the partner's page"
NOT_SEEN = "not on the partner's page"

# Stages of electives that have been reached and where somebody still has to choose.
_UNDECIDED = """
select e.learner_id, max(s.elective_choose) - count(*) filter (where s.chosen_at is not null),
       array_agg(s.id order by s.id) filter (where s.status = 'pending' and s.chosen_at is null)
from enrollments e join enrollment_steps s on s.enrollment_id = e.id
where e.status = 'active' and not s.required and not exists (
  select from enrollment_steps b where b.enrollment_id = e.id and b.sequence_order < s.sequence_order
    and b.required and b.status not in ('completed', 'skipped'))
group by e.id, s.sequence_order, e.learner_id
having max(s.elective_choose) > count(*) filter (where s.chosen_at is not null)
"""
_LINKED = """
select s.id, coalesce(nullif(c.link_url, ''), p.link_url), l.first_name, l.last_name, l.email
from enrollment_steps s
join partner_lms_providers p on p.id = s.provider_id
join partner_lms_courses c on c.id = s.course_id
join learners l on l.id = s.learner_id
where s.status = 'in_progress' and p.mode = 'link'
"""
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


@dataclass(frozen=True, slots=True)
class Places:
    """Where the cast finds things."""

    web_password: str = field(repr=False)
    """Of handrail_web."""
    results: Path
    """The file that the partner without an API keeps."""


class Cast:
    """Everybody in the demo who does something; `act` lets each do what there is to do."""

    def __init__(self, organization: Organization, places: Places, *, seed: int) -> None:
        self._organization = organization
        self._results = places.results
        self._chance = random.Random(seed)  # noqa: S311 - plays people, guards nothing
        self._pages = Pages(places.web_password)
        self._signed_up: set[UUID] = set()
        self._results_seen = 0
        self.case_manager = _hire(organization)

    def act(self) -> None:
        """Let everybody do what there is to do now.

        Raises:
            django.db.OperationalError, InterfaceError: the database is away; try again.
        """
        self._choose_electives()
        self._sign_up()
        self._import_results()
        self._decide_cases()

    def close(self) -> None:
        """Close the connection of the people at the pages."""
        self._pages.close()

    def _choose_electives(self) -> None:
        for learner_id, missing, choices in fetch(_UNDECIDED):
            student = Identity(_sign_in(learner_id))
            for step in self._chance.sample(choices, missing):
                self._pages.act(student, partial(choose_elective, step))

    def _sign_up(self) -> None:
        for step, url, first_name, last_name, email in fetch(_LINKED):
            if step not in self._signed_up:
                with suppress(SiteAway):  # and tries again in a moment
                    sign_up(url, name=f"{first_name} {last_name}".strip(), email=email)
                    self._signed_up.add(step)

    def _import_results(self) -> None:
        """Import the partner's file whenever it has changed."""
        file = self._results
        if not file.exists() or file.stat().st_mtime_ns == self._results_seen:
            return
        seen = file.stat().st_mtime_ns
        provider = Provider.objects.get(organization=self._organization, adapter="jri")
        with file.open("rb") as stream:
            import_results(stream, provider=provider, tell=lambda _: None)
        self._results_seen = seen

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
                self._pages.act(manager, partial(action, case.intent_id))


def _hire(organization: Organization) -> Profile:
    manager = create_profile(
        email=CASE_MANAGER, password=secrets.token_urlsafe(24), name="Casey Manager"
    )
    add_member(organization, manager, role="staff")
    return manager


def _sign_in(learner_id: UUID) -> UUID:
    """Return the profile of this learner; made and linked as after the address was proved."""
    rows = fetch("select profile_id, email_normalized from learners where id = %s", learner_id)
    ((profile_id, email),) = rows
    if profile_id is not None:
        return UUID(str(profile_id))
    profile = Profile.objects.filter(email=email).first()
    if profile is None:
        profile = Profile(email=email)
        profile.set_unusable_password()
        profile.save(force_insert=True)
    fetch("select link_learner(%s, %s)", learner_id, profile.id)
    return profile.id


def _pick_new(case: _Case, ids: list[str]) -> str:
    """Return the newest of these ids that nobody here has yet; empty when there is none."""
    known = {id for (id,) in fetch(_KNOWN_IDS, case.provider_id, ids)}
    return next((id for id in ids if id not in known), "")
