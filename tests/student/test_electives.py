"""Choosing electives and taking a choice back, as the one who learns."""

from collections.abc import Callable
from uuid import UUID

import pytest
from django.test import Client

from tests.cast import Barbering, Person, School
from tests.core.html import Page
from tests.factories import Course, Enrollment


@pytest.fixture
def barbering(school: School) -> Barbering:
    return school.barbering()


@pytest.fixture
def enrollment(school: School, barbering: Barbering) -> Enrollment:
    return school.world.enroll(school.lena_here, barbering.program)


def post(client: Client, step: UUID, action: str) -> Page:
    answer = client.post(f"/student/steps/{step}/{action}", follow=True)
    assert answer.redirect_chain == [(f"/student/progress#step-{step}", 302)]
    return Page(answer.content.decode())


def refuse(client: Client, step: UUID, action: str) -> str:
    """The words of a refusal; they stand at the top of the page, so that is where one comes to."""
    answer = client.post(f"/student/steps/{step}/{action}", follow=True)
    assert answer.redirect_chain == [("/student/progress", 302)]
    return Page(answer.content.decode()).one("div", class_="usa-alert--error").text


def list_buttons(page: Page) -> list[str]:
    return [
        each.text for each in page.all("button") if each.text.startswith(("Choose", "Take back"))
    ]


def test_choosing_two_of_three_and_changing_ones_mind(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    step: Callable[[Course], UUID] = lambda course: school.world.step_id(enrollment, course)  # noqa: E731
    school.lena.sign_in(client)
    none = Page(client.get("/student/progress").content.decode())
    post(client, step(barbering.safety), "choose")
    two = post(client, step(barbering.retail), "choose")
    one = post(client, step(barbering.safety), "take-back")

    assert list_buttons(none) == [
        "Choose OSHA 10",
        "Choose Office Basics",
        "Choose Customer Service",
    ]
    assert "Choose 2 of 3 0 of 2 chosen" in none.one("main").text
    assert list_buttons(two) == [
        "Take back the choice of OSHA 10",
        "Take back the choice of Customer Service",
    ]
    assert "Your choice is saved." in two.one("main").text
    assert list_buttons(one) == [
        "Choose OSHA 10",
        "Choose Office Basics",
        "Take back the choice of Customer Service",
    ]


def test_one_choice_too_many_is_refused_in_words(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    school.lena.sign_in(client)
    for course in (barbering.safety, barbering.retail):
        post(client, school.world.step_id(enrollment, course), "choose")
    words = refuse(client, school.world.step_id(enrollment, barbering.office), "choose")

    assert words == "Enough electives are chosen; take one back first."


def test_a_required_step_is_not_chosen(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    school.lena.sign_in(client)
    words = refuse(client, school.world.step_id(enrollment, barbering.theory), "choose")
    assert words.startswith("This step is required")


def test_one_under_way_is_given_up_only_after_a_warning(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    world = school.world
    world.answer_calls()
    world.complete(enrollment, barbering.theory)
    world.on_step("complete_step", enrollment, barbering.readiness, "2026-01-02", "seen")
    school.lena.sign_in(client)
    page = post(client, world.step_id(enrollment, barbering.retail), "choose")
    world.answer_calls()
    post(client, world.step_id(enrollment, barbering.retail), "take-back")

    (warning,) = page.all("details")
    assert "Your place at NRF is given up, and what you did there may be lost." in warning.text
    assert list_buttons(page)[-1] in warning.text
    assert school.see(enrollment)["Customer Service"] == "pending"
    assert world.column("select kind from intents where status = 'queued'") == ["unenroll"]


def test_when_enough_are_done_the_others_are_gone(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    world = school.world
    world.answer_calls()
    world.complete(enrollment, barbering.theory)
    world.on_step("complete_step", enrollment, barbering.readiness, "2026-01-02", "seen")
    school.lena.sign_in(client)
    for course in (barbering.safety, barbering.retail):
        post(client, world.step_id(enrollment, course), "choose")
    world.answer_calls()
    world.complete(enrollment, barbering.safety, barbering.retail)
    text = Page(client.get("/student/progress").content.decode()).one("main").text

    assert "Office Basics" not in text
    assert "Your choice 2 of 2 chosen" in text
    assert school.see(enrollment)["Office Basics"] == "skipped"


def test_the_choice_stands_in_the_history_with_its_person(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    world = school.world
    world.answer_calls()
    world.complete(enrollment, barbering.theory)
    world.on_step("complete_step", enrollment, barbering.readiness, "2026-01-02", "seen")
    school.lena.sign_in(client)
    post(client, world.step_id(enrollment, barbering.safety), "choose")
    actors = world.rows(
        "select to_status, actor_id from step_events where step_id = %s",
        world.step_id(enrollment, barbering.safety),
    )

    assert actors == [("in_progress", school.lena.profile)]


@pytest.mark.parametrize("action", ["choose", "take-back", "launch"])
def test_nobody_else_acts_on_it(
    school: School, enrollment: Enrollment, barbering: Barbering, action: str
) -> None:
    step = school.world.step_id(enrollment, barbering.safety)
    other = school.person("other")
    school.learner("Other", "Learner", profile=other.profile)
    people: list[Person] = [school.charlie, school.alice, school.bob, other]
    for person in people:
        client = person.sign_in(Client())
        assert client.post(f"/student/steps/{step}/{action}").status_code == 404, person.email
    stranger = Client().post(f"/student/steps/{step}/{action}")

    assert stranger.headers["Location"].startswith("/accounts/login/")
    assert school.see(enrollment)["OSHA 10"] == "pending"


@pytest.mark.parametrize("action", ["choose", "take-back", "launch"])
def test_a_step_that_does_not_exist(school: School, client: Client, action: str) -> None:
    school.lena.sign_in(client)
    answer = client.post(f"/student/steps/00000000-0000-7000-8000-000000000000/{action}")
    assert answer.status_code == 404


@pytest.mark.parametrize("action", ["choose", "take-back", "launch"])
def test_a_link_or_another_site_changes_nothing(
    school: School, enrollment: Enrollment, barbering: Barbering, action: str
) -> None:
    step = school.world.step_id(enrollment, barbering.safety)
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = school.lena.sign_in(Client()).cookies

    opened = careful.get(f"/student/steps/{step}/{action}")
    assert (opened.status_code, opened["Location"]) == (302, "/student/progress")
    assert careful.post(f"/student/steps/{step}/{action}").status_code == 403
