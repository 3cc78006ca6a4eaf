"""Every function that runs with another's rights: who may call it, and whom it turns away.

A function that is not listed here fails the first test. Write down who may call it; where the web
process may, add a call to `CALLS`.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.databases import Database, Sql
from tests.factories import World
from tests.walls.scene import Scene, School

REFUSED = "42501"
NOBODY = "nobody signed in"
EVERYBODY = ("Alice", "Bob", "Charlie", "Ada", "Grace", NOBODY)


@dataclass(frozen=True)
class Call:
    """How the web process calls a function in Alice's school, and who is not turned away."""

    arguments: Callable[[School], tuple[Any, ...]]
    allowed: tuple[str, ...]


STAFF, ADMIN, STUDENT = ("Alice", "Bob"), ("Alice",), ("Alice", "Bob", "Ada")
REASON = "a reason"

CALLS: Mapping[str, Call] = {
    "choose_elective": Call(lambda s: (s.step(s.under_way, s.a),), STUDENT),
    "complete_step": Call(lambda s: (s.step(s.under_way, s.first), "2026-01-01", REASON), STAFF),
    "continue_old_run": Call(lambda s: (s.intent, REASON), STAFF),
    "correct_account_id": Call(lambda s: (s.account, "id-9", REASON), STAFF),
    "correct_learner_name": Call(lambda s: (s.under_way.id, "Ada", "Byron", REASON), STAFF),
    "correct_partner_id": Call(lambda s: (s.run, "id-9", REASON), STAFF),
    "create_enrollment": Call(lambda s: (s.ada.id, s.other.id, "WIOA", "2026-01-01"), STAFF),
    "decide_webhook_events": Call(lambda s: ([s.event], "ignore", REASON), STAFF),
    "dismiss_attention": Call(lambda s: (s.item, REASON), STAFF),
    "dismiss_webhook_conflict": Call(lambda s: (s.conflict, REASON), STAFF),
    "enter_partner_id": Call(lambda s: (s.intent, "id-9", REASON), STAFF),
    "fail_step": Call(lambda s: (s.step(s.under_way, s.first), "2026-01-01", REASON), STAFF),
    "generate_enrollment_steps": Call(lambda s: (s.under_way.id,), STAFF),
    "list_members": Call(lambda s: (s.organization.id,), STAFF),
    "meet_requirement": Call(lambda s: (s.waiting.id, "approved", "approval"), STAFF),
    "publish_program_version": Call(lambda s: (s.draft,), ADMIN),
    "read_webhook_body": Call(lambda s: (s.event,), ADMIN),
    "reissue_credential": Call(lambda s: (s.completed.id, REASON), STAFF),
    "render_certificate_again": Call(lambda s: (s.credential,), STAFF),
    "reopen_step": Call(lambda s: (s.step(s.completed, s.first), REASON), ADMIN),
    "resume_enrollment": Call(lambda s: (s.under_way.id, REASON), STAFF),
    "retry_provider_calls": Call(lambda s: (s.first.provider.id, REASON), STAFF),
    "retry_call": Call(lambda s: (s.intent, True, REASON), STAFF),
    "retry_step": Call(lambda s: (s.step(s.under_way, s.first), REASON), STAFF),
    "search_learners": Call(lambda s: (s.organization.id, "ada:*", None, False, 9), STAFF),
    "skip_step": Call(lambda s: (s.step(s.under_way, s.first), "tested_out", REASON), STAFF),
    "start_enrollment": Call(lambda s: (s.under_way.id,), STAFF),
    "suspend_enrollment": Call(lambda s: (s.under_way.id, REASON), STAFF),
    "transfer_enrollment": Call(lambda s: (s.under_way.id, s.other.id, REASON), ADMIN),
    "unchoose_elective": Call(lambda s: (s.step(s.under_way, s.a),), STUDENT),
    "undo_withdrawal": Call(lambda s: (s.under_way.id, REASON), ADMIN),
    "withdraw_enrollment": Call(lambda s: (s.under_way.id, REASON), STAFF),
}
# What the web process may ask without being anybody in particular, and what comes back.
OPEN = {
    "find_sign_in": "the password's hash of an address, before anybody is signed in",
    "find_organization_of": "an organization's id, for the API after the service's token was checked",
    "queue_mail": "nothing",
    "verify_credential": "what the page of a certificate shows to whoever has its address",
}
# What answers only about the caller: others' rows are left out.
OWN = {"find_calls", "own_learner_ids", "own_organization_ids"}

