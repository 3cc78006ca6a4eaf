"""Calls to partners: leaving while one is in flight, fences, accounts that are gone, one enrollment."""

from typing import Any

import psycopg
import pytest

from tests.databases import Database
from tests.enrollments.look import see, see_attention, see_calls, see_runs
from tests.enrollments.racing import do_in_turn, doing
from tests.factories import Call, Course, Enrollment, Learner, World, answer_done, now

UNDECIDABLE = {"cause": "undecidable", "error": "The partner may have done it.", "uncertain": True}
REFUSED = {"cause": "refused", "error": "It says: no."}


class School:
    """One course at a partner; Ada's enrollment call is claimed."""

    def __init__(self, world: World, *, unenroll: bool = True) -> None:
        self._world = world
        self.organization = world.organization()
        self.partner = world.provider(self.organization, unenroll=unenroll)
        self.course: Course = world.course(self.partner)
        self.ada: Learner = world.learner(self.organization)
        self.program = world.program(self.organization, self.course)
        self.enrollment: Enrollment = world.enroll(self.ada, self.program)
        (account,) = world.claim()
        world.record(account, external_id="ada-1")
        (self.call,) = world.claim()

    def record(self, result: str = "done", **facts: Any) -> bool:
        return self._world.record(self.call, result, **facts)

    def repeat(self) -> Call:
        """Let a person try again at once, and claim the call again."""
        (self.call,) = self._world.claim()
        return self.call

    def withdraw(self) -> None:
        self._world.call("withdraw_enrollment", self.enrollment.id, "moved away")

    def come_back(self) -> None:
        """Withdraw, and take it back before the partner knows."""
        self.withdraw()
        self._world.call("undo_withdrawal", self.enrollment.id, "came back")

    def runs(self) -> list[str]:
        return see_runs(self._world, self.ada, self.course)

    def calls(self) -> list[str]:
        return see_calls(self._world, self.ada)[1:]


@pytest.fixture
def school(world: World) -> School:
    return School(world)


# Leaving while a call is in flight.


def test_leaving_takes_back_a_call_that_is_not_sent(world: World, school: School) -> None:
    school.record("failed", error="busy", after_seconds=3600)
    school.withdraw()

    assert (school.runs(), school.calls()) == (["cancelled"], ["enroll canceled"])
    assert see_attention(world) == []


def test_leaving_takes_back_the_account_that_nobody_waits_for(world: World) -> None:
    organization = world.organization()
    course = world.course(world.provider(organization))
    ada = world.learner(organization)
    enrollment = world.enroll(ada, world.program(organization, course))
    world.call("withdraw_enrollment", enrollment.id, "moved away")

    assert see_calls(world, ada) == ["create_account canceled"]
    world.call("undo_withdrawal", enrollment.id, "came back")
    world.answer_calls()
    assert see_runs(world, ada, course) == ["cancelled", "active"]


@pytest.mark.every_postgres
def test_leaving_while_it_is_sent_records_the_answer_then_leaves(
    world: World, school: School
) -> None:
    school.withdraw()
    assert (school.runs(), school.calls()) == (["cancelling"], ["enroll sending"])

    assert school.record(external_id="e-1")

    assert school.calls() == ["enroll done", "unenroll queued"]
    assert world.value("select external_enrollment_id from partner_lms_enrollments") == "e-1"
    (leave,) = world.claim()
    assert (leave.kind, leave.enrollment) == ("unenroll", "e-1")
    world.record(leave)
    assert school.runs() == ["cancelled"]


def test_leaving_while_it_is_sent_to_a_partner_that_cannot_be_told(world: World) -> None:
    school = School(world, unenroll=False)
    school.withdraw()
    school.record(external_id="e-1")

    assert (school.runs(), school.calls()) == (["cancelled"], ["enroll done"])
    assert see_attention(world) == ["partner_not_told"]


@pytest.mark.parametrize("result", ["failed", "needs_person"])
def test_leaving_while_it_is_sent_and_it_did_not_happen(
    world: World, school: School, result: str
) -> None:
    school.withdraw()
    school.record(result, **REFUSED)

    assert (school.runs(), school.calls()) == (["cancelled"], ["enroll canceled"])
    assert see_attention(world) == []


