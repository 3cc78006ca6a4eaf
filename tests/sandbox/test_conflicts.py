"""Our extensions of the contract: look-ups, conflicts, vouchers and unenroll."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sandbox.partners import (
    CONTRACTS,
    SLUGS,
    act,
    buy_voucher,
    enroll,
    get_account,
    get_enrollment,
    make_email,
    open_account,
    read,
)
from tests.sandbox.process import Sandbox, with_query
from tests.sandbox.receiver import Receiver

FINDERS = ("milady", "hsi", "certiport", "careersafe", "nrf")
UNENROLLERS = ("milady", "hsi", "careersafe", "nrf")
ONCE_FOR_EVER = ("certiport", "nrf")
each_partner = pytest.mark.parametrize("slug", SLUGS)


def find_enrollments(sandbox: Sandbox, slug: str, account: str, course: str = "") -> list[str]:
    contract = CONTRACTS[slug]
    query = {contract.account_id: account, contract.course_field: course or contract.course}
    reply = sandbox.ask(slug, "GET", with_query(contract.enrollment_path, **query))
    assert reply.status == 200, reply.text
    return [it["enrollmentId"] for it in reply.json["results"]]


@each_partner
def test_an_existing_address_is_a_conflict_with_its_id(sandbox: Sandbox, slug: str) -> None:
    email = make_email("Alice")
    account = get_account(sandbox, slug, email)
    for again in (email, email.upper(), f" {email} "):
        reply = open_account(sandbox, slug, again)
        assert (reply.status, reply.json["error"]) == (409, "account_exists")
        assert reply.json[CONTRACTS[slug].account_id] == account
        assert "temporaryPassword" not in reply.json


def test_the_same_address_at_two_partners_is_two_accounts(sandbox: Sandbox) -> None:
    email = make_email()
    assert get_account(sandbox, "milady", email) != get_account(sandbox, "hsi", email)


@each_partner
def test_many_at_once_make_one_account(sandbox: Sandbox, slug: str) -> None:
    email = make_email()
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda _: open_account(sandbox, slug, email), range(16)))
    assert sorted(it.status for it in replies) == [201, *[409] * 15]
    assert len({it.json[CONTRACTS[slug].account_id] for it in replies}) == 1


@pytest.mark.parametrize("slug", FINDERS)
def test_find_an_account_by_address(sandbox: Sandbox, slug: str) -> None:
    contract = CONTRACTS[slug]
    email = make_email("Ana.Lopez")
    assert sandbox.ask(slug, "GET", with_query(contract.account_path, email=email)).json == {
        "results": []
    }
    made = open_account(sandbox, slug, email).json
    made.pop("temporaryPassword", None)
    for asked in (email, email.lower(), email.upper()):
        reply = sandbox.ask(slug, "GET", with_query(contract.account_path, email=asked))
        assert (reply.status, reply.json) == (200, {"results": [{**made, "email": email}]})


@pytest.mark.parametrize("slug", FINDERS)
def test_find_an_enrollment_by_account_and_course(sandbox: Sandbox, slug: str) -> None:
    contract = CONTRACTS[slug]
    account = get_account(sandbox, slug)
    assert find_enrollments(sandbox, slug, account) == []
    made = enroll(sandbox, slug, account).json
    assert find_enrollments(sandbox, slug, account) == [made["enrollmentId"]]
    assert find_enrollments(sandbox, slug, account, f"{contract.course}-2") == []
    query = {contract.account_id: account, contract.course_field: contract.course}
    found = sandbox.ask(slug, "GET", with_query(contract.enrollment_path, **query)).json["results"][
        0
    ]
    assert found.pop("createdAt").endswith("Z")
    assert found == {**made, contract.course_field: contract.course, "status": "not_started"}


@pytest.mark.parametrize("slug", ["jri", "nds"])
def test_who_offers_no_look_up_has_none(sandbox: Sandbox, slug: str) -> None:
    contract = CONTRACTS[slug]
    for path in (contract.account_path, contract.enrollment_path):
        assert sandbox.ask(slug, "GET", with_query(path, email="a@example.org")).status == 405


@pytest.mark.parametrize("slug", [it for it in SLUGS if it != "nds"])
def test_enrolling_again_while_open_is_a_conflict_with_the_id(sandbox: Sandbox, slug: str) -> None:
    account = get_account(sandbox, slug)
    first = enroll(sandbox, slug, account).json["enrollmentId"]
    reply = enroll(sandbox, slug, account)
    assert (reply.status, reply.json["error"]) == (409, "already_enrolled")
    assert (reply.json["enrollmentId"], reply.json["status"]) == (first, "not_started")
    another = enroll(sandbox, slug, account, course=f"{CONTRACTS[slug].course}-2")
    assert another.status == 201


@pytest.mark.parametrize("slug", [it for it in SLUGS if it != "nds"])
@pytest.mark.parametrize("closing", ["complete", "fail", "unenroll"])
def test_enrolling_again_after_it_is_closed(sandbox: Sandbox, slug: str, closing: str) -> None:
    account = get_account(sandbox, slug)
    first = enroll(sandbox, slug, account).json["enrollmentId"]
    act(sandbox, slug, first, closing)
    reply = enroll(sandbox, slug, account)
    if slug in ONCE_FOR_EVER:
        word = {"complete": "completed", "fail": "failed", "unenroll": "ended"}[closing]
        assert (reply.status, reply.json["enrollmentId"]) == (409, first)
        assert reply.json["status"] == word
    else:
        assert reply.status == 201
        assert reply.json["enrollmentId"] != first
    if slug in FINDERS:
        newest = reply.json["enrollmentId"]
        assert find_enrollments(sandbox, slug, account) == list(dict.fromkeys([newest, first]))


def test_nds_takes_a_second_order(sandbox: Sandbox) -> None:
    account = get_account(sandbox, "nds")
    orders = {
        enroll(sandbox, "nds", account, course="NDS-5PANEL").json["enrollmentId"] for _ in range(2)
    }
    assert len(orders) == 2


def test_many_at_once_make_one_enrollment(sandbox: Sandbox) -> None:
    account = get_account(sandbox, "careersafe")
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda _: enroll(sandbox, "careersafe", account), range(16)))
    assert sorted(it.status for it in replies) == [201, *[409] * 15]
    assert len({it.json["enrollmentId"] for it in replies}) == 1


# -------------------------------------------------------------------------------- vouchers


def find_vouchers(sandbox: Sandbox, account: str) -> list[tuple[str, str]]:
    reply = sandbox.ask(
        "certiport", "GET", with_query("/api/v2/vouchers", userId=account, examCode="MOS-365")
    )
    assert reply.status == 200, reply.text
    return [(it["voucherId"], it["status"]) for it in reply.json["results"]]


def test_each_post_buys_another_voucher(sandbox: Sandbox) -> None:
    account = get_account(sandbox, "certiport")
    assert find_vouchers(sandbox, account) == []
    first, second = buy_voucher(sandbox, account), buy_voucher(sandbox, account)
    assert find_vouchers(sandbox, account) == [(second, "unused"), (first, "unused")]


def test_a_voucher_answers_with_the_fields_of_the_origin(sandbox: Sandbox) -> None:
    fields = {
        "userId": get_account(sandbox, "certiport"),
        "examCode": "MOS-365",
        "organizationId": "ORG-2",
    }
    voucher = sandbox.ask("certiport", "POST", "/api/v2/vouchers", fields).json
    assert set(voucher) == {"voucherId", "voucherCode", "examCode", "examName"}
    assert (voucher["examCode"], voucher["examName"]) == ("MOS-365", "The MOS-365")


def test_the_enrollment_uses_the_voucher_up(sandbox: Sandbox) -> None:
    account = get_account(sandbox, "certiport")
    used, spare = buy_voucher(sandbox, account), buy_voucher(sandbox, account)
    assert enroll(sandbox, "certiport", account, voucher=used).status == 201
    assert enroll(sandbox, "certiport", account, voucher=spare).status == 409
    assert find_vouchers(sandbox, account) == [(spare, "unused"), (used, "used")]


def test_a_voucher_is_for_one_person_and_one_exam_and_one_time(sandbox: Sandbox) -> None:
    alice, bob = get_account(sandbox, "certiport"), get_account(sandbox, "certiport")
    voucher = buy_voucher(sandbox, alice)
    refused = enroll(sandbox, "certiport", bob, voucher=voucher)
    assert (refused.status, refused.json["error"]) == (422, "voucher_mismatch")
    refused = enroll(sandbox, "certiport", alice, course="MOS-365-2", voucher=voucher)
    assert (refused.status, refused.json["error"]) == (422, "voucher_mismatch")
    refused = enroll(sandbox, "certiport", alice, voucher="CPT-V-1")
    assert (refused.status, refused.json["error"]) == (404, "unknown_voucher")
    assert find_vouchers(sandbox, alice) == [(voucher, "unused")]


# -------------------------------------------------------------------------------- unenroll


@pytest.mark.parametrize("slug", UNENROLLERS)
def test_unenroll_once_and_again(sandbox: Sandbox, shared_receiver: Receiver, slug: str) -> None:
    id = get_enrollment(sandbox, slug)
    path = f"{CONTRACTS[slug].enrollment_path}/{id}"
    first, again = sandbox.ask(slug, "DELETE", path), sandbox.ask(slug, "DELETE", path)
    assert [(it.status, it.raw) for it in (first, again)] == [(204, b""), (204, b"")]
    assert read(sandbox, slug, id)["status"] == "ended"
    sandbox.wait_idle()
    ended = shared_receiver.of(id, event="enrollment.ended")
    assert len(ended) == 1
    assert set(ended[0].json["data"]) == {"enrollmentId", "endedAt", "reason"}


@pytest.mark.parametrize("slug", UNENROLLERS)
def test_a_completed_course_cannot_be_left(sandbox: Sandbox, slug: str) -> None:
    id = get_enrollment(sandbox, slug)
    act(sandbox, slug, id, "complete")
    reply = sandbox.ask(slug, "DELETE", f"{CONTRACTS[slug].enrollment_path}/{id}")
    assert (reply.status, reply.json["error"]) == (409, "course_completed")
    assert read(sandbox, slug, id)["status"] == "completed"


@pytest.mark.parametrize("slug", UNENROLLERS)
def test_unenroll_of_nothing_is_404(sandbox: Sandbox, slug: str) -> None:
    reply = sandbox.ask(slug, "DELETE", f"{CONTRACTS[slug].enrollment_path}/NOTHING")
    assert (reply.status, reply.json["error"]) == (404, "unknown_enrollment")


def test_an_ended_enrollment_cannot_be_launched(sandbox: Sandbox) -> None:
    account = get_account(sandbox, "milady")
    id = enroll(sandbox, "milady", account).json["enrollmentId"]
    sandbox.ask("milady", "DELETE", f"/api/v1/enrollments/{id}")
    fields = {"studentId": account, "enrollmentId": id}
    reply = sandbox.ask("milady", "POST", "/api/v1/sso/launch", fields)
    assert (reply.status, reply.json["error"]) == (409, "enrollment_ended")
