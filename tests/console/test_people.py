"""The people of the organization: list, search, file; and the organization one works in."""

import csv
import io

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from handrail.console.views.people import write_lines
from tests.cast import Barbering, School
from tests.core.html import Page
from tests.web import Site


@pytest.fixture
def barbering(school: School) -> Barbering:
    return school.barbering()


@pytest.fixture
def bob(school: School) -> Client:
    return school.bob.sign_in(Client())


def read(client: Client, path: str = "/admin/people") -> Page:
    answer = client.get(path)
    assert answer.status_code == 200
    page = Page(answer.content.decode())
    assert page.find_faults() == []
    return page


def list_names(page: Page) -> list[str]:
    return [each.text for each in page.all("th", scope="row")]


def test_people_with_their_programs_by_name(
    school: School, barbering: Barbering, bob: Client
) -> None:
    school.world.enroll(school.learner("Zoe", "Abel"), barbering.program)
    school.learner("Ada", "Zahn")
    page = read(bob)

    assert list_names(page) == ["Zoe Abel", "Lena Learner", "Ada Zahn"]
    cells = [each.text for each in page.all("td")]
    assert cells[1] == "Barber Apprenticeship , Zoe Abel Active"
    assert cells[3] == cells[5] == "None"


def test_without_anybody(school: School, bob: Client) -> None:
    school.world.admin.execute("delete from learners")
    assert read(bob).one("h2").text == "Nobody is here yet"


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("ann", ["Anna Müller", "Annabel Reyes"]),
        ("ANN mül", ["Anna Müller"]),
        ("reyes annabel", ["Annabel Reyes"]),
        ("o'br", ["Seán O'Brien-Smith"]),
        ("smith", ["Seán O'Brien-Smith"]),
        ("李", ["小龍 李"]),
        ("ann.mu@", ["Anna Müller"]),
        ("mueller", []),
        ("ann.mu@site.example", ["Anna Müller"]),
        ("site.example", ["Anna Müller"]),
        ("nobody", []),
        ("'", []),
        ("a' | 'b", []),
        ("\\", []),
        (":*", []),
        ("( & !", []),
        ("%", []),
        ("x" * 300, []),
    ],
)
def test_search_by_the_beginnings_of_words(
    school: School, bob: Client, search: str, found: list[str]
) -> None:
    anna = school.learner("Anna", "Müller")
    school.change(
        "learners", anna.id, email="ann.mu@site.example", email_normalized="ann.mu@site.example"
    )
    school.learner("Annabel", "Reyes")
    school.learner("Seán", "O'Brien-Smith")
    school.learner("小龍", "李")
    school.learner("Annette", "Elsewhere", organization=school.other)
    answer = bob.get("/admin/people", {"q": search})
    page = Page(answer.content.decode())

    assert (answer.status_code, list_names(page)) == (200, found)
    assert page.one("input", name="q").attributes["value"] == search
    if not found:
        assert page.one("h2").text == "Nobody is found"


@pytest.mark.parametrize("query", ["", "q=p&"])
def test_a_long_list_is_leafed_through_both_ways(school: School, bob: Client, query: str) -> None:
    names = [f"P{number:02}" for number in range(60)]
    for name in names:
        school.learner("Pat", name)
    expected = [*(["Lena Learner"] if not query else []), *(f"Pat {name}" for name in names)]
    pages = [read(bob, f"/admin/people?{query}")]
    while links := pages[-1].all("a", rel="next"):
        pages.append(read(bob, links[0].attributes["href"]))
    back = [pages[-1]]
    while links := back[-1].all("a", rel="prev"):
        back.append(read(bob, links[0].attributes["href"]))

    assert [len(list_names(page)) for page in pages] == [25, 25, len(expected) - 50]
    assert [name for page in pages for name in list_names(page)] == expected
    assert [name for page in reversed(back[:-1]) for name in list_names(page)] == expected[25:]


def test_the_list_costs_the_same_for_one_and_for_three(
    school: School, barbering: Barbering, bob: Client
) -> None:
    counts = []
    for name in ("Ada", "Bea"):
        with CaptureQueriesContext(connection) as captured:
            read(bob)
        counts.append(len(captured))
        school.world.enroll(school.learner(name, "Learner"), barbering.program)

    assert counts == [10, 10]


def test_others_see_their_own_only(school: School) -> None:
    charlie = school.charlie.sign_in(Client())
    school.learner("Charlotte", "Pupil", organization=school.other)

    assert list_names(read(charlie)) == ["Charlotte Pupil"]
    assert list_names(read(charlie, "/admin/people?q=lena")) == []
    assert school.lena.sign_in(Client()).get("/admin/people").status_code == 403


@pytest.mark.parametrize(
    "query",
    ["program=x&status=active", "program={other}&status=active", "program={program}&status=x"],
)
def test_a_program_or_status_that_there_is_not(
    school: School, barbering: Barbering, bob: Client, query: str
) -> None:
    world = school.world
    course = world.course(world.provider(school.other))
    other = world.program(school.other, course)
    path = f"/admin/people?{query.format(program=barbering.program.id, other=other.id)}"
    assert bob.get(path).status_code == 404


