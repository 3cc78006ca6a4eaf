"""What the state of a step means to people, in plain words: for the one who learns, and for staff."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

from django.utils import timezone

CallStatus = Literal["queued", "sending", "failed", "unknown", "needs_person"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The call to a partner that a run waits for."""

    kind: Literal["create_account", "enroll", "unenroll"]
    status: CallStatus
    held: bool
    attempts: int
    """Answers so far; an outage does not count."""
    calls: int
    next_attempt_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step of a person with what its page needs: course, partner, run at the partner, call."""

    id: UUID
    enrollment_id: UUID
    sequence_order: int
    required: bool
    elective_choose: int | None
    status: Literal["pending", "in_progress", "completed", "failed", "skipped"]
    attempt: int
    chosen_at: datetime | None
    progress: Decimal
    """Percent, 0 to 100."""
    started_at: datetime | None
    completed_at: datetime | None
    error_message: str
    failed_by: str | None
    """Cause of the failure, where its words are those of the run: webhook, ..., person."""
    skip_reason: str | None
    updated_at: datetime
    course_title: str
    course_kind: Literal["course", "exam", "screening", "orientation"]
    course_link: str
    provider_id: UUID
    provider_name: str
    provider_mode: Literal["api", "link", "hybrid"]
    provider_link: str
    run_id: UUID | None
    run_status: str | None
    run_external_id: str | None
    run_access_url: str | None
    run_progress_at: datetime | None
    call: Call | None = None

    @property
    def by_link(self) -> bool:
        """Whether the partner is reached by a link, without calls of ours."""
        return self.provider_mode == "link"

    @property
    def link(self) -> str:
        """The address that opens the course in link mode; empty where none is known."""
        return self.course_link or self.provider_link

    @property
    def is_ready(self) -> bool:
        """Whether the course can be opened at the partner now."""
        if self.status != "in_progress" or self.run_status != "active":
            return False
        return bool(self.link) if self.by_link else self.run_external_id is not None

    @property
    def needs_person(self) -> bool:
        """Whether the step waits for somebody to settle an entry of the attention list."""
        if self.status != "in_progress":
            return False
        by_call = self.call is not None and self.call.status == "needs_person"
        return self.run_status == "needs_attention" or by_call


WAIVERS: Final = {
    "tested_out": "Tested out",
    "equivalent_course": "Equivalent course",
    "outside_experience": "Outside experience",
    "administrative": "Administrative",
}
# What a message of a partner says, by the kinds that adapters translate to.
MESSAGE_KINDS: Final = {
    "enrollment.created": "Enrolled",
    "progress.updated": "Progress",
    "course.completed": "Completed",
    "course.failed": "Failed",
    "certificate.issued": "Certificate",
    "enrollment.ended": "Enrollment ended",
    "completion.revoked": "Completion taken back",
}
STATUS_WORDS: Final = {
    "pending": "not started",
    "active": "active",
    "in_progress": "in progress",
    "completed": "completed",
    "failed": "failed",
    "skipped": "not required",
    "suspended": "on hold",
    "withdrawn": "withdrawn",
    "transferred": "transferred",
}


def tell_learner(step: Step, *, organization: str) -> str:
    """Say why a step in progress cannot be begun yet, or how it ended; "" when all is well."""
    if step.status == "failed":
        return _tell_failure(step, organization)
    if step.status != "in_progress" or step.is_ready:
        return ""
    partner = step.provider_name
    if step.run_status == "active":
        return f"{organization} will give you the link to {partner}. Ask there if you have none."
    if step.needs_person:
        return f"{organization} is settling something with {partner} for you. You need not do anything."
    if step.call is None or step.call.held:
        return f"We are arranging your place at {partner}."
    return _tell_call(step.call, partner)


def _tell_call(call: Call, partner: str) -> str:
    if call.status == "unknown":
        return f"We are asking {partner} whether your place is ready. You need not do anything."
    if call.status == "failed" or call.calls > 1:
        return f"The system of {partner} is not answering; we try again by ourselves."
    if call.kind == "create_account":
        return f"We are setting up your account at {partner}."
    if call.kind == "unenroll":
        return f"We are ending your earlier enrollment at {partner}; then the new one begins."
    return f"We are arranging your place at {partner}."


def _tell_failure(step: Step, organization: str) -> str:
    # How a screening ended is nobody's business on a screen that others may see.
    reason = "" if step.course_kind == "screening" else step.error_message.strip()
    if reason:
        stop = "" if reason[-1] in ".!?" else "."
        reason = f"{_name_teller(step, organization)}: {reason}{stop} "
    return f"{reason}{organization} will tell you how to go on."


def _name_teller(step: Step, organization: str) -> str:
    match step.failed_by:
        case None:  # a newer report says something else
            return "The reason given"
        case "person":
            return f"{organization} says"
    return f"{step.provider_name} reports"


def tell_staff(step: Step | None) -> str:
    """Say why a step does not move. None: the person has an elective to choose."""
    if step is None:
        return "Has to choose an elective"
    if step.status == "failed":
        reason = f": {step.error_message.rstrip('. ')}" if step.error_message else ""
        return f"Failed{reason}. Try again, or waive it"
    if step.call is not None and step.run_status != "active":
        return _tell_staff_call(step.call, step.provider_name)
    return _tell_staff_run(step, step.provider_name)


def _tell_staff_run(step: Step, partner: str) -> str:
    if step.run_status == "needs_attention":
        return f"{partner} ended the enrollment or refused it: see the attention list"
    if step.run_status != "active":
        return f"Waits for {partner}"
    if step.by_link:
        return "Works at the partner's own site; mark the step when there is evidence"
    if step.run_progress_at is None:
        return f"Has not begun at {partner}"
    day = timezone.localtime(step.run_progress_at)
    return f"{partner} last reported progress on {day:%B} {day.day}"


def _tell_staff_call(call: Call, partner: str) -> str:
    what = {
        "create_account": "make the account",
        "enroll": "enroll",
        "unenroll": "end the earlier enrollment",
    }[call.kind]
    if call.held:
        return f"The call to {partner} waits while the enrollment is on hold"
    match call.status:
        case "needs_person":
            return f"The call to {partner} to {what} needs a person: see the attention list"
        case "unknown":
            return f"{partner} did not say whether it could {what}; we look it up"
        case "failed":
            return f"{partner} does not answer the call to {what}; tried {call.calls} times"
    return f"The call to {partner} to {what} is on its way"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A row of the history, with the names of what it speaks of."""

    id: int
    at: datetime
    step_title: str
    """Empty for a change of the enrollment itself."""
    attempt: int | None
    from_status: str | None
    to_status: str
    cause_kind: str
    cause_id: UUID | None
    actor_id: UUID | None
    reason: str
    provider_name: str
    title_before: str
    """The step whose completion is the cause."""