WORKER_ONLY = {
    "apply_partner_events",
    "claim_intents",
    "enroll_learners",
    "expire_leases",
    "hold_outbound",
    "link_learner",
    "record_call_results",
    "release_providers",
    "release_outbound",
    "save_call_facts",
    "start_due_enrollments",
    "store_certificate",
    "wake_waiting_events",
}
NOT_FOR_WORKER = {"find_calls", "find_organization_of", "find_sign_in", *OWN, "verify_credential"}
ROLES_OF: Mapping[str, set[str]] = {
    **{name: {"web", "worker"} - ({"worker"} & NOT_FOR_WORKER) for name in CALLS},
    **{name: {"web"} if name in NOT_FOR_WORKER else {"web", "worker"} for name in (*OPEN, *OWN)},
    **{name: {"worker"} for name in WORKER_ONLY},
    "own_learner_ids": {"web", "readonly"},
    "own_organization_ids": {"web", "readonly"},
    "reapply_events": set(),
    "store_webhook_events": {"ingress"},
    "refuse_change_of_published_step": set(),  # a trigger, as is the next one
    "doubt_calls": set(),
}
# They run with the caller's rights: helpers that look at the claims, and one question to rows that the
# caller sees.
FOR_EVERYBODY = {
    "actor_id",
    "assert_service",
    "assert_staff",
    "call_is_awaited",
    "claim_admin_organization",
    "claim_profile_id",
    "claim_staff_organization",
    "claims",
    "fn_pgqueuer_changed",
    "is_service",
    "learner_document",
    "refuse_change_of_published_version",
    "uuidv7",
}

_FUNCTIONS = """
select p.proname, p.prosecdef, r.rolname, coalesce(p.proconfig, '{}'),
       array(select role from unnest(array['web', 'worker', 'ingress', 'readonly']) as role
             where has_function_privilege('handrail_' || role, p.oid, 'execute')),
       exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as acl where acl.grantee = 0)
from pg_proc p join pg_roles r on r.oid = p.proowner where p.pronamespace = 'public'::regnamespace
"""


@pytest.mark.every_postgres
def test_every_function_with_anothers_rights_is_listed_pinned_and_the_machines(sql: Sql) -> None:
    rows = [each for each in sql.rows(_FUNCTIONS) if each[1]]

    assert {name: set(roles) for name, _, _, _, roles, _ in rows} == ROLES_OF
    assert len(rows) == len(ROLES_OF), "one function a name"
    for name, _, owner, config, _, is_public in rows:
        assert owner == "handrail_machine", name
        assert "search_path=pg_catalog, public, pg_temp" in config, name
        assert not is_public, name


@pytest.mark.every_postgres
def test_the_parts_of_the_machine_are_closed(sql: Sql) -> None:
    rows = [each for each in sql.rows(_FUNCTIONS) if not each[1]]

    assert {name for name, *_, is_public in rows if is_public} <= FOR_EVERYBODY
    for_worker = {"close_attention", "enqueue_jobs", "open_attention", "tell_about_webhooks"}
    assert {
        (name, role)
        for name, _, _, _, roles, _ in rows
        for role in roles
        if name not in FOR_EVERYBODY
    } == {(name, "worker") for name in for_worker}


def test_each_function_of_the_web_process_checks_its_caller(
    database: Database, scene: Scene
) -> None:
    wrong = {}
    with database.connect("web", autocommit=False) as web:
        for name, function in CALLS.items():
            arguments = function.arguments(scene.alices)
            let_in = tuple(
                who
                for who in EVERYBODY
                if try_call(web, name, arguments, scene.claims.get(who)) != REFUSED
            )
            if let_in != function.allowed:
                wrong[name] = let_in
    assert wrong == {}


