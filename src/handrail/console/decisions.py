"""What staff can decide: the form of each decision, the action it calls, and when it is offered."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest

from handrail.console.forms import (
    AccountIdForm,
    CompletedForm,
    EnrollmentIdForm,
    FailedForm,
    KnownForm,
    NameForm,
    NoteForm,
    NothingForm,
    ReasonForm,
    RightAccountIdForm,
    RightEnrollmentIdForm,
    WaiverForm,
)
from handrail.core.actions import NotAllowed, NotFound, Refused
from handrail.credentials.actions import correct_name, reissue, render_again
from handrail.enrollments import actions
from handrail.enrollments.queries.detail import EnrollmentDetail
from handrail.enrollments.queries.steps import EnteredIds
from handrail.enrollments.words import Step
from handrail.inbox.actions import dismiss_conflict, ignore_events, replay_events
from handrail.people.access import get_facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One thing that can be done; its form's fields are the keyword arguments of its action."""

    title: str
    hint: str
    button: str
    done: str
    """Told afterwards."""
    form: type[forms.Form]
    run: Callable[..., None]
    for_admins: bool = False


STEP_DECISIONS: Final[Mapping[str, Decision]] = {
    "complete": Decision(
        title="Mark completed",
        hint="When you have seen that the course is done and no message of the partner says so.",
        button="Mark completed",
        done="The step is marked completed.",
        form=CompletedForm,
        run=actions.complete_step,
    ),
    "fail": Decision(
        title="Mark failed",
        hint="When you have seen that the course ended without success. It can be tried again later.",
        button="Mark failed",
        done="The step is marked failed.",
        form=FailedForm,
        run=actions.fail_step,
    ),
    "retry": Decision(
        title="Try again",
        hint="A new attempt begins: the partner is asked for a new enrollment.",
        button="Begin a new attempt",
        done="A new attempt has begun.",
        form=ReasonForm,
        run=actions.retry_step,
    ),
    "skip": Decision(
        title="Waive",
        hint="The step is not required of this person. What the partner was asked for is canceled.",
        button="Waive the step",
        done="The step is waived.",
        form=WaiverForm,
        run=actions.skip_step,
    ),
    "reopen": Decision(
        title="Open again",
        hint="A new attempt begins. If the program was completed, its certificate is revoked.",
        button="Open the step again",
        done="The step is open again.",
        form=ReasonForm,
        run=actions.reopen_step,
        for_admins=True,
    ),
    "choose": Decision(
        title="Choose this elective",
        hint="For somebody who told you; people can also choose by themselves.",
        button="Choose",
        done="The elective is chosen.",
        form=NothingForm,
        run=actions.choose_elective,
    ),
    "take-back": Decision(
        title="Take the choice back",
        hint="Another elective can then be chosen. What the partner was asked for is canceled.",
        button="Take back",
        done="The choice is taken back.",
        form=NothingForm,
        run=actions.unchoose_elective,
    ),
}
_corrected = "The id is corrected."
ID_DECISIONS: Final[Mapping[str, Decision]] = {
    "correct-id": Decision(
        title="Correct the enrollment id",
        hint="A person entered it. A new attempt begins under the right one; what was reported under "
        "the wrong one counts for this person no more. An administrator does it where a step was "
        "completed by that.",
        button="Correct the id",
        done=_corrected,
        form=RightEnrollmentIdForm,
        run=actions.correct_partner_id,
    ),
    "correct-account": Decision(
        title="Correct the account id",
        hint="A person entered it. What was begun under the wrong account is left at the partner, and "
        "begins anew under the right one.",
        button="Correct the id",
        done=_corrected,
        form=RightAccountIdForm,
        run=actions.correct_account_id,
    ),
}
ENROLLMENT_DECISIONS: Final[Mapping[str, Decision]] = {
    "approve": Decision(
        title="Approve",
        hint="The enrollment becomes active once nothing else is missing; then its first step starts.",
        button="Approve the enrollment",
        done="The enrollment is approved.",
        form=NothingForm,
        run=actions.approve_enrollment,
    ),
    "suspend": Decision(
        title="Put on hold",
        hint="Nothing new starts; nothing is canceled at partners, and what they report is kept.",
        button="Put on hold",
        done="The enrollment is on hold.",
        form=ReasonForm,
        run=actions.suspend_enrollment,
    ),
    "resume": Decision(
        title="Go on",
        hint="What partners reported meanwhile counts now, and what is due starts.",
        button="Go on",
        done="The enrollment is active again.",
        form=ReasonForm,
        run=actions.resume_enrollment,
    ),
    "withdraw": Decision(
        title="Withdraw",
        hint="The enrollment ends. Courses that no other program of this person needs are canceled. "
        "Only an administrator can undo this.",
        button="Withdraw the enrollment",
        done="The enrollment is withdrawn.",
        form=ReasonForm,
        run=actions.withdraw_enrollment,
    ),
    "undo": Decision(
        title="Undo the withdrawal",
        hint="The enrollment goes on where it was; courses that were canceled begin anew.",
        button="Undo the withdrawal",
        done="The withdrawal is undone.",
        form=ReasonForm,
        run=actions.undo_withdrawal,
        for_admins=True,
    ),
    "correct-name": Decision(
        title="Correct the name",
        hint="As it should stand on lists and on the certificate. A certificate of this enrollment that "
        "says another name is revoked, and a new one is issued. Partners are not told.",
        button="Correct the name",
        done="The name is corrected.",
        form=NameForm,
        run=correct_name,
    ),
    "reissue": Decision(
        title="Issue the certificate anew",
        hint="With the name, the titles and the dates as they are known now. The old certificate is "
        "revoked; who opens its address is told that there is a newer one.",
        button="Issue it anew",
        done="The certificate is issued anew.",
        form=ReasonForm,
        run=reissue,
    ),
}
_retry = Decision(
    title="Try again",
    hint="When what stood in the way is mended and the partner shows nothing: the call is made anew.",
    button="Try again",
    done="The call is made again.",
    form=NoteForm,
    run=lambda intent, note: actions.retry_call(intent, look_up=False, note=note),
)
CALL_DECISIONS: Final[Mapping[str, Decision]] = {
    "try_again": _retry,
    "look_up": Decision(
        title="Look up again",
        hint="The partner is asked whether it was done; only if not, the call is made again.",
        button="Look up again",
        done="The partner is asked again.",
        form=NoteForm,
        run=lambda intent, note: actions.retry_call(intent, look_up=True, note=note),
    ),
    "enter_id": Decision(
        title="Enter the partner's id",
        hint="When the partner's own page shows this person in the course.",
        button="Take over this id",
        done="The id is taken over.",
        form=EnrollmentIdForm,
        run=actions.enter_partner_id,
    ),
    "continue": Decision(
        title="Go on with the old enrollment",
        hint="The partner allows one enrollment. Only what it reports from now on counts.",
        button="Go on with the old enrollment",
        done="The step goes on with the old enrollment.",
        form=NoteForm,
        run=actions.continue_old_run,
    ),
}
ENTER_ACCOUNT_ID: Final = replace(
    CALL_DECISIONS["enter_id"],
    hint="When the partner's own page shows that this person has an account.",
    form=AccountIdForm,
)
PROVIDER_DECISIONS: Final[Mapping[str, Decision]] = {
    "try_all": Decision(
        title="Try all of them again",
        hint="When it is mended, here or at the partner: every call that waits is made again.",
        button="Try all of them again",
        done="The calls are made again.",
        form=NoteForm,
        run=actions.retry_provider_calls,
    )
}
ITEM_DECISIONS: Final[Mapping[str, Decision]] = {
    "dismiss": Decision(
        title="Take off the list",
        hint="When it is known and nothing is left to do here.",
        button="Take off the list",
        done="The entry is off the list.",
        form=KnownForm,
        run=actions.dismiss_attention,
    )
}
EVENT_DECISIONS: Final[Mapping[str, Decision]] = {
    "replay": Decision(
        title="Apply once more",
        hint="When what stood in its way is mended: the message is looked at again.",
        button="Apply once more",
        done="The message is looked at again.",
        form=ReasonForm,
        run=lambda event, reason: replay_events([event], reason=reason),
    ),
    "ignore": Decision(
        title="Leave it",
        hint="The message changes nothing. It is kept, and can be applied later.",
        button="Leave it",
        done="The message is ignored.",
        form=ReasonForm,
        run=lambda event, reason: ignore_events([event], reason=reason),
    ),
}
OTHER_DECISIONS: Final[Mapping[str, Decision]] = {
    "render": Decision(
        title="Make the PDF again",
        hint="When the text is corrected or the font is there.",
        button="Make the PDF again",
        done="The PDF is being made.",
        form=NothingForm,
        run=render_again,
    ),
    "dismiss_conflict": Decision(
        title="Take off the list",
        hint="The first message counts, this one does not. Ask the partner why it sent two.",
        button="Take off the list",
        done="The entry is off the list.",
        form=ReasonForm,
        run=dismiss_conflict,
    ),
}


