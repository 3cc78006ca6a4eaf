"""Simulated learners: pace, order, failures, and who is left alone."""

import time
from typing import Any

import pytest

from tests.sandbox.partners import (
    CONTRACTS,
    SLUGS,
    act,
    enroll,
    get_account,
    get_enrollment,
    make_config,
    read,
)
from tests.sandbox.process import Sandbox, Start, with_query
from tests.sandbox.receiver import Receiver


def configure(receiver: Receiver, study: dict[str, Any], **top: Any) -> dict[str, Any]:
    config = make_config({slug: receiver.url(slug) for slug in SLUGS}, **top)
    for partner in config["partners"].values():
        partner["study"] = study
    return config


@pytest.fixture
def quick(start: Start, receiver: Receiver) -> Sandbox:
    return start(configure(receiver, {"seconds": 0.5, "messages": 3}))


@pytest.mark.parametrize("slug", SLUGS)
def test_a_course_is_studied_to_its_end(quick: Sandbox, receiver: Receiver, slug: str) -> None:
    id = get_enrollment(quick, slug)
    story = receiver.wait(id, 6)
    assert [it.event for it in story] == [
        "enrollment.created",
        *["progress.updated"] * 3,
        "course.completed",
        "certificate.issued",
    ]
    percents = [it.json["data"]["percentage"] for it in story[1:4]]
    if slug == "certiport":
        assert percents == [12.5, 25, 50]
    else:
        assert percents == [25, 50, 75]
    times = [it.json["timestamp"] for it in story]
    assert times == sorted(times)
    assert read(quick, slug, id)["status"] == "completed"


def test_a_course_takes_its_seconds_whatever_its_hours(quick: Sandbox, receiver: Receiver) -> None:
    began = time.time()
    long = get_enrollment(quick, "milady", course="MS-BARB-2")  # 1,500 hours
    story = receiver.wait(long, 6)
    assert 0.35 <= story[-1].at - began <= 1.5
    assert story[1].json["data"]["totalLessons"] == 60


def test_a_screening_is_ordered_collected_and_reported(quick: Sandbox, receiver: Receiver) -> None:
    id = get_enrollment(quick, "nds", course="NDS-5PANEL")
    assert read(quick, "nds", id)["status"] == "ordered"
    receiver.wait(id, 1, event="progress.updated")
    assert read(quick, "nds", id)["status"] == "collected"
    [completed] = receiver.wait(id, 1, event="course.completed")
    assert completed.json["data"]["result"] == "negative"
    quick.wait_idle()
    assert receiver.of(id, event="certificate.issued") == []
    progress = read(quick, "nds", id)
    assert (progress["status"], progress["percentComplete"]) == ("completed", 100)
    assert "negative" not in str(progress)
    assert quick.ask("nds", "GET", f"/api/enrollments/{id}/certificate").status == 404


def test_an_instant_partner(start: Start, receiver: Receiver) -> None:
    sandbox = start(configure(receiver, {"seconds": 0, "messages": 2}))
    ids = [get_enrollment(sandbox, slug) for slug in SLUGS]
    for id in ids:
        events = [it.event for it in receiver.wait(id, 5, seconds=3)]
        assert events[-2:] == ["course.completed", "certificate.issued"]


def test_everybody_fails_when_all_shall(start: Start, receiver: Receiver) -> None:
    sandbox = start(configure(receiver, {"seconds": 0, "messages": 1, "failing": 1}))
    for slug in SLUGS:
        id = get_enrollment(sandbox, slug, course="NDS-5PANEL" if slug == "nds" else "")
        [failed] = receiver.wait(id, 1, event="course.failed")
        assert set(failed.json["data"]) - {"result"} == {"enrollmentId", "failedAt", "reason"}
        assert failed.json["data"].get("result") == ("positive" if slug == "nds" else None)
        assert "positive" not in failed.json["data"]["reason"]
        assert read(sandbox, slug, id)["status"] == "failed"


def test_about_the_chosen_share_fails_and_the_same_people_each_time(
    start: Start, receiver: Receiver
) -> None:
    outcomes = []
    for _ in range(2):
        sandbox = start(configure(receiver, {"seconds": 0, "messages": 0, "failing": 0.3}))
        for at in range(60):
            get_enrollment(sandbox, "milady", email=f"person{at}@example.org")
        sandbox.wait_idle()
        outcomes.append({it["email"]: it["status"] for it in sandbox.list_all("enrollments")})
    assert outcomes[0] == outcomes[1]
    failed = sum(status == "failed" for status in outcomes[0].values())
    assert 8 <= failed <= 30  # 18 of 60 expected


