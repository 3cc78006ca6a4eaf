"""The console in a real browser: width, content policy, keyboard, search without a reload."""

import pytest
from selenium.webdriver.common.keys import Keys

from tests.cast import PASSWORD, Barbering, School
from tests.console.test_events import Inbox
from tests.factories import Enrollment
from tests.web import WIDTHS, Browser

LONG = "Donaudampfschifffahrtsgesellschaftskapitänsausbildungsordnung"


@pytest.fixture
def barbering(real_school: School) -> Barbering:
    return real_school.barbering()


@pytest.fixture
def enrollment(real_school: School, barbering: Barbering) -> Enrollment:
    """Somebody with long names whose first call needs a person."""
    real_school.change("partner_lms_courses", barbering.theory.id, title=LONG)
    learner = real_school.learner("Wolfeschlegelstein" * 4, "hausenbergerdorff" * 4)
    enrollment = real_school.world.enroll(learner, barbering.program)
    real_school.need_person(enrollment, error=f"The partner refused: {LONG}{LONG}")
    return enrollment


def list_paths(school: School, barbering: Barbering, enrollment: Enrollment) -> list[str]:
    step = school.world.step_id(enrollment, barbering.theory)
    other = school.program(LONG, barbering.screening)
    item = school.world.value("select id from attention_items")
    school.world.enroll(school.learner("Ada", LONG), barbering.program)
    for call in school.world.claim():
        school.world.record(call, "needs_person", cause="credentials", error=f"401: {LONG * 2}")
    provider = school.item("provider_calls", barbering.theory.provider.id)
    event = Inbox(school).store(
        "e" * 255, status="needs_attention", reason=LONG * 3, body=b"x" * 999
    )
    return [
        "/admin/pipeline",
        f"/admin/pipeline/{barbering.program.id}/{barbering.theory.id}",
        "/admin/attention",
        f"/admin/attention/{item}",
        f"/admin/attention/{provider}",
        f"/admin/enrollments/{enrollment.id}",
        f"/admin/enrollments/{enrollment.id}/transfer?program={other.id}",
        f"/admin/steps/{step}",
        "/admin/people",
        f"/admin/people?program={barbering.program.id}&status=active",
        "/admin/events",
        f"/admin/events/{event}",
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_and_nothing_is_refused(
    real_school: School, barbering: Barbering, enrollment: Enrollment, browser: Browser, width: int
) -> None:
    school = real_school
    school.age(enrollment, 30)
    school.world.insert(
        "memberships",
        organization_id=school.other.id,
        profile_id=school.alice.profile,
        role="staff",
    )
    school.name(school.other, f"A school whose name is {LONG}")
    paths = list_paths(school, barbering, enrollment)
    browser.set_width(width)
    browser.sign_in(school.alice)
    switch = browser.one("#hr-switch")
    switch.send_keys("Ridgeline")
    browser.click("Switch")
    browser.wait_for(lambda: "You are now working in Ridgeline" in browser.text)
    faults: dict[str, list[str]] = {}
    for path in paths:
        browser.open(path)
        for each in browser.all("details:not([open]) > summary"):
            each.click()
        faults[path] = browser.find_faults()

    assert faults == {path: [] for path in paths}


def test_an_entry_is_settled_with_the_keyboard_alone(
    real_school: School, enrollment: Enrollment, browser: Browser
) -> None:
    browser.sign_in(real_school.bob)
    browser.open("/admin/attention")
    press(browser, "The partner refused", Keys.ENTER)
    browser.wait_for(lambda: "What you can do" in browser.text)
    press(browser, "Enter the partner's id", Keys.ENTER)
    browser.driver.switch_to.active_element.send_keys(Keys.TAB)
    browser.driver.switch_to.active_element.send_keys("stu-17", Keys.ENTER)
    browser.wait_for(lambda: "The id is taken over." in browser.text)

    assert real_school.world.column("select external_id from partner_accounts") == ["stu-17"]


def test_entries_are_chosen_and_tried_again_with_the_keyboard_alone(
    real_school: School, enrollment: Enrollment, browser: Browser
) -> None:
    browser.set_width(360)
    browser.sign_in(real_school.bob)
    browser.open("/admin/attention")
    active = browser.driver.switch_to.active_element
    while active.get_attribute("name") != "item":
        active.send_keys(Keys.TAB)
        active = browser.driver.switch_to.active_element
    active.send_keys(Keys.SPACE)
    press(browser, "Try again what is chosen", Keys.ENTER)
    browser.wait_for(lambda: "What is behind 1 entry is tried again." in browser.text)

    assert real_school.world.column("select status from intents") == ["queued"]


def press(browser: Browser, words: str, key: str) -> None:
    """Go by TAB to what reads so, and press a key there."""
    for _ in range(60):
        active = browser.driver.switch_to.active_element
        if active.text.startswith(words) and active.tag_name != "body":
            active.send_keys(key)
            return
        active.send_keys(Keys.TAB)
    raise AssertionError(f"{words!r} cannot be reached by the keyboard")


def test_a_mistake_is_shown_where_it_is_and_the_words_stay(
    real_school: School, enrollment: Enrollment, browser: Browser
) -> None:
    browser.set_width(360)
    browser.sign_in(real_school.bob)
    browser.open("/admin/attention")
    browser.click("The partner refused")
    browser.click("Mark completed")
    browser.driver.execute_script(
        "document.querySelectorAll('form').forEach(f => f.noValidate = true)"
    )
    browser.one("#id_complete-note").send_keys("Certificate seen")
    browser.one("details[open] textarea#id_complete-note").submit()
    browser.wait_for(lambda: "There is a problem" in browser.text)

    assert browser.one("#id_complete-note").get_attribute("value") == "Certificate seen"
    assert browser.driver.switch_to.active_element.get_attribute("role") == "alert"
    assert browser.find_faults() == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_list_is_leafed_through(real_school: School, browser: Browser, width: int) -> None:
    for number in range(30):
        real_school.learner("Pat", f"P{number:02}")
    browser.set_width(width)
    browser.sign_in(real_school.bob)
    browser.open("/admin/people")
    browser.click("Next")
    browser.wait_for(lambda: "Pat P29" in browser.text)
    faults = browser.find_faults()
    browser.click("Previous")
    browser.wait_for(lambda: "Pat P00" in browser.text)

    assert (faults, browser.find_faults()) == ([], [])


def test_search_without_a_reload(real_school: School, browser: Browser) -> None:
    real_school.learner("Ada", "Abel")
    browser.sign_in(real_school.bob)
    browser.open("/admin/people")
    browser.driver.execute_script("window.stays = true")
    browser.one("#hr-q").send_keys("ada")
    browser.wait_for(lambda: [e.text for e in browser.all("tbody th")] == ["Ada Abel"])

    assert browser.one("[role=status]").text == "1 found"
    assert browser.driver.execute_script("return window.stays")
    assert browser.path == "/admin/people?q=ada"
    assert browser.find_faults() == []


def test_search_after_the_session_is_over_leads_to_the_sign_in_and_back(
    real_school: School, browser: Browser
) -> None:
    real_school.learner("Ada", "Abel")
    browser.sign_in(real_school.bob)
    browser.open("/admin/people")
    browser.driver.delete_cookie("session")
    browser.one("#hr-q").send_keys("ada")
    browser.wait_for(lambda: browser.heading == "Sign in")

    assert browser.path == "/accounts/login/?next=/admin/people%3Fq%3Dada"


def test_a_decision_after_the_session_is_over_is_told_and_done_again(
    real_school: School, enrollment: Enrollment, browser: Browser
) -> None:
    browser.sign_in(real_school.bob)
    browser.open(f"/admin/enrollments/{enrollment.id}")
    browser.click("Withdraw")
    browser.one("#id_withdraw-reason").send_keys("moved away")
    browser.driver.delete_cookie("session")
    browser.click("Withdraw the enrollment")
    browser.wait_for(lambda: "What you sent was not saved" in browser.text)
    browser.one("#id_login").send_keys(real_school.bob.email)
    browser.one("#id_password").send_keys(PASSWORD)
    browser.one("main form button[type=submit]").click()
    browser.wait_for(lambda: browser.path == f"/admin/enrollments/{enrollment.id}")

    assert real_school.world.value("select status from enrollments") == "active"


def test_search_without_scripts(real_school: School, browser: Browser) -> None:
    real_school.learner("Ada", "Abel")
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.sign_in(real_school.bob)
        browser.open("/admin/people")
        browser.one("#hr-q").send_keys("ada", Keys.ENTER)
        browser.wait_for(lambda: [e.text for e in browser.all("tbody th")] == ["Ada Abel"])
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
