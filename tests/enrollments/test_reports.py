"""What partners report: in any order, repeated, early, with papers, and about whom."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.databases import Database
from tests.enrollments.look import find_run, see, see_attention, see_calls, see_runs
from tests.enrollments.test_promises import find
from tests.factories import (
    LONG_AGO,
    Course,
    Enrollment,
    Learner,
    Outcome,
    Provider,
    World,
    now,
)

CERTIFICATE = {"external_id": "c-1", "number": "N 1", "download_url": "https://partner.example/c-1"}
APPLIED = Outcome("applied", "")


class School:
    """Two courses one after the other; Ada is enrolled at the partner."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.organization = world.organization()
        self.partner: Provider = world.provider(self.organization)
        self.courses: list[Course] = world.courses(self.partner, 2)
        self.ada: Learner = world.learner(self.organization)
        self.program = world.program(self.organization, *self.courses)
        self.enrollment: Enrollment = world.enroll(self.ada, self.program)

    @property
    def first(self) -> Course:
        return self.courses[0]

    def see(self) -> str:
        return see(self._world, self.enrollment)

    def report(self, kind: str, **more: Any) -> Outcome:
        return self._world.report(kind, self.ada, self.first, **more)

    def progress(self) -> tuple[Any, Any]:
        ((of_run, of_step),) = self._world.rows(
            "select r.progress, s.progress from partner_lms_enrollments r "
            "join enrollment_steps s on s.partner_enrollment_id = r.id where r.course_id = %s",
            self.first.id,
        )
        return of_run, of_step


@pytest.fixture
def school(world: World) -> School:
    return School(world)


@pytest.fixture
def provisioned(world: World, school: School) -> School:
    world.answer_calls()
    return school


# Progress.


def test_progress_is_the_newest_by_the_partners_time_and_may_fall(provisioned: School) -> None:
    at = now()
    provisioned.report("progress.updated", percent=40, occurred_at=at)
    assert provisioned.progress() == (40, 40)
    older = provisioned.report(
        "progress.updated", percent=90, occurred_at=at - timedelta(seconds=1)
    )
    assert older == Outcome("ignored", "older than the progress known")
    provisioned.report("progress.updated", percent="12.5", occurred_at=at + timedelta(seconds=1))
    assert provisioned.progress() == (12.5, 12.5)


def test_progress_without_a_time_is_the_newest_by_arrival(provisioned: School) -> None:
    for percent in (10, 60, 30):
        assert provisioned.report("progress.updated", percent=percent) == APPLIED
    assert provisioned.progress() == (30, 30)


def test_progress_of_the_same_second_is_the_newest_by_arrival(provisioned: School) -> None:
    at = now()
    for percent in (10, 60):
        assert provisioned.report("progress.updated", percent=percent, occurred_at=at) == APPLIED
    assert provisioned.progress() == (60, 60)


def test_progress_never_touches_a_completed_step(provisioned: School) -> None:
    provisioned.report("course.completed")
    late = provisioned.report("progress.updated", percent=50)

    assert late == Outcome("ignored", "already completed")
    assert provisioned.progress() == (100, 100)


def test_progress_of_a_hundred_percent_completes_nothing(provisioned: School) -> None:
    provisioned.report("progress.updated", percent=100)
    assert provisioned.see() == "active: in_progress, pending"


def test_an_impossible_percentage_is_refused_as_a_whole(provisioned: School) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        provisioned.report("progress.updated", percent=101)
    assert provisioned.progress() == (None, 0)


# Order and repetition.


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("together", [True, False])
def test_a_repeated_completion_advances_once(
    world: World, provisioned: School, times: int, *, together: bool
) -> None:
    event = world.event("course.completed", provisioned.ada, provisioned.first, by="external")
    events = [event] * times
    outcomes = world.apply(*events) if together else [world.apply(each)[0] for each in events]

    assert [each.outcome for each in outcomes] == ["applied"] + ["ignored"] * (times - 1)
    assert provisioned.see() == "active: completed, in_progress"
    assert world.value("select count(*) from step_events where to_status = 'completed'") == 1


