"""The records: everything asked, done and sent, as JSON and in the SQLite."""

import json
import sqlite3
from contextlib import closing

import pytest

from tests.sandbox.partners import (
    CONTRACTS,
    act,
    buy_voucher,
    enroll,
    get_account,
    get_enrollment,
    make_config,
    make_email,
    open_account,
)
from tests.sandbox.process import Sandbox, Start, with_query
from tests.sandbox.receiver import Receiver

LISTS = ("ledger", "webhooks", "deliveries", "enrollments")


def test_each_request_leaves_one_line(start: Start) -> None:
    sandbox = start(make_config({}))
    account = get_account(sandbox, "certiport", "alice@example.org")
    open_account(sandbox, "certiport", "alice@example.org")
    sandbox.ask("certiport", "GET", with_query("/api/v2/users", email="nobody@example.org"))
    voucher = buy_voucher(sandbox, account)
    id = enroll(sandbox, "certiport", account, voucher=voucher).json["enrollmentId"]
    enroll(sandbox, "certiport", account, course="NO-COURSE", voucher=voucher)
    sandbox.ask("certiport", "GET", f"/api/v2/enrollments/{id}/status")
    sandbox.ask("certiport", "GET", f"/api/v2/enrollments/{id}/certificate")
    sandbox.send("POST", "/certiport/api/v2/users", body=b"{}")
    act(sandbox, "certiport", id, "complete")
    student = open_account(sandbox, "milady", "alice@example.org", key="key-1").json["studentId"]
    left = enroll(sandbox, "milady", student, key="key-2").json["enrollmentId"]
    enroll(sandbox, "milady", student, key="key-2")
    sandbox.ask("milady", "DELETE", f"/api/v1/enrollments/{left}")

    names = ("operation", "key", "account", "course", "enrollment", "voucher", "outcome", "status")
    lines = [tuple(it[name] for name in names) for it in sandbox.list_all("ledger")]
    assert lines == [
        ("create_account", "", account, "", "", "", "created", 201),
        ("create_account", "", account, "", "", "", "existing", 409),
        ("find_account", "", "", "", "", "", "none", 200),
        ("buy_voucher", "", account, "MOS-365", "", voucher, "created", 201),
        ("enroll", "", account, "MOS-365", id, voucher, "created", 201),
        ("enroll", "", account, "NO-COURSE", "", "", "refused", 422),
        ("read_progress", "", account, "MOS-365", id, "", "found", 200),
        ("read_certificate", "", "", "", id, "", "refused", 404),
        ("create_account", "", "", "", "", "", "refused", 401),
        ("complete", "", account, "MOS-365", id, "", "done", 200),
        ("create_account", "key-1", student, "", "", "", "created", 201),
        ("enroll", "key-2", student, "MS-BARB", left, "", "created", 201),
        ("enroll", "key-2", student, "MS-BARB", left, "", "replayed", 201),
        ("unenroll", "", student, "MS-BARB", left, "", "done", 204),
    ]
    paths = {(it["method"], it["path"]) for it in sandbox.list_all("ledger", operation="enroll")}
    assert paths == {("POST", "/api/v2/enrollments"), ("POST", "/api/v1/enrollments")}
    assert all(it["answered"] == str(it["status"]) for it in sandbox.list_all("ledger"))


def test_the_ledger_and_the_enrollments_agree(start: Start) -> None:
    sandbox = start(make_config({}))
    for slug in CONTRACTS:
        for _ in range(3):
            account = get_account(sandbox, slug)
            enroll(sandbox, slug, account)
            enroll(sandbox, slug, account)
    created = [
        (it["partner"], it["account"], it["course"], it["enrollment"])
        for it in sandbox.list_all("ledger", operation="enroll")
        if it["outcome"] == "created"
    ]
    stored = [
        (it["partner"], it["account"], it["course"], it["id"])
        for it in sandbox.list_all("enrollments")
    ]
    assert created == stored
    assert len(created) == 3 * len(CONTRACTS) + 3  # a second order at nds each time


def test_the_state_can_be_read_while_it_runs(sandbox: Sandbox) -> None:
    id = get_enrollment(sandbox, "hsi")
    with closing(sqlite3.connect(f"file:{sandbox.state}?mode=ro", uri=True)) as db:
        outcomes = db.execute(
            "SELECT operation, outcome FROM ledger WHERE enrollment = ?", (id,)
        ).fetchall()
        assert outcomes == [("enroll", "created")]
        assert db.execute("SELECT count(*) FROM webhooks WHERE enrollment = ?", (id,)).fetchone()


