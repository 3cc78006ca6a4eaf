"""One enrollment and its steps: what staff see, what they do, what stays with administrators."""

import re
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.cast import Barbering, Person, School
from tests.core.html import Page
from tests.factories import Course, Enrollment


@pytest.fixture
def barbering(school: School) -> Barbering:
    return school.barbering()


@pytest.fixture
def enrollment(school: School, barbering: Barbering) -> Enrollment:
    """Lena's; her first course is under way."""
    enrollment = school.world.enroll(school.lena_here, barbering.program)
    school.world.answer_calls()
    return enrollment


@pytest.fixture
def bob(school: School) -> Client:
    return school.bob.sign_in(Client())


@pytest.fixture
def alice(school: School) -> Client:
    return school.alice.sign_in(Client())


def read(client: Client, path: str, status: int = 200) -> Page:
    answer = client.get(path)
    assert answer.status_code == status
    page = Page(answer.content.decode())
    assert page.find_faults() == []
    return page


def list_facts(page: Page) -> dict[str, str]:
    """What stands beside each word."""
    names = [each.text for each in page.all("dt")]
    return dict(zip(names, [each.text for each in page.all("dd")], strict=True))


def list_offers(page: Page) -> list[str]:
    return [each.text for each in page.all("summary")]


def decide(client: Client, subject: str, name: str, **fields: str) -> Page:
    """Send the form of a decision; the page one comes to."""
    form = {f"{name}-{field}": value for field, value in fields.items()}
    answer = client.post(f"/admin/{subject}/{name}", form, follow=True)
    page = Page(answer.content.decode())
    assert answer.status_code == 200, page.one("h1").text
    assert page.find_faults() == []
    return page


def find_messages(page: Page) -> list[str]:
    return [each.text for each in page.all("div", class_="usa-alert--slim")]


def find_errors(page: Page) -> str:
    return page.one("div", class_="hr-error-summary").text


def path_of(school: School, enrollment: Enrollment, course: Course) -> str:
    return f"steps/{school.world.step_id(enrollment, course)}"


# Seeing.