@pytest.mark.every_postgres
def test_a_batch_carries_many_people_each_in_order(world: World, school: School) -> None:
    others = [world.learner(school.organization) for _ in range(20)]
    enrollments = [world.enroll(each, school.program) for each in others]
    world.answer_calls()
    events = [
        world.event(kind, each, school.first, by="external", **more)
        for kind, more in (
            ("progress.updated", {"percent": 30}),
            ("course.failed", {"reason": "exam"}),
            ("course.completed", {}),
            ("certificate.issued", {"certificate": CERTIFICATE}),
        )
        for each in others
    ]

    assert world.apply(*events) == [APPLIED] * 80
    assert {see(world, each) for each in enrollments} == {"active: completed, in_progress"}
    assert world.value("select count(*) from partner_certificates") == 20
    assert school.see() == "active: in_progress, pending"


def test_both_steps_of_a_person_in_one_batch(world: World, provisioned: School) -> None:
    first, second = provisioned.courses
    events = [
        world.event("course.completed", provisioned.ada, first),
        world.event("course.completed", provisioned.ada, second, by="account"),
    ]
    world.apply(*reversed(events))

    assert provisioned.see() == "completed: completed, completed"


# Who is meant.


def test_a_completion_before_the_provisioning_answer(world: World, school: School) -> None:
    (account,) = world.claim()
    world.record(account, external_id="ada-1")
    (call,) = world.claim()
    assert school.report("course.completed", by="account") == APPLIED
    assert school.see() == "active: completed, in_progress"
    assert see_runs(world, school.ada, school.first) == ["completed"]

    assert world.record(call, external_id="e-1")

    assert school.see() == "active: completed, in_progress"
    assert world.rows(
        "select status, external_enrollment_id from partner_lms_enrollments where course_id = %s",
        school.first.id,
    ) == [("completed", "e-1")]
    assert see_attention(world) == []


def test_an_answer_that_fails_after_the_completion_needs_nobody(
    world: World, school: School
) -> None:
    (account,) = world.claim()
    world.record(account, external_id="ada-1")
    (call,) = world.claim()
    school.report("course.completed", by="account")
    world.record(call, "needs_person", error="It says: no.", cause="refused")

    assert see_attention(world) == []
    assert "enroll canceled" in see_calls(world, school.ada)


def test_a_completion_takes_back_a_call_that_was_not_sent(world: World, school: School) -> None:
    (account,) = world.claim()
    world.record(account, external_id="ada-1")
    school.report("course.completed", by="account")

    assert see_calls(world, school.ada)[:2] == ["create_account done", "enroll canceled"]


def test_an_unknown_enrollment_waits(world: World, provisioned: School) -> None:
    event = {
        "kind": "course.completed",
        "provider_id": provisioned.partner.id,
        "external_enrollment_id": "nobody",
        "cause_kind": "webhook",
    }
    assert world.apply(event)[0].outcome == "waiting"
    del event["external_enrollment_id"]
    assert world.apply(event)[0].outcome == "needs_attention"


def test_an_external_id_is_known_only_at_its_own_partner(world: World, provisioned: School) -> None:
    other = world.provider(provisioned.organization)
    event = world.event("course.completed", provisioned.ada, provisioned.first, by="external")

    assert world.apply({**event, "provider_id": other.id})[0].outcome == "waiting"
    assert provisioned.see() == "active: in_progress, pending"


def test_our_own_id_does_not_open_the_run_of_another_partner(
    world: World, provisioned: School
) -> None:
    other = world.provider(world.organization())
    event = world.event("course.completed", provisioned.ada, provisioned.first, by="run")

    assert world.apply({**event, "provider_id": other.id})[0].outcome == "needs_attention"
    assert provisioned.see() == "active: in_progress, pending"