def test_webhooks_and_their_deliveries(start: Start, receiver: Receiver) -> None:
    sandbox = start(make_config({"milady": receiver.url("milady")}))
    receiver.answers.append((500, {}))
    id = get_enrollment(sandbox, "milady")
    received = receiver.wait(id, 2)
    sandbox.wait_idle()
    [webhook] = sandbox.list_all("webhooks", partner="milady", enrollment=id)
    assert webhook["body"] == received[0].json
    assert (webhook["id"], webhook["state"]) == (received[0].id, "delivered")
    assert (webhook["attempts"], webhook["last_answer"]) == (2, "200")
    deliveries = sandbox.list_all("deliveries", webhook=webhook["id"])
    assert [it["answer"] for it in deliveries] == ["500", "200"]
    assert all(0 <= it["milliseconds"] < 10_000 for it in deliveries)


def test_lists_come_in_pages(start: Start) -> None:
    sandbox = start(make_config({}))
    accounts = [get_account(sandbox, "milady") for _ in range(7)]
    seen: list[str] = []
    after: int | None = 0
    pages = 0
    while after is not None:
        page = sandbox.control("GET", with_query("ledger", after=after, limit=3))
        seen += [it["account"] for it in page["items"]]
        after, pages = page["next_after"], pages + 1
    assert (seen, pages) == (accounts, 3)


def test_enrollments_are_found_by_address_and_status(sandbox: Sandbox) -> None:
    email = make_email("Carla")
    id = get_enrollment(sandbox, "nrf", email=email)
    act(sandbox, "nrf", id, "progress", percent=12.5)
    [found] = sandbox.list_all("enrollments", email=email.upper(), status="active")
    assert (found["id"], found["email"], found["percent"]) == (id, email, 12.5)
    assert sandbox.list_all("enrollments", email=email, status="completed") == []


@pytest.mark.parametrize("name", LISTS)
def test_parameters_that_make_no_sense_are_refused(sandbox: Sandbox, name: str) -> None:
    headers = {"Authorization": f"Bearer {sandbox.config['control_token']}"}
    for query, words in (
        ("limit=x", "limit is a whole number."),
        ("after=-1", "after is a whole number."),
        ("color=red", "Not a parameter: color."),
    ):
        reply = sandbox.send("GET", f"/control/{name}?{query}", headers=headers)
        assert (reply.status, reply.json["message"]) == (422, words)


# --------------------------------------------------------------------------- who may control

CALLS = [
    ("GET", "ledger"),
    ("GET", "status"),
    ("GET", "idle"),
    ("POST", "pause"),
    ("POST", "faults"),
    ("DELETE", "faults"),
    ("POST", "milady/webhooks/on"),
    ("POST", "enrollments/milady/MIL-E-1/complete"),
]


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("proof", ["", "Bearer ", "Bearer control-token-of-the-test", "Bearer é"])
def test_charlie_controls_nothing(sandbox: Sandbox, method: str, path: str, proof: str) -> None:
    headers = {"Authorization": proof.encode().decode("latin-1")} if proof else {}
    reply = sandbox.send(method, f"/control/{path}", body=b"{}", headers=headers)
    assert (reply.status, reply.json["error"]) == (401, "unauthorized")


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("milady/MIL-E-1/complete", {}, 404, "There is no enrollment MIL-E-1."),
        ("nobody/MIL-E-1/complete", {}, 404, "There is no partner nobody here."),
        ("{id}/dance", {}, 404, "The actions are start, progress, complete, "),
        ("{id}/progress", {"percent": 101}, 422, "percent is a number from 0 to 100."),
        ("{id}/progress", {"percent": "nan"}, 422, "percent is a number from 0 to 100."),
        ("{id}/complete", {"at": "yesterday"}, 422, "at: Invalid isoformat string"),
        ("{id}/complete", {"at": "2026-05-28T20:26:40"}, 422, "at: a time needs its zone"),
        ("{id}/complete", [], 400, "The body must be a JSON object."),
    ],
)
def test_actions_that_make_no_sense_are_refused(
    sandbox: Sandbox, path: str, body: object, status: int, words: str
) -> None:
    path = path.replace("{id}", f"milady/{get_enrollment(sandbox, 'milady')}")
    headers = {"Authorization": f"Bearer {sandbox.config['control_token']}"}
    raw = json.dumps(body).encode()
    reply = sandbox.send("POST", f"/control/enrollments/{path}", body=raw, headers=headers)
    assert reply.status == status
    assert reply.json["message"].startswith(words)