@pytest.mark.parametrize(
    ("answer", "state", "attention"),
    [(REFUSED, "canceled", []), (UNDECIDABLE, "needs_person", ["call"])],
)
def test_leaving_while_the_account_is_asked_for_that_a_person_would_have_to_see_to(
    world: World, answer: dict[str, Any], state: str, attention: list[str]
) -> None:
    organization = world.organization()
    ada = world.learner(organization)
    program = world.program(organization, world.course(world.provider(organization)))
    enrollment = world.enroll(ada, program)
    (call,) = world.claim()
    world.call("withdraw_enrollment", enrollment.id, "moved away")
    world.record(call, "needs_person", **answer)

    assert see_calls(world, ada) == [f"create_account {state}"]
    assert see_attention(world) == attention


def test_leaving_while_nobody_knows_looks_first(world: World, school: School) -> None:
    school.record("unknown", error="no answer", after_seconds=0)
    school.withdraw()
    assert school.runs() == ["cancelling"]

    assert school.repeat().leaving
    school.record("failed", error="left before it was done")

    assert (school.runs(), school.calls()) == (["cancelled"], ["enroll canceled"])


@pytest.mark.parametrize("kind", ["progress.updated", "enrollment.created"])
@pytest.mark.parametrize(
    ("result", "facts"),
    [
        ("done", {"external_id": "course-1"}),
        ("failed", {"error": "503"}),
        ("needs_person", UNDECIDABLE),
    ],
)
def test_leaving_while_the_partner_tells_the_id_before_it_answers(
    world: World, school: School, kind: str, result: str, facts: dict[str, Any]
) -> None:
    school.withdraw()
    told = world.report(kind, school.ada, school.course, external_enrollment_id="course-1")
    assert (told.outcome, school.runs()) == ("applied", ["cancelling"])

    school.record(result, **facts)
    assert school.calls()[1:] == ["unenroll queued"]
    (unenroll,) = world.claim()
    assert unenroll.enrollment == "course-1"
    world.record(unenroll)
    assert (school.runs(), see_attention(world)) == (["cancelled"], [])


@pytest.mark.parametrize("told", [{}, {"external_enrollment_id": "course-1"}])
def test_leaving_what_the_partner_ends_before_it_answers_is_not_asked_for_again(
    world: World, school: School, told: dict[str, str]
) -> None:
    school.withdraw()
    if told:
        world.report("enrollment.created", school.ada, school.course, **told)
    world.report("enrollment.ended", school.ada, school.course, **told)
    school.record("failed", error="503", after_seconds=0, counts=False)

    assert (school.runs(), school.calls()) == (["cancelled"], ["enroll canceled"])
    assert world.claim() == []


def test_leaving_what_is_looked_up_and_ends_meanwhile_is_not_looked_up_again(
    world: World, school: School
) -> None:
    school.record("unknown", error="time-out", after_seconds=0)
    school.withdraw()
    for kind in ("enrollment.created", "enrollment.ended"):
        world.report(kind, school.ada, school.course, external_enrollment_id="course-1")

    assert (school.runs(), school.calls()) == (["cancelled"], ["enroll done"])
    assert world.claim() == []


def test_an_answer_does_not_bring_back_what_the_partner_ended(world: World, school: School) -> None:
    school.record("unknown", error="time-out", after_seconds=0)
    (again,) = world.claim()
    for kind in ("enrollment.created", "enrollment.ended"):
        world.report(kind, school.ada, school.course, external_enrollment_id="course-1")
    world.record(again, external_id="course-1")

    assert (school.runs(), see_attention(world)) == (["needs_attention"], ["run"])
    causes = world.column("select cause from partner_lms_enrollments")
    assert causes == ["The partner ended this enrollment."]


def test_leaving_while_a_person_was_asked_tells_what_may_be_there(
    world: World, school: School
) -> None:
    school.record("needs_person", **UNDECIDABLE)
    assert see_attention(world) == ["call"]
    school.withdraw()

    assert (school.runs(), school.calls()) == (["cancelled"], ["enroll canceled"])
    assert see_attention(world) == ["partner_not_told"]


def test_leaving_after_a_refusal_leaves_nothing_to_do(world: World, school: School) -> None:
    school.record("needs_person", **REFUSED)
    school.withdraw()

    assert (school.runs(), see_attention(world)) == (["cancelled"], [])


