"""Opening a course: the real web process asks a real partner, outside any transaction."""

import threading
import time
from dataclasses import dataclass, replace

import pytest
from django.conf import settings

from handrail.core.crypto import Keyring
from handrail.partners.providers import seal_credentials
from tests.cast import Barbering, School
from tests.core.html import Page
from tests.factories import Course, Enrollment
from tests.scripted_partner import HANG, Request, ScriptedPartner, reply
from tests.web import WIDTHS, Answer, Browser, Site, Visitor

URL = "https://milady.example/sso?token=one-time&x=1"


@dataclass(frozen=True, slots=True)
class Desk:
    """Lena, in her first course, whose partner is the one of the site."""

    school: School
    barbering: Barbering
    enrollment: Enrollment
    lena: Visitor
    site: Site

    @property
    def partner(self) -> ScriptedPartner:
        return self.site.partner

    def press(self, course: Course | None = None) -> Answer:
        """Press "Launch training"."""
        step = self.school.world.step_id(self.enrollment, course or self.barbering.theory)
        return self.lena.post(f"/student/steps/{step}/launch")

    def read(self, course: Course | None = None) -> Page:
        page = Page(self.press(course).text)
        assert page.find_faults() == []
        return page

    def go_on(self) -> Course:
        """Complete the first course; the next one is reached by a link."""
        self.school.world.complete(self.enrollment, self.barbering.theory)
        return self.barbering.readiness


def find_forward(page: Page) -> list[str]:
    """Where the page leads by itself."""
    return [
        each.attributes["content"]
        for each in page.all("meta")
        if each.attributes.get("http-equiv") == "refresh"
    ]


@pytest.fixture
def desk(real_school: School, site: Site) -> Desk:
    barbering = real_school.barbering()
    provider = barbering.theory.provider
    credentials = {"api_key": "secret-key", "organization_id": "school-7"}
    sealed = seal_credentials(provider.id, credentials, Keyring(settings.HANDRAIL_SECRET_KEYS))
    base_url = f"http://127.0.0.1:{site.partner.port}"
    real_school.change("partner_lms_providers", provider.id, base_url=base_url, credentials=sealed)
    enrollment = real_school.world.enroll(real_school.lena_here, barbering.program)
    real_school.world.answer_calls(
        lambda call: {"result": "done", "external_id": f"{call.kind}-of-lena"}
    )
    site.partner.forget()
    site.partner.requests.clear()
    lena = site.visit().sign_in(real_school.lena)
    return Desk(real_school, barbering, enrollment, lena, site)


def test_the_partner_is_asked_at_the_click_and_leads_there(desk: Desk) -> None:
    desk.partner.answer(reply(200, {"launchUrl": URL}))
    answer = desk.press()
    page = Page(answer.text)
    (asked,) = desk.partner.requests

    assert answer.status == 200
    assert find_forward(page) == [f"0; url={URL}"]
    links = [each.attributes["href"] for each in page.all("a")]
    assert [each for each in links if "milady" in each] == [URL]
    assert (asked.method, asked.path, asked.headers["authorization"]) == (
        "POST",
        "/api/v1/sso/launch",
        "Bearer secret-key",
    )
    assert asked.json == {
        "studentId": "create_account-of-lena",
        "enrollmentId": "enroll-of-lena",
        "returnUrl": f"{desk.site.address}/student/progress",
    }
    assert answer.headers["cache-control"] == "no-store"
    assert "token" not in str(answer.headers)


def test_while_calls_are_held_after_a_restore_the_student_is_told(desk: Desk) -> None:
    desk.school.world.service.execute("select hold_outbound()")
    page = desk.read()

    assert find_forward(page) == []
    assert desk.partner.requests == []
    assert (
        "Courses at Milady RISE cannot be opened from here for the moment, because our own system "
        "is being put in order. Your course is not lost: try again later."
    ) in page.one("main").text
    desk.school.world.service.execute("select release_outbound(true)")
    desk.partner.answer(reply(200, {"launchUrl": URL}))
    assert find_forward(desk.read()) == [f"0; url={URL}"]