@dataclass(slots=True)
class Offer:
    """A decision that is possible now, and on what it acts."""

    name: str
    decision: Decision
    target: UUID
    form: forms.Form


def offer(name: str, decision: Decision, target: UUID, **initial: str) -> Offer:
    """Offer a decision with an empty form; names keep the fields of several forms apart."""
    return Offer(name, decision, target, decision.form(prefix=name, initial=initial))


def list_step_offers(step: Step, enrollment_status: str) -> list[Offer]:
    """Return what can be done with a step in its state."""
    return [offer(n, STEP_DECISIONS[n], step.id) for n in _name_step(step, enrollment_status)]


def list_id_offers(entered: EnteredIds) -> list[Offer]:
    """Return what can be done about ids of the partner that a person entered."""
    offers = []
    if entered.enrollment and entered.run_id:
        offers.append(offer("correct-id", ID_DECISIONS["correct-id"], entered.run_id))
    if entered.account and entered.account_id:
        offers.append(offer("correct-account", ID_DECISIONS["correct-account"], entered.account_id))
    return offers


def _name_step(step: Step, enrollment_status: str) -> Iterable[str]:
    live = enrollment_status in ("pending", "active", "suspended")
    if step.status == "failed" and enrollment_status == "active":
        yield "retry"
    if step.status in ("in_progress", "failed") and live:
        yield "complete"
    if step.status == "in_progress" and live:
        yield "fail"
    if not step.required and live:
        if step.status == "pending" and step.chosen_at is None:
            yield "choose"
        elif step.status in ("pending", "in_progress", "failed"):
            yield "take-back"
    if step.status in ("pending", "in_progress", "failed") and live:
        yield "skip"
    finished = step.status == "completed" or (
        step.status == "skipped" and step.skip_reason != "not_chosen"
    )
    if finished and enrollment_status in ("active", "completed"):
        yield "reopen"