def test_leaving_while_a_look_up_is_due_looks_first(world: World, school: School) -> None:
    school.record("unknown", error="no answer", after_seconds=0)
    school.repeat()
    school.record("failed", error="busy", uncertain=True, after_seconds=3600)
    school.withdraw()

    assert (school.runs(), school.calls()) == (["cancelling"], ["enroll failed"])


def test_leaving_keeps_the_call_for_an_account_that_may_have_been_made(world: World) -> None:
    organization = world.organization()
    ada = world.learner(organization)
    program = world.program(organization, world.course(world.provider(organization)))
    enrollment = world.enroll(ada, program)
    world.record(world.claim()[0], "unknown", error="no answer", after_seconds=0)
    world.record(world.claim()[0], "failed", error="busy", uncertain=True, after_seconds=0)
    world.call("withdraw_enrollment", enrollment.id, "moved away")
    assert see_calls(world, ada) == ["create_account failed"]

    (call,) = world.claim()
    world.record(call, external_id="ada-1")

    assert world.column("select external_id from partner_accounts") == ["ada-1"]


# The new attempt waits until the old run is left.


def test_a_new_attempt_waits_for_the_leaving_whatever_else_is_reported(
    world: World, school: School
) -> None:
    school.record(external_id="e-1")
    school.come_back()
    other = world.course(school.partner)
    world.enroll(school.ada, world.program(school.organization, other))
    world.report("course.completed", school.ada, other)

    assert school.runs() == ["cancelling", "requested"]


def test_a_new_attempt_goes_on_when_the_old_run_was_completed_after_all(
    world: World, school: School
) -> None:
    school.record(external_id="e-1")
    school.come_back()
    assert school.runs() == ["cancelling", "requested"]
    completed = {"kind": "course.completed", "provider_id": school.partner.id}
    world.apply({**completed, "external_enrollment_id": "e-1", "cause_kind": "webhook"})

    assert school.runs() == ["completed", "provisioning"]
    assert school.calls()[-1] == "enroll queued"


def test_a_new_attempt_goes_on_when_the_partner_could_not_be_told(world: World) -> None:
    school = School(world, unenroll=False)
    school.come_back()
    assert school.runs() == ["cancelling", "requested"]
    school.record(external_id="e-1")

    assert school.runs() == ["cancelled", "provisioning"]
    assert school.calls() == ["enroll done", "enroll queued"]


def test_leaving_can_fail_too(world: World, school: School) -> None:
    school.record(external_id="e-1")
    school.withdraw()
    world.record(world.claim()[0], "needs_person", **REFUSED)
    assert (school.runs(), see_attention(world)) == (["cancelling"], ["call"])

    (item,) = world.column("select id from attention_items where resolved_at is null")
    world.call("dismiss_attention", item, "told them by phone")

    assert (school.runs(), see_attention(world)) == (["cancelled"], [])


def test_an_answer_that_says_the_account_is_gone_while_leaving(
    world: World, school: School
) -> None:
    school.withdraw()
    school.record("needs_person", cause="account_gone", error="no such user")

    assert school.runs() == ["cancelled"]
    assert see_calls(world, school.ada) == ["create_account done", "enroll canceled"]


def test_leaving_an_account_that_is_gone_is_done(world: World, school: School) -> None:
    school.record(external_id="e-1")
    school.withdraw()
    world.record(world.claim()[0], "needs_person", cause="account_gone", error="no such user")

    assert (school.runs(), school.calls()) == (["cancelled"], ["enroll done", "unenroll done"])
    assert world.claim() == []


# Results.


@pytest.mark.parametrize("result", ["failed", "unknown"])
def test_a_call_is_repeated_when_it_is_due(world: World, school: School, result: str) -> None:
    school.record(result, error="busy", after_seconds=3600)
    assert world.claim() == []
    world.admin.execute("update intents set next_attempt_at = now()")

    assert school.repeat().uncertain == (result == "unknown")
    school.record(external_id="e-1")
    assert school.runs() == ["active"]