def test_nobody_in_a_program_leads_back_to_everybody(
    school: School, barbering: Barbering, bob: Client
) -> None:
    page = read(bob, f"/admin/people?program={barbering.program.id}&status=withdrawn")
    assert page.one("h2").text == "Nobody is here at present"
    assert [each.attributes["href"] for each in page.all("a") if each.text == "Show everybody"] == [
        "/admin/people"
    ]


@pytest.mark.parametrize(
    ("search", "told"), [("pat", "25 or more found"), ("lena", "1 found"), ("x", "Nobody found")]
)
def test_how_many_were_found_is_said_for_those_who_do_not_see_it(
    school: School, bob: Client, search: str, told: str
) -> None:
    for number in range(26):
        school.learner("Pat", f"P{number:02}")

    assert read(bob, f"/admin/people?q={search}").one("p", role="status").text == told
    assert read(bob).one("p", role="status").text == ""


# The file.


def test_cells_that_a_spreadsheet_would_run_are_text() -> None:
    hostile = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", 'a"b', "a,b", "plain", "", "小龍"]
    (row,) = csv.reader(io.StringIO(write_lines([hostile]).decode(), newline=""))

    assert row == [
        "'=1+1",
        "'+1",
        "'-1",
        "'@SUM(A1)",
        "'\tx",
        "'\rx",
        'a"b',
        "a,b",
        "plain",
        "",
        "小龍",
    ]


@pytest.fixture
def big_school(real_school: School) -> School:
    """More people than a page of the file."""
    world = real_school.world
    course = real_school.course("Milady RISE", "Barber Theory")
    enrollment = world.enroll(real_school.lena_here, real_school.program("Short", course))
    world.answer_calls()
    world.report("progress.updated", enrollment.learner, course, percent=45)
    world.admin.execute(
        "insert into learners (organization_id, first_name, last_name, email, email_normalized, phone) "
        "select %s, '=cmd', 'Z' || n, n || '@x.org', n || '@x.org', '+1 555' from generate_series(1, 1100) n",
        [real_school.organization.id],
    )
    return real_school


def test_the_whole_roster_as_a_file(big_school: School, site: Site) -> None:
    answer = site.visit().sign_in(big_school.bob).get("/admin/people.csv")
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"), newline="")))

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="roster-')
    assert answer.headers["cache-control"] == "no-store"
    assert len(rows) == 1101
    assert rows[0] == {
        "last_name": "Learner",
        "first_name": "Lena",
        "email": rows[0]["email"],
        "phone": "",
        "program": "Short",
        "status": "active",
        "funding_source": "self_pay",
        "start_date": "2025-01-01",
        "completed_on": "",
        "current_steps": "Barber Theory",
        "partners": "Milady RISE",
        "progress_percent": "45",
        "steps_done": "0",
        "steps": "1",
    }
    assert (rows[1]["first_name"], rows[1]["phone"], rows[1]["program"]) == ("'=cmd", "'+1 555", "")


def test_the_file_counts_steps_as_the_page_does(real_school: School, site: Site) -> None:
    """Three required steps and two of three electives."""
    world, barbering = real_school.world, real_school.barbering()
    enrollment = world.enroll(real_school.lena_here, barbering.program)
    world.answer_calls()
    world.complete(enrollment, barbering.theory)
    world.on_step("complete_step", enrollment, barbering.readiness, "2026-01-02", "seen")
    for course in (barbering.safety, barbering.office):
        world.on_step("choose_elective", enrollment, course)
    world.answer_calls()
    world.complete(enrollment, barbering.safety)
    answer = site.visit().sign_in(real_school.bob).get("/admin/people.csv")
    student = site.visit().sign_in(real_school.lena).get("/student/progress")
    (row,) = csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"), newline=""))

    assert (row["steps_done"], row["steps"]) == ("3", "5")
    assert "3 of 5 steps completed" in student.text


def test_the_file_is_ones_own_organizations(big_school: School, site: Site) -> None:
    charlie = site.visit().sign_in(big_school.charlie).get("/admin/people.csv")

    assert len(charlie.body.decode().splitlines()) == 1  # the header
    assert site.visit().sign_in(big_school.lena).get("/admin/people.csv").status == 403
    assert site.visit().get("/admin/people.csv").status == 302


# Several organizations.


def test_one_who_works_in_two_organizations_switches(school: School, bob: Client) -> None:
    school.world.insert(
        "memberships", organization_id=school.other.id, profile_id=school.bob.profile, role="staff"
    )
    school.learner("Charlotte", "Pupil", organization=school.other)
    first = read(bob)
    answer = bob.post(
        "/admin/organization", {"organization": str(school.organization.id)}, follow=True
    )
    second = read(bob)

    chosen = [
        [each.text for each in page.all("option") if "selected" in each.attributes]
        for page in (first, second)
    ]
    assert chosen == [["Charlie's School"], ["Ridgeline Career School"]]
    assert [list_names(page) for page in (first, second)] == [["Charlotte Pupil"], ["Lena Learner"]]
    assert "You are now working in Ridgeline Career School." in answer.content.decode()


def test_one_who_works_in_one_sees_no_switch(school: School, bob: Client) -> None:
    assert read(bob).all("select") == []
