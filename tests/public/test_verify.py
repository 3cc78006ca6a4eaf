"""The page that proves a certificate, for anybody; and the way in."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.cast import School
from tests.core.html import Page
from tests.factories import Course, Enrollment
from tests.web import WIDTHS, Browser


@pytest.fixture
def theory(school: School) -> Course:
    return school.course("Milady RISE", "Barber Theory")


@pytest.fixture
def enrollment(school: School, theory: Course) -> Enrollment:
    program = school.program("Barber Apprenticeship", [theory, school.course("NDS", "Screening")])
    enrollment = school.world.enroll(school.lena_here, program)
    school.world.answer_calls()
    school.world.complete(enrollment, theory)
    screening = school.world.value("select id from enrollment_steps where status = 'in_progress'")
    school.world.call("skip_step", screening, "administrative", "no longer needed")
    return enrollment


def list_credentials(school: School) -> list[str]:
    return school.world.column("select id::text from credentials order by issued_at")


def read(path: str, status: int = 200) -> Page:
    answer = Client().get(path)
    assert answer.status_code == status
    page = Page(answer.content.decode())
    assert page.find_faults() == []
    return page


def test_a_valid_certificate(school: School, enrollment: Enrollment) -> None:
    (credential,) = list_credentials(school)
    number = school.world.value("select number from credentials")
    page = read(f"/verify/{credential}")
    text = page.one("main").text

    assert page.one("h1").text == f"Certificate {number}"
    assert page.one("p", class_="hr-verdict").text == "Valid"
    assert [each.text for each in page.all("dd")][:3] == [
        "Lena Learner",
        "Barber Apprenticeship",
        "Ridgeline Career School",
    ]
    assert "Barber Theory , Milady RISE" in text
    assert "Screening" not in text  # waived: it has no date, and why is nobody's business
    assert school.lena.email not in text
    assert "no longer needed" not in text


def test_one_that_was_taken_back(school: School, enrollment: Enrollment, theory: Course) -> None:
    (credential,) = list_credentials(school)
    school.world.on_step("reopen_step", enrollment, theory, "caught cheating")
    page = read(f"/verify/{credential}")

    assert page.one("p", class_="hr-verdict").text == "Revoked"
    assert "Ridgeline Career School took it back on" in page.one("main").text
    assert "cheating" not in page.one("main").text


def test_one_that_a_newer_one_replaced(
    school: School, enrollment: Enrollment, theory: Course
) -> None:
    school.world.on_step("reopen_step", enrollment, theory, "regraded")
    school.world.answer_calls()
    school.world.complete(enrollment, theory)
    old, new = list_credentials(school)
    page = read(f"/verify/{old}")

    assert page.one("p", class_="hr-verdict").text == "Replaced by a newer one"
    assert f"/verify/{new}" in [each.attributes["href"] for each in page.all("a")]
    assert read(f"/verify/{new}").one("p", class_="hr-verdict").text == "Valid"


def test_one_that_we_never_issued(school: School) -> None:
    page = read("/verify/00000000-0000-7000-8000-000000000000", 404)
    assert page.one("h1").text == "We did not issue this certificate"


@pytest.mark.parametrize("typed", ["17", "x.pdf", "00000000-0000-7000-8000-00000000000", "%00"])
def test_one_that_was_typed_with_a_mistake(school: School, typed: str) -> None:
    page = read(f"/verify/{typed}", 404)
    assert page.one("h1").text == "We did not issue this certificate"
    assert "check each letter" in page.one("main").text


@pytest.mark.parametrize("path", ["/verify/", "/verify/../admin", "/verify/a/b"])
def test_what_is_no_address_of_a_certificate(school: School, path: str) -> None:
    assert read(path, 404).one("h1").text == "We did not find that page"


def test_capitals_and_spaces_from_paper_do_no_harm(school: School, enrollment: Enrollment) -> None:
    (credential,) = list_credentials(school)
    answer = Client().get(f"/verify/{credential.upper()[:18]}%20{credential[18:]}%20")

    assert (answer.status_code, answer.headers["Location"]) == (302, f"/verify/{credential}")


def test_the_day_is_that_of_the_organization(school: School, enrollment: Enrollment) -> None:
    (credential,) = list_credentials(school)
    school.change("organizations", school.organization.id, time_zone="Pacific/Kiritimati")
    school.world.admin.execute("update credentials set issued_at = '2026-05-01T23:00Z'")

    assert read(f"/verify/{credential}").all("dd")[3].text == "May 2, 2026"


def test_a_hostile_name_is_words_only(school: School, enrollment: Enrollment) -> None:
    (credential,) = list_credentials(school)
    school.world.admin.execute("update credentials set holder_name = '<img src=x>'")
    page = read(f"/verify/{credential}")

    assert page.all("dd")[0].text == "<img src=x>"


def test_it_costs_one_look(school: School, enrollment: Enrollment) -> None:
    (credential,) = list_credentials(school)
    with CaptureQueriesContext(connection) as captured:
        read(f"/verify/{credential}")
    # begin, nobody, nobody again, the look, commit
    assert len(captured) == 5


def test_the_start_page_sends_everybody_to_where_they_belong(school: School) -> None:
    assert Client().get("/").headers["Location"] == "/accounts/login/"
    for person, home in (
        (school.alice, "/admin/pipeline"),
        (school.charlie, "/admin/pipeline"),
        (school.lena, "/student/progress"),
        (school.person("guest", school.organization, "partner"), "/student/progress"),
    ):
        assert person.sign_in(Client()).get("/").headers["Location"] == home


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_nothing_is_refused(real_school: School, browser: Browser, width: int) -> None:
    course = real_school.course("Milady RISE", "Barber Theory " + "x" * 80)
    enrollment = real_school.world.enroll(
        real_school.lena_here, real_school.program("Short", course)
    )
    real_school.world.answer_calls()
    real_school.world.complete(enrollment, course)
    browser.set_width(width)
    browser.open(f"/verify/{list_credentials(real_school)[0]}")

    assert browser.one(".hr-verdict").text == "Valid"
    assert browser.find_faults() == []
