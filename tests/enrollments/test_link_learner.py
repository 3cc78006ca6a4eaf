"""The one way from a learner, whom an import made, to the profile that proved the address."""

import psycopg
import pytest

from tests.factories import World


def link(world: World, learner: object, profile: object) -> None:
    world.call("link_learner", learner, profile)


def find_profile(world: World, learner: object) -> object:
    return world.value("select profile_id from learners where id = %s", learner)


def test_the_profile_with_the_address_gets_the_learner_once(world: World) -> None:
    ada = world.learner(world.organization())
    profile = world.insert("profiles", email=ada.email, password="!")
    assert find_profile(world, ada.id) is None

    link(world, ada.id, profile)
    link(world, ada.id, profile)

    assert find_profile(world, ada.id) == profile


def test_one_profile_is_the_same_person_in_two_organizations(world: World) -> None:
    here, there = world.learner(world.organization()), world.learner(world.organization())
    world.admin.execute(
        "update learners set email = %(mail)s, email_normalized = %(mail)s where id = %(id)s",
        {"mail": here.email, "id": there.id},
    )
    profile = world.insert("profiles", email=here.email, password="!")

    for learner in (here, there):
        link(world, learner.id, profile)

    with world.as_person({"sub": str(profile)}) as web:
        ids = web.execute("select id from learners order by id").fetchall()
    assert ids == sorted([(here.id,), (there.id,)])


def test_mallory_with_another_address_gets_nothing(world: World) -> None:
    ada = world.learner(world.organization())
    mallory = world.profile()
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="another address"):
        link(world, ada.id, mallory)

    assert find_profile(world, ada.id) is None


def test_a_learner_is_not_taken_from_the_one_who_has_it(world: World) -> None:
    organization = world.organization()
    first = world.profile()
    ada = world.learner(organization, profile=first)
    second = world.insert("profiles", email=ada.email, password="!")
    with pytest.raises(psycopg.errors.UniqueViolation, match="another profile"):
        link(world, ada.id, second)

    assert find_profile(world, ada.id) == first


def test_who_does_not_exist_is_told(world: World) -> None:
    ada, profile = world.learner(world.organization()), world.profile()
    for learner, other in ((ada.id, ada.id), (profile, profile)):
        with pytest.raises(psycopg.errors.NoDataFound, match="no such learner or profile"):
            link(world, learner, other)
