"""What people do with enrollments: each action is one function of the step machine.

They run in the caller's transaction as its identity; the machine checks who may, locks, writes the
history with the person's name, and goes on. An action that is refused changes nothing and leaves
the transaction usable.
"""

from datetime import date
from uuid import UUID

from handrail.core.actions import run_action

# Electives: by the student or by staff.


def choose_elective(step_id: UUID) -> None:
    """Take an elective; it starts when its stage does."""
    run_action("choose_elective(%s)", step_id)


def unchoose_elective(step_id: UUID) -> None:
    """Take a choice back, until it is completed; the partner is told."""
    run_action("unchoose_elective(%s)", step_id)


# Steps: by staff.


def complete_step(step_id: UUID, *, completed_on: date, note: str) -> None:
    """Mark a step completed on a day of the organization's zone; `note` names the evidence."""
    run_action("complete_step(%s, %s, %s)", step_id, completed_on, note)


def fail_step(step_id: UUID, *, failed_on: date, note: str) -> None:
    """Mark a step failed on a day of the organization's zone; `note` names the evidence."""
    run_action("fail_step(%s, %s, %s)", step_id, failed_on, note)


def retry_step(step_id: UUID, *, reason: str) -> None:
    """Begin a new attempt at a failed step."""
    run_action("retry_step(%s, %s)", step_id, reason)


def skip_step(step_id: UUID, *, waiver: str, reason: str) -> None:
    """Waive a step: tested_out, equivalent_course, outside_experience or administrative."""
    run_action("skip_step(%s, %s, %s)", step_id, waiver, reason)


def reopen_step(step_id: UUID, *, reason: str) -> None:
    """Open a finished step again, by an administrator; a credential of the enrollment is revoked."""
    run_action("reopen_step(%s, %s)", step_id, reason)


# Enrollments: by staff.


def approve_enrollment(enrollment_id: UUID) -> None:
    """Meet the requirement "approved"; the last one met activates the enrollment."""
    run_action("meet_requirement(%s, 'approved', 'approval')", enrollment_id)


def start_enrollment(enrollment_id: UUID) -> None:
    """Start what is due of an enrollment; asks for nothing that would not start by itself."""
    run_action("start_enrollment(%s)", enrollment_id)


def suspend_enrollment(enrollment_id: UUID, *, reason: str) -> None:
    """Put an active enrollment on hold; nothing is canceled at partners."""
    run_action("suspend_enrollment(%s, %s)", enrollment_id, reason)


def resume_enrollment(enrollment_id: UUID, *, reason: str) -> None:
    """Go on with a suspended enrollment; what was reported meanwhile applies."""
    run_action("resume_enrollment(%s, %s)", enrollment_id, reason)


def withdraw_enrollment(enrollment_id: UUID, *, reason: str) -> None:
    """End an enrollment; partner runs that no other enrollment needs are canceled."""
    run_action("withdraw_enrollment(%s, %s)", enrollment_id, reason)


def undo_withdrawal(enrollment_id: UUID, *, reason: str) -> None:
    """Take a withdrawal back, by an administrator."""
    run_action("undo_withdrawal(%s, %s)", enrollment_id, reason)


def transfer_enrollment(enrollment_id: UUID, program_id: UUID, *, reason: str) -> UUID:
    """Close an enrollment and open one in the newest published version of a program.

    By an administrator. Returns the new enrollment.
    """
    new: UUID = run_action("transfer_enrollment(%s, %s, %s)", enrollment_id, program_id, reason)
    return new


# The attention list: by staff.


def retry_call(intent_id: UUID, *, look_up: bool, note: str) -> None:
    """Make a call again; with `look_up` the partner is asked first whether it was done."""
    run_action("retry_call(%s, %s, %s)", intent_id, look_up, note)


def retry_provider_calls(provider_id: UUID, *, note: str) -> None:
    """Make all calls again that wait for a provider; one that may have been done is looked up first."""
    run_action("retry_provider_calls(%s, %s)", provider_id, note)


def retry_configured(provider_id: UUID) -> None:
    """As `retry_provider_calls`, for a provider that was configured anew."""
    retry_provider_calls(provider_id, note="the provider was configured anew")


def enter_partner_id(intent_id: UUID, *, external_id: str, note: str) -> None:
    """Take over the id that the person found at the partner."""
    run_action("enter_partner_id(%s, %s, %s)", intent_id, external_id, note)


def correct_partner_id(run_id: UUID, *, external_id: str, reason: str) -> None:
    """Correct the enrollment id that a person entered; "" takes it back. A new attempt begins.

    What was reported under the wrong one does not count any more; by an administrator where a step
    was completed by it.
    """
    run_action("correct_partner_id(%s, %s, %s)", run_id, external_id, reason)


def correct_account_id(account_id: UUID, *, external_id: str, reason: str) -> None:
    """Correct the account id that a person entered; "" takes it back.

    What was begun under the wrong account is left, and a new attempt begins.
    """
    run_action("correct_account_id(%s, %s, %s)", account_id, external_id, reason)


def continue_old_run(intent_id: UUID, *, note: str) -> None:
    """Go on under the id of an earlier attempt: the partner allows one enrollment."""
    run_action("continue_old_run(%s, %s)", intent_id, note)


def dismiss_attention(item_id: UUID, *, note: str) -> None:
    """Take off the list what only had to be known."""
    run_action("dismiss_attention(%s, %s)", item_id, note)