def test_an_id_that_belongs_to_another_run_is_not_moved(world: World, provisioned: School) -> None:
    bob = world.learner(provisioned.organization)
    world.enroll(bob, provisioned.program)
    world.answer_calls()
    event = world.event("course.completed", bob, provisioned.first, by="account")
    (mine,) = world.column(
        "select external_enrollment_id from partner_lms_enrollments where learner_id = %s",
        provisioned.ada.id,
    )
    world.apply({**event, "external_enrollment_id": mine})

    assert provisioned.see() == "active: completed, in_progress"
    assert see_runs(world, bob, provisioned.first) == ["active"]


def test_a_report_by_an_account_waits_until_the_account_is_known(
    world: World, school: School
) -> None:
    event = world.event("course.completed", school.ada, school.first, by="account")
    event["account_external_id"] = "acct-ada"
    (outcome,) = world.apply(event)
    assert outcome.outcome == "waiting"

    (account,) = world.claim()
    world.record(account, external_id="acct-ada")
    assert world.apply(event) == [APPLIED]
    assert school.see() == "active: completed, in_progress"


def test_nobodys_account_is_asked_for_when_the_step_is_done(world: World, school: School) -> None:
    world.on_step("skip_step", school.enrollment, school.courses[1], "tested_out", "exam")
    world.on_step("complete_step", school.enrollment, school.first, LONG_AGO, "paper seen")

    assert see_calls(world, school.ada) == ["create_account canceled"]
    assert world.claim() == []


def test_another_id_than_that_of_the_run_is_not_about_it(world: World, provisioned: School) -> None:
    event = world.event("course.completed", provisioned.ada, provisioned.first, by="account")
    (outcome,) = world.apply({**event, "external_enrollment_id": "of-another-time"})

    assert outcome.outcome == "waiting"
    assert provisioned.see() == "active: in_progress, pending"


def test_a_report_that_brings_the_id_frees_what_waited_for_it(world: World, school: School) -> None:
    endpoint = world.insert(
        "webhook_endpoints",
        key=school.partner.slug,
        kind="partner",
        organization_id=school.organization.id,
        provider_id=school.partner.id,
    )
    world.insert(
        "webhook_events",
        endpoint_id=endpoint,
        organization_id=school.organization.id,
        provider_id=school.partner.id,
        event_id="early",
        digest=b"",
        status="waiting",
        reason="no enrollment of ours is known by what it names",
        match_external_id="e-1",
    )
    event = world.event("enrollment.created", school.ada, school.first)
    world.apply({**event, "external_enrollment_id": "e-1"})

    assert world.column("select status from webhook_events") == ["received"]


def test_a_report_before_any_run_is_kept_for_the_step(world: World, provisioned: School) -> None:
    second = provisioned.courses[1]
    assert see_runs(world, provisioned.ada, second) == []
    event = world.event("progress.updated", provisioned.ada, second, by="account", percent=20)
    assert world.apply({**event, "external_enrollment_id": "e-2"}) == [APPLIED]

    provisioned.report("course.completed")

    assert world.claim() == []
    assert see_runs(world, provisioned.ada, second) == ["active"]
    assert (
        world.value("select progress from enrollment_steps where course_id = %s", second.id) == 20
    )


@pytest.mark.parametrize("kind", ["enrollment.created", "certificate.issued", "enrollment.ended"])
def test_what_is_known_of_a_run_before_its_turn_has_a_cause(
    world: World, provisioned: School, database: Database, kind: str
) -> None:
    second = provisioned.courses[1]
    event = world.event(kind, provisioned.ada, second, by="account", certificate=CERTIFICATE)

    assert world.apply({**event, "external_enrollment_id": "e-2"}) == [APPLIED]

    assert world.rows(
        "select fact_kind, fact_id from partner_lms_enrollments where external_enrollment_id = 'e-2'"
    ) == [("webhook", event["cause_id"])]
    with database.connect("superuser", autocommit=False) as connection:
        assert find(connection) == []


