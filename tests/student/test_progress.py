"""What somebody who learns sees of their enrollments."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.cast import Barbering, School
from tests.core.html import Page
from tests.factories import Enrollment

READY = {"result": "done", "external_id": "id-1"}


@pytest.fixture
def barbering(school: School) -> Barbering:
    return school.barbering()


@pytest.fixture
def enrollment(school: School, barbering: Barbering) -> Enrollment:
    return school.world.enroll(school.lena_here, barbering.program)


def read(school: School, client: Client) -> Page:
    if "session" not in client.cookies:
        school.lena.sign_in(client)
    answer = client.get("/student/progress")
    assert answer.status_code == 200
    page = Page(answer.content.decode())
    assert page.find_faults() == []
    return page


def list_steps(page: Page) -> list[tuple[str, str]]:
    """State (as the style names it) and words of each step."""
    return [
        (each.attributes["class"].split("--")[1], " ".join(each.text.split()))
        for each in page.all("li", class_="hr-step")
    ]


def find_step(page: Page, title: str) -> str:
    (found,) = [words for _, words in list_steps(page) if words.startswith(title)]
    return found


def test_the_short_address_leads_there(school: School, client: Client) -> None:
    school.lena.sign_in(client)
    assert client.get("/student/").headers["Location"] == "/student/progress"


def test_nobody_enrolled_sees_why_and_what_to_do(school: School, client: Client) -> None:
    page = read(school, client)
    assert page.one("h2").text == "You are not enrolled in a program yet"


def test_an_enrollment_that_waits_for_approval(
    school: School, barbering: Barbering, client: Client
) -> None:
    school.world.create(school.lena_here, barbering.program)
    page = read(school, client)

    (notice,) = [each.text for each in page.all("p", class_="usa-alert__text")]
    assert notice == "Your enrollment waits until Ridgeline Career School has approved it."
    assert {state for state, _ in list_steps(page)} == {"later"}


def test_a_program_that_begins_later(school: School, barbering: Barbering, client: Client) -> None:
    school.world.enroll(school.lena_here, barbering.program, start=date(2099, 3, 1))
    page = read(school, client)

    notices = [each.text for each in page.all("p", class_="usa-alert__text")]
    assert notices == ["Your program begins on March 1, 2099."]


def test_steps_done_now_and_later(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    world = school.world
    world.answer_calls()
    world.report(
        "course.completed",
        school.lena_here,
        barbering.theory,
        occurred_at=datetime(2026, 3, 5, 12, tzinfo=UTC),
    )
    page = read(school, client)

    assert [state for state, _ in list_steps(page)] == ["done", "now"] + ["later"] * 4
    assert (
        find_step(page, "Barber Theory") == "Barber Theory Milady RISE , completed on March 5, 2026"
    )
    assert page.one("progress").attributes["value"] == "20"
    assert page.one("span", class_="hr-progress__text").text == "1 of 5 steps completed"


def test_progress_that_the_partner_reported(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    school.world.answer_calls()
    before = len(read(school, client).all("progress"))
    school.world.report("progress.updated", school.lena_here, barbering.theory, percent=45)
    bars = read(school, client).all("progress")

    assert (before, [bar.attributes["value"] for bar in bars]) == (1, ["0", "45"])


def test_days_are_those_of_the_organization(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    school.change("organizations", school.organization.id, time_zone="America/Indiana/Indianapolis")
    school.world.answer_calls()
    school.world.report(
        "course.completed",
        school.lena_here,
        barbering.theory,
        occurred_at=datetime(2026, 3, 5, 2, tzinfo=UTC),
    )
    assert "March 4, 2026" in find_step(read(school, client), "Barber Theory")


WAITS: list[tuple[list[dict[str, Any]], str]] = [
    ([], "We are setting up your account at Milady RISE."),
    (
        [{"result": "failed", "error": "no answer", "counts": False}],
        "The system of Milady RISE is not answering; we try again by ourselves.",
    ),
    (
        [{"result": "unknown", "error": "time-out"}],
        "We are asking Milady RISE whether your place is ready. You need not do anything.",
    ),
    ([READY], "We are arranging your place at Milady RISE."),
    (
        [
            READY,
            {"result": "needs_person", "cause": "refused", "error": "Secret words of a partner"},
        ],
        "Ridgeline Career School is settling something with Milady RISE for you.",
    ),
    (
        [{"result": "needs_person", "cause": "refused", "error": "Secret words of a partner"}],
        "Ridgeline Career School is settling something with Milady RISE for you.",
    ),
]


@pytest.mark.parametrize(("results", "words"), WAITS)
def test_why_a_step_waits(
    school: School,
    enrollment: Enrollment,
    client: Client,
    results: list[dict[str, Any]],
    words: str,
) -> None:
    for result in results:
        (call,) = school.world.claim()
        school.world.record(call, **result)
    page = read(school, client)

    assert words in find_step(page, "Barber Theory")
    assert "Secret words" not in page.one("main").text
    assert "Launch training" not in page.one("main").text


def test_where_one_signs_up_by_oneself_the_address_is_said(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    school.change("learners", school.lena_here.id, email="Lena.Learner@Example.org")
    school.world.answer_calls()
    school.world.complete(enrollment, barbering.theory)
    told = "Sign up there with Lena.Learner@Example.org , so that your result finds you."

    assert told in find_step(read(school, client), "Work Readiness")


def test_a_link_that_is_missing_is_asked_for(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    school.world.answer_calls()
    school.world.complete(enrollment, barbering.theory)
    school.change("partner_lms_providers", barbering.readiness.provider.id, link_url="")

    assert "will give you the link to Job Ready Indy" in find_step(read(school, client), "Work")


def test_a_failed_course_tells_the_reason_a_screening_never(school: School, client: Client) -> None:
    theory = school.course("Milady RISE", "Barber Theory")
    screening = school.course("NDS", "Drug Screening")
    school.change("partner_lms_courses", screening.id, kind="screening")
    school.world.enroll(school.lena_here, school.program("Both", [theory, screening]))
    school.world.answer_calls()
    for course in (theory, screening):
        school.world.report(
            "course.failed",
            school.lena_here,
            course,
            reason="40 of 70 points",
            sensitive_result="positive" if course is screening else "",
        )
    page = read(school, client)

    assert "Milady RISE reports: 40 of 70 points" in find_step(page, "Barber Theory")
    assert "points" not in find_step(page, "Drug Screening")
    assert "positive" not in page.one("main").text
    assert [state for state, _ in list_steps(page)] == ["failed", "failed"]


def test_a_screening_that_was_passed_shows_no_result(school: School, client: Client) -> None:
    screening = school.course("NDS", "Drug Screening")
    school.change("partner_lms_courses", screening.id, kind="screening")
    school.world.enroll(school.lena_here, school.program("Screening", screening))
    school.world.answer_calls()
    school.world.report(
        "course.completed", school.lena_here, screening, sensitive_result="negative"
    )
    page = read(school, client)

    assert [state for state, _ in list_steps(page)] == ["done"]
    assert "negative" not in page.one("main").text


def test_on_hold(school: School, enrollment: Enrollment, client: Client) -> None:
    school.world.answer_calls()
    school.world.call("suspend_enrollment", enrollment.id, "unpaid bill")
    page = read(school, client)

    text = page.one("main").text
    assert "Your enrollment is on hold." in text
    assert "unpaid bill" not in text
    assert "Launch training" not in text


def test_a_waived_step_is_told_so(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    school.world.on_step("skip_step", enrollment, barbering.theory, "tested_out", "exam 12")
    page = read(school, client)

    assert list_steps(page)[0] == ("waived", "Barber Theory Milady RISE , not required of you")


def test_partner_certificates_are_linked(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    school.world.answer_calls()
    school.world.report(
        "certificate.issued",
        school.lena_here,
        barbering.theory,
        certificate={
            "external_id": "c-1",
            "number": "M-17",
            "expires_on": "2028-05-01",
            "download_url": "https://milady.example/c-1.pdf",
            "verification_url": "https://milady.example/check/c-1",
        },
    )
    page = read(school, client)
    links = {
        each.attributes["href"]: each.attributes["rel"]
        for each in page.all("a")
        if "rel" in each.attributes
    }

    assert "Number M-17, valid until May 1, 2028" in find_step(page, "Barber Theory")
    assert links == {
        "https://milady.example/c-1.pdf": "noopener noreferrer",
        "https://milady.example/check/c-1": "noopener noreferrer",
    }


def complete_short_program(school: School) -> Enrollment:
    theory = school.course("Milady RISE", "Barber Theory")
    enrollment = school.world.enroll(school.lena_here, school.program("Short", theory))
    school.world.answer_calls()
    school.world.complete(enrollment, theory)
    return enrollment


def test_the_certificate_while_it_is_made_and_when_it_is_there(
    school: School, client: Client
) -> None:
    enrollment = complete_short_program(school)
    credential, number = school.world.rows(
        "select id, number from credentials where enrollment_id = %s", enrollment.id
    )[0]
    before = read(school, client).one("div", class_="hr-certificate").text
    school.world.call("store_certificate", credential, b"%PDF-1.7", None)
    page = read(school, client)
    links = [
        each.attributes["href"]
        for each in page.all("a")
        if "certificate" in each.text.lower() or "proves" in each.text
    ]
    answer = client.get(links[0])

    assert f"Your certificate has the number {number}" in before
    assert "The PDF is being made." in before
    assert links == [f"/student/certificates/{credential}.pdf", f"/verify/{credential}"]
    assert (answer.content, answer["Content-Type"]) == (b"%PDF-1.7", "application/pdf")
    assert answer["Content-Disposition"] == f'attachment; filename="certificate-{number}.pdf"'
    assert answer["Cache-Control"] == "no-store"


def test_a_certificate_that_cannot_be_made(school: School, client: Client) -> None:
    enrollment = complete_short_program(school)
    credential = school.world.value(
        "select id from credentials where enrollment_id = %s", enrollment.id
    )
    school.world.call("store_certificate", credential, None, "No glyph for U+1F600")
    told = read(school, client).one("div", class_="hr-certificate").text

    assert "The PDF cannot be made at present" in told
    assert "U+1F600" not in told
    assert client.get(f"/student/certificates/{credential}.pdf").status_code == 404


def test_a_certificate_that_was_revoked(school: School, client: Client) -> None:
    enrollment = complete_short_program(school)
    step = school.world.value(
        "select id from enrollment_steps where enrollment_id = %s", enrollment.id
    )
    school.world.call("reopen_step", step, "regraded")
    told = read(school, client).one("div", class_="hr-certificate").text

    assert "does not count any more" in told
    assert "regraded" not in told


def test_hostile_names_are_words_only(school: School, client: Client) -> None:
    course = school.course("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>')
    school.world.enroll(school.lena_here, school.program("<b>Bold</b>", course))
    page = read(school, client)

    assert page.one("h2").text == "<b>Bold</b>"
    assert page.all("img") == []
    assert all("src" in each.attributes for each in page.all("script"))


def test_others_see_nothing_of_it(
    school: School, enrollment: Enrollment, barbering: Barbering
) -> None:
    credential = school.world.value(
        "select id from credentials where enrollment_id = %s",
        complete_short_program(school).id,
    )
    school.world.call("store_certificate", credential, b"%PDF-1.7", None)
    twin = school.learner("Lena", "Learner")
    school.world.enroll(twin, barbering.program)

    for person in (school.charlie, school.bob, school.alice):
        client = person.sign_in(Client())
        page = Page(client.get("/student/progress").content.decode())
        assert page.one("h2").text == "You are not enrolled in a program yet"
        assert client.get(f"/student/certificates/{credential}.pdf").status_code == 404
    assert Client().get("/student/progress").status_code == 302


def count_queries(client: Client) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get("/student/progress").status_code == 200
    return len(captured)


def test_the_page_costs_the_same_for_one_and_for_three_enrollments(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    school.lena.sign_in(client)
    one = count_queries(client)
    for _ in range(2):
        school.world.enroll(school.lena_here, school.barbering().program)
    three = count_queries(client)

    # 7 of every request (begin and commit among them), enrollments, steps, calls, certificates of
    # partners, credentials.
    assert (one, three) == (12, 12)


def test_it_ends_in_words_where_time_has_passed(
    school: School, enrollment: Enrollment, client: Client
) -> None:
    school.world.call("withdraw_enrollment", enrollment.id, "moved away")
    school.age(enrollment, timedelta(days=40).days)
    page = read(school, client)

    assert "Withdrawn" in page.one("main").text
    assert page.all("button", class_="usa-button") == []


ENDS = {
    "withdraw": "You were withdrawn from this program. Questions? Ask Ridgeline Career School.",
    "transfer": "You were transferred to another program.",
}


@pytest.mark.parametrize("end", ENDS)
def test_an_enrollment_that_ended_early_does_not_go_on(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client, end: str
) -> None:
    world = school.world
    world.answer_calls()
    world.complete(enrollment, barbering.theory)
    world.answer_calls()
    world.report("progress.updated", school.lena_here, barbering.readiness, percent=45)
    before = read(school, client)
    target: list[Any] = []
    if end == "transfer":
        target = [school.program("Other", school.course("Other partner", "Other course")).id]
    world.call(f"{end}_enrollment", enrollment.id, *target, "moved away")
    page = read(school, client)

    assert list_steps(before)[1][0] == "now"
    assert "45" in [bar.attributes["value"] for bar in before.all("progress")]
    assert "Launch training" in before.one("main").text
    (notice,) = [each.text for each in page.all("p", class_="usa-alert__text")]
    assert notice == ENDS[end]
    # The steps of the program that she was transferred to stand above.
    done, *others = list_steps(page)[-6:]
    assert done[0] == "done"
    assert others == [
        ("ended", "Work Readiness Job Ready Indy , not completed"),
        ("ended", "OSHA 10 CareerSafe , not completed"),
        ("ended", "Office Basics Certiport , not completed"),
        ("ended", "Customer Service NRF , not completed"),
        ("ended", "Drug Screening NDS , not completed"),
    ]
    assert "45" not in [bar.attributes["value"] for bar in page.all("progress")]
    assert "Launch training" not in page.one("main").text


def test_nobody_is_said_to_have_said_what_another_said(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    """Staff marks it failed, the partner reports the same later in other words."""
    world = school.world
    world.answer_calls()
    told = "Our instructor saw 3 of 10 cuts."
    world.on_step("fail_step", enrollment, barbering.theory, "2026-01-02", told)
    by_staff = find_step(read(school, client), "Barber Theory")
    world.report("course.failed", school.lena_here, barbering.theory, reason="40 of 70")
    later = find_step(read(school, client), "Barber Theory")
    world.on_step("retry_step", enrollment, barbering.theory, "again")
    world.answer_calls()
    world.report("course.failed", school.lena_here, barbering.theory, reason="41 of 70")
    by_partner = find_step(read(school, client), "Barber Theory")

    start = "Barber Theory Milady RISE , not passed"
    end = "Ridgeline Career School will tell you how to go on."
    assert by_staff == f"{start} Ridgeline Career School says: {told} {end}"
    assert later == f"{start} The reason given: {told} {end}"
    assert by_partner == f"{start} Milady RISE reports: 41 of 70. {end}"


def test_what_failed_or_was_waived_stays_so_when_the_enrollment_ends(
    school: School, enrollment: Enrollment, barbering: Barbering, client: Client
) -> None:
    world = school.world
    world.answer_calls()
    world.on_step("skip_step", enrollment, barbering.screening, "administrative", "not needed")
    world.report("course.failed", school.lena_here, barbering.theory, reason="40 of 70 points")
    world.call("withdraw_enrollment", enrollment.id, "moved away")

    steps = list_steps(read(school, client))
    assert [state for state, _ in steps] == ["failed", *["ended"] * 4, "waived"]
    assert steps[0][1] == "Barber Theory Milady RISE , not passed"
