"""A partner that goes on working after our time-out: what it does then is not asked for twice."""

import pytest
from pytest_django import Settings

from tests.provisioning.campus import Campus
from tests.provisioning.test_provisioning import is_active
from tests.provisioning.world import run_worker_here, wait_until


@pytest.mark.parametrize("operation", ["buy_voucher", "enroll", "create_account"])
def test_what_is_done_after_our_time_out_is_found_and_not_done_again(
    campus: Campus, settings: Settings, operation: str
) -> None:
    settings.HANDRAIL_CALL_TIMEOUT_SECONDS = 1.5  # the partner is silent for 2 s, then does it
    world = campus.world
    program = world.add_program([campus.add_course("certiport")])
    campus.order_fault("certiport", operation, "hang_late")
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: is_active(world, enrollment))
    done = [each for each in campus.list_ledger("certiport") if each[1] == "created"]
    assert sorted(each[0] for each in done) == ["buy_voucher", "create_account", "enroll"]
    assert world.list_attention() == []