def test_a_report_before_its_turn_that_does_not_name_the_enrollment_has_its_id_asked_for(
    world: World, provisioned: School
) -> None:
    _, second = provisioned.courses
    event = world.event("progress.updated", provisioned.ada, second, by="account", percent=10)
    assert [each.outcome for each in world.apply(event)] == ["applied"]
    provisioned.report("course.completed")
    assert see_runs(world, provisioned.ada, second) == ["provisioning"]

    (call,) = world.claim()
    assert (call.kind, call.course, call.uncertain) == ("enroll", second.code, True)
    world.record(call, external_id="e-2")

    assert see_runs(world, provisioned.ada, second) == ["active"]
    world.report("course.completed", provisioned.ada, second, by="external")
    assert provisioned.see() == "completed: completed, completed"


def test_a_report_without_an_enrollment_id_needs_no_call_at_a_partner_with_links(
    world: World,
) -> None:
    organization = world.organization()
    first, second = world.courses(world.provider(organization, mode="link"), 2)
    ada = world.learner(organization)
    enrollment = world.enroll(ada, world.program(organization, first, second))
    event = world.event("progress.updated", ada, second, learner_id=ada.id, by="account")
    world.apply({**event, "percent": 10})
    world.complete(enrollment, first)

    assert see_runs(world, ada, second) == ["active"]
    assert see_calls(world, ada) == []


def test_a_failure_before_its_turn_stays_the_cause_whatever_else_is_reported(
    world: World, provisioned: School
) -> None:
    second = provisioned.courses[1]
    failure = world.event("course.failed", provisioned.ada, second, by="account")
    progress = world.event("progress.updated", provisioned.ada, second, by="account", percent=20)
    assert world.apply(failure, progress) == [APPLIED, APPLIED]

    provisioned.report("course.completed")

    assert provisioned.see() == "active: completed, failed"
    causes = world.column("select cause_id from step_events where to_status = 'failed'")
    assert causes == [failure["cause_id"]]


# Papers.


def test_a_certificate_is_kept_once_and_never_overwritten(
    world: World, provisioned: School
) -> None:
    provisioned.report("certificate.issued", certificate=CERTIFICATE)
    provisioned.report("certificate.issued", certificate={**CERTIFICATE, "number": "N 2"})
    provisioned.report("certificate.issued", certificate={**CERTIFICATE, "external_id": "c-2"})

    assert world.rows("select external_id, number from partner_certificates order by 1") == [
        ("c-1", "N 1"),
        ("c-2", "N 1"),
    ]
    assert provisioned.see() == "active: in_progress, pending"


def test_a_sensitive_result_is_kept_apart(world: World, provisioned: School) -> None:
    at = now()
    for _ in range(2):
        provisioned.report(
            "course.failed",
            occurred_at=at,
            reason="screening not passed",
            sensitive_result="positive: THC",
        )

    assert world.rows("select result, reported_at from sensitive_results") == [
        ("positive: THC", at)
    ]
    for table in ("enrollment_steps", "partner_lms_enrollments", "step_events", "attention_items"):
        assert (
            world.value(f"select count(*) from {table} as t where strpos(t::text, 'THC') > 0") == 0
        )


# Taken back, ended.


def test_a_completion_taken_back_goes_to_a_person_and_is_kept(
    world: World, provisioned: School
) -> None:
    provisioned.report("course.completed")
    provisioned.report("completion.revoked", reason="regraded")

    assert provisioned.see() == "active: completed, in_progress"
    words = (
        "The partner took a completion back: regraded. Open the step again (an administrator can), "
        "or keep the completion."
    )
    assert world.rows("select kind, cause from attention_items") == [("completion_revoked", words)]


def test_a_completion_taken_back_by_which_no_step_was_completed_offers_none_to_open(
    world: World, provisioned: School
) -> None:
    world.call("suspend_enrollment", provisioned.enrollment.id, "ill")
    provisioned.report("course.completed")
    provisioned.report("completion.revoked", reason="regraded")
    world.call("resume_enrollment", provisioned.enrollment.id, "well")

    assert provisioned.see() == "active: in_progress, pending"
    words = (
        "The partner took a completion back: regraded. No step was completed by it: "
        "one that is in progress goes on until it is reported or marked by hand."
    )
    assert world.column("select cause from attention_items") == [words]


