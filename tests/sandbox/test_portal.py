"""JRI's hosted portal: people sign up by themselves, the results are a file."""

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sandbox.partners import act, make_config, make_email
from tests.sandbox.process import Reply, Sandbox, Start
from tests.sandbox.test_pages import Page, get_cookie, open_page


def sign_up(sandbox: Sandbox, name: str, email: str, course: str = "JRI-WORK") -> Reply:
    return sandbox.post_form(f"/jri/portal/{course}", name=name, email=email)


def get_id(reply: Reply) -> str:
    assert reply.status == 303, reply.text
    return reply.headers["location"].rpartition("/")[2]


def read_results(text: str) -> list[tuple[str, ...]]:
    return [tuple(row) for row in csv.reader(io.StringIO(text))]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_person_signs_up_and_studies(sandbox: Sandbox) -> None:
    catalog = open_page(sandbox, "/jri/portal")
    assert catalog.links["The JRI-WORK"] == "/jri/portal/JRI-WORK"
    form = open_page(sandbox, "/jri/portal/JRI-WORK")
    assert (form.heading, form.fields, form.labels) == (
        "The JRI-WORK",
        ["name", "email"],
        ["name", "email"],
    )
    email = make_email("Ana")
    reply = sign_up(sandbox, "Ana María López", email)
    id, cookie = get_id(reply), get_cookie(reply)
    page = open_page(sandbox, f"/jri/learn/{id}", cookie)
    assert f"Person Ana María López E-mail {email}" in page.text
    sandbox.post_form(f"/jri/learn/{id}", cookie, action="complete")
    assert (email, "JRI-WORK") in {it[:2] for it in results_of(sandbox)}
    [entry] = sandbox.list_all("ledger", operation="sign_up", enrollment=id)
    assert (entry["course"], entry["outcome"]) == ("JRI-WORK", "created")


def results_of(sandbox: Sandbox) -> list[tuple[str, ...]]:
    reply = sandbox.send("GET", "/jri/results.csv")
    assert reply.headers["content-type"].startswith("text/csv")
    return read_results(reply.text)


def test_signing_up_again_goes_on_with_what_is_there(sandbox: Sandbox) -> None:
    email = make_email()
    first = get_id(sign_up(sandbox, "Alice", email))
    assert get_id(sign_up(sandbox, "Alice", email.upper())) == first
    other = get_id(sign_up(sandbox, "Alice", email, "JRI-WORK-2"))
    assert other != first
    act(sandbox, "jri", first, "complete")
    assert get_id(sign_up(sandbox, "Alice", email)) not in {first, other}


@pytest.mark.parametrize(
    ("name", "email", "words"),
    [
        ("", "alice@example.org", "name must not be empty."),
        ("Alice", "alice", "email is not an e-mail address."),
        ("x" * 201, "alice@example.org", "name must be a text of at most 200 characters."),
    ],
)
def test_a_wrong_form_says_what_to_mend_and_loses_nothing(
    sandbox: Sandbox, name: str, email: str, words: str
) -> None:
    reply = sign_up(sandbox, name, email)
    assert reply.status == 422
    assert Page(reply.text).roles["alert"] == words
    assert f'value="{email}"' in reply.text
    assert f'value="{name}"' in reply.text


def test_a_course_that_is_not_there(sandbox: Sandbox) -> None:
    open_page(sandbox, "/jri/portal/NOTHING", status=404)
    assert sign_up(sandbox, "Alice", "alice@example.org", "NOTHING").status == 404


def test_only_jri_has_a_portal(sandbox: Sandbox) -> None:
    open_page(sandbox, "/milady/portal", status=404)
    open_page(sandbox, "/milady/results.csv", status=404)


def test_the_results_file_is_kept_up_to_date(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "results" / "jri.csv"
    config = make_config({}, time_zone="America/Indiana/Indianapolis")
    config["partners"]["jri"]["results_file"] = str(path)
    config["partners"]["jri"]["study"] = {"seconds": 0.2, "messages": 1}
    sandbox = start(config)
    wait_for(path.exists)
    heading = ("email", "course", "completed_on")
    assert read_results(path.read_text()) == [heading]
    emails = [f"person{at}@example.org" for at in range(5)]
    ids = [get_id(sign_up(sandbox, "Person", email)) for email in emails]
    wait_for(lambda: len(read_results(path.read_text())) == 6)
    assert {it[0] for it in read_results(path.read_text())[1:]} == set(emails)

    act(sandbox, "jri", ids[0], "revoke")
    act(sandbox, "jri", ids[0], "complete", at="2026-05-29T02:00:00Z")  # 10 in the evening there
    line = (emails[0], "JRI-WORK", "2026-05-28")
    wait_for(lambda: line in read_results(path.read_text()))
    assert read_results(path.read_text()) == results_of(sandbox)
    assert [it.name for it in path.parent.iterdir()] == ["jri.csv"]

    sandbox.kill()
    path.unlink()
    sandbox.start()
    wait_for(lambda: path.exists() and len(read_results(path.read_text())) == 6)
