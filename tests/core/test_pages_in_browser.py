"""What only a browser can tell: width, keyboard, and whether the content policy stops anything."""

from collections.abc import Iterator
from socketserver import ThreadingMixIn
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.databases import Database
from tests.web import run_chromium

# Pages for those who are not signed in.
PAGES = ("/accounts/login/", "/accounts/signup/", "/accounts/password/reset/", "/no/such/page")


class Server(ThreadingMixIn, WSGIServer):
    """A browser keeps spare connections open; one thread would wait for them."""

    daemon_threads = True


class Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it has there
        pass


@pytest.fixture
def address(database: Database) -> Iterator[str]:
    database.use_django_as("web")
    application = StaticFilesHandler(get_wsgi_application())
    with make_server("127.0.0.1", 0, application, Server, Silent) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with run_chromium(tmp_path_factory.mktemp("chromium")) as chrome:
        yield chrome


def open_page(browser: webdriver.Chrome, url: str, *, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(url)


def read_console(browser: webdriver.Chrome) -> list[str]:
    entries = [str(entry["message"]) for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]
    return [entry for entry in entries if "404 (Not Found)" not in entry]


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("path", PAGES)
def test_page_fits_and_nothing_is_refused(
    browser: webdriver.Chrome, address: str, path: str, width: int
) -> None:
    open_page(browser, address + path, width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    assert browser.execute_script("return typeof htmx") == "object"
    assert read_console(browser) == []


def test_whole_sign_in_works_by_keyboard(browser: webdriver.Chrome, address: str) -> None:
    open_page(browser, f"{address}/accounts/login/", width=360)
    reached = []
    for _ in range(10):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        element = browser.switch_to.active_element
        reached.append(element.get_attribute("name") or element.get_property("textContent"))
        outline = element.value_of_css_property("outline-style")
        assert outline != "none" or element.get_attribute("name") == "remember"
    assert [str(name).strip() for name in reached] == [
        "Skip to main content",
        "Handrail",
        "Sign in",
        "login",
        "password",
        "Show password",
        "Forgot your password?",
        "remember",
        "Sign in",
        "Sign in with a passkey",
    ]


def test_skip_link_leads_past_the_header(browser: webdriver.Chrome, address: str) -> None:
    open_page(browser, f"{address}/accounts/login/", width=1280)
    browser.switch_to.active_element.send_keys(Keys.TAB)
    browser.switch_to.active_element.send_keys(Keys.ENTER, Keys.TAB)
    assert browser.switch_to.active_element.get_attribute("name") == "login"


def test_password_can_be_shown(browser: webdriver.Chrome, address: str) -> None:
    open_page(browser, f"{address}/accounts/login/", width=360)
    browser.find_element(By.CSS_SELECTOR, ".usa-show-password").click()
    assert browser.find_element(By.ID, "id_password").get_attribute("type") == "text"


def test_failed_passkey_is_told_on_the_page(browser: webdriver.Chrome, address: str) -> None:
    open_page(browser, f"{address}/accounts/login/", width=360)
    alert = browser.find_element(By.ID, "passkey-failed")
    assert not alert.is_displayed()
    browser.execute_script(
        "document.dispatchEvent(new CustomEvent('allauth.error', {cancelable: true}))"
    )
    assert alert.text == (
        "That did not work, or you stopped it. Try again, or choose another way to sign in."
    )


def test_without_javascript_nothing_dead_is_shown(browser: webdriver.Chrome, address: str) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        open_page(browser, f"{address}/accounts/login/", width=360)
        shown = [b.text for b in browser.find_elements(By.TAG_NAME, "button") if b.is_displayed()]
        assert shown == ["Sign in"]
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_targets_are_large_enough_for_a_thumb(browser: webdriver.Chrome, address: str) -> None:
    # WCAG 2.2, 2.5.8: 24 px; boxes to check count with their labels.
    open_page(browser, f"{address}/accounts/login/", width=360)
    small = [
        element.get_attribute("outerHTML")
        for element in browser.find_elements(
            By.CSS_SELECTOR, "a, button, input:not([type=checkbox])"
        )
        if element.is_displayed() and element.size["height"] < 24
    ]
    assert small == []
