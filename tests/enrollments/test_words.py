"""What states mean to people, in plain words."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from handrail.enrollments.words import (
    Call,
    Change,
    Step,
    tell_cause,
    tell_change,
    tell_learner,
    tell_staff,
    tell_standing,
)

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
STEP = Step(
    id=UUID(int=1),
    enrollment_id=UUID(int=2),
    sequence_order=1,
    required=True,
    elective_choose=None,
    status="in_progress",
    attempt=1,
    chosen_at=None,
    progress=Decimal(0),
    started_at=NOW,
    completed_at=None,
    error_message="",
    failed_by=None,
    skip_reason=None,
    updated_at=NOW,
    course_title="Barber Theory",
    course_kind="course",
    course_link="",
    provider_id=UUID(int=3),
    provider_name="Milady",
    provider_mode="api",
    provider_link="",
    run_id=UUID(int=4),
    run_status="provisioning",
    run_external_id=None,
    run_access_url="",
    run_progress_at=None,
)
CALL = Call(kind="enroll", status="queued", held=False, attempts=0, calls=0, next_attempt_at=NOW)
CHANGE = Change(
    id=1,
    at=NOW,
    step_title="Barber Theory",
    attempt=1,
    from_status="pending",
    to_status="in_progress",
    cause_kind="timer",
    cause_id=None,
    actor_id=None,
    reason="",
    provider_name="Milady",
    title_before="",
)


def call(**values: Any) -> Call:
    return replace(CALL, **values)


def step(**values: Any) -> Step:
    return replace(STEP, **values)


LEARNERS = [
    (step(call=call()), "We are arranging your place at Milady."),
    (step(call=call(kind="create_account")), "We are setting up your account at Milady."),
    (
        step(call=call(kind="unenroll")),
        "We are ending your earlier enrollment at Milady; then the new one begins.",
    ),
    (
        step(call=call(status="failed", calls=1)),
        "The system of Milady is not answering; we try again by ourselves.",
    ),
    (
        step(call=call(status="sending", calls=3)),
        "The system of Milady is not answering; we try again by ourselves.",
    ),
    (step(call=call(held=True)), "We are arranging your place at Milady."),
    (step(), "We are arranging your place at Milady."),
    (step(run_status="active", run_external_id="e"), ""),
    (
        step(run_status="active", provider_mode="link"),
        "Ridgeline will give you the link to Milady. Ask there if you have none.",
    ),
    (step(run_status="active", provider_mode="link", course_link="https://x"), ""),
    (step(status="completed"), ""),
    (step(status="pending"), ""),
    (step(status="failed"), "Ridgeline will tell you how to go on."),
    (
        step(status="failed", error_message="40 of 70.", failed_by="webhook"),
        "Milady reports: 40 of 70. Ridgeline will tell you how to go on.",
    ),
    (
        step(status="failed", error_message="40 of 70", failed_by="reconciliation"),
        "Milady reports: 40 of 70. Ridgeline will tell you how to go on.",
    ),
    (
        step(status="failed", error_message="Did you come?", failed_by="person"),
        "Ridgeline says: Did you come? Ridgeline will tell you how to go on.",
    ),
    (
        step(status="failed", error_message="40 of 70", failed_by=None),
        "The reason given: 40 of 70. Ridgeline will tell you how to go on.",
    ),
    (
        step(
            status="failed", error_message="positive", failed_by="webhook", course_kind="screening"
        ),
        "Ridgeline will tell you how to go on.",
    ),
]


@pytest.mark.parametrize(("given", "words"), LEARNERS)
def test_to_the_one_who_learns(given: Step, words: str) -> None:
    assert tell_learner(given, organization="Ridgeline") == words


STAFF = [
    (None, "Has to choose an elective"),
    (step(status="failed", error_message="40 of 70"), "Failed: 40 of 70. Try again, or waive it"),
    (step(call=call()), "The call to Milady to enroll is on its way"),
    (
        step(call=call(kind="create_account", status="failed", calls=4)),
        "Milady does not answer the call to make the account; tried 4 times",
    ),
    (
        step(call=call(status="unknown")),
        "Milady did not say whether it could enroll; we look it up",
    ),
    (
        step(call=call(status="needs_person")),
        "The call to Milady to enroll needs a person: see the attention list",
    ),
    (
        step(call=call(held=True)),
        "The call to Milady waits while the enrollment is on hold",
    ),
    (step(run_status="active"), "Has not begun at Milady"),
    (
        step(run_status="active", run_progress_at=NOW),
        "Milady last reported progress on May 4",
    ),
    (
        step(run_status="active", provider_mode="link"),
        "Works at the partner's own site; mark the step when there is evidence",
    ),
    (
        step(run_status="needs_attention"),
        "Milady ended the enrollment or refused it: see the attention list",
    ),
    (step(run_status="requested"), "Waits for Milady"),
]


@pytest.mark.parametrize(("given", "words"), STAFF)
def test_to_staff(given: Step | None, words: str) -> None:
    assert tell_staff(given) == words


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "Barber Theory: not started → in progress"),
        (
            {"attempt": 2, "from_status": "failed"},
            "Barber Theory (attempt 2): failed → in progress",
        ),
        (
            {"step_title": "", "from_status": "pending", "to_status": "active"},
            "Enrollment: not started → active",
        ),
        ({"from_status": None}, "Barber Theory: in progress"),
        ({"from_status": "in_progress", "attempt": 2}, "Barber Theory (attempt 2)"),
    ],
)
def test_what_changed(values: dict[str, Any], words: str) -> None:
    assert tell_change(replace(CHANGE, **values)) == words


@pytest.mark.parametrize(
    ("values", "actor", "words"),
    [
        ({"cause_kind": "webhook"}, "", "Milady reported it"),
        ({"cause_kind": "webhook", "provider_name": ""}, "", "the partner reported it"),
        ({"cause_kind": "reconciliation"}, "", "found when we asked Milady"),
        ({"cause_kind": "file"}, "", "a results file of Milady"),
        ({"cause_kind": "import"}, "", "the imported roster"),
        ({"cause_kind": "approval"}, "Bob", "approved by Bob"),
        ({"cause_kind": "timer"}, "", "its time had come"),
        (
            {"cause_kind": "timer", "reason": "the start date has come"},
            "",
            "the start date has come",
        ),
        ({"cause_kind": "step", "title_before": "Safety"}, "", "Safety was completed"),
        ({"cause_kind": "person", "reason": "asked"}, "Bob", "Bob: asked"),
        (
            {"cause_kind": "person", "reason": "tested_out: exam 12"},
            "Bob",
            "Bob: Tested out: exam 12",
        ),
        ({"cause_kind": "person"}, "", "the service"),
        (
            {"cause_kind": "step", "title_before": "Safety", "reason": "not chosen"},
            "",
            "Safety was completed: enough other electives are done",
        ),
        ({"cause_kind": "equivalent"}, "", "the same course counts from another enrollment"),
    ],
)
def test_who_or_what_changed_it(values: dict[str, Any], actor: str, words: str) -> None:
    assert tell_cause(replace(CHANGE, **values), actor=actor) == words


@pytest.mark.parametrize(
    ("status", "later", "words"),
    [
        ("pending", False, "Your enrollment waits until Ridgeline has approved it."),
        ("active", True, "Your program begins on March 1, 2099."),
        ("active", False, ""),
        ("suspended", False, "Your enrollment is on hold. Ask Ridgeline if you do not know why."),
        ("completed", False, ""),
        ("withdrawn", False, "You were withdrawn from this program. Questions? Ask Ridgeline."),
        ("withdrawn", True, "You were withdrawn from this program. Questions? Ask Ridgeline."),
        ("transferred", False, "You were transferred to another program."),
    ],
)
def test_what_it_waits_for_or_why_it_ended(status: str, later: bool, words: str) -> None:  # noqa: FBT001
    told = tell_standing(
        status, start_date=date(2099, 3, 1), starts_later=later, organization="Ridgeline"
    )
    assert told == words