@pytest.mark.parametrize(("result", "hours"), [("failed", 0), ("unknown", 25)])
def test_the_key_is_as_old_as_what_the_partner_may_have_done_with_it(
    world: World, school: School, result: str, hours: int
) -> None:
    school.record(result, error="busy", after_seconds=0)
    world.admin.execute("update intents set first_sent_at = first_sent_at - interval '25 hours'")

    claimed = world.service.execute("select key_age from claim_intents(1, 60, 1, '{}', '{}')")
    assert [round(age / 3600) for (age,) in claimed] == [hours]


def test_attempts_are_used_up_but_not_by_an_outage(world: World, school: School) -> None:
    for _ in range(20):
        school.record("failed", error="away", after_seconds=0, counts=False)
        school.repeat()
    for _ in range(7):
        school.record("failed", error="busy", after_seconds=0)
        school.repeat()
    assert school.runs() == ["provisioning"]

    school.record("failed", error="busy", after_seconds=0)

    assert (school.runs(), see_attention(world)) == (["needs_attention"], ["call"])
    assert world.value("select cause from partner_lms_enrollments") == (
        "Tried 8 times. Last answer: busy"
    )


def test_a_late_worker_may_not_commit(world: World, school: School) -> None:
    late = school.call
    world.admin.execute("update intents set lease_until = now() where status = 'sending'")
    assert world.call("expire_leases") == 1
    assert school.repeat().uncertain
    assert not world.record(late, external_id="e-late")
    assert school.record(external_id="e-1")
    assert not school.record(external_id="e-again")

    assert world.column("select external_enrollment_id from partner_lms_enrollments") == ["e-1"]


def test_a_refusal_goes_to_a_person_with_the_partners_words(world: World, school: School) -> None:
    school.record("needs_person", **REFUSED)

    assert see(world, school.enrollment) == "active: in_progress"
    assert world.rows("select cause, details ->> 'cause', enrollment_id from attention_items") == [
        ("It says: no.", "refused", school.enrollment.id)
    ]
    assert world.value("select cause from partner_lms_enrollments") == "It says: no."


def test_an_id_that_was_reported_differently_needs_a_person(world: World, school: School) -> None:
    event = world.event("enrollment.created", school.ada, school.course)
    world.apply({**event, "external_enrollment_id": "e-1"})
    school.record(external_id="e-2")

    assert see_attention(world) == ["call"]
    assert world.column("select external_enrollment_id from partner_lms_enrollments") == ["e-1"]


def test_an_account_of_somebody_else_is_not_taken_over(world: World, school: School) -> None:
    bob = world.learner(school.organization)
    world.enroll(bob, school.program)
    (account,) = world.claim()
    world.record(account, external_id="ada-1")

    assert see_calls(world, bob) == ["create_account needs_person"]
    assert see_attention(world) == ["call"]


# What a person does.


def test_trying_again_after_a_look_at_the_partner_uses_a_new_key(
    world: World, school: School
) -> None:
    school.record("needs_person", **UNDECIDABLE)
    world.call("retry_call", school.call.intent, False, "nothing there")

    assert see_attention(world) == []
    assert not school.repeat().uncertain
    assert world.value("select details ->> 'key' is not null from intents where kind = 'enroll'")


def test_looking_up_again(world: World, school: School) -> None:
    school.record("needs_person", **UNDECIDABLE)
    world.call("retry_call", school.call.intent, True, "")

    assert school.runs() == ["provisioning"]
    assert school.repeat().uncertain


def test_entering_the_partners_id(world: World, school: School) -> None:
    school.record("needs_person", **UNDECIDABLE)
    world.call("enter_partner_id", school.call.intent, " e-9 ", "seen on their page")

    assert (school.runs(), school.calls()) == (["active"], ["enroll done"])
    assert world.value("select external_enrollment_id from partner_lms_enrollments") == "e-9"
    with pytest.raises(psycopg.Error, match="no longer waits"):
        world.call("enter_partner_id", school.call.intent, "e-8", "")


def test_entering_an_id_that_is_taken_is_refused(world: World, school: School) -> None:
    bob = world.learner(school.organization)
    world.enroll(bob, school.program)
    world.answer_calls(lambda call: answer_done(call) | {"external_id": f"bob-{call.kind}"})
    school.record("needs_person", **UNDECIDABLE)

    with pytest.raises(psycopg.Error, match="already belongs to somebody"):
        world.call("enter_partner_id", school.call.intent, "bob-enroll", "")
    with pytest.raises(psycopg.Error, match="Enter the id"):
        world.call("enter_partner_id", school.call.intent, " ", "")


