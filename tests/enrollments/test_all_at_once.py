"""Two appliers, a worker and staff on the same people; in the end all of them are done."""

import random
from functools import partial
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from tests.databases import Database
from tests.enrollments.look import see
from tests.enrollments.racing import race, retry
from tests.enrollments.test_promises import find
from tests.factories import (
    Connection,
    Electives,
    Enrollment,
    World,
    apply_events,
    call,
)

TURNS = 15
_CLAIM = """
select jsonb_agg(jsonb_build_object('intent_id', intent_id, 'fence', fence, 'result', 'done',
                                    'external_id', intent_id))
from claim_intents(7, 60, 1000, '{}', '{}')
"""
_RECORD = b"select record_call_results(%s)"
_OPEN_RUNS = """
select id, provider_id from partner_lms_enrollments where status <> 'completed' order by random() limit 9
"""


def answer(connection: Connection) -> None:
    for _ in range(TURNS):
        ((results,),) = connection.execute(_CLAIM.encode()).fetchall()
        if results:
            retry(partial(connection.execute, _RECORD, [Jsonb(results)]))


def report(connection: Connection) -> None:
    for _ in range(TURNS):
        events: list[dict[str, Any]] = [
            {
                "kind": "course.completed",
                "run_id": run,
                "provider_id": provider,
                "cause_kind": "webhook",
                "cause_id": run,
            }
            for run, provider in connection.execute(_OPEN_RUNS.encode()).fetchall()
        ]
        retry(partial(apply_events, connection, events))


def suspend_and_resume(connection: Connection, enrollment: Enrollment) -> None:
    for function in ("suspend_enrollment", "resume_enrollment"):
        try:
            retry(partial(call, connection, function, enrollment.id, "a reason"))
        except psycopg.Error as error:
            if error.sqlstate != "HR001":  # it is completed
                raise


def test_everybody_ends_with_one_credential(world: World, database: Database) -> None:
    organization = world.organization()
    a, b, c, d = world.courses(world.provider(organization), 4)
    programs = [
        world.program(organization, [a, b], c),
        world.program(organization, a, Electives(1, [c, d])),
    ]
    people = [world.learner(organization) for _ in range(12)]
    enrollments = [world.enroll(each, program) for each in people for program in programs]
    for each in enrollments[1::2]:
        world.on_step("choose_elective", each, c)

    def administer(connection: Connection) -> None:
        for each in random.sample(enrollments, 10):
            suspend_and_resume(connection, each)

    assert race(database, answer, answer, report, report, administer) == [None] * 5
    for each in enrollments:
        if see(world, each).startswith("suspended"):
            world.call("resume_enrollment", each.id, "well")
    while any(not see(world, each).startswith("completed") for each in enrollments):
        world.admin.execute("update intents set lease_until = now() where status = 'sending'")
        world.call("expire_leases")
        world.answer_calls()
        report(world.service)

    assert world.value("select count(*) from credentials") == len(enrollments)
    with database.connect("superuser", autocommit=False) as connection:
        assert find(connection) == []
