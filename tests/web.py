"""A real `handrail web` process and a real browser, for tests of pages.

`site` is the process on the database of `database`; `browser` opens its pages; `school` has people
(tests/cast.py) whose passwords the in-process test client knows, `real_school` those whose passwords
the process knows.
"""

import contextlib
import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from pytest_django import DjangoDbBlocker
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from handrail.config.embedded_postgres import find_free_port
from tests.cast import PASSWORD, Person, School
from tests.databases import Database
from tests.factories import World
from tests.needs import require_program
from tests.scripted_partner import ScriptedPartner, run_scripted_partner

WIDTHS = (1280, 360)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the site answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


# WCAG 2.2, 2.5.8: 24 px; a link within a sentence may be lower, a box counts with its label.
_SMALL = """
const isWithinSentence = e => e.tagName == 'A' && getComputedStyle(e).display == 'inline' &&
  [...e.parentElement.childNodes].some(n => n.nodeType == 3 && n.textContent.trim().length > 3);
return [...document.querySelectorAll('a, button, summary, select, textarea, input:not([type=hidden])')]
  .filter(e => e.checkVisibility() && !e.matches('[type=checkbox], [type=radio], .usa-skipnav'))
  .map(e => [e, e.getBoundingClientRect()])
  .filter(([e, box]) => (box.height < 24 || box.width < 24) && !isWithinSentence(e))
  .map(([e, box]) => `${e.innerText || e.name}, ${box.width} by ${box.height} px`);
"""


class Visitor:
    """Somebody who asks the site without a browser, keeping cookies as one does."""

    def __init__(self, site: "Site") -> None:
        self._site = site
        self._cookies: dict[str, str] = {}

    def sign_in(self, person: Person) -> "Visitor":
        self.get("/accounts/login/")
        answer = self.post("/accounts/login/", login=person.email, password=PASSWORD)
        assert (answer.status, answer.headers["location"]) == (302, "/")
        return self

    def get(self, path: str) -> Answer:
        return self._ask("GET", path, None)

    def post(self, path: str, **form: str) -> Answer:
        """Send a form, with the token that stands in each of our forms."""
        if "csrf" not in self._cookies:
            self.get("/accounts/login/")
        return self._ask(
            "POST", path, urlencode({"csrfmiddlewaretoken": self._cookies["csrf"], **form})
        )

    def _ask(self, method: str, path: str, body: str | None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._site.port, timeout=30)
        headers = {"Host": f"localhost:{self._site.port}"}
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        with contextlib.closing(connection):
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            for name, morsel in SimpleCookie(
                "\n".join(response.headers.get_all("Set-Cookie", []))
            ).items():
                self._cookies[name] = morsel.value
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())


@dataclass(frozen=True, slots=True)
class Site:
    """The web process; it works on the database of the `database` fixture."""

    address: str
    port: int
    partner: ScriptedPartner
    """A partner that the process may call."""
    log: Path

    def read_log(self) -> str:
        """What the process has written since it started."""
        return self.log.read_text()

    def visit(self) -> Visitor:
        """Somebody new."""
        return Visitor(self)


