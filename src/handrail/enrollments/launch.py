"""Opening a course at the partner, for the person whose step it is."""

import json
import logging
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import connection

from handrail.core.crypto import CannotDecrypt, Keyring
from handrail.core.outbound import CallFailed, NeedsPerson, OutboundPool
from handrail.organizations.identity import Identity, open_as
from handrail.partners.protocol import PartnerCall, ProviderConfig
from handrail.partners.providers import bind_provider, open_credentials
from handrail.partners.registry import UnknownAdapter, get_adapter

LONGEST_WAIT_SECONDS = 15.0
"""Nobody looks at an empty page for longer."""
_COURSE = """
select s.status, e.status, o.name, p.id, p.slug, p.name, p.adapter, p.mode, p.base_url, p.credentials, p.settings,
  coalesce(nullif(c.link_url, ''), p.link_url), r.status, r.external_enrollment_id, r.access_url, a.external_id,
  (select outbound_held from installation)
from enrollment_steps s
join enrollments e on e.id = s.enrollment_id and e.organization_id = s.organization_id
join organizations o on o.id = s.organization_id
join partner_lms_providers p on p.id = s.provider_id and p.organization_id = s.organization_id
join partner_lms_courses c on c.id = s.course_id and c.organization_id = s.organization_id
left join partner_lms_enrollments r on r.id = s.partner_enrollment_id and r.organization_id = s.organization_id
left join partner_accounts a on a.id = r.partner_account_id and a.organization_id = r.organization_id
where s.id = %s and s.learner_id = any ((select own_learner_ids())::uuid[])
"""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """Where the course is: an address that expires, and signs in whoever has it."""

    url: str
    partner: str


@dataclass(frozen=True, slots=True)
class _Course:
    step_status: str
    enrollment_status: str
    organization_name: str
    provider_id: UUID
    provider_slug: str
    provider_name: str
    adapter: str
    mode: str
    base_url: str
    credentials: memoryview | None
    settings: str
    link: str
    run_status: str | None
    external_enrollment_id: str | None
    access_url: str | None
    account_id: str | None
    calls_are_held: bool


def open_course(step_id: UUID, identity: Identity) -> Opened | str | None:
    """Return where the course is, or in words why it cannot be opened; None: no such step of theirs.

    Outside a transaction: it reads in one of its own, then asks the partner.
    """
    with open_as(identity), connection.cursor() as cursor:
        cursor.execute(_COURSE, [step_id])
        row = cursor.fetchone()
    if row is None:
        return None
    course = _Course(*row)
    if course.step_status != "in_progress" or course.enrollment_status != "active":
        return "This course is not open for you at present. Look at your progress to see why."
    if course.mode == "link":
        return _open_link(course)
    if course.run_status != "active" or not (course.account_id and course.external_enrollment_id):
        return f"Your place at {course.provider_name} is still being arranged. Try again later."
    if course.calls_are_held and get_adapter(course.adapter).offers.launch:
        return (
            f"Courses at {course.provider_name} cannot be opened from here for the moment, because "
            "our own system is being put in order. Your course is not lost: try again later."
        )
    return _ask_partner(course)


def _open_link(course: _Course) -> Opened | str:
    if course.link.startswith(("https://", "http://")):
        return Opened(course.link, course.provider_name)
    return (
        f"{course.organization_name} will give you the link to {course.provider_name}. "
        "Ask there if you have none."
    )


def _ask_partner(course: _Course) -> Opened | str:
    try:
        url = async_to_sync(_fetch_launch_url)(course)
    except (NeedsPerson, CannotDecrypt, UnknownAdapter) as error:
        logger.warning("no launch at %s: %s", course.provider_slug, error)
        return (
            f"{course.provider_name} did not let us open your course. "
            f"Please tell {course.organization_name}."
        )
    except CallFailed as error:
        logger.warning("no launch at %s: %s", course.provider_slug, error)
        return (
            f"The system of {course.provider_name} is not answering. Your course is not lost: "
            "try again in a few minutes."
        )
    return Opened(url, course.provider_name)


async def _fetch_launch_url(course: _Course) -> str:
    adapter = get_adapter(course.adapter)
    account, enrollment = course.account_id or "", course.external_enrollment_id or ""
    if not adapter.offers.launch and course.access_url:
        return course.access_url
    keyring = Keyring(settings.HANDRAIL_SECRET_KEYS)
    provider_settings: dict[str, Any] = json.loads(course.settings)
    config = ProviderConfig(
        id=course.provider_id,
        slug=course.provider_slug,
        base_url=course.base_url,
        credentials=open_credentials(course.provider_id, course.credentials, keyring),
        settings=provider_settings,
    )
    return await adapter.fetch_launch_url(
        PartnerCall(bind_provider(config, _get_pool()), config, str(uuid4())),
        account_id=account,
        external_enrollment_id=enrollment,
        return_url=f"{settings.HANDRAIL_BASE_URL}/student/progress",
    )


@cache
def _get_pool() -> OutboundPool:
    return OutboundPool(
        allowed_private_hosts=settings.HANDRAIL_ALLOWED_PRIVATE_HOSTS,
        total_seconds=min(LONGEST_WAIT_SECONDS, settings.HANDRAIL_CALL_TIMEOUT_SECONDS),
        first_pause_seconds=settings.HANDRAIL_RETRY_BASE_SECONDS,
    )