def test_entering_the_accounts_id_for_the_enrollment_is_refused(
    world: World, school: School
) -> None:
    school.record("needs_person", **UNDECIDABLE)
    with pytest.raises(psycopg.Error, match="That is the account's id"):
        world.call("enter_partner_id", school.call.intent, " ada-1 ", "seen on her page")

    world.call("enter_partner_id", school.call.intent, "course-1", "seen there")
    run = world.value("select id from partner_lms_enrollments")
    with pytest.raises(psycopg.Error, match="That is the account's id"):
        world.call("correct_partner_id", run, "ada-1", "the other column")
    assert world.value("select external_enrollment_id from partner_lms_enrollments") == "course-1"


def test_entering_an_account_of_somebody_else_is_refused(world: World, school: School) -> None:
    world.enroll(world.learner(school.organization), school.program)
    (account,) = world.claim()
    world.record(account, "needs_person", **UNDECIDABLE)

    with pytest.raises(psycopg.Error, match="already belongs to somebody"):
        world.call("enter_partner_id", account.intent, "ada-1", "")


def test_marking_the_step_settles_the_call(world: World, school: School) -> None:
    school.record("needs_person", **REFUSED)
    world.on_step("complete_step", school.enrollment, school.course, now().date(), "paper seen")

    assert see(world, school.enrollment) == "completed: completed"
    assert (school.calls(), see_attention(world)) == (["enroll canceled"], [])


# The partner allows one enrollment.


def conflict(world: World, school: School, **more: Any) -> None:
    """Fail, retry, and let the partner answer with the id of the first attempt."""
    school.record(external_id="e-1")
    world.report("course.failed", school.ada, school.course, **more)
    world.on_step("retry_step", school.enrollment, school.course, "again")
    school.repeat()
    school.record(external_id="e-1")


def test_an_id_already_used_needs_a_person(world: World, school: School) -> None:
    conflict(world, school)

    assert school.runs() == ["failed", "needs_attention"]
    assert world.rows(
        "select details ->> 'cause', details ->> 'external_id' from attention_items"
    ) == [("one_enrollment", "e-1")]


def test_going_on_under_the_old_id_counts_only_newer_facts(world: World, school: School) -> None:
    before = now()
    conflict(world, school)
    world.call("continue_old_run", school.call.intent, "their rule")
    assert school.runs() == ["active", "cancelled"]
    assert see(world, school.enrollment) == "active: in_progress #2"
    assert see_attention(world) == []

    event = world.event("course.completed", school.ada, school.course, by="account")
    event["external_enrollment_id"] = "e-1"
    (old,) = world.apply({**event, "occurred_at": before})
    assert (old.outcome, old.reason) == ("ignored", "dated before this attempt")
    assert see(world, school.enrollment) == "active: in_progress #2"

    (new,) = world.apply(event)
    assert new.outcome == "applied"
    assert see(world, school.enrollment) == "completed: completed #2"


def test_what_goes_on_under_the_old_id_is_what_others_join(world: World, school: School) -> None:
    conflict(world, school)
    world.call("continue_old_run", school.call.intent, "their rule")

    other = world.enroll(school.ada, world.program(school.organization, school.course))

    assert school.runs() == ["active", "cancelled"]
    assert see(world, other) == "active: in_progress"
    world.report("course.completed", school.ada, school.course, by="account")
    assert see(world, other) == "completed: completed"
    third = world.enroll(school.ada, world.program(school.organization, school.course))
    assert see(world, third) == "completed: completed"
    assert school.runs() == ["completed", "cancelled"]

    world.on_step("reopen_step", school.enrollment, school.course, "once more")
    assert school.runs() == ["completed", "cancelled", "provisioning"]
    fourth = world.enroll(school.ada, world.program(school.organization, school.course))
    assert see(world, fourth) == "active: in_progress"


def test_going_on_under_the_old_id_after_a_withdrawal_that_could_not_be_told(world: World) -> None:
    school = School(world, unenroll=False)
    school.record(external_id="e-1")
    school.withdraw()
    world.call("undo_withdrawal", school.enrollment.id, "came back")
    school.repeat()
    school.record(external_id="e-1")
    assert see_attention(world) == ["partner_not_told", "call"]

    world.call("continue_old_run", school.call.intent, "it is still open there")

    assert school.runs() == ["active", "cancelled"]
    assert see_attention(world) == []