def test_a_failed_exam_makes_the_percentage_fall(
    sandbox: Sandbox, shared_receiver: Receiver
) -> None:
    id = get_enrollment(sandbox, "certiport")
    act(sandbox, "certiport", id, "progress", percent=100)
    assert shared_receiver.wait(id, 2)[1].json["data"] == {
        "enrollmentId": id,
        "percentage": 50,
        "lessonsCompleted": 4,
        "totalLessons": 4,
    }
    act(sandbox, "certiport", id, "fail")
    status = read(sandbox, "certiport", id)
    assert (status["examTaken"], status["passed"], status["score"] < 700) == (True, False, True)
    reason = shared_receiver.wait(id, 3)[2].json["data"]["reason"]
    assert reason == (
        f"The exam was not passed: {status['score']} of 1,000 points, 700 are needed."
    )
    act(sandbox, "certiport", id, "complete")
    status = read(sandbox, "certiport", id)
    assert (status["examTaken"], status["passed"], status["score"] >= 700) == (True, True, True)


def test_who_is_left_alone_does_not_study(start: Start, receiver: Receiver) -> None:
    alone = "Visitor@Example.org"
    study = {"seconds": 0, "messages": 1}
    sandbox = start(configure(receiver, study, leave_alone=[alone]))
    visitor = get_enrollment(sandbox, "milady", email=alone.lower())
    act(sandbox, "milady", visitor, "start")
    other = get_enrollment(sandbox, "milady")
    receiver.wait(other, 4)
    sandbox.wait_idle()
    assert [it.event for it in receiver.of(visitor)] == ["enrollment.created"]


def test_nobody_studies_until_told(sandbox: Sandbox, shared_receiver: Receiver) -> None:
    id = get_enrollment(sandbox, "hsi")
    sandbox.wait_idle()
    assert [it.event for it in shared_receiver.of(id)] == ["enrollment.created"]
    act(sandbox, "hsi", id, "start")
    assert read(sandbox, "hsi", id)["status"] == "in_progress"
    shared_receiver.wait(id, 7)
    assert read(sandbox, "hsi", id)["status"] == "completed"


def test_paused_people_do_not_study(start: Start, receiver: Receiver) -> None:
    sandbox = start(configure(receiver, {"seconds": 0, "messages": 1}))
    sandbox.control("POST", "pause", {"study": True})
    id = get_enrollment(sandbox, "milady")
    receiver.wait(id, 1)
    time.sleep(0.2)
    assert sandbox.control("GET", with_query("idle", seconds=0))["studying"] == 1
    assert len(receiver.of(id)) == 1
    sandbox.control("POST", "resume", {"study": True})
    receiver.wait(id, 4)


def test_who_has_left_studies_no_more(start: Start, receiver: Receiver) -> None:
    sandbox = start(configure(receiver, {"seconds": 1.5, "messages": 2}))
    account = get_account(sandbox, "milady")
    id = enroll(sandbox, "milady", account).json["enrollmentId"]
    receiver.wait(id, 2)
    assert sandbox.ask("milady", "DELETE", f"/api/v1/enrollments/{id}").status == 204
    sandbox.wait_idle(seconds=1)
    assert receiver.of(id)[-1].event == "enrollment.ended"


def test_a_faster_pace_after_a_new_start_is_taken_up(start: Start, receiver: Receiver) -> None:
    sandbox = start(configure(receiver, {"seconds": 90_000, "messages": 2}))
    id = get_enrollment(sandbox, "milady")
    receiver.wait(id, 1)
    sandbox.stop()
    sandbox.config = configure(receiver, {"seconds": 0.1, "messages": 2})
    sandbox.start()
    receiver.wait(id, 5)


@pytest.mark.parametrize(
    ("before", "action", "words"),
    [
        ("complete", "progress", "Not possible while it is completed; possible: active."),
        ("complete", "fail", "Not possible while it is completed; possible: active."),
        ("complete", "unenroll", "A completed course cannot be left."),
        ("start", "revoke", "Not possible while it is active; possible: completed."),
        ("start", "reopen", "Not possible while it is active; possible: failed, ended."),
        ("unenroll", "complete", "Not possible while it is ended; possible: active, failed."),
    ],
)
def test_what_the_state_does_not_allow_is_refused(
    sandbox: Sandbox, before: str, action: str, words: str
) -> None:
    id = get_enrollment(sandbox, "nrf")
    act(sandbox, "nrf", id, before)
    headers = {"Authorization": f"Bearer {sandbox.config['control_token']}"}
    path = f"/control/enrollments/nrf/{id}/{action}"
    reply = sandbox.send("POST", path, headers=headers)
    assert (reply.status, reply.json["message"]) == (409, words)


def test_a_revoked_completion_takes_its_certificate_back(sandbox: Sandbox) -> None:
    contract = CONTRACTS["careersafe"]
    id = get_enrollment(sandbox, "careersafe")
    path = f"{contract.enrollment_path}/{id}/certificate"
    numbers = set()
    for _ in range(2):
        act(sandbox, "careersafe", id, "complete")
        numbers.add(sandbox.ask("careersafe", "GET", path).json["cardNumber"])
        act(sandbox, "careersafe", id, "revoke")
        assert sandbox.ask("careersafe", "GET", path).status == 404
        assert read(sandbox, "careersafe", id)["status"] == "in_progress"
    assert len(numbers) == 2