@pytest.fixture(scope="session")
def site(
    servers: Any,
    django_db_blocker: DjangoDbBlocker,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    with django_db_blocker.unblock():
        server = servers.get(request.config.getoption("--pg"))
    port = find_free_port()
    log = tmp_path_factory.mktemp("web") / "log"
    with run_scripted_partner() as partner, log.open("w") as written:
        environment = server.environment("web") | {
            "HANDRAIL_BIND": f"127.0.0.1:{port}",
            "HANDRAIL_BASE_URL": f"http://localhost:{port}",
            "HANDRAIL_ALLOWED_PRIVATE_HOSTS": f"127.0.0.1:{partner.port}",
            "HANDRAIL_CALL_TIMEOUT_SECONDS": "3",
        }
        command = [sys.executable, "-m", "handrail.config.cli", "web"]
        with subprocess.Popen(command, env=environment, stderr=written) as process:
            site = Site(f"http://localhost:{port}", port, partner, log)
            try:
                _wait_until_up(site, process)
                yield site
            finally:
                process.terminate()
                process.wait(20)


def _wait_until_up(site: Site, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            site.visit().get("/healthz")
            return
        assert process.poll() is None, site.read_log()
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Browser:
    """Chromium; nobody is signed in when a test begins."""

    def __init__(self, driver: webdriver.Chrome, site: Site) -> None:
        self.driver = driver
        self.site = site
        self.width = 0

    def set_width(self, width: int) -> None:
        self.width = width
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def open(self, path: str) -> None:
        self.driver.get(self.site.address + path)

    def sign_in(self, person: Person) -> None:
        """Sign in by the page, as a person does."""
        self.open("/accounts/login/")
        self.one("#id_login").send_keys(person.email)
        self.one("#id_password").send_keys(PASSWORD)
        self.one("main form button[type=submit]").click()
        self.wait_for(lambda: "/accounts/login" not in self.path)

    @property
    def path(self) -> str:
        return str(self.driver.current_url).removeprefix(self.site.address)

    @property
    def heading(self) -> str:
        return self.one("h1").text

    @property
    def text(self) -> str:
        return self.one("main").text

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def click(self, words: str) -> None:
        """Click the first shown link, button or summary that reads so."""
        for element in self.all("main a, main button, main summary, header a, header button"):
            if element.is_displayed() and words in " ".join(element.text.split()):
                element.click()
                return
        raise AssertionError(f"{words!r} is not on {self.path}: {self.text}")

    def wait_for(self, condition: Any, *, seconds: float = 10) -> None:
        WebDriverWait(self.driver, seconds).until(lambda _: _ask_page(condition))

    def find_faults(self) -> list[str]:
        """What is wrong with the page that is open.

        It scrolls sideways, the policy refused something, or a finger does not hit something.
        """
        self.wait_for(
            lambda: self.driver.execute_script("return document.readyState") == "complete"
        )
        # window.innerWidth would not do: on a phone it grows with what does not fit.
        wide = self.driver.execute_script("return document.documentElement.scrollWidth")
        entries = [str(entry["message"]) for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]
        faults = [entry for entry in entries if "404 (Not Found)" not in entry]
        faults += [f"{self.path} is {wide} px wide on {self.width}"] if wide > self.width else []
        return faults + [f"too small: {each}" for each in self.driver.execute_script(_SMALL)]

    def forget(self) -> None:
        """Sign out of everything, and come back to one window."""
        first, *others = self.driver.window_handles
        for other in others:
            self.driver.switch_to.window(other)
            self.driver.close()
        self.driver.switch_to.window(first)
        self.driver.delete_all_cookies()
        self.driver.get("about:blank")
        self.driver.get_log("browser")  # type: ignore[no-untyped-call]


def _ask_page(condition: Any) -> Any:
    """What the condition says; no, as long as the page it asks is just being left."""
    try:
        return condition()
    except StaleElementReferenceException:
        return False
    except WebDriverException as error:
        # The same a moment earlier: chromedriver has no name for an element whose document is going.
        if "does not belong to the document" in (error.msg or ""):
            return False
        raise


@contextlib.contextmanager
def run_chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """A headless Chromium with a new profile in that folder, its console kept."""
    options = webdriver.ChromeOptions()
    options.binary_location = require_program("chromium")
    driver = require_program("chromedriver")
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


@pytest.fixture(scope="session")
def _driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    with run_chromium(tmp_path_factory.mktemp("chromium")) as chrome:
        yield chrome


@pytest.fixture
def browser(_driver: webdriver.Chrome, site: Site) -> Iterator[Browser]:
    browser = Browser(_driver, site)
    browser.set_width(1280)
    yield browser
    browser.forget()


@pytest.fixture
def _world(database: Database) -> Iterator[World]:
    world = World(database)
    yield world
    world.close()


@pytest.fixture
def school(_world: World, database: Database) -> School:
    database.use_django_as("web")
    return School(_world)


@pytest.fixture
def real_school(_world: World) -> School:
    return School(_world, production=True)