def test_a_completion_that_was_taken_back_before_it_arrived_does_not_count(
    world: World, provisioned: School
) -> None:
    at = now()
    provisioned.report("completion.revoked", occurred_at=at)
    late = provisioned.report("course.completed", occurred_at=at - timedelta(hours=1))
    assert late.outcome == "ignored"
    assert provisioned.see() == "active: in_progress, pending"

    provisioned.report("course.completed", occurred_at=at + timedelta(hours=1))

    assert provisioned.see() == "active: completed, in_progress"


def test_a_completion_taken_back_and_given_again_stands(world: World, provisioned: School) -> None:
    at = now()
    provisioned.report("course.completed", occurred_at=at)
    late = provisioned.report("completion.revoked", occurred_at=at - timedelta(hours=1))

    assert late == Outcome("ignored", "completed again later")
    assert see_attention(world) == []
    assert see_runs(world, provisioned.ada, provisioned.first) == ["completed"]


def test_a_completion_given_again_leaves_nothing_to_decide(
    world: World, provisioned: School
) -> None:
    provisioned.report("course.completed")
    provisioned.report("completion.revoked")
    assert see_attention(world) == ["completion_revoked"]

    provisioned.report("course.completed")

    assert see_attention(world) == []
    assert provisioned.see() == "active: completed, in_progress"


def test_a_step_opened_again_leaves_nothing_to_decide(world: World, provisioned: School) -> None:
    provisioned.report("course.completed")
    other = world.enroll(
        provisioned.ada, world.program(provisioned.organization, provisioned.first)
    )
    provisioned.report("completion.revoked")

    world.on_step("reopen_step", provisioned.enrollment, provisioned.first, "taken back")
    assert see_attention(world) == ["completion_revoked"]  # The other program counts on it too.
    world.on_step("reopen_step", other, provisioned.first, "taken back")

    assert see_attention(world) == []


@pytest.mark.parametrize("report", ["enrollment.ended", "course.completed", "course.failed"])
def test_a_partner_that_was_told_after_all_leaves_nothing_to_do(world: World, report: str) -> None:
    organization = world.organization()
    course = world.course(world.provider(organization, unenroll=False))
    ada = world.learner(organization)
    enrollment = world.enroll(ada, world.program(organization, course))
    world.answer_calls()
    world.call("withdraw_enrollment", enrollment.id, "moved away")
    assert see_attention(world) == ["partner_not_told"]

    world.report(report, ada, course)

    assert see_attention(world) == []


def test_an_enrollment_ended_by_the_partner_needs_a_person(
    world: World, provisioned: School
) -> None:
    provisioned.report("enrollment.ended")

    assert see_runs(world, provisioned.ada, provisioned.first) == ["needs_attention"]
    assert see_attention(world) == ["run"]
    assert provisioned.see() == "active: in_progress, pending"

    provisioned.report("course.completed")

    assert see_attention(world) == []
    assert provisioned.see() == "active: completed, in_progress"


@pytest.mark.parametrize("needs_person", [False, True])
def test_what_ended_is_not_ours_while_ours_is_being_asked_for(
    *, world: World, school: School, needs_person: bool
) -> None:
    (account,) = world.claim()
    world.record(account, external_id="ada-1")
    if needs_person:
        (call,) = world.claim()
        world.record(call, "needs_person", error="full", cause="refused")

    outcome = school.report("enrollment.ended")

    assert outcome == Outcome("ignored", "ours is still being asked for")
    assert see_attention(world) == (["call"] if needs_person else [])


def test_an_enrollment_that_ended_stays_on_the_list_while_its_step_is_in_progress(
    world: World, provisioned: School
) -> None:
    provisioned.report("enrollment.ended")
    item = world.value("select id from attention_items")

    with pytest.raises(psycopg.Error, match="still in progress"):
        world.call("dismiss_attention", item, "known")

    assert see_attention(world) == ["run"]


