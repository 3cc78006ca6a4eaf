"""Idempotency-Key at milady and hsi, tried against a small model of what it promises."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handrail_sandbox.api import perform
from handrail_sandbox.config import parse_config
from handrail_sandbox.world import Asked, World
from tests.sandbox.partners import (
    CONTRACTS,
    enroll,
    get_account,
    make_config,
    make_email,
    open_account,
)
from tests.sandbox.process import Reply, Sandbox

KEEPERS = pytest.mark.parametrize("slug", ["milady", "hsi"])


@KEEPERS
def test_the_same_key_gets_the_same_answer(sandbox: Sandbox, slug: str) -> None:
    email = make_email()
    first, again = (open_account(sandbox, slug, email, key=email) for _ in range(2))
    assert (first.status, "idempotent-replayed" in first.headers) == (201, False)
    assert (again.status, again.headers["idempotent-replayed"]) == (201, "true")
    assert again.json == first.json
    account = first.json["studentId"]
    first, again = (enroll(sandbox, slug, account, key=f"{email} 2") for _ in range(2))
    assert (again.status, again.json) == (201, first.json)


@KEEPERS
def test_the_same_key_for_something_else_is_refused(sandbox: Sandbox, slug: str) -> None:
    key = make_email()
    account = get_account(sandbox, slug)
    assert enroll(sandbox, slug, account, key=key).status == 201
    other = enroll(sandbox, slug, account, course=f"{CONTRACTS[slug].course}-2", key=key)
    assert (other.status, other.json["error"]) == (422, "key_reused")
    elsewhere = open_account(sandbox, slug, key=key)
    assert (elsewhere.status, elsewhere.json["error"]) == (422, "key_reused")


@KEEPERS
def test_a_conflict_is_kept_and_a_refusal_is_not(sandbox: Sandbox, slug: str) -> None:
    email, key = make_email(), make_email("key")
    account = get_account(sandbox, slug, email)
    conflict, again = (open_account(sandbox, slug, email, key=key) for _ in range(2))
    assert (conflict.status, again.status, again.json) == (409, 409, conflict.json)
    key = make_email("key")
    assert enroll(sandbox, slug, account, course="NO-COURSE", key=key).status == 422
    assert enroll(sandbox, slug, account, key=key).status == 201


def test_a_key_of_one_partner_means_nothing_at_another(sandbox: Sandbox) -> None:
    key = make_email()
    assert open_account(sandbox, "milady", key=key).status == 201
    assert open_account(sandbox, "hsi", key=key).status == 201


@pytest.mark.parametrize("slug", ["certiport", "careersafe", "jri", "nrf", "nds"])
def test_elsewhere_the_key_is_ignored(sandbox: Sandbox, slug: str) -> None:
    email = make_email()
    replies = [open_account(sandbox, slug, email, key=email).status for _ in range(2)]
    assert replies == [201, 409]


def test_many_at_once_with_one_key_do_it_once(sandbox: Sandbox) -> None:
    account, key = get_account(sandbox, "milady"), make_email("key")
    with ThreadPoolExecutor(8) as threads:
        replies = list(
            threads.map(lambda _: enroll(sandbox, "milady", account, key=key), range(16))
        )
    assert {it.status for it in replies} == {201}
    assert len({it.json["enrollmentId"] for it in replies}) == 1
    assert sum("idempotent-replayed" in it.headers for it in replies) == 15


def test_a_key_that_is_too_long_is_refused(sandbox: Sandbox) -> None:
    reply = open_account(sandbox, "milady", key="k" * 256)
    assert (reply.status, reply.json["error"]) == (400, "malformed_key")


@contextmanager
def open_state() -> Iterator[sqlite3.Connection]:
    db = sqlite3.connect(":memory:")
    db.row_factory = sqlite3.Row
    db.executescript(files("handrail_sandbox").joinpath("schema.sql").read_text("utf-8"))
    yield db
    db.close()


@pytest.mark.parametrize(("hours", "status"), [(23.99, 201), (24.0, 409)])
def test_a_key_is_honored_for_24_hours(hours: float, status: int) -> None:
    world = World(parse_config(make_config({})), "http://sandbox.test")
    partner = world.config.partners["milady"]
    body = {"firstName": "A", "lastName": "B", "email": "a@example.org", "schoolId": "SCHOOL-1"}

    def ask(at: float) -> Asked:
        path = partner.platform.account_path
        return Asked(partner, "create_account", "POST", path, at, {}, body, key="a-key")

    with open_state() as db:
        assert perform(db, world, ask(1e9), fault="")[0].status == 201
        assert perform(db, world, ask(1e9 + hours * 3600), fault="")[0].status == status


KEYS = st.sampled_from(["", "one", "two"])
PEOPLE = st.sampled_from(["alice", "bob"])
COURSES = st.sampled_from(["MS-BARB", "MS-BARB-2"])
ENROLL = st.tuples(st.just("enroll"), PEOPLE, COURSES, KEYS)
UNENROLL = st.tuples(st.just("unenroll"), PEOPLE, COURSES, st.just(""))


class Model:
    """What milady should do: at most one open enrollment, and the first answer of each key."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, str], str] = {}
        self.kept: dict[str, tuple[str, str, int, str]] = {}

    def check_enroll(self, person: str, course: str, key: str, reply: Reply) -> None:
        got = (reply.status, reply.json.get("enrollmentId", ""))
        if key in self.kept:
            *subject, status, id = self.kept[key]
            assert got == ((status, id) if subject == [person, course] else (422, ""))
            return
        if (person, course) in self.open:
            assert got == (409, self.open[person, course])
        else:
            assert got[0] == 201
            assert got[1] not in self.open.values()
            self.open[person, course] = got[1]
        if key:
            self.kept[key] = (person, course, *got)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.one_of(ENROLL, ENROLL, UNENROLL), max_size=12))
def test_any_order_of_requests_and_keys(
    sandbox: Sandbox, steps: list[tuple[str, str, str, str]]
) -> None:
    model, run = Model(), make_email("run")
    accounts = {name: get_account(sandbox, "milady") for name in ("alice", "bob")}
    for kind, person, course, key in steps:
        if kind == "enroll":
            full_key = f"{run} {key}" if key else ""
            reply = enroll(sandbox, "milady", accounts[person], course=course, key=full_key)
            model.check_enroll(person, course, key, reply)
        elif (person, course) in model.open:
            id = model.open.pop((person, course))
            assert sandbox.ask("milady", "DELETE", f"/api/v1/enrollments/{id}").status == 204


def test_the_state_is_made_readable_by_its_owner_only(sandbox: Sandbox) -> None:
    for path in (sandbox.state, Path(f"{sandbox.state}-wal"), Path(f"{sandbox.state}.lock")):
        assert path.stat().st_mode & 0o077 == 0