def test_no_connection_waits_in_a_transaction_while_the_partner_thinks(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[tuple[str, str]] = []

    def look(_: Request) -> bytes:
        states.extend(
            desk.school.world.rows(
                "select state, query from pg_stat_activity "
                "where usename = 'handrail_web' and state <> 'idle'"
            )
        )
        return reply(200, {"launchUrl": URL})

    monkeypatch.setattr(desk.partner, "take_reply", look)
    page = desk.read()

    assert (find_forward(page), states) == ([f"0; url={URL}"], [])


SILENT = "The system of Milady RISE is not answering."
REFUSED = "Milady RISE did not let us open your course."


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (reply(503, {"error": "down"}), SILENT),
        (reply(500, {}), SILENT),
        (HANG, SILENT),
        (reply(403, {"message": "Secret words"}), REFUSED),
        (reply(200, {"launchUrl": "javascript:alert(1)"}), REFUSED),
        (reply(200, {"other": 1}), REFUSED),
        (reply(302, Location="https://evil.example/"), REFUSED),
    ],
)
def test_difficulties_are_told_in_words(desk: Desk, answer: bytes, words: str) -> None:
    desk.partner.answer(answer)
    page = desk.read()

    assert page.one("h1").text == "Your course could not be opened"
    assert words in page.one("main").text
    assert "Secret words" not in page.one("main").text
    assert find_forward(page) == []


def test_credentials_that_cannot_be_opened(desk: Desk) -> None:
    provider = desk.barbering.theory.provider.id
    desk.school.change("partner_lms_providers", provider, credentials=b"lost:1234567890123456")

    assert "Please tell Ridgeline Career School." in desk.read().one("main").text


def test_a_link_is_opened_without_asking_anybody(desk: Desk) -> None:
    assert find_forward(desk.read(desk.go_on())) == ["0; url=https://jri.example/in"]
    assert desk.partner.requests == []


def test_the_link_of_a_course_comes_before_that_of_its_partner(desk: Desk) -> None:
    course = desk.go_on()
    desk.school.change("partner_lms_courses", course.id, link_url="https://jri.example/this")

    assert find_forward(desk.read(course)) == ["0; url=https://jri.example/this"]


def test_a_link_that_is_no_address_of_the_web_is_not_followed(desk: Desk) -> None:
    course = desk.go_on()
    desk.school.change("partner_lms_courses", course.id, link_url="javascript:alert(1)")
    page = desk.read(course)

    assert "will give you the link" in page.one("main").text
    assert find_forward(page) == []


@pytest.mark.parametrize("course", ["screening", "theory"])
def test_what_is_not_open_is_not_opened(desk: Desk, course: str) -> None:
    desk.go_on()
    page = desk.read(getattr(desk.barbering, course))

    assert "This course is not open for you at present." in page.one("main").text
    assert desk.partner.requests == []


def test_one_on_hold_cannot_open_the_course(desk: Desk) -> None:
    desk.school.world.call("suspend_enrollment", desk.enrollment.id, "bill")
    assert "This course is not open for you at present." in desk.read().one("main").text


def test_a_place_that_is_not_there_yet(desk: Desk) -> None:
    course = desk.school.course("Certiport", "Office Basics")
    program = desk.school.program("Another", course)
    waiting = desk.school.world.enroll(desk.school.lena_here, program)
    page = replace(desk, enrollment=waiting).read(course)

    assert "Your place at Certiport is still being arranged." in page.one("main").text


def test_others_pages_are_served_while_a_partner_hangs(desk: Desk) -> None:
    desk.partner.answer(HANG)
    waiting = threading.Thread(target=desk.press)
    waiting.start()
    desk.partner.wait_for_request()
    began = time.monotonic()
    answer = desk.site.visit().get("/accounts/login/")
    took = time.monotonic() - began
    waiting.join()

    assert (answer.status, took < 2) == (200, True)


@pytest.mark.parametrize("width", WIDTHS)
def test_launch_in_a_browser(desk: Desk, browser: Browser, width: int) -> None:
    target = (
        f"{desk.site.address}/accounts/inactive/?from=partner"  # where a partner's page would be
    )
    desk.partner.answer(reply(200, {"launchUrl": target}))
    browser.set_width(width)
    browser.sign_in(desk.school.lena)
    browser.click("Launch training")
    browser.wait_for(lambda: len(browser.driver.window_handles) == 2)
    browser.driver.switch_to.window(browser.driver.window_handles[1])
    browser.set_width(width)  # a new window begins as wide as the browser
    browser.wait_for(lambda: browser.path.endswith("?from=partner"))

    assert browser.find_faults() == []


def test_the_log_names_the_partner_and_no_secret(desk: Desk) -> None:
    desk.partner.answer(reply(403, {"message": "key secret-key is not valid"}))
    desk.press()
    log = desk.site.read_log()

    assert f"no launch at {desk.barbering.theory.provider.slug}" in log
    assert "secret-key" not in log
    assert "token=" not in log


def test_nobody_but_the_learner_opens_the_course(desk: Desk) -> None:
    for person in (desk.school.alice, desk.school.charlie):
        visitor = desk.site.visit().sign_in(person)
        assert replace(desk, lena=visitor).press().status == 404
    assert desk.partner.requests == []
