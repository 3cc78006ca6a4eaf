"""The learners of an example, as far as nobody plays them by hand.

Each does what a person would do, by the same way: chooses an elective by the action of the
student's page, as `handrail_web` with the student's claims, and signs up at the site of the partner
without an API. That partner's file is imported here too, as by `handrail import-results`.
"""

import random
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import UUID

from handrail.config.demo.asking import fetch
from handrail.config.demo.browser import SiteAway, sign_up
from handrail.config.demo.pages import Pages
from handrail.enrollments.actions import choose_elective
from handrail.enrollments.results import ResultsReport, import_results
from handrail.organizations.identity import Identity
from handrail.organizations.models import Organization
from handrail.partners.models import Provider
from handrail.people.models import Profile

# Stages of electives that have been reached and where somebody still has to choose.
_UNDECIDED = """
select e.learner_id, max(s.elective_choose) - count(*) filter (where s.chosen_at is not null),
       array_agg(s.id order by s.id) filter (where s.status = 'pending' and s.chosen_at is null)
from enrollments e join enrollment_steps s on s.enrollment_id = e.id
join learners l on l.id = e.learner_id
where e.status = 'active' and not s.required and l.email_normalized <> all (%s) and not exists (
  select from enrollment_steps b where b.enrollment_id = e.id and b.sequence_order < s.sequence_order
    and b.required and b.status not in ('completed', 'skipped'))
group by e.id, s.sequence_order, e.learner_id
having max(s.elective_choose) > count(*) filter (where s.chosen_at is not null)
   and bool_or(s.status = 'pending' and s.chosen_at is null)
"""
_LINKED = """
select s.id, coalesce(nullif(c.link_url, ''), p.link_url), l.first_name, l.last_name, l.email
from enrollment_steps s
join partner_lms_providers p on p.id = s.provider_id
join partner_lms_courses c on c.id = s.course_id
join learners l on l.id = s.learner_id
where s.status = 'in_progress' and p.mode = 'link' and l.email_normalized <> all (%s)
"""


@dataclass(frozen=True, slots=True)
class Places:
    """Where players find things."""

    web_password: str = field(repr=False)
    """Of handrail_web."""
    results: Path
    """The file that the partner without an API keeps."""


class Players:
    """All learners who do something by themselves; `act` lets each do what there is to do."""

    def __init__(
        self,
        organization: Organization,
        places: Places,
        *,
        seed: int,
        leave_alone: Collection[str] = (),
    ) -> None:
        """`leave_alone`: normalized addresses of those who do nothing by themselves."""
        self._organization = organization
        self._results = places.results
        self._leave_alone = list(leave_alone)
        self._chance = random.Random(seed)  # noqa: S311 - plays people, guards nothing
        self.pages = Pages(places.web_password)
        self._signed_up: set[UUID] = set()
        self._results_seen = 0

    def act(self) -> ResultsReport | None:
        """Let everybody do what there is to do now; return what the partner's file came to, if new.

        Raises:
            django.db.OperationalError, InterfaceError: the database is away; try again.
        """
        self._choose_electives()
        self._sign_up()
        return self._import_results()

    def close(self) -> None:
        """Close the connection of the people at the pages."""
        self.pages.close()

    def _choose_electives(self) -> None:
        for learner_id, missing, choices in fetch(_UNDECIDED, self._leave_alone):
            student = Identity(_sign_in(learner_id))
            for step in self._chance.sample(choices, min(missing, len(choices))):
                self.pages.act(student, partial(choose_elective, step))

    def _sign_up(self) -> None:
        for step, url, first_name, last_name, email in fetch(_LINKED, self._leave_alone):
            if step not in self._signed_up:
                with suppress(SiteAway):  # and tries again in a moment
                    sign_up(url, name=f"{first_name} {last_name}".strip(), email=email)
                    self._signed_up.add(step)

    def _import_results(self) -> ResultsReport | None:
        """Import the partner's file whenever it has changed."""
        file = self._results
        if not file.exists() or file.stat().st_mtime_ns == self._results_seen:
            return None
        seen = file.stat().st_mtime_ns
        provider = Provider.objects.get(organization=self._organization, adapter="jri")
        with file.open("rb") as stream:
            report = import_results(
                stream, provider=provider, tell=lambda _: None, source=file.name
            )
        self._results_seen = seen
        return report


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
