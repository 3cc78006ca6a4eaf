"""The pipeline: figures, who is stuck and why, who is at a step."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from django.test import Client

from tests.cast import Barbering, School
from tests.clocks import find_today
from tests.core.html import Page
from tests.factories import LONG_AGO, Course, Enrollment


@pytest.fixture
def barbering(school: School) -> Barbering:
    return school.barbering()


@pytest.fixture
def bob(school: School, client: Client) -> Client:
    return school.bob.sign_in(client)


def read(client: Client, path: str = "/admin/pipeline") -> Page:
    answer = client.get(path)
    assert answer.status_code == 200
    page = Page(answer.content.decode())
    assert page.find_faults() == []
    return page


def enroll(school: School, barbering: Barbering, first: str) -> Enrollment:
    return school.world.enroll(school.learner(first, "Learner"), barbering.program)


def list_rows(page: Page) -> list[list[str]]:
    """The cells of every row of the page's tables."""
    rows: list[list[str]] = []
    for element in page.elements:
        if element.tag == "tr":
            rows.append([])
        elif element.tag in ("th", "td") and rows:
            rows[-1].append(element.text)
    return rows


def list_figures(page: Page) -> dict[str, str]:
    names = [each.text for each in page.all("dt")]
    return dict(zip(names, [each.text for each in page.all("dd")], strict=True))


def test_before_there_is_a_program(school: School, bob: Client) -> None:
    assert read(bob).one("h2").text == "No program yet"


def test_people_at_each_step_and_completion(
    school: School, barbering: Barbering, bob: Client
) -> None:
    world = school.world
    first, second, third = (enroll(school, barbering, name) for name in ("Ada", "Bea", "Cyd"))
    world.answer_calls()
    world.complete(first, barbering.theory)
    world.report("course.failed", third.learner, barbering.theory, reason="40 of 70")
    world.create(school.learner("Dov", "Learner"), barbering.program)  # waits for approval
    for name in ("Eli", "Fay"):
        gone = enroll(school, barbering, name)
        world.call("withdraw_enrollment", gone.id, "moved")
    held = enroll(school, barbering, "Gil")
    world.call("suspend_enrollment", held.id, "bill")
    page = read(bob)

    assert [
        "1. Barber Theory",
        "Milady RISE",
        "1 in progress, Barber Theory",
        "1 failed, Barber Theory",
    ] in [row[:4] for row in list_rows(page)]
    assert ["2. Work Readiness", "Job Ready Indy", "1 in progress, Work Readiness", "0"] in [
        row[:4] for row in list_rows(page)
    ]
    assert ["3. OSHA 10 (elective)", "CareerSafe", "0", "0", "–"] in list_rows(page)
    text = page.one("main").text
    assert "3 active , 1 waiting for approval , 1 on hold , 2 withdrawn ." in text
    assert "0 of 6 completed (0%)" in text
    assert list_figures(page)["Active students"] == "3"
    assert second is not first


def test_each_number_leads_to_its_people(school: School, barbering: Barbering, bob: Client) -> None:
    world = school.world
    people = {name: enroll(school, barbering, name) for name in ("Ada", "Bea", "Cyd")}
    world.create(school.learner("Dov", "Learner"), barbering.program)
    world.call("suspend_enrollment", people["Bea"].id, "bill")
    world.call("withdraw_enrollment", people["Cyd"].id, "moved")
    quick = school.course("Quick Partner", "Quick")
    short = school.program("Short", quick)
    done = world.enroll(school.learner("Eli", "Learner"), short)
    world.answer_calls()
    world.complete(done, quick)
    found = {}
    for link in read(bob).all("a", class_="usa-link"):
        if "program=" in link.attributes["href"]:
            page = read(bob, link.attributes["href"])
            (shown,) = [e.text for e in page.all("p") if e.text.startswith("Showing")]
            found[shown] = [row[0] for row in list_rows(page)[1:]]

    end = ". Show everybody"
    assert found == {
        f"Showing: Barber Apprenticeship, active {end}": ["Ada Learner"],
        f"Showing: Barber Apprenticeship, waiting for approval {end}": ["Dov Learner"],
        f"Showing: Barber Apprenticeship, on hold {end}": ["Bea Learner"],
        f"Showing: Barber Apprenticeship, withdrawn {end}": ["Cyd Learner"],
        f"Showing: Short, completed {end}": ["Eli Learner"],
    }


def test_those_who_begin_later_do_not_spoil_the_completion(
    school: School, barbering: Barbering, bob: Client
) -> None:
    for name, start in (("Ada", LONG_AGO), ("Bea", date(2199, 1, 1)), ("Cyd", date(2199, 1, 1))):
        school.world.enroll(school.learner(name, "Learner"), barbering.program, start=start)
    text = read(bob).one("main").text

    assert "3 active (2 begin later). 0 of 1 completed (0%)." in text