def test_an_enrollment_without_an_id_that_goes_on_after_it_ended(world: World) -> None:
    organization = world.organization()
    course = world.course(world.provider(organization, mode="link"))
    ada = world.learner(organization)
    world.enroll(ada, world.program(organization, course))
    world.report("enrollment.ended", ada, course)
    assert see_attention(world) == ["run"]

    event = world.event("progress.updated", ada, course, percent=5)
    world.apply({**event, "external_enrollment_id": "e-1"})

    assert see_runs(world, ada, course) == ["active"]
    assert see_attention(world) == []


def test_an_enrollment_that_ended_before_its_turn_is_not_joined(
    world: World, provisioned: School
) -> None:
    second = provisioned.courses[1]
    early = world.event("enrollment.created", provisioned.ada, second, by="account")
    world.apply({**early, "external_enrollment_id": "e-2"})
    world.report("enrollment.ended", provisioned.ada, second)
    assert world.rows("select kind, enrollment_id from attention_items") == [
        ("run", provisioned.enrollment.id)
    ]
    world.call("dismiss_attention", world.value("select id from attention_items"), "known")

    provisioned.report("course.completed")

    assert see_runs(world, provisioned.ada, second) == ["cancelled", "provisioning"]


def test_an_end_confirms_a_cancellation_of_ours(world: World, provisioned: School) -> None:
    world.call("withdraw_enrollment", provisioned.enrollment.id, "moved away")
    (call,) = world.claim()
    world.record(call, "needs_person", error="It says: no.", cause="refused")
    assert see_attention(world) == ["call"]

    provisioned.report("enrollment.ended", by="external")

    assert see_runs(world, provisioned.ada, provisioned.first) == ["cancelled"]
    assert see_calls(world, provisioned.ada)[-1] == "unenroll canceled"
    assert see_attention(world) == []


def test_an_end_after_the_completion_says_nothing_new(provisioned: School) -> None:
    provisioned.report("course.completed")
    assert provisioned.report("enrollment.ended") == Outcome("ignored", "the run had ended")


def test_created_tells_the_id_while_a_person_was_asked_for_it(world: World, school: School) -> None:
    (account,) = world.claim()
    world.record(account, external_id="ada-1")
    (call,) = world.claim()
    world.record(call, "needs_person", error="Look there.", cause="undecidable", uncertain=True)
    assert see_attention(world) == ["call"]

    event = world.event("enrollment.created", school.ada, school.first, by="account")
    world.apply({**event, "external_enrollment_id": "e-1"})

    assert see_runs(world, school.ada, school.first) == ["active"]
    assert see_attention(world) == []
    assert find_run(world, school.ada, school.first) == world.value(
        "select id from partner_lms_enrollments where external_enrollment_id = 'e-1'"
    )


def test_a_completion_taken_back_that_we_never_heard_of_tells_the_id(
    world: World, school: School
) -> None:
    (account,) = world.claim()
    world.record(account, external_id="ada-1")
    (call,) = world.claim()
    event = world.event("completion.revoked", school.ada, school.first, by="account")
    world.apply(event)
    assert see_calls(world, school.ada)[-1] == "enroll sending"
    world.apply({**event, "external_enrollment_id": "e-1"})
    world.record(call, "needs_person", error="Who?", cause="account_gone")

    assert see_runs(world, school.ada, school.first) == ["active"]
    assert see_attention(world) == ["completion_revoked"]


def test_a_completion_taken_back_without_an_id_leaves_the_call_to_be_made(
    world: World, school: School
) -> None:
    (account,) = world.claim()
    world.record(account, external_id="ada-1")
    school.report("completion.revoked")

    assert see_calls(world, school.ada)[-1] == "enroll queued"


def test_a_completion_taken_back_while_suspended_is_failed_by_the_partner(
    world: World, provisioned: School
) -> None:
    world.call("suspend_enrollment", provisioned.enrollment.id, "ill")
    for kind in ("course.completed", "completion.revoked"):
        provisioned.report(kind)
    world.call("resume_enrollment", provisioned.enrollment.id, "well")
    assert provisioned.see() == "active: in_progress, pending"

    provisioned.report("course.failed", reason="cheated")

    assert provisioned.see() == "active: failed, pending"
