"""Which calls a worker takes, and when."""

import asyncio
from uuid import UUID

import pytest
from django.conf import settings as django_settings
from pytest_django import Settings

from handrail.core.crypto import Keyring
from handrail.core.outbound import CALLS_AT_ONCE, OutboundPool
from handrail.core.service_connection import ServiceConnection
from handrail.enrollments import provisioning
from handrail.partners.providers import BoundProvider, ProviderCache
from tests.provisioning.campus import Campus
from tests.provisioning.world import run_worker_here, wait_until
from tests.scripted_partner import ScriptedPartner, reply


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


def test_what_is_due_at_a_partner_that_is_left_alone_is_not_taken(
    campus: Campus, partner: ScriptedPartner, settings: Settings
) -> None:
    world = campus.world
    settings.HANDRAIL_ALLOWED_PRIVATE_HOSTS |= {("127.0.0.1", campus.sandbox.port)}
    partner.answer(reply(503, {"message": "come back"}, Retry_After="3600"))
    away = world.add_provider("nrf", base_url=f"http://127.0.0.1:{partner.port}")
    program = world.add_program([world.add_course(away, "C")])
    good = world.add_program([campus.add_course("milady")])
    with run_worker_here("provisioning"):
        first = world.enroll(program)
        wait_until(lambda: world.list_intents()[0]["status"] == "failed")
        second = world.enroll(program)
        other = world.enroll(good)
        wait_until(lambda: world.get_run(other)["status"] == "active")
    assert [
        (each["status"], each["calls"])
        for enrollment in (first, second)
        for each in world.list_intents(enrollment)
    ] == [("failed", 1), ("queued", 0)]


def test_a_provider_that_is_loaded_while_the_others_are_refreshed_is_kept(campus: Campus) -> None:
    courses = [campus.add_course(slug) for slug in ("milady", "hsi")]
    world = campus.world
    first, second = (
        str(world.value("select provider_id from partner_lms_courses where id = %s", each))
        for each in courses
    )

    async def race() -> dict[str, object]:
        connection = ServiceConnection(django_settings.HANDRAIL_SECRET_DSNS["worker"], name="cache")
        keyring = Keyring(django_settings.HANDRAIL_SECRET_KEYS)
        cache = ProviderCache(connection, pool=OutboundPool(), keyring=keyring)
        await cache.get([first])
        found, _ = await asyncio.gather(cache.get([first, second]), cache.refresh())
        await connection.close()
        return dict(found)

    found = asyncio.run(race())
    assert {UUID(each) for each in found} == {UUID(first), UUID(second)}
    assert all(isinstance(each, BoundProvider) for each in found.values())
