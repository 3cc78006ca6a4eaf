"""Several connections at once, committed, in real threads: nothing lost, nothing twice, nobody stuck."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import transaction

from handrail.enrollments import actions
from tests.databases import Database
from tests.enrollments.look import see, see_runs
from tests.enrollments.racing import (
    Work,
    answering,
    count,
    do_in_turn,
    doing,
    race,
    reporting,
    wait_for_lock,
)
from tests.enrollments.test_promises import find
from tests.factories import (
    LONG_AGO,
    Connection,
    Course,
    Electives,
    Enrollment,
    Organization,
    Outcome,
    World,
    apply_events,
    call,
)

ROUNDS = 12


@pytest.fixture(autouse=True)
def promises(world: World, database: Database) -> Iterator[None]:
    """Whatever happened, every promise is kept."""
    yield
    with database.connect("superuser", autocommit=False) as connection:
        assert find(connection) == []


@pytest.fixture
def organization(world: World) -> Organization:
    return world.organization()


@pytest.fixture
def courses(world: World, organization: Organization) -> list[Course]:
    return world.courses(world.provider(organization), 4)


@pytest.mark.every_postgres
def test_the_same_events_at_once_advance_once(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    program = world.program(organization, *courses[:2])
    people = [world.learner(organization) for _ in range(40)]
    enrollments = [world.enroll(each, program) for each in people]
    world.answer_calls()
    events = [world.event("course.completed", each, courses[0], by="external") for each in people]
    works = [reporting(*random.sample(events, len(events))) for _ in range(4)]

    outcomes = race(database, *works)

    assert count(outcomes, "applied") == 40
    assert count(outcomes, "ignored") == 120
    assert {see(world, each) for each in enrollments} == {"active: completed, in_progress"}
    assert world.value("select count(*) from step_events where to_status = 'completed'") == 40


def test_a_parallel_stage_completed_at_once_starts_the_next_once(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    *stage, last = courses
    program = world.program(organization, stage, last)
    for _ in range(ROUNDS):
        ada = world.learner(organization)
        enrollment = world.enroll(ada, program)
        events = [world.event("course.completed", ada, each) for each in stage]

        outcomes = race(database, *[reporting(each) for each in events])

        assert count(outcomes, "applied") == 3
        assert see(world, enrollment) == "active: completed, completed, completed, in_progress"
        assert see_runs(world, ada, last) == ["requested"]


def test_the_last_steps_completed_at_once_issue_one_credential(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    program = world.program(organization, courses[:2])
    for _ in range(ROUNDS):
        ada = world.learner(organization)
        enrollment = world.enroll(ada, program)
        events = [world.event("course.completed", ada, each) for each in courses[:2]]
        race(database, *[reporting(each) for each in events])

        assert see(world, enrollment) == "completed: completed, completed"
        assert world.value("select count(*) from credentials where learner_id = %s", ada.id) == 1


def test_a_withdrawal_against_a_completion(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    program = world.program(organization, courses[0])
    ends = set()
    for _ in range(ROUNDS):
        ada = world.learner(organization)
        enrollment = world.enroll(ada, program)
        world.answer_calls()
        event = world.event("course.completed", ada, courses[0], by="external")
        withdrawn, applied = race(
            database, doing("withdraw_enrollment", enrollment.id, "moved"), reporting(event)
        )

        assert applied[0].outcome == "applied"
        ends.add((withdrawn, see(world, enrollment), *see_runs(world, ada, courses[0])))
        world.answer_calls()

    assert ends <= {
        ("HR001", "completed: completed", "completed"),
        ("", "withdrawn: in_progress", "completed"),
    }


def test_a_suspension_against_a_completion_and_a_resume(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    program = world.program(organization, *courses[:2])
    for _ in range(ROUNDS):
        ada = world.learner(organization)
        enrollment = world.enroll(ada, program)
        event = world.event("course.completed", ada, courses[0])
        race(database, doing("suspend_enrollment", enrollment.id, "ill"), reporting(event))
        race(
            database,
            doing("resume_enrollment", enrollment.id, "well"),
            reporting({**event, "cause_id": None}),
        )

        assert see(world, enrollment) == "active: completed, in_progress"


def test_two_choices_at_once_take_no_more_than_there_are(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    program = world.program(organization, Electives(2, courses))
    for _ in range(ROUNDS):
        enrollment = world.enroll(world.learner(organization), program)
        steps = [world.step_id(enrollment, each) for each in courses]
        results = race(database, *[doing("choose_elective", each) for each in steps])

        assert sorted(results) == ["", "", "HR001", "HR001"]
        assert see(world, enrollment).count("in_progress") == 2


def test_a_choice_against_the_completion_that_ends_the_choosing(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    program = world.program(organization, Electives(1, courses[:2]), courses[2])
    for _ in range(ROUNDS):
        ada = world.learner(organization)
        enrollment = world.enroll(ada, program)
        world.on_step("choose_elective", enrollment, courses[0])
        event = world.event("course.completed", ada, courses[0])
        first, second = (world.step_id(enrollment, each) for each in courses[:2])
        race(
            database,
            reporting(event),
            doing("unchoose_elective", first),
            doing("choose_elective", second),
        )

        assert see(world, enrollment) in (
            "active: completed, skipped, in_progress",
            "active: pending, in_progress, pending",
            "active: pending, pending, pending",  # refused while the first was still chosen
        )


def test_two_withdrawals_of_a_shared_run_leave_it(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    programs = [world.program(organization, courses[0], each) for each in courses[1:3]]
    for _ in range(ROUNDS):
        ada = world.learner(organization)
        enrollments = [world.enroll(ada, each) for each in programs]
        world.answer_calls()
        race(database, *[doing("withdraw_enrollment", each.id, "moved") for each in enrollments])

        assert see_runs(world, ada, courses[0]) == ["cancelling"]
        world.answer_calls()


def test_a_run_is_not_left_under_the_step_that_joins_it(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    shared, first, *_ = courses
    one, two = world.program(organization, shared), world.program(organization, first, shared)
    for _ in range(ROUNDS):
        ada = world.learner(organization)
        leaving, coming = world.enroll(ada, one), world.enroll(ada, two)
        world.answer_calls()
        event = world.event("course.completed", ada, first)
        race(database, doing("withdraw_enrollment", leaving.id, "moved"), reporting(event))

        assert see(world, coming) == "active: completed, in_progress"
        world.answer_calls()
        assert see_runs(world, ada, shared) in (["active"], ["cancelled", "active"])


def test_actions_on_steps_that_share_a_run(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    programs = [world.program(organization, courses[0], each) for each in courses[1:3]]
    for _ in range(ROUNDS):
        ada = world.learner(organization)
        one, two = (world.enroll(ada, each) for each in programs)
        event = world.event("course.failed", ada, courses[0])
        today = world.value("select current_date")
        race(
            database,
            doing("complete_step", world.step_id(one, courses[0]), today, "seen"),
            doing("complete_step", world.step_id(two, courses[0]), today, "seen"),
            reporting(event),
        )

        assert see(world, one) == see(world, two) == "active: completed, in_progress"


def test_a_report_that_waited_for_its_run_is_taken_over(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    """What a call must remember is saved under the run's lock alone: the report waits, then sees it."""
    ada = world.learner(organization)
    enrollment = world.enroll(ada, world.program(organization, *courses[:2]))
    world.answer_calls()
    event = world.event("course.completed", ada, courses[0], by="external")
    with (
        database.connect("superuser", autocommit=False) as saving,
        database.connect("worker") as reporter,
        ThreadPoolExecutor(1) as pool,
    ):
        saving.execute(
            "update partner_lms_enrollments set saved = jsonb_build_object('voucher', 1)"
        )
        outcomes = pool.submit(apply_events, reporter, [event])
        wait_for_lock(database)
        saving.commit()
        assert [each.outcome for each in outcomes.result(30)] == ["applied"]

    assert see(world, enrollment) == "active: completed, in_progress"
    assert see_runs(world, ada, courses[0]) == ["completed"]


