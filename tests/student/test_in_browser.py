"""The progress page in a real browser: width, content policy, keyboard, without scripts."""

import pytest
from selenium.webdriver.common.keys import Keys

from tests.cast import Barbering, School
from tests.factories import Enrollment
from tests.web import WIDTHS, Browser

LONG = "Donaudampfschifffahrtsgesellschaftskapitänsausbildungsordnung"


@pytest.fixture
def barbering(real_school: School) -> Barbering:
    return real_school.barbering()


@pytest.fixture
def enrollment(real_school: School, barbering: Barbering) -> Enrollment:
    world = real_school.world
    enrollment = world.enroll(real_school.lena_here, barbering.program)
    world.answer_calls()
    world.complete(enrollment, barbering.theory)
    world.report(
        "certificate.issued",
        real_school.lena_here,
        barbering.theory,
        certificate={
            "external_id": "1",
            "number": "N" * 40,
            "download_url": "https://milady.example/",
        },
    )
    real_school.change("partner_lms_courses", barbering.office.id, title=LONG)
    return enrollment


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_and_nothing_is_refused(
    real_school: School, enrollment: Enrollment, browser: Browser, width: int
) -> None:
    browser.set_width(width)
    browser.sign_in(real_school.lena)

    assert browser.heading == "My training"
    assert LONG in browser.text
    assert browser.find_faults() == []
    small = [
        each.text
        for each in browser.all("main button, main a.usa-button")
        if each.size["height"] < 24
    ]
    assert small == []


@pytest.mark.parametrize("width", WIDTHS)
def test_what_opens_fits_as_well(
    real_school: School,
    enrollment: Enrollment,
    barbering: Barbering,
    browser: Browser,
    width: int,
) -> None:
    real_school.world.complete(enrollment, barbering.readiness)
    real_school.world.on_step("choose_elective", enrollment, barbering.office)
    browser.set_width(width)
    browser.sign_in(real_school.lena)
    browser.click("Choose another instead")

    assert "Your place at" in browser.text
    assert browser.find_faults() == []


def test_one_that_was_withdrawn_fits_as_well(
    real_school: School, enrollment: Enrollment, browser: Browser
) -> None:
    real_school.world.call("withdraw_enrollment", enrollment.id, "moved away")
    browser.set_width(min(WIDTHS))
    browser.sign_in(real_school.lena)

    assert "You were withdrawn from this program." in browser.text
    assert browser.find_faults() == []


def test_an_elective_is_chosen_with_the_keyboard_alone(
    real_school: School, enrollment: Enrollment, browser: Browser
) -> None:
    browser.sign_in(real_school.lena)
    for _ in range(30):
        active = browser.driver.switch_to.active_element
        if active.text.startswith("Choose"):
            break
        active.send_keys(Keys.TAB)
    browser.driver.switch_to.active_element.send_keys(Keys.ENTER)
    browser.wait_for(lambda: "Your choice is saved." in browser.text)

    assert (
        real_school.world.value("select count(*) from enrollment_steps where chosen_at is not null")
        == 1
    )


def test_all_of_it_works_without_scripts(
    real_school: School, enrollment: Enrollment, browser: Browser
) -> None:
    browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.sign_in(real_school.lena)
        browser.click("Choose")
        browser.wait_for(lambda: "1 of 2 chosen" in browser.text)
        browser.click("Take back")
        browser.wait_for(lambda: "0 of 2 chosen" in browser.text)
    finally:
        browser.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