def test_completed_and_times(school: School, bob: Client) -> None:
    quick, slow = school.course("Quick Partner", "Short"), school.course("Slow Partner", "Long")
    program = school.program("Both", [quick, slow])
    for name in ("Ada", "Bea"):
        enrollment = school.world.enroll(school.learner(name, "Learner"), program)
        school.world.answer_calls()
        school.age(enrollment, 10)
        report(school, enrollment, quick, days_ago=8)
        report(school, enrollment, slow, days_ago=0)
    page = read(bob)
    figures = list_figures(page)

    assert figures["Slowest step"] == "Long 10 days on average"
    assert figures["Slowest partner"] == "Slow Partner 10 days a step"
    assert "2 of 2 completed (100%)" in page.one("main").text
    assert ["1. Short", "Quick Partner", "0", "0", "2 days"] in list_rows(page)


def report(school: School, enrollment: Enrollment, course: Course, *, days_ago: int) -> None:
    at = datetime.now(UTC) - timedelta(days=days_ago, seconds=5)
    school.world.report("course.completed", enrollment.learner, course, occurred_at=at)


def list_stuck(page: Page) -> list[list[str]]:
    rows = list_rows(page)
    start = rows.index(["Who", "Where", "Since", "Why"])
    return [[row[0], row[1], row[3]] for row in rows[start + 1 :] if len(row) == 4]


def test_who_is_stuck_where_and_why(school: School, barbering: Barbering, bob: Client) -> None:
    today = find_today()
    world = school.world
    people = {name: enroll(school, barbering, name) for name in ("Ada", "Bea", "Cyd", "Dov", "Eli")}
    world.answer_calls()
    world.report("progress.updated", people["Bea"].learner, barbering.theory, percent=30)
    world.complete(people["Cyd"], barbering.theory)
    for name, days in (("Ada", 9), ("Bea", 8), ("Cyd", 30), ("Dov", 6)):
        school.age(people[name], days)
    world.report("course.failed", people["Eli"].learner, barbering.theory, reason="40 of 70")
    waiting = enroll(school, barbering, "Fay")  # nobody answered its call
    school.age(waiting, 10)
    page = read(bob)

    assert list_stuck(page) == [
        [
            "Cyd Learner",
            "Work Readiness , Job Ready Indy",
            "Works at the partner's own site; mark the step when there is evidence",
        ],
        [
            "Fay Learner",
            "Barber Theory , Milady RISE",
            "The call to Milady RISE to make the account is on its way",
        ],
        ["Ada Learner", "Barber Theory , Milady RISE", "Has not begun at Milady RISE"],
        [
            "Bea Learner",
            "Barber Theory , Milady RISE",
            f"Milady RISE last reported progress on {today:%B} {today.day}",
        ],
        ["Eli Learner", "Barber Theory , Milady RISE", "Failed: 40 of 70. Try again, or waive it"],
    ]


def test_one_who_has_to_choose_is_stuck_too(
    school: School, barbering: Barbering, bob: Client
) -> None:
    enrollment = enroll(school, barbering, "Ada")
    school.world.answer_calls()
    school.world.complete(enrollment, barbering.theory)
    school.world.on_step("complete_step", enrollment, barbering.readiness, "2026-01-02", "seen")
    early = list_stuck(read(bob)) if "Who" in read(bob).one("main").text else []
    school.age(enrollment, 8)

    assert early == []
    assert list_stuck(read(bob)) == [
        ["Ada Learner", "Barber Apprenticeship", "Has to choose an elective"]
    ]


def test_those_on_hold_or_gone_are_not_stuck(
    school: School, barbering: Barbering, bob: Client
) -> None:
    for name, action in (("Ada", "suspend_enrollment"), ("Bea", "withdraw_enrollment")):
        enrollment = enroll(school, barbering, name)
        school.age(enrollment, 30)
        school.world.call(action, enrollment.id, "why")

    assert "Nobody. Everybody who is active moved on" in read(bob).one("main").text


def test_long_lists_are_leafed_through_both_ways(
    school: School, barbering: Barbering, bob: Client
) -> None:
    names = [f"P{number:02}" for number in range(30)]
    for number, name in enumerate(names):
        school.age(enroll(school, barbering, name), 60 - number)
    first = read(bob)
    second = read(bob, first.one("a", rel="next").attributes["href"])
    again = read(bob, second.one("a", rel="prev").attributes["href"])

    told = [[row[0] for row in list_stuck(page)] for page in (first, second, again)]
    expected = [f"{name} Learner" for name in names]
    assert told == [expected[:25], expected[25:], expected[:25]]
    assert second.all("a", rel="next") == first.all("a", rel="prev") == []