def test_going_on_needs_an_earlier_attempt_of_the_same_person(world: World, school: School) -> None:
    bob = world.learner(school.organization)
    world.enroll(bob, school.program)
    world.answer_calls(lambda call: answer_done(call) | {"external_id": f"bob-{call.kind}"})
    school.record(external_id="bob-enroll")
    assert see_attention(world) == ["call"]

    with pytest.raises(psycopg.Error, match="not one of an earlier attempt of this person"):
        world.call("continue_old_run", school.call.intent, "take his")


# An account that is gone.


def test_an_account_that_is_gone_is_made_again(world: World, school: School) -> None:
    school.record("needs_person", cause="account_gone", error="no such user")
    assert school.runs() == ["requested"]
    (account,) = world.claim()
    assert account.kind == "create_account"
    world.record(account, external_id="ada-2")

    assert school.repeat().account == "ada-2"
    school.record(external_id="e-1")
    assert school.runs() == ["active"]
    assert world.rows("select external_id, former_ids -> 0 ->> 'id' from partner_accounts") == [
        ("ada-2", "ada-1")
    ]
    assert see_attention(world) == []


def test_an_account_that_keeps_being_gone_needs_a_person(world: World, school: School) -> None:
    for number in range(3):
        school.record("needs_person", cause="account_gone", error="no such user")
        (account,) = world.claim()
        world.record(account, external_id=f"ada-{number + 2}")
        school.repeat()
    school.record("needs_person", cause="account_gone", error="no such user")

    assert (school.runs(), see_attention(world)) == (["needs_attention"], ["call"])


def test_an_account_that_is_gone_waits_while_suspended(world: World, school: School) -> None:
    world.call("suspend_enrollment", school.enrollment.id, "ill")
    school.record("needs_person", cause="account_gone", error="no such user")
    assert world.claim() == []

    world.call("resume_enrollment", school.enrollment.id, "well")
    world.answer_calls()

    assert school.runs() == ["active"]


# Link mode.


def test_a_link_needs_no_call(world: World) -> None:
    organization = world.organization()
    course = world.course(world.provider(organization, mode="link", unenroll=False))
    ada = world.learner(organization)
    enrollment = world.enroll(ada, world.program(organization, course))
    assert (see_runs(world, ada, course), see_calls(world, ada)) == (["active"], [])

    file = {"kind": "course.completed", "provider_id": course.provider.id, "cause_kind": "file"}
    (outcome,) = world.apply({**file, "learner_id": ada.id, "course_code": course.code})

    assert outcome.outcome == "applied"
    assert see(world, enrollment) == "completed: completed"


def test_a_file_may_come_before_anything_started(world: World) -> None:
    organization = world.organization()
    course = world.course(world.provider(organization, mode="link", unenroll=False))
    ada = world.learner(organization)
    enrollment = world.create(ada, world.program(organization, course))
    file = {"kind": "course.completed", "provider_id": course.provider.id, "cause_kind": "file"}
    world.apply({**file, "learner_id": ada.id, "course_code": course.code})
    assert see(world, enrollment) == "pending: pending"

    world.approve(enrollment)

    assert see(world, enrollment) == "completed: completed"


def test_going_on_under_the_old_id_against_a_waiver_in_another_program(
    world: World, school: School, database: Database
) -> None:
    """Both lock the person's enrollments, the one with the lower id first."""
    school.record(external_id="e-0")
    course = world.course(school.partner)
    later = world.enroll(school.ada, world.program(school.organization, course))
    (claimed,) = world.claim()
    world.record(claimed, external_id="e-1")
    world.report("course.failed", school.ada, course)
    world.on_step("retry_step", later, course, "again")
    (claimed,) = world.claim()
    world.record(claimed, external_id="e-1")

    assert do_in_turn(
        database,
        f"enrollments where id = '{later.id}'",
        doing("continue_old_run", claimed.intent, "their rule"),
        doing("skip_step", world.step_id(school.enrollment, school.course), "tested_out", "known"),
    ) == ["", ""]
    assert see(world, later) == "active: in_progress #2"
