"""Transfer to another program: what would happen is shown first, and only an administrator does it."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.cast import Barbering, School
from tests.core.html import Page
from tests.factories import Course, Enrollment, Program


@pytest.fixture
def barbering(school: School) -> Barbering:
    return school.barbering()


@pytest.fixture
def enrollment(school: School, barbering: Barbering) -> Enrollment:
    """Lena's: the first course is completed, the second waived, an elective under way."""
    world = school.world
    enrollment = world.enroll(school.lena_here, barbering.program)
    world.answer_calls()
    world.complete(enrollment, barbering.theory)
    world.on_step("skip_step", enrollment, barbering.readiness, "tested_out", "exam")
    for course in (barbering.safety, barbering.office):
        world.on_step("choose_elective", enrollment, course)
    world.answer_calls()
    return enrollment


@pytest.fixture
def cosmetology(school: School, barbering: Barbering) -> Program:
    """Shares four of the courses, and has one more."""
    nails = school.course("Pivot Point", "Nail Care")
    courses = (barbering.theory, barbering.readiness, [nails, barbering.office])
    return school.program("Cosmetology", *courses, barbering.screening)


@pytest.fixture
def alice(school: School) -> Client:
    return school.alice.sign_in(Client())


def path_of(enrollment: Enrollment, program: Program | None = None) -> str:
    query = f"?program={program.id}" if program else ""
    return f"/admin/enrollments/{enrollment.id}/transfer{query}"


def read(client: Client, path: str) -> Page:
    answer = client.get(path)
    assert answer.status_code == 200
    page = Page(answer.content.decode())
    assert page.find_faults() == []
    return page


def list_rows(page: Page) -> list[str]:
    """The rows of the preview's tables: step, partner, what becomes of it."""
    heads = [each.text for each in page.all("th", scope="row")]
    cells = [each.text for each in page.all("td") if each.attributes["data-label"] != "Partner"]
    return [f"{head}: {cell}" for head, cell in zip(heads, cells, strict=True)]


def count_everything(school: School) -> list[int]:
    tables = (
        "enrollments",
        "enrollment_steps",
        "step_events",
        "intents",
        "partner_lms_enrollments",
    )
    return [
        school.world.value(f"select count(*) from {table}")
        for table in (*tables, "attention_items", "pgqueuer")
    ]


def test_what_would_happen_is_shown_and_nothing_is_done(
    school: School, enrollment: Enrollment, cosmetology: Program, alice: Client
) -> None:
    before = count_everything(school)
    page = read(alice, path_of(enrollment, cosmetology))

    assert sorted(list_rows(page)) == [
        "1. Barber Theory: Counts as completed",
        "2. Work Readiness: Stays waived",
        "3. Nail Care: Starts at once",
        "3. Office Basics: Goes on where it is",
        "4. Drug Screening: Comes later",
        "OSHA 10: CareerSafe cannot be told: an entry on the attention list asks you to",
    ]
    assert count_everything(school) == before
    assert school.world.value("select status from enrollments") == "active"


def test_it_is_done_with_a_reason(
    school: School, enrollment: Enrollment, cosmetology: Program, alice: Client
) -> None:
    path = path_of(enrollment, cosmetology)
    missing = alice.post(path, {"reason": " "})
    assert "This field is required" in missing.content.decode()
    done = alice.post(path, {"reason": "suits her better"}, follow=True)
    page = Page(done.content.decode())

    assert page.find_faults() == []
    assert "Transferred to Cosmetology." in page.one("main").text
    assert "Transferred from another enrollment" in page.one("main").text
    old = read(alice, f"/admin/enrollments/{enrollment.id}").one("main").text
    assert "In the enrollment it was transferred to" in old
    assert "Alice: suits her better" in old
    assert "Transfer to another program" not in old


def test_where_one_can_go(
    school: School,
    enrollment: Enrollment,
    cosmetology: Program,
    barbering: Barbering,
    alice: Client,
) -> None:
    world = school.world
    archived = school.program("Archived", barbering.theory)
    school.change("programs", archived.id, archived_at="2026-01-01")
    world.insert("programs", organization_id=school.organization.id, slug="d", title="Draft")

    def list_targets() -> list[str]:
        return [each.text for each in read(alice, path_of(enrollment)).all("option")]

    assert list_targets() == ["Choose", "Cosmetology (version 1)"]
    world.version(barbering.program, 2, barbering.theory)
    assert list_targets() == [
        "Choose",
        "Barber Apprenticeship (version 2)",
        "Cosmetology (version 1)",
    ]


def test_nowhere_to_go(school: School, enrollment: Enrollment, alice: Client) -> None:
    assert read(alice, path_of(enrollment)).one("h2").text == "There is no other program"


def test_another_enrollment_there_is_told(
    school: School, enrollment: Enrollment, cosmetology: Program, alice: Client
) -> None:
    school.world.create(school.lena_here, cosmetology)
    page = read(alice, path_of(enrollment, cosmetology))
    assert "another enrollment in that program that is not finished" in page.one("main").text
    assert page.all("form", method="post", action="") == []
    posted = alice.post(path_of(enrollment, cosmetology), {"reason": "x"})
    assert "another enrollment in that program" in posted.content.decode()


def test_a_closed_enrollment_is_told(
    school: School, enrollment: Enrollment, cosmetology: Program, alice: Client
) -> None:
    school.world.call("withdraw_enrollment", enrollment.id, "moved")
    page = read(alice, path_of(enrollment, cosmetology))
    assert "is withdrawn and cannot be transferred" in page.one("main").text


def test_administrators_only(
    school: School, enrollment: Enrollment, cosmetology: Program, alice: Client
) -> None:
    bob = school.bob.sign_in(Client())
    assert (
        "Transfer to another program"
        in read(alice, f"/admin/enrollments/{enrollment.id}").one("main").text
    )
    assert (
        "Transfer to another"
        not in read(bob, f"/admin/enrollments/{enrollment.id}").one("main").text
    )
    people = [
        (bob, 403),
        (school.charlie.sign_in(Client()), 404),
        (school.lena.sign_in(Client()), 403),
    ]
    for client, status in [*people, (Client(), 302)]:
        assert client.get(path_of(enrollment, cosmetology)).status_code == status
        answer = client.post(path_of(enrollment, cosmetology), {"reason": "x"})
        assert answer.status_code == status
    assert school.world.column("select status from enrollments") == ["active"]


@pytest.mark.parametrize("program", ["x", "00000000-0000-0000-0000-000000000000"])
def test_a_program_that_is_none(
    school: School, enrollment: Enrollment, alice: Client, program: str
) -> None:
    assert alice.get(f"{path_of(enrollment)}?program={program}").status_code == 404


def test_a_program_of_another_school(school: School, enrollment: Enrollment, alice: Client) -> None:
    course: Course = school.world.course(school.world.provider(school.other))
    foreign = school.world.program(school.other, course)
    assert alice.get(path_of(enrollment, foreign)).status_code == 404


def test_the_page_costs_no_more_for_many_steps_than_for_few(
    school: School,
    enrollment: Enrollment,
    cosmetology: Program,
    barbering: Barbering,
    alice: Client,
) -> None:
    short = school.program("Short", barbering.theory, barbering.screening)
    counts = []
    for program in (short, cosmetology):
        with CaptureQueriesContext(connection) as captured:
            read(alice, path_of(enrollment, program))
        counts.append(len(captured))
    assert counts[1] <= counts[0] <= 22