def test_a_place_where_nothing_stands_any_more_leads_to_the_beginning(
    school: School, barbering: Barbering, bob: Client
) -> None:
    """The second page of each list, when its last entry is gone."""
    people = [enroll(school, barbering, f"P{number:02}") for number in range(26)]
    last = people[-1]
    for number, each in enumerate(people):
        school.age(each, 60 - number)
        open_item(school, each)
    lists = [
        "/admin/pipeline",
        f"/admin/pipeline/{barbering.program.id}/{barbering.theory.id}",
        "/admin/attention",
        "/admin/people?q=p",
        f"/admin/people?program={barbering.program.id}&status=active",
    ]
    seconds = [read(bob, path).one("a", rel="next").attributes["href"] for path in lists]
    there = [bob.get(path).status_code for path in seconds]
    school.world.call("withdraw_enrollment", last.id, "moved")
    school.change("learners", last.learner.id, first_name="Q")
    school.world.admin.execute("update attention_items set resolved_at = now(), resolution = 'x'")
    gone = [bob.get(path) for path in seconds]

    assert there == [200] * 5
    assert [(answer.status_code, answer["Location"]) for answer in gone] == [
        (302, path) for path in lists
    ]


def open_item(school: School, enrollment: Enrollment) -> None:
    school.world.insert(
        "attention_items",
        organization_id=school.organization.id,
        kind="late_requirement",
        subject_id=enrollment.id,
        cause="x",
    )


@pytest.mark.parametrize(
    "place", ["x", "W10", "WyJhIiwibm93IiwiMSJd", "WyJhIl0", "e30", "é", "%00"]
)
def test_a_place_that_nobody_gave_is_not_there(school: School, bob: Client, place: str) -> None:
    for path in ("pipeline", "attention", "people"):
        assert bob.get(f"/admin/{path}?at={place}").status_code == 404


def list_at_step(client: Client, barbering: Barbering, query: str = "") -> list[list[str]]:
    path = f"/admin/pipeline/{barbering.program.id}/{barbering.theory.id}{query}"
    return [row for row in list_rows(read(client, path)) if row[0] != "Who"]


def test_who_is_at_a_step(school: School, barbering: Barbering, bob: Client) -> None:
    first, second = enroll(school, barbering, "Ada"), enroll(school, barbering, "Bea")
    school.world.answer_calls()
    school.world.report("progress.updated", first.learner, barbering.theory, percent=45)
    school.world.report("course.failed", second.learner, barbering.theory, reason="40 of 70")
    busy, failed = list_at_step(bob, barbering), list_at_step(bob, barbering, "?status=failed")

    assert [(row[0], row[3]) for row in busy] == [("Ada Learner", "45%")]
    assert [(row[0], row[2]) for row in failed] == [
        ("Bea Learner", "Failed: 40 of 70. Try again, or waive it")
    ]


def test_the_same_course_in_two_versions_is_one_line(
    school: School, barbering: Barbering, bob: Client
) -> None:
    enroll(school, barbering, "Ada")
    newer = school.world.version(barbering.program, 2, barbering.theory, barbering.screening)
    school.world.enroll(school.learner("Bea", "Learner"), newer)
    page = read(bob)

    assert [row[2] for row in list_rows(page) if row[0] == "1. Barber Theory"] == [
        "2 in progress, Barber Theory"
    ]
    assert [row[0] for row in list_at_step(bob, barbering)] == ["Ada Learner", "Bea Learner"]


def test_the_word_for_those_who_learn_is_the_organizations(school: School, bob: Client) -> None:
    school.change("organizations", school.organization.id, learner_word="apprentice")
    school.barbering()

    assert "Active apprentices" in list_figures(read(bob))
    assert read(bob, "/admin/people").one("h1").text == "Apprentices"


def test_nobody_else_sees_it(school: School, barbering: Barbering) -> None:
    enrollment = enroll(school, barbering, "Ada")
    school.age(enrollment, 30)
    charlie = school.charlie.sign_in(Client())
    paths = [
        f"/admin/pipeline/{barbering.program.id}/{barbering.theory.id}",
        f"/admin/enrollments/{enrollment.id}",
        f"/admin/steps/{step_id(school, enrollment)}",
    ]

    assert read(charlie).one("h2").text == "No program yet"
    assert [charlie.get(path).status_code for path in paths] == [404] * 3
    lena = school.lena.sign_in(Client())
    assert [lena.get(path).status_code for path in [*paths, "/admin/pipeline"]] == [403] * 4
    assert [Client().get(path).status_code for path in paths] == [302] * 3


def step_id(school: School, enrollment: Enrollment) -> UUID:
    found = school.world.column(
        "select id from enrollment_steps where enrollment_id = %s", enrollment.id
    )
    assert isinstance(found[0], UUID)
    return found[0]
