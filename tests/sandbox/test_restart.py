"""kill -9 in the middle: nothing that was answered is lost, nothing happens twice."""

import http.client
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.sandbox.partners import (
    SLUGS,
    act,
    enroll,
    get_account,
    get_enrollment,
    make_config,
    open_account,
)
from tests.sandbox.process import Reply, Sandbox, Start
from tests.sandbox.receiver import Receiver


def test_study_and_webhooks_go_on_after_kill_9(start: Start, receiver: Receiver) -> None:
    config = make_config({slug: receiver.url(slug) for slug in SLUGS})
    for partner in config["partners"].values():
        partner["study"] = {"seconds": 3, "messages": 4}
    sandbox = start(config)
    ids = [get_enrollment(sandbox, slug) for slug in SLUGS for _ in range(5)]
    for _ in range(3):
        time.sleep(0.4)
        sandbox.kill()
        sandbox.start()
    sandbox.wait_idle(seconds=30)
    for id in ids:
        events = list(dict.fromkeys(it.body for it in receiver.of(id)))
        assert len(events) == 7, [it.event for it in receiver.of(id)]
    assert {it["status"] for it in sandbox.list_all("enrollments")} == {"completed"}


def test_what_was_answered_is_there_after_kill_9(start: Start, receiver: Receiver) -> None:
    sandbox = start(make_config({"milady": receiver.url("milady")}))
    accounts = [get_account(sandbox, "milady") for _ in range(30)]
    work = [(account, course) for account in accounts for course in ("MS-BARB", "MS-BARB-2")]
    answered: dict[tuple[str, str], str] = {}

    def ask(account: str, course: str) -> Reply:
        return enroll(sandbox, "milady", account, course=course, key=account + course)

    def try_it(one: tuple[str, str]) -> None:
        with suppress(http.client.HTTPException, ConnectionError):
            answered[one] = ask(*one).json["enrollmentId"]

    with ThreadPoolExecutor(4) as threads:
        tries = [threads.submit(try_it, one) for one in work]
        while not answered:
            time.sleep(0.001)
        sandbox.kill()
    for one in tries:
        one.result()
    sandbox.start()
    again = {one: ask(*one).json["enrollmentId"] for one in work}
    assert answered.items() <= again.items()
    assert len(answered) < len(work)
    sandbox.wait_idle()
    stored = {it["id"] for it in sandbox.list_all("enrollments")}
    assert stored == set(again.values())
    for id in stored:
        assert {it.event for it in receiver.of(id)} == {"enrollment.created"}


def test_a_webhook_cut_off_by_kill_9_is_sent_again_with_its_id(
    start: Start, receiver: Receiver
) -> None:
    sandbox = start(make_config({"milady": receiver.url("milady")}))
    receiver.delay_seconds = 5
    id = get_enrollment(sandbox, "milady")
    [first] = receiver.wait(id, 1)
    sandbox.kill()
    receiver.delay_seconds = 0
    sandbox.start()
    again = receiver.wait(id, 2)[1]
    assert (again.id, again.body) == (first.id, first.body)
    sandbox.wait_idle()


def test_what_waits_while_it_is_down_is_sent_later(start: Start, receiver: Receiver) -> None:
    sandbox = start(make_config({"milady": receiver.url("milady")}, retry_seconds=[30]))
    receiver.answers.append((503, {"Retry-After": "2"}))
    id = get_enrollment(sandbox, "milady")
    receiver.wait(id, 1)
    sandbox.control("POST", "pause", {"webhooks": True})
    act(sandbox, "milady", id, "complete")
    assert sandbox.stop() == (0, "")
    sandbox.start()
    assert sandbox.control("GET", "status")["paused"]["webhooks"] is True
    time.sleep(2)
    assert len(receiver.of(id)) == 1
    sandbox.control("POST", "resume")
    assert Counter(it.event for it in receiver.wait(id, 4)) == {
        "enrollment.created": 2,
        "course.completed": 1,
        "certificate.issued": 1,
    }


def test_ids_go_on_counting(start: Start) -> None:
    sandbox = start(make_config({}))
    before = get_account(sandbox, "hsi")
    sandbox.kill()
    sandbox.start()
    assert get_account(sandbox, "hsi") == f"HSI-A-{int(before.rpartition('-')[2]) + 1}"
    assert open_account(sandbox, "hsi", "new@example.org").status == 201


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, errors = process.communicate(timeout=20)
    assert out == ""
    return process.returncode, errors


def test_a_second_sandbox_on_the_same_state_is_refused(start: Start) -> None:
    sandbox = start(make_config({}))
    second = Sandbox(sandbox.folder, sandbox.config)
    words = f"sandbox: another sandbox is using {sandbox.state}: stop it first\n"
    assert end(second.popen()) == (2, words)
    assert open_account(sandbox, "hsi").status == 201


def test_a_port_in_use_is_said(start: Start, tmp_path: Path) -> None:
    sandbox = start(make_config({}))
    second = Sandbox(tmp_path, sandbox.config, port=sandbox.port)
    words = f"sandbox: port {sandbox.port} is in use: choose another with --port\n"
    assert end(second.popen()) == (2, words)


def test_a_state_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    refused = Sandbox(tmp_path, make_config({}))
    refused.options = ("--state", "/dev/null/x/sandbox.sqlite")
    words = "sandbox: /dev/null/x/sandbox.sqlite cannot be written: Not a directory\n"
    assert end(refused.popen()) == (2, words)


@pytest.mark.slow
def test_several_hundred_webhooks_a_second(start: Start, receiver: Receiver) -> None:
    config = make_config({slug: receiver.url(slug) for slug in SLUGS})
    sandbox = start(config)
    sandbox.control("POST", "pause", {"webhooks": True})
    for _ in range(300):
        get_enrollment(sandbox, "milady")
        get_enrollment(sandbox, "hsi")
    began = time.monotonic()
    sandbox.control("POST", "resume")
    sandbox.wait_idle(seconds=30)
    assert len(receiver.received) == 600
    assert 600 / (time.monotonic() - began) > 150  # with a receiver in Python on the same cores
