"""A name is corrected and a certificate issued anew: exactly one is valid, and the old one says so."""

import psycopg
import pytest

from tests.databases import Database
from tests.enrollments.look import see, see_changes, see_credentials
from tests.factories import Course, Enrollment, Organization, World, claims_of


@pytest.fixture
def organization(world: World) -> Organization:
    return world.organization()


@pytest.fixture
def course(world: World, organization: Organization) -> Course:
    return world.course(world.provider(organization))


@pytest.fixture
def completed(world: World, organization: Organization, course: Course) -> Enrollment:
    enrollment = world.enroll(world.learner(organization), world.program(organization, course))
    world.answer_calls()
    world.complete(enrollment, course)
    return enrollment


def correct(world: World, enrollment: Enrollment, first: str, last: str = "Lovelace") -> None:
    world.call("correct_learner_name", enrollment.id, first, last, "misspelled")


@pytest.mark.every_postgres
def test_the_new_one_supersedes_the_old_one(world: World, completed: Enrollment) -> None:
    old = world.value("select id from credentials")
    world.call("reissue_credential", completed.id, "the title was wrong")

    assert see_credentials(world, completed) == ["revoked", "valid"]
    assert world.value("select supersedes from credentials where revoked_at is null") == old
    assert world.value("select count(distinct number) from credentials") == 2
    assert see_changes(world, completed)[-1] == "completed > completed (person)"
    superseded = world.value("select superseded_by from verify_credential(%s)", old)
    assert superseded == world.value("select id from credentials where revoked_at is null")


def test_the_name_goes_to_the_new_certificate_and_the_history(
    world: World, completed: Enrollment
) -> None:
    correct(world, completed, " Ada ")
    assert world.column("select holder_name from credentials order by issued_at") == [
        "Ada Learner",
        "Ada Lovelace",
    ]
    assert world.column(
        "select reason from step_events where from_status = to_status order by id"
    ) == [
        "name corrected from Ada Learner to Ada Lovelace: misspelled",
        "certificate issued anew: the name was corrected: misspelled",
    ]


def test_without_a_certificate_only_the_name_changes(
    world: World, organization: Organization, course: Course
) -> None:
    enrollment = world.create(world.learner(organization), world.program(organization, course))
    correct(world, enrollment, "Grace", "")
    assert see(world, enrollment) == "pending: pending"
    assert world.rows("select first_name, last_name from learners") == [("Grace", "")]
    assert world.column("select id from credentials") == []


def test_another_enrollments_certificate_stays_until_it_is_corrected_there(
    world: World, organization: Organization, course: Course, completed: Enrollment
) -> None:
    other = world.enroll(completed.learner, world.program(organization, course))
    assert see(world, other) == "completed: completed"
    correct(world, completed, "Ada")
    assert see_credentials(world, other) == ["valid"]
    correct(world, other, "Ada")
    assert see_credentials(world, other) == ["revoked", "valid"]
    with pytest.raises(psycopg.Error, match="That is the name already"):
        correct(world, other, "Ada")


def test_what_is_refused(
    world: World, organization: Organization, course: Course, completed: Enrollment
) -> None:
    active = world.enroll(
        world.learner(organization), world.program(organization, world.course(course.provider))
    )
    with pytest.raises(psycopg.Error, match="Only the certificate of a completed enrollment"):
        world.call("reissue_credential", active.id, "again")
    with pytest.raises(psycopg.Error, match="a reason is needed"):
        world.call("reissue_credential", completed.id, " ")
    with pytest.raises(psycopg.Error, match="Enter the name"):
        correct(world, completed, " ")
    assert see_credentials(world, completed) == ["valid"]


@pytest.mark.parametrize("role", ["staff", "admin", "owner", None])
def test_staff_may_and_others_may_not(
    world: World, organization: Organization, completed: Enrollment, role: str | None
) -> None:
    elsewhere = world.organization()
    where = organization if role else elsewhere
    claims = claims_of(where, role or "owner", world.profile(where, role or "owner"))
    with world.as_person(claims) as web:
        call = "select correct_learner_name(%s, 'Ada', 'Byron', 'misspelled')"
        if role:
            web.execute(call, [completed.id])
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                web.execute(call, [completed.id])
    assert see_credentials(world, completed) == (["revoked", "valid"] if role else ["valid"])


def test_twice_at_once_leaves_one_valid(
    world: World, completed: Enrollment, database: Database
) -> None:
    with (
        database.connect("worker", autocommit=False) as first,
        database.connect("worker", autocommit=False) as second,
    ):
        first.execute("select reissue_credential(%s, 'a')", [completed.id])
        second.execute("set local lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            second.execute("select reissue_credential(%s, 'b')", [completed.id])
        first.commit()
    assert see_credentials(world, completed) == ["revoked", "valid"]