def test_the_enrollment_with_its_person_and_steps(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    page = read(bob, f"/admin/enrollments/{enrollment.id}")
    facts = [each.text for each in page.all("dd")]

    assert page.one("h1").text == "Lena Learner"
    assert facts == [
        "Barber Apprenticeship Active",
        "January 1, 2025",
        "The learner",
        school.world.value("select email from learners where first_name = 'Lena'"),
    ]
    assert list_offers(page) == ["Put on hold", "Withdraw", "Correct the name"]
    assert "Has not begun at Milady RISE" in page.one("main").text


def test_the_history_in_words(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client, alice: Client
) -> None:
    world = school.world
    world.complete(enrollment, barbering.theory)
    decide(
        bob,
        path_of(school, enrollment, barbering.readiness),
        "skip",
        waiver="tested_out",
        reason="exam 12",
    )
    decide(alice, path_of(school, enrollment, barbering.readiness), "reopen", reason="wrong person")
    page = read(bob, f"/admin/enrollments/{enrollment.id}")

    assert list_history(page) == [
        ("Work Readiness (attempt 2): not required → in progress", "Alice: wrong person"),
        ("Work Readiness: in progress → not required", "Bob: Tested out: exam 12"),
        ("Work Readiness: not started → in progress", "Barber Theory was completed"),
        ("Barber Theory: in progress → completed", "Milady RISE reported it"),
        ("Barber Theory: not started → in progress", "approved"),
        ("Enrollment: not started → active", "approved"),
    ]


def list_history(page: Page) -> list[tuple[str, str]]:
    """What changed and why, without the times."""
    what = [each.text for each in page.all("p", class_="hr-history__what")]
    why = [
        re.sub(r"^[A-Z][a-z]{2} \d+, \d{4}, \d\d:\d\d : ", "", each.text)
        for each in page.all("p", class_="hr-history__why")
    ]
    return list(zip(what, why, strict=True))


def test_what_people_do_themselves_stands_there_as_theirs(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    world = school.world
    world.complete(enrollment, barbering.theory)
    world.on_step("complete_step", enrollment, barbering.readiness, "2026-01-02", "seen")
    school.lena.sign_in(Client()).post(
        f"/student/steps/{world.step_id(enrollment, barbering.safety)}/choose"
    )
    world.admin.execute("delete from memberships where profile_id = %s", [school.alice.profile])
    page = read(bob, f"/admin/enrollments/{enrollment.id}")

    assert list_history(page)[0] == ("OSHA 10: not started → in progress", "the student: chosen")


def test_a_long_history_is_leafed_through(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    for number in range(30):
        school.world.call("suspend_enrollment", enrollment.id, f"no {number}")
        school.world.call("resume_enrollment", enrollment.id, "")
    first = read(bob, f"/admin/enrollments/{enrollment.id}")
    older = first.one("a", rel="next").attributes["href"]
    second = read(bob, older)

    assert (len(list_history(first)), len(list_history(second))) == (50, 12)
    assert bob.get(f"/admin/enrollments/{enrollment.id}?at=x").status_code == 404


def test_the_result_of_a_screening_is_for_administrators(
    school: School, bob: Client, alice: Client
) -> None:
    screening = school.course("NDS", "Drug Screening")
    enrollment = school.world.enroll(school.lena_here, school.program("Screening", screening))
    school.world.answer_calls()
    school.world.report(
        "course.failed", school.lena_here, screening, sensitive_result="positive for x"
    )
    path = f"/admin/{path_of(school, enrollment, screening)}"

    assert "positive for x" in read(alice, path).one("main").text
    assert "positive" not in read(bob, path).one("main").text


def test_the_certificate(school: School, bob: Client) -> None:
    course = school.course("Milady RISE", "Barber Theory")
    enrollment = school.world.enroll(school.lena_here, school.program("Short", course))
    school.world.answer_calls()
    school.world.complete(enrollment, course)
    credential = school.world.value("select id from credentials")
    making = read(bob, f"/admin/enrollments/{enrollment.id}").one("main").text
    school.world.call("store_certificate", credential, b"%PDF-1.7", None)
    page = read(bob, f"/admin/enrollments/{enrollment.id}")
    links = [each.attributes["href"] for each in page.all("a")]

    assert "(the PDF is being made)" in making
    assert f"/verify/{credential}" in links
    assert bob.get(f"/admin/certificates/{credential}.pdf").content == b"%PDF-1.7"
    for person, status in ((school.charlie, 404), (school.lena, 403)):
        client = person.sign_in(Client())
        assert client.get(f"/admin/certificates/{credential}.pdf").status_code == status


def test_the_page_costs_the_same_for_one_and_for_many_steps(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    short = school.world.enroll(
        school.learner("Ada", "Learner"), school.program("Short", school.course("Certiport", "One"))
    )
    counts = []
    for each in (short, enrollment):
        with CaptureQueriesContext(connection) as captured:
            read(bob, f"/admin/enrollments/{each.id}")
        counts.append(len(captured))

    # 7 of every request; history, steps, attention, credential, names; the count of the navigation.
    # The short one has a call to look up as well: its step waits.
    assert counts == [15, 14]


@pytest.mark.parametrize("action", ["withdraw", "transfer"])
def test_what_was_open_when_an_enrollment_ended_early_is_told_as_not_completed(
    school: School,
    enrollment: Enrollment,
    barbering: Barbering,
    bob: Client,
    action: str,
) -> None:
    world = school.world
    world.report("progress.updated", school.lena_here, barbering.theory, percent=45)
    if action == "withdraw":
        world.call("withdraw_enrollment", enrollment.id, "moved away")
    else:
        other = school.program("Other", barbering.screening)
        world.call("transfer_enrollment", enrollment.id, other.id, "her wish")
    page = read(bob, f"/admin/enrollments/{enrollment.id}")
    step = read(bob, f"/admin/{path_of(school, enrollment, barbering.theory)}")

    statuses = [each.text for each in page.all("td", **{"data-label": "Status"})]
    told = {"withdraw": "Withdrawn", "transfer": "Transferred"}[action]
    assert statuses == ["Not completed"] * 6
    assert list_facts(step)["Enrollment"] == f"Barber Apprenticeship {told}"
    assert list_facts(step)["Status"] == "Not completed"
    assert "Progress" not in list_facts(step)


def test_a_step_that_needs_a_person_leads_to_its_entry(
    school: School, barbering: Barbering, bob: Client
) -> None:
    enrollment = school.world.enroll(school.learner("Ada", "Abel"), barbering.program)
    path = f"/admin/{path_of(school, enrollment, barbering.theory)}"
    before = read(bob, path)
    item = school.need_person(enrollment, uncertain=True)
    page = read(bob, path)

    assert before.all("p", class_="hr-case__cause") == []
    assert [each.attributes["href"] for each in page.all("a", class_="usa-link")][1] == (
        f"/admin/attention/{item}"
    )
    assert list_facts(page)["How it stands"] == (
        "The call to Milady RISE to make the account needs a person: see the attention list"
    )


def test_a_failed_step_shows_when_it_failed(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    school.world.report("course.failed", school.lena_here, barbering.theory, reason="40 of 70")
    for column, day in (("started_at", "2026-03-02 12:00Z"), ("updated_at", "2026-03-05 12:00Z")):
        school.change(
            "enrollment_steps", school.world.step_id(enrollment, barbering.theory), **{column: day}
        )
    course = f"/admin/pipeline/{barbering.program.id}/{barbering.theory.id}?status=failed"
    page = read(bob, f"/admin/enrollments/{enrollment.id}")

    assert page.all("td", **{"data-label": "Since"})[0].text == "Mar 5, 2026"
    assert read(bob, course).one("td", **{"data-label": "Failed"}).text == "Mar 5, 2026"


def test_whose_hours_a_page_shows_is_said(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    school.change("organizations", school.organization.id, time_zone="America/Chicago")
    page = read(bob, f"/admin/enrollments/{enrollment.id}")
    assert "Days and hours are those of America/Chicago." in page.one("footer").text
    assert not page.one("title").text.startswith("Error: ")


def test_from_an_enrollment_one_comes_back_to_everybody(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    page = read(bob, f"/admin/enrollments/{enrollment.id}")
    back = page.all("a", class_="usa-link")[0]
    assert (back.text, back.attributes["href"]) == ("Students", "/admin/people")


# Steps.


def test_marking_a_step_completed(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    page = decide(
        bob,
        path_of(school, enrollment, barbering.theory),
        "complete",
        completed_on="2026-01-15",
        note="Certificate seen",
    )
    at = school.world.value(
        "select completed_at::date::text from enrollment_steps where id = %s",
        school.world.step_id(enrollment, barbering.theory),
    )

    assert find_messages(page) == ["The step is marked completed."]
    assert page.one("h1").text == "Lena Learner"
    assert (school.see(enrollment)["Barber Theory"], at) == ("completed", "2026-01-15")
    # Nobody named an hour.
    step = read(bob, f"/admin/{path_of(school, enrollment, barbering.theory)}")
    assert list_facts(step)["Completed"] == "January 15, 2026"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"completed_on": "2026-01-15"}, "Evidence: This field is required."),
        ({"note": "seen"}, "Completed on: This field is required."),
        ({"completed_on": "yesterday", "note": "seen"}, "Completed on: Enter a valid date."),
        (
            {"completed_on": "2999-01-01", "note": "seen"},
            "Completed on: This day lies in the future.",
        ),
        (
            {"completed_on": "0206-11-05", "note": "seen"},
            "Completed on: This day is too long ago. Check the year.",
        ),
        ({"completed_on": "2026-01-15", "note": "x" * 1001}, "at most 1000 characters"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_lost(
    school: School, enrollment: Enrollment, bob: Client, fields: dict[str, str], words: str
) -> None:
    step = school.world.value("select id from enrollment_steps where status = 'in_progress'")
    page = decide(bob, f"steps/{step}", "complete", **fields)
    (opened,) = [each for each in page.all("details") if "open" in each.attributes]

    assert words in find_errors(page)
    assert page.one("title").text.startswith("Error: ")
    assert page.one("input", name="complete-completed_on").attributes["min"] == "1900-01-01"
    assert opened.text.startswith("Mark completed")
    if "note" in fields:
        assert page.one("textarea", name="complete-note").text == fields["note"]
    assert school.see(enrollment)["Barber Theory"] == "in_progress"


def test_failing_and_trying_again(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    step = path_of(school, enrollment, barbering.theory)
    decide(bob, step, "fail", failed_on=f"{timezone.localdate()}", note="left in the middle")
    failed = read(bob, f"/admin/{step}")
    decide(bob, step, "retry", reason="asked for it")

    assert list_offers(failed) == ["Try again", "Mark completed", "Waive"]
    assert "Failed: left in the middle" in failed.one("main").text
    assert (
        school.world.value("select attempt from enrollment_steps where status = 'in_progress'") == 2
    )


def test_waiving_needs_one_of_the_reasons(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    step = path_of(school, enrollment, barbering.theory)
    wrong = decide(bob, step, "skip", waiver="because", reason="so")
    decide(bob, step, "skip", waiver="outside_experience", reason="ten years in a shop")

    assert "Select a valid choice" in find_errors(wrong)
    assert school.world.rows(
        "select skip_reason, waived_by from enrollment_steps where status = 'skipped'"
    ) == [("outside_experience", school.bob.profile)]


def test_an_id_that_somebody_entered_is_corrected_on_the_step(
    school: School, barbering: Barbering, bob: Client
) -> None:
    world = school.world
    enrollment = world.enroll(school.lena_here, barbering.program)
    (call,) = world.claim()
    world.record(call, external_id="stu-1")
    (call,) = world.claim()
    world.record(call, "needs_person", cause="conflict", error="409")
    world.call("enter_partner_id", call.intent, "enr-wrong", "seen")
    path = path_of(school, enrollment, barbering.theory)
    assert "Correct the enrollment id" in list_offers(read(bob, f"/admin/{path}"))
    assert "Correct the account id" not in list_offers(read(bob, f"/admin/{path}"))

    missing = decide(bob, path, "correct-id", external_id="enr-right")
    assert "Reason: This field is required" in find_errors(missing)
    same = decide(bob, path, "correct-id", external_id="enr-wrong", reason="typo")
    assert "This id is there already." in find_errors(same)
    page = decide(bob, path, "correct-id", external_id="enr-right", reason="typo")
    assert find_messages(page) == ["The id is corrected."]
    history = list_history(page)
    assert history[0] == (
        "Barber Theory (attempt 2)",
        "Bob: the partner's id enr-right was entered: typo",
    )
    assert any("enr-wrong was entered by mistake: typo" in why for _, why in history)
    assert "enr-right" in read(bob, f"/admin/{path}").one("main").text


def test_an_account_that_somebody_entered_is_corrected_on_the_step(
    school: School, barbering: Barbering, bob: Client
) -> None:
    world = school.world
    enrollment = world.enroll(school.lena_here, barbering.program)
    (call,) = world.claim()
    world.record(call, "needs_person", cause="conflict", error="409")
    world.call("enter_partner_id", call.intent, "stu-wrong", "seen")
    path = path_of(school, enrollment, barbering.theory)
    decide(bob, path, "correct-account", external_id="stu-right", reason="typo")

    assert world.column("select external_id from partner_accounts") == ["stu-right"]
    for client in (school.charlie.sign_in(Client()), school.lena.sign_in(Client())):
        answer = client.post(f"/admin/{path}/correct-account", {"correct-account-reason": "x"})
        assert answer.status_code in (403, 404)


def test_an_id_of_the_partner_is_not_corrected(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    path = path_of(school, enrollment, barbering.theory)
    assert "Correct the enrollment id" not in list_offers(read(bob, f"/admin/{path}"))


def test_opening_again_is_for_administrators(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client, alice: Client
) -> None:
    school.world.complete(enrollment, barbering.theory)
    step = path_of(school, enrollment, barbering.theory)

    assert list_offers(read(bob, f"/admin/{step}")) == []
    assert bob.post(f"/admin/{step}/reopen", {"reopen-reason": "x"}).status_code == 403
    assert school.see(enrollment)["Barber Theory"] == "completed"
    assert list_offers(read(alice, f"/admin/{step}")) == ["Open again"]
    decide(alice, step, "reopen", reason="regraded")
    assert school.see(enrollment)["Barber Theory"] == "in_progress"


def test_choosing_for_somebody(
    school: School, enrollment: Enrollment, barbering: Barbering, bob: Client
) -> None:
    step = path_of(school, enrollment, barbering.safety)
    before = list_offers(read(bob, f"/admin/{step}"))
    decide(bob, step, "choose")
    after = list_offers(read(bob, f"/admin/{step}"))
    decide(bob, step, "take-back")

    assert (before, after) == (
        ["Choose this elective", "Waive"],
        ["Take the choice back", "Waive"],
    )


# The enrollment.


def test_approving_starts_it(school: School, barbering: Barbering, bob: Client) -> None:
    waiting = school.world.create(school.lena_here, barbering.program)
    page = read(bob, f"/admin/enrollments/{waiting.id}")
    done = decide(bob, f"enrollments/{waiting.id}", "approve")

    assert list_offers(page) == ["Approve", "Withdraw", "Correct the name"]
    assert find_messages(done) == ["The enrollment is approved."]
    assert school.see(waiting)["Barber Theory"] == "in_progress"
    assert "approved by Bob" in done.one("main").text


def test_on_hold_and_on_again(school: School, enrollment: Enrollment, bob: Client) -> None:
    path = f"enrollments/{enrollment.id}"
    held = decide(bob, path, "suspend", reason="unpaid")
    on = decide(bob, path, "resume", reason="paid")

    assert list_offers(held) == ["Go on", "Withdraw", "Correct the name"]
    assert list_offers(on) == ["Put on hold", "Withdraw", "Correct the name"]


def test_a_withdrawal_is_undone_by_administrators_only(
    school: School, enrollment: Enrollment, bob: Client, alice: Client
) -> None:
    path = f"enrollments/{enrollment.id}"
    gone = decide(bob, path, "withdraw", reason="moved away")

    assert list_offers(gone) == ["Correct the name"]
    assert "Waits for" not in gone.one("main").text  # nobody waits any more
    assert bob.post(f"/admin/{path}/undo", {"undo-reason": "x"}).status_code == 403
    assert list_offers(read(alice, f"/admin/{path}")) == ["Undo the withdrawal", "Correct the name"]
    back = decide(alice, path, "undo", reason="came back")
    assert "Active" in back.all("dd")[0].text


def test_an_undo_that_the_rules_refuse_says_why(
    school: School, enrollment: Enrollment, barbering: Barbering, alice: Client
) -> None:
    path = f"enrollments/{enrollment.id}"
    decide(alice, path, "withdraw", reason="moved away")
    school.world.enroll(school.lena_here, barbering.program)
    page = decide(alice, path, "undo", reason="came back")

    assert "another enrollment in this program that is not finished" in find_errors(page)
    assert page.one("textarea", name="undo-reason").text == "came back"


def test_what_is_not_possible_any_more_is_told(
    school: School, enrollment: Enrollment, bob: Client
) -> None:
    path = f"enrollments/{enrollment.id}"
    decide(bob, path, "suspend", reason="once")
    page = decide(bob, path, "suspend", reason="twice")

    assert find_messages(page) == ["That is not possible any more. This is how it stands now."]


# Walls.

DECISIONS = {
    "enrollments": ["approve", "suspend", "resume", "withdraw", "undo", "nonsense"],
    "steps": ["complete", "fail", "retry", "skip", "reopen", "choose", "take-back", "nonsense"],
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in DECISIONS.items() for name in names]
)
def test_nobody_else_decides(
    school: School, enrollment: Enrollment, barbering: Barbering, kind: str, name: str
) -> None:
    subject: UUID = (
        enrollment.id
        if kind == "enrollments"
        else school.world.step_id(enrollment, barbering.theory)
    )
    fields = {"reason": "x", "note": "x", "completed_on": "2026-01-01", "waiver": "tested_out"}
    form = {f"{name}-{field}": value for field, value in fields.items()}
    before = school.see(enrollment)
    answers: dict[Person, int] = {}
    for person in (school.charlie, school.lena):
        client = person.sign_in(Client())
        answers[person] = client.post(f"/admin/{kind}/{subject}/{name}", form).status_code
    stranger = Client().post(f"/admin/{kind}/{subject}/{name}", form)

    assert answers == {school.charlie: 404, school.lena: 403}
    assert stranger.headers["Location"].startswith("/accounts/login/")
    assert school.see(enrollment) == before
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = school.bob.sign_in(Client()).cookies
    assert careful.post(f"/admin/{kind}/{subject}/{name}", form).status_code == 403
    opened = careful.get(f"/admin/{kind}/{subject}/{name}")
    assert (opened.status_code, opened["Location"]) == (302, f"/admin/{kind}/{subject}")
    assert school.see(enrollment) == before


@pytest.mark.parametrize("path", ["enrollments", "steps", "events", "attention"])
def test_what_does_not_exist(school: School, bob: Client, path: str) -> None:
    assert bob.get(f"/admin/{path}/00000000-0000-7000-8000-000000000000").status_code == 404
    assert bob.get(f"/admin/{path}/17").status_code == 404
