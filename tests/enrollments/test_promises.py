"""Each check of the promises is 0 on a healthy database and sees what breaks it."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings

from handrail.core.crypto import Keyring, Place
from handrail.enrollments.promises import (
    PROMISES,
    Violation,
    check_promises,
    describe,
    find_violations,
    read_checks,
)
from tests.databases import Database
from tests.factories import Course, Electives, Enrollment, Learner, World, now

BREAKS = Path(__file__).parent / "breaks.sql"


def read_breaks() -> dict[str, list[list[str]]]:
    """Return the statements of each block of breaks.sql, of each of its ways."""
    _, *parts = re.split(r"^-- breaks: (.+)$", BREAKS.read_text(), flags=re.MULTILINE)
    return {
        words: [
            [each.strip() for each in way.split(";") if each.strip()]
            for way in re.split(r"^-- or$", block, flags=re.MULTILINE)
        ]
        for words, block in zip(parts[0::2], parts[1::2], strict=True)
    }


class Healthy:
    """Somebody completed, somebody under way, somebody withdrawn; sealed secrets; two webhooks."""

    def __init__(self, world: World) -> None:
        organization = world.organization()
        partner = world.provider(organization)
        self.courses: list[Course] = world.courses(partner, 4)
        a, b, c, d = self.courses
        program = world.program(organization, a, Electives(1, [b, c]), d)
        self.people: list[Learner] = [world.learner(organization) for _ in range(3)]
        self.enrollments: list[Enrollment] = [world.enroll(each, program) for each in self.people]
        done, under_way, withdrawn = self.enrollments
        world.on_step("choose_elective", done, b)
        for course in (a, b, d):
            world.answer_calls()
            world.complete(done, course)
        world.complete(under_way, a)
        world.on_step("choose_elective", under_way, c)
        world.answer_calls()
        world.call("withdraw_enrollment", withdrawn.id, "moved away")
        world.answer_calls()
        self._add_webhooks(world, partner.id, organization.id)

    def _add_webhooks(self, world: World, provider: Any, organization: Any) -> None:
        keyring = Keyring(settings.HANDRAIL_SECRET_KEYS)
        sealed = keyring.encrypt(b"secret", place=Place("a", "b", "c"))
        world.admin.execute("update partner_lms_providers set credentials = %s", [sealed])
        endpoint = world.insert(
            "webhook_endpoints",
            key="partner",
            kind="partner",
            organization_id=organization,
            provider_id=provider,
            secret=sealed,
        )
        for event_id in ("a", "b"):
            world.insert(
                "webhook_events",
                endpoint_id=endpoint,
                organization_id=organization,
                provider_id=provider,
                event_id=event_id,
                digest=b"",
                body=b"{}",
                status="applied",
                applied_at=now(),
            )


def find(connection: psycopg.Connection[Any]) -> list[Violation]:
    """As the service role, inside the connection's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("set local session authorization handrail_worker")
        key_ids = [key_id for key_id, _ in settings.HANDRAIL_SECRET_KEYS]
        found = list(find_violations(cursor, waiting_hours=24, key_ids=key_ids))
        cursor.execute("reset session authorization")
    return found


def test_every_promise_has_a_check_and_every_check_is_broken_below() -> None:
    breaks = read_breaks()
    assert {each.promise for each in read_checks()} == set(PROMISES)
    named = Counter(
        prefix for prefix in breaks for each in read_checks() if each.words.startswith(prefix)
    )
    assert named == dict.fromkeys(breaks, 1)
    assert len(breaks) == len(read_checks())


@pytest.mark.every_postgres
def test_a_healthy_database_has_no_violation(world: World, database: Database) -> None:
    Healthy(world)
    with database.connect("superuser", autocommit=False) as connection:
        assert find(connection) == []


def test_each_check_sees_what_breaks_it(world: World, database: Database) -> None:
    Healthy(world)
    unseen = {}
    with database.connect("superuser", autocommit=False) as connection:
        for words, ways in read_breaks().items():
            for statements in ways:
                with connection.transaction(force_rollback=True):
                    connection.execute("set local session_replication_role = replica")
                    changed = [connection.execute(each.encode()).rowcount for each in statements]
                    found = [each.words for each in find(connection)]
                    if words not in [each[: len(words)] for each in found] or changed[-1] == 0:
                        unseen[words, statements[-1]] = (changed, found)
    assert unseen == {}


@pytest.mark.parametrize(
    ("cause", "kind"), [("refused", "call"), ("credentials", "provider_calls")]
)
def test_a_run_whose_call_is_on_the_attention_list_is_told(
    world: World, cause: str, kind: str
) -> None:
    organization = world.organization()
    course = world.course(world.provider(organization))
    world.enroll(world.learner(organization), world.program(organization, course))
    for _ in range(2):  # the account, then the enrollment
        (call,) = world.claim()
        done = call.kind == "create_account"
        facts = {"external_id": "1"} if done else {"cause": cause, "error": "no"}
        assert world.record(call, "done" if done else "needs_person", **facts)

    assert world.column("select status from partner_lms_enrollments") == ["needs_attention"]
    assert world.column("select kind from attention_items") == [kind]
    assert check_promises() == []

    world.admin.execute("update attention_items set subject_id = gen_random_uuid()")
    words = "a run needs a person, and nobody was told"
    assert [each.words for each in check_promises()][:1] == [words]


@pytest.mark.parametrize(("seconds", "found"), [(7200, []), (1800, ["a call is due and"])])
def test_a_partner_that_asked_to_wait_has_no_late_calls(
    world: World, database: Database, seconds: int, found: list[str]
) -> None:
    organization = world.organization()
    (course,) = world.courses(world.provider(organization), 1)
    program = world.program(organization, course)
    for _ in range(2):
        world.enroll(world.learner(organization), program)
    answered, due = world.claim()
    world.record(answered, "failed", error="429: slow down", after_seconds=seconds, counts=False)
    world.record(due, "failed", error="left alone", after_seconds=-7200, counts=False)
    with database.connect("superuser", autocommit=False) as connection:
        assert [each.words[:17] for each in find(connection)] == found


def test_what_is_found_is_told_a_line_a_promise(world: World, database: Database) -> None:
    Healthy(world)
    assert check_promises() == []
    world.admin.execute("update partner_lms_enrollments set progress = null, fact_kind = null")

    lines = describe(check_promises())

    assert lines[0] == "      0  1. Nothing received is lost"
    assert lines[3] == "      4  4. Nothing is invented"
    assert lines[4].startswith("            a run ended, and nobody said so: 4 (run 01")
    assert lines[4].endswith(", ...)")


def test_the_command_says_it_with_its_exit_code(world: World, database: Database) -> None:
    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "handrail.config.cli", "check"],
            env=database.environment("worker"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    healthy = check()
    assert (healthy.returncode, healthy.stderr) == (0, "")
    assert [line.split()[0] for line in healthy.stdout.splitlines()] == ["0"] * 10

    Healthy(world)
    world.admin.execute("update credentials set revoked_at = now(), revoke_reason = 'x'")
    broken = check()

    assert broken.returncode == 1
    assert "      1  6. Completed means completed" in broken.stdout