def test_the_right_caller_is_served(database: Database, scene: Scene) -> None:
    """So that the refusals above are about who asks: each does its work, or says in words why not."""
    with database.connect("web", autocommit=False) as web:
        results = {
            name: try_call(web, name, function.arguments(scene.alices), scene.claims["Alice"])
            for name, function in CALLS.items()
        }
    assert {name for name, state in results.items() if state != "done"} == {
        "continue_old_run",  # there is no earlier attempt
        "correct_account_id",  # nobody entered it
        "correct_partner_id",  # nor this one
        "dismiss_attention",  # the call still waits for a decision
        "publish_program_version",  # it has no steps
        "retry_step",  # it did not fail
        "undo_withdrawal",  # it was not withdrawn
    }


def test_what_does_not_exist_is_not_told_from_what_is_foreign_by_its_success(
    database: Database, scene: Scene
) -> None:
    """Charlie's ids in Alice's hands, name by name."""
    with database.connect("web", autocommit=False) as web:
        for name, function in CALLS.items():
            foreign = function.arguments(scene.charlies)
            assert try_call(web, name, foreign, scene.claims["Alice"]) == REFUSED, name


def test_what_is_open_tells_no_more_than_is_said(database: Database, scene: Scene) -> None:
    school = scene.alices
    with database.connect("web", autocommit=False) as web:
        sign_in = web.execute("select * from find_sign_in('nobody@example.org')").fetchall()
        verified = web.execute("select * from verify_credential(%s)", [school.credential])
        columns = {each.name for each in verified.description or ()}
        organization = web.execute(
            "select find_organization_of(%s, null, null)", [school.under_way.id]
        ).fetchone()

    assert sign_in == []
    assert len(verified.fetchall()) == 1
    assert columns == {
        *("number", "organization_name", "holder_name", "program_title", "steps"),
        *("issued_at", "time_zone", "revoked_at", "superseded_by"),
    }
    assert organization == (school.organization.id,)


def test_what_answers_about_the_caller_leaves_others_out(
    world: World, database: Database, scene: Scene
) -> None:
    school = scene.alices
    runs = world.column(
        "select id from partner_lms_enrollments where learner_id = %s", school.ada.id
    )
    assert runs != []
    found = {}
    with database.connect("web", autocommit=False) as web:
        for who, claims in scene.claims.items():
            set_claims(web, claims)
            rows = web.execute("select run_id from find_calls(%s)", [runs]).fetchall()
            own = web.execute("select own_learner_ids(), own_organization_ids()").fetchone()
            found[who] = (len(rows), own)
        assert try_call(web, "find_calls", (runs,), None) == REFUSED
        assert try_call(web, "own_learner_ids", (), None) == REFUSED

    mine = [school.organization.id]
    assert found == {
        "Alice": (1, ([], [])),
        "Bob": (1, ([], [])),
        "Charlie": (0, ([], [])),
        "Ada": (1, ([school.ada.id], mine)),
        "Grace": (0, ([school.grace.id], mine)),
    }


def test_the_service_role_is_known_by_its_login_not_by_claims(
    database: Database, scene: Scene
) -> None:
    forged = {
        **scene.claims["Charlie"],
        "role": "handrail_worker",
        "session_user": "handrail_worker",
    }
    with database.connect("web", autocommit=False) as web:
        arguments = (scene.alices.under_way.id, REASON)
        assert try_call(web, "suspend_enrollment", arguments, forged) == REFUSED
        for login in ("handrail_worker", "handrail_machine", "handrail_owner"):
            for statement in (f"set role {login}", f"set session authorization {login}"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), web.transaction():
                    web.execute(statement.encode())


def try_call(
    web: psycopg.Connection[Any], name: str, arguments: tuple[Any, ...], claims: Any
) -> str:
    """Call and undo; `done`, or the state that it was refused with."""
    marks = ", ".join(["%s"] * len(arguments))
    try:
        with web.transaction(force_rollback=True):
            set_claims(web, claims)
            web.execute(f"select {name}({marks})".encode(), arguments)
    except psycopg.Error as error:
        return str(error.sqlstate)
    return "done"


def set_claims(web: psycopg.Connection[Any], claims: Any) -> None:
    text = "" if claims is None else json.dumps(claims)
    web.execute("select set_config('request.jwt.claims', %s, true)", [text])