def list_enrollment_offers(enrollment: EnrollmentDetail) -> list[Offer]:
    """Return what can be done with an enrollment in its state."""
    names = {
        "pending": ["approve", "withdraw"] if enrollment.open_requirements else ["withdraw"],
        "active": ["suspend", "withdraw"],
        "suspended": ["resume", "withdraw"],
        "withdrawn": ["undo"],
        "completed": ["reissue"],
    }.get(enrollment.status, [])
    return [offer_enrollment(name, enrollment) for name in [*names, "correct-name"]]


def offer_enrollment(name: str, enrollment: EnrollmentDetail) -> Offer:
    """Offer a decision about an enrollment; the name stands in its form."""
    known = {"first_name": enrollment.first_name, "last_name": enrollment.last_name}
    initial = known if name == "correct-name" else {}
    return offer(name, ENROLLMENT_DECISIONS[name], enrollment.id, **initial)


def keep_allowed(request: HttpRequest, offers: Iterable[Offer]) -> list[Offer]:
    """Leave out what only administrators may do, where the person is none."""
    is_admin = get_facts(request).identity.is_admin
    return [each for each in offers if is_admin or not each.decision.for_admins]


def decide(request: HttpRequest, offers: Iterable[Offer], name: str) -> bool:
    """Carry out the decision `name` of those possible now, with what was sent.

    Returns whether it is settled: done, or not possible any more (a message says so). Otherwise
    the offer's form holds what is wrong, and everything that was entered.

    Raises:
        PermissionDenied: only administrators may.
        Http404: what it acts on is gone or not this person's.
    """
    found = next((each for each in offers if each.name == name), None)
    if found is None:
        words = "That is not possible any more. This is how it stands now."
        messages.error(request, words)
        return True
    if found.decision.for_admins and not get_facts(request).identity.is_admin:
        raise PermissionDenied
    found.form = found.decision.form(request.POST, prefix=name)
    if not found.form.is_valid():
        return False
    return _run(request, found, found.form.cleaned_data)


def _run(request: HttpRequest, found: Offer, values: dict[str, Any]) -> bool:
    try:
        found.decision.run(found.target, **values)
    except Refused as error:
        found.form.add_error(None, error.words)
        return False
    except NotAllowed:
        raise PermissionDenied from None
    except NotFound:
        raise Http404 from None
    messages.success(request, found.decision.done)
    return True
