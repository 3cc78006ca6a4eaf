"""Which calls a worker takes, and when."""

import asyncio
from uuid import UUID

import pytest
from django.conf import settings

from handrail.core.crypto import Keyring
from handrail.core.outbound import CALLS_AT_ONCE, OutboundPool
from handrail.core.service_connection import ServiceConnection
from handrail.enrollments import provisioning
from handrail.partners.providers import BoundProvider, ProviderCache
from tests.provisioning.campus import Campus
from tests.provisioning.world import run_worker_here, wait_until


def test_a_long_queue_at_one_partner_never_waits_for_the_sweep(
    campus: Campus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provisioning, "SWEEP_SECONDS", 3600)
    world = campus.world
    program = world.add_program([campus.add_course("nds")])
    enrollments = [world.enroll(program) for _ in range(5 * CALLS_AT_ONCE)]
    with run_worker_here("provisioning"):
        wait_until(
            lambda: all(world.get_run(each)["status"] == "active" for each in enrollments),
        )


def test_a_provider_that_is_loaded_while_the_others_are_refreshed_is_kept(campus: Campus) -> None:
    courses = [campus.add_course(slug) for slug in ("milady", "hsi")]
    world = campus.world
    first, second = (
        str(world.value("select provider_id from partner_lms_courses where id = %s", each))
        for each in courses
    )

    async def race() -> dict[str, object]:
        connection = ServiceConnection(settings.HANDRAIL_SECRET_DSNS["worker"], name="cache")
        keyring = Keyring(settings.HANDRAIL_SECRET_KEYS)
        cache = ProviderCache(connection, pool=OutboundPool(), keyring=keyring)
        await cache.get([first])
        found, _ = await asyncio.gather(cache.get([first, second]), cache.refresh())
        await connection.close()
        return dict(found)

    found = asyncio.run(race())
    assert {UUID(each) for each in found} == {UUID(first), UUID(second)}
    assert all(isinstance(each, BoundProvider) for each in found.values())
