"""The demo's case manager settles calls that nobody but a person can decide, as at our pages."""

from pathlib import Path

import pytest

from handrail.config.demo.cast import CASE_MANAGER, Cast
from handrail.config.demo.players import Places
from handrail.organizations.models import Organization
from tests.provisioning.campus import Campus
from tests.provisioning.test_provisioning import is_active
from tests.provisioning.world import run_worker_here, wait_until

SETTLED = """
select a.resolution, p.email from attention_items a join profiles p on p.id = a.resolved_by
"""


@pytest.fixture
def cast(campus: Campus, tmp_path: Path) -> Cast:
    password = campus.world.database.environment("web")["HANDRAIL_DATABASE_PASSWORD_WEB"]
    places = Places(web_password=password, results=tmp_path / "none.csv")
    return Cast(Organization.objects.get(id=campus.world.organization), places, seed=1)


@pytest.mark.parametrize("operation", ["create_account", "enroll"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("error_after", "id entered: NDS-"),
        ("hang_after", "id entered: NDS-"),
        ("error_before", "tried again: not on the partner's page"),
    ],
)
def test_the_partners_page_decides_and_nothing_is_ordered_twice(
    campus: Campus, cast: Cast, operation: str, fault: str, words: str
) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("nds", code="NDS-5PANEL")])
    world.add_learner("Bob")  # who has nothing to do with it
    campus.order_fault("nds", operation, fault)
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(world.list_attention)
        assert not is_active(world, enrollment)

        def settle() -> bool:
            cast.act()
            return is_active(world, enrollment)

        wait_until(settle)
    cast.close()
    ((settled, who),) = world.rows(SETTLED)
    assert (settled.startswith(words), who) == (True, CASE_MANAGER)
    made = [each[0] for each in campus.list_ledger("nds") if each[1] == "created"]
    assert made == ["create_account", "enroll"]
    assert (
        world.get_run(enrollment)["external_enrollment_id"]
        == campus.list_enrollments("nds")[0]["id"]
    )
    assert world.list_attention() == []