@pytest.mark.every_postgres
@pytest.mark.parametrize("how", ["transferred", "approved", "imported"])
@pytest.mark.parametrize(
    "end",
    [("course.completed", "completed, in_progress"), ("course.failed", "failed, pending")],
)
def test_a_report_reaches_an_enrollment_that_joins_its_run_meanwhile(
    world: World, database: Database, courses: list[Course], how: str, end: tuple[str, str]
) -> None:
    kind, steps = end
    shared, one, other, _ = courses
    organization = shared.provider.organization
    ada = world.learner(organization)
    old = world.enroll(ada, world.program(organization, shared, one))
    program = world.program(organization, shared, other)
    world.answer_calls()
    event = world.event(kind, ada, shared, by="external")
    with (
        database.connect("worker", autocommit=False) as joining,
        database.connect("worker") as reporter,
        ThreadPoolExecutor(1) as pool,
    ):
        match how:
            case "transferred":
                call(joining, "transfer_enrollment", old.id, program.id, "moved")
            case "approved":
                new = call(joining, "create_enrollment", ada.id, program.id, "self_pay", LONG_AGO)
                call(joining, "meet_requirement", new, "approved", "approval")
            case "imported":
                query = (
                    "select enroll_learners(array[%s], array[%s], array['WIOA'], array[%s]::date[])"
                )
                joining.execute(query.encode(), [ada.id, program.id, LONG_AGO])
        outcomes = pool.submit(apply_events, reporter, [event])
        wait_for_lock(database)
        joining.commit()
        assert [each.outcome for each in outcomes.result(30)] == ["applied"]

    (new,) = world.column("select id from enrollments where program_id = %s", program.id)
    assert see(world, Enrollment(new, ada, program)) == f"active: {steps}"


