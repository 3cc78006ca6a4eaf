"""Where a signed-in person belongs: the organizations they work in or learn with."""

from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection

from handrail.organizations.identity import ADMIN_ROLES, STAFF_ROLES

# From the person's own rows to the organizations, by memberships_profile and learners_profile.
_AFFILIATIONS = """
with mine as (
  select organization_id, role, false as learns from memberships where profile_id = %(profile)s
  union all
  select organization_id, '', true from learners where profile_id = %(profile)s
)
select o.id, o.name, o.learner_word, o.time_zone, max(mine.role), bool_or(mine.learns)
from mine join organizations o on o.id = mine.organization_id
group by o.id order by o.name, o.id
"""


@dataclass(frozen=True, slots=True)
class Affiliation:
    """One organization of a person."""

    organization_id: UUID
    name: str
    learner_word: str
    """student, apprentice, participant or learner: what this organization calls its people."""
    time_zone: str
    role: str
    """The membership's role; empty for somebody who only learns there."""
    learns: bool

    @property
    def works(self) -> bool:
        """Whether the person may use this organization's console."""
        return self.role in STAFF_ROLES

    @property
    def is_admin(self) -> bool:
        """Whether the person may do there what only administrators may."""
        return self.role in ADMIN_ROLES

    @property
    def zone(self) -> ZoneInfo:
        """The zone in which this organization's days begin."""
        return ZoneInfo(self.time_zone)


def list_affiliations(profile_id: UUID) -> list[Affiliation]:
    """Return the organizations of the person that the transaction runs as, by name."""
    with connection.cursor() as cursor:
        cursor.execute(_AFFILIATIONS, {"profile": profile_id})
        return [Affiliation(*row) for row in cursor.fetchall()]