def tell_change(change: Change) -> str:
    """Say what changed: "Shampooing: in progress → completed"."""
    subject = change.step_title or "Enrollment"
    attempt = f" (attempt {change.attempt})" if (change.attempt or 1) > 1 else ""
    if change.from_status == change.to_status:
        return f"{subject}{attempt}"
    before = STATUS_WORDS.get(change.from_status or "", "")
    after = STATUS_WORDS.get(change.to_status, change.to_status)
    return f"{subject}{attempt}: {before} → {after}" if before else f"{subject}{attempt}: {after}"


def tell_cause(change: Change, *, actor: str) -> str:
    """Say who or what changed it; `actor` is the name of the person, "" where there is none."""
    partner = change.provider_name or "the partner"
    words = {
        "webhook": f"{partner} reported it",
        "reconciliation": f"found when we asked {partner}",
        "file": f"a results file of {partner}",
        "import": "the imported roster",
        "approval": "approved",
        "payment": "a payment",
        "timer": "" if change.reason else "its time had come",
        "step": f"{change.title_before or 'the step before'} was completed",
        "person": actor or "the service",
        "equivalent": "the same course counts from another enrollment",
    }[change.cause_kind]
    if change.cause_kind in ("approval", "import") and actor:
        words = f"{words} by {actor}"
    reason = _WAIVER_REASONS.get(change.reason, change.reason)
    for code, name in WAIVERS.items():
        if reason.startswith(f"{code}: "):
            reason = f"{name}: {reason.removeprefix(f'{code}: ')}"
    return ": ".join(dict.fromkeys(each for each in (words, reason) if each))


_WAIVER_REASONS: Final = {"not chosen": "enough other electives are done"}


def tell_standing(status: str, *, start_date: date, starts_later: bool, organization: str) -> str:
    """Say what an enrollment waits for or why it ended early; "" when it is under way or done."""
    if status == "pending":
        return f"Your enrollment waits until {organization} has approved it."
    if status == "suspended":
        return f"Your enrollment is on hold. Ask {organization} if you do not know why."
    if status == "active" and starts_later:
        return f"Your program begins on {start_date:%B} {start_date.day}, {start_date.year}."
    if status == "withdrawn":
        return f"You were withdrawn from this program. Questions? Ask {organization}."
    if status == "transferred":
        return "You were transferred to another program."
    return ""