def test_who_approves_waits_for_a_report_that_makes_the_account(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    """Locks go from enrollments to accounts: else the approval would hold what the report waits for."""
    ada, bob = world.learner(organization), world.learner(organization)
    waiting = world.create(ada, world.program(organization, courses[0]))
    event = {"kind": "progress.updated", "cause_kind": "file", "percent": 5}
    event |= {"provider_id": courses[0].provider.id, "course_id": courses[0].id}
    with (
        database.connect("superuser", autocommit=False) as holder,
        database.connect("worker") as reporter,
        database.connect("worker") as person,
        ThreadPoolExecutor(2) as pool,
    ):
        holder.execute(
            "insert into partner_accounts (organization_id, provider_id, learner_id) values (%s, %s, %s)",
            [organization.id, courses[0].provider.id, bob.id],
        )
        events = [{**event, "learner_id": each.id} for each in (ada, bob)]
        outcomes = pool.submit(apply_events, reporter, events)
        wait_for_lock(database)
        approval = pool.submit(call, person, "meet_requirement", waiting.id, "approved", "approval")
        wait_for_lock(database, waiting=2)
        holder.rollback()
        assert [each.outcome for each in outcomes.result(30)] == ["applied", "needs_attention"]
        approval.result(30)

    assert see(world, waiting) == "active: in_progress"


def test_trying_a_providers_calls_again_against_a_waiver(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    ada = world.learner(organization)
    enrollment = world.enroll(ada, world.program(organization, *courses[:2]))
    (account,) = world.claim()
    world.record(account, "needs_person", cause="credentials", error="401")

    assert do_in_turn(
        database,
        "partner_accounts",
        doing("retry_provider_calls", courses[0].provider.id, "the key was mended"),
        doing("skip_step", world.step_id(enrollment, courses[0]), "tested_out", "knows it"),
    ) == [1, ""]
    assert see(world, enrollment) == "active: skipped, in_progress"


def test_dismissing_an_entry_against_a_report_about_its_run(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    ada = world.learner(organization)
    enrollment = world.enroll(ada, world.program(organization, *courses[:2]))
    world.answer_calls()
    world.report("enrollment.ended", ada, courses[0])
    entry = world.value("select id from attention_items")
    completed = world.event("course.completed", ada, courses[0])

    assert do_in_turn(
        database,
        "partner_lms_enrollments",
        reporting(completed),
        doing("dismiss_attention", entry, "seen"),
    ) == [[Outcome("applied", "")], ""]
    assert see(world, enrollment) == "active: completed, in_progress"
    assert world.column("select resolution from attention_items") == [
        "the partner reported a result"
    ]


def test_a_persons_action_is_tried_again_after_a_deadlock(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    enrollment = world.enroll(
        world.learner(organization), world.program(organization, *courses[:2])
    )
    with (
        database.connect("superuser", autocommit=False) as other,
        ThreadPoolExecutor(1) as pool,
        transaction.atomic(),  # a page's
    ):
        other.execute("set local deadlock_timeout = '1h'")  # it is the action that is ended
        other.execute("select from partner_lms_enrollments for update")

        def cross() -> None:
            wait_for_lock(database)  # the action has the enrollment and waits for the run
            other.execute("select from enrollments for update")
            other.rollback()

        crossed = pool.submit(cross)
        step = world.step_id(enrollment, courses[0])
        actions.skip_step(step, waiver="tested_out", reason="knows it")
        crossed.result(30)

    assert see(world, enrollment) == "active: skipped, in_progress"


def test_an_accounts_answer_against_the_start_that_waits_for_it(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    """The account at the second partner is being made for another program when a step starts there."""
    second, other = world.courses(world.provider(organization), 2)
    programs = [world.program(organization, courses[0], second), world.program(organization, other)]
    for _ in range(ROUNDS):
        ada = world.learner(organization)
        enrollment = world.enroll(ada, programs[0])
        world.answer_calls()
        world.enroll(ada, programs[1])
        (account,) = world.claim()
        event = world.event("course.completed", ada, courses[0], by="external")
        race(database, answering(account), reporting(event))
        world.answer_calls()

        assert see(world, enrollment) == "active: completed, in_progress"
        assert see_runs(world, ada, second) == ["active"]


def test_a_withdrawal_against_the_answer_of_a_call(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    program = world.program(organization, courses[0])
    for _ in range(ROUNDS):
        ada = world.learner(organization)
        enrollment = world.enroll(ada, program)
        world.record(world.claim()[0], external_id=f"ada-{ada.id}")
        (enroll,) = world.claim()

        race(database, answering(enroll), doing("withdraw_enrollment", enrollment.id, "moved"))
        assert see_runs(world, ada, courses[0]) == ["cancelling"]
        assert [each.kind for each in world.answer_calls()] == ["unenroll"]
        assert see_runs(world, ada, courses[0]) == ["cancelled"]


def test_a_call_is_claimed_once(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    program = world.program(organization, courses[0])
    for _ in range(60):
        world.enroll(world.learner(organization), program)

    def claim(connection: Connection) -> list[Any]:
        query = "select intent_id from claim_intents(20, 60, 1000, '{}', '{}')"
        return [row for _ in range(5) for row in connection.execute(query.encode()).fetchall()]

    claimed = [each for some in race(database, *[claim] * 4) for each in some]

    assert len(claimed) == len(set(claimed)) == 60


def test_activation_and_timer_start_once(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    program = world.program(organization, courses[0])
    enrollments: list[Enrollment] = []
    for _ in range(ROUNDS):
        enrollment = world.create(world.learner(organization), program)
        approve = doing("meet_requirement", enrollment.id, "approved", "approval")
        race(database, approve, approve, doing("start_due_enrollments", 10))
        enrollments.append(enrollment)

    assert {see(world, each) for each in enrollments} == {"active: in_progress"}
    assert world.value("select count(*) from intents") == ROUNDS


def test_two_programs_that_start_the_same_course_at_once_share_its_run(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    ada = world.learner(organization)
    world.enroll(ada, world.program(organization, courses[0]))
    world.answer_calls()  # From now on nobody locks her account.

    def approve(enrollment: Enrollment) -> Work:
        def work(connection: Connection) -> None:
            call(connection, "meet_requirement", enrollment.id, "approved", "approval")
            connection.execute("select pg_sleep(0.1)")  # Let the other one come in between.

        return work

    for course in courses[1:]:
        pair = [world.create(ada, world.program(organization, course)) for _ in range(2)]
        race(database, *[approve(each) for each in pair])

        assert see_runs(world, ada, course) == ["provisioning"]
        assert {see(world, each) for each in pair} == {"active: in_progress"}


def test_one_live_enrollment_at_once(
    world: World, database: Database, organization: Organization, courses: list[Course]
) -> None:
    program = world.program(organization, courses[0])
    for _ in range(ROUNDS):
        ada = world.learner(organization)
        create = doing("create_enrollment", ada.id, program.id, "self_pay", "2026-01-01")
        results = race(database, create, create)
        assert sorted(type(each).__name__ for each in results) == ["UUID", "str"]
        assert "23505" in results
