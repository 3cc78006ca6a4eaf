"""Each platform answers as the origin's partner classes expect, and refuses as a platform would."""

import json

import pytest

from tests.sandbox.partners import (
    CONTRACTS,
    SLUGS,
    act,
    enroll,
    get_account,
    get_enrollment,
    make_config,
    make_email,
    open_account,
    read,
)
from tests.sandbox.process import Sandbox, Start, with_query

each_partner = pytest.mark.parametrize("slug", SLUGS)


@each_partner
def test_account(sandbox: Sandbox, slug: str) -> None:
    contract = CONTRACTS[slug]
    reply = open_account(sandbox, slug)
    assert reply.status == 201
    assert set(reply.json) - {"temporaryPassword"} == contract.account_answer
    assert all(isinstance(value, str) and value for value in reply.json.values())


@each_partner
def test_enrollment(sandbox: Sandbox, slug: str) -> None:
    contract = CONTRACTS[slug]
    reply = enroll(sandbox, slug, get_account(sandbox, slug))
    assert reply.status == 201
    assert set(reply.json) == contract.enrollment_answer
    if "courseName" in reply.json:
        assert reply.json["courseName"] == f"The {contract.course}"


@each_partner
def test_progress_of_a_new_enrollment_is_zero_and_not_completed(
    sandbox: Sandbox, slug: str
) -> None:
    progress = read(sandbox, slug, get_enrollment(sandbox, slug))
    assert set(progress) <= CONTRACTS[slug].progress_answer
    assert progress["status"] == "not_started"
    numbers = {name: value for name, value in progress.items() if isinstance(value, int)}
    totals = [numbers.pop(name) for name in list(numbers) if name.startswith("total")]
    assert totals[0] > 0
    assert set(numbers.values()) == {0}


@each_partner
def test_progress_and_certificate_of_a_completed_one(sandbox: Sandbox, slug: str) -> None:
    contract = CONTRACTS[slug]
    id = get_enrollment(sandbox, slug)
    act(sandbox, slug, id, "complete")
    progress = read(sandbox, slug, id)
    assert set(progress) == contract.progress_answer
    assert progress["status"] == "completed"
    path = f"{contract.enrollment_path}/{id}/certificate"
    certificate = sandbox.ask(slug, "GET", path)
    assert certificate.status == 200
    assert set(certificate.json) == contract.certificate_answer


@each_partner
def test_no_certificate_yet_is_404(sandbox: Sandbox, slug: str) -> None:
    path = f"{CONTRACTS[slug].enrollment_path}/{get_enrollment(sandbox, slug)}/certificate"
    reply = sandbox.ask(slug, "GET", path)
    assert (reply.status, reply.json["error"]) == (404, "no_certificate")


@each_partner
def test_launch(sandbox: Sandbox, slug: str) -> None:
    contract = CONTRACTS[slug]
    account = get_account(sandbox, slug)
    id = enroll(sandbox, slug, account).json["enrollmentId"]
    fields = {contract.account_id: account, "enrollmentId": id, "returnUrl": "https://example.org"}
    reply = sandbox.ask(slug, "POST", contract.launch_path, fields)
    url, expiry = contract.launch_answer
    assert reply.status == 200
    assert set(reply.json) == {url, expiry}
    assert reply.json[url].startswith(f"http://127.0.0.1:{sandbox.port}/{slug}/launch/")
    assert isinstance(reply.json[expiry], int if expiry == "expiresIn" else str)


@each_partner
def test_launch_of_another_persons_enrollment_is_refused(sandbox: Sandbox, slug: str) -> None:
    contract = CONTRACTS[slug]
    alices = get_enrollment(sandbox, slug)
    fields = {contract.account_id: get_account(sandbox, slug), "enrollmentId": alices}
    reply = sandbox.ask(slug, "POST", contract.launch_path, fields)
    assert (reply.status, reply.json["field"]) == (422, "enrollmentId")


@each_partner
@pytest.mark.parametrize("header", [0, 1])
def test_each_header_must_be_right(sandbox: Sandbox, slug: str, header: int) -> None:
    contract = CONTRACTS[slug]
    credentials = list(contract.credentials.items())
    name, value = credentials[header]
    path = f"/{slug}{contract.account_path}"
    for wrong in ({}, {name: ""}, {name: value + "x"}, {name: value.lower()}):
        headers = dict(credentials[:header] + credentials[header + 1 :]) | wrong
        if headers == dict(credentials):
            continue  # its value has no upper case
        reply = sandbox.send("POST", path, body=b"{}", headers=headers)
        assert (reply.status, reply.json["error"]) == (401, "unauthorized")


def test_the_key_of_one_partner_opens_no_other(sandbox: Sandbox) -> None:
    headers = CONTRACTS["milady"].credentials
    reply = sandbox.send("POST", "/nrf/api/v1/learners", body=b"{}", headers=headers)
    assert reply.status == 401


@each_partner
@pytest.mark.parametrize("field", ["firstName", "lastName", "email", "organization"])
def test_a_missing_field_is_named(sandbox: Sandbox, slug: str, field: str) -> None:
    contract = CONTRACTS[slug]
    if field == "organization":
        field = list(contract.account_fields)[-1]
    fields = {"firstName": "Bob", "lastName": "B", "email": make_email("bob")}
    fields |= contract.account_fields
    del fields[field]
    reply = sandbox.ask(slug, "POST", contract.account_path, fields)
    assert reply.status == 422
    assert (reply.json["error"], reply.json["field"]) == ("missing_field", field)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "ben.at.example.org"),
        ("email", "ben@example"),
        ("email", "a b@example.org"),
        ("email", 7),
        ("firstName", ""),
        ("firstName", "x" * 201),
        ("firstName", "a\x00b"),
        ("firstName", "\ud800"),
        ("firstName", ["Ana"]),
        ("dateOfBirth", "2005-02-29"),
        ("organizationId", "ORG-2"),
    ],
)
def test_an_unfit_field_is_named(sandbox: Sandbox, field: str, value: object) -> None:
    fields = {"firstName": "Bob", "lastName": "B", "email": make_email("bob")}
    given = fields | CONTRACTS["hsi"].account_fields | {field: value}
    reply = sandbox.ask("hsi", "POST", "/api/v1/students", given)
    assert (reply.status, reply.json["field"]) == (422, field)


def test_one_name_and_names_in_any_script_are_fine(sandbox: Sandbox) -> None:
    for first, last in (("Prince", ""), ("小明", "王"), ("محمد", "الأحمد"), ("<b>Bold</b>", "Tag")):
        fields = {"firstName": first, "lastName": last, "email": make_email(), "partnerId": "ORG-6"}
        assert sandbox.ask("nrf", "POST", "/api/v1/learners", fields).status == 201


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff{}", b"[" * 60_000])
def test_what_is_no_json_object_is_400(sandbox: Sandbox, body: bytes) -> None:
    headers = CONTRACTS["milady"].credentials
    reply = sandbox.send("POST", "/milady/api/v1/students", body=body, headers=headers)
    assert (reply.status, reply.json["error"]) == (400, "malformed_json")


def test_a_large_body_is_413(sandbox: Sandbox) -> None:
    body = json.dumps({"firstName": "x" * 70_000}).encode()
    headers = CONTRACTS["milady"].credentials
    reply = sandbox.send("POST", "/milady/api/v1/students", body=body, headers=headers)
    assert (reply.status, reply.json["error"]) == (413, "too_large")


def test_paths_and_methods_that_are_not_there(sandbox: Sandbox) -> None:
    assert sandbox.ask("milady", "GET", "/api/v9/students").json["error"] == "not_found"
    reply = sandbox.ask("nds", "DELETE", "/api/enrollments/NDS-E-1")
    assert (reply.status, reply.json["error"]) == (404, "not_found")
    reply = sandbox.ask("nds", "GET", with_query("/api/participants", email="a@example.org"))
    assert (reply.status, reply.json["error"]) == (405, "method_not_allowed")


@each_partner
def test_unknown_things_are_named(sandbox: Sandbox, slug: str) -> None:
    contract = CONTRACTS[slug]
    voucher = "CPT-V-1" if slug == "certiport" else ""
    reply = enroll(sandbox, slug, "NOBODY-1", voucher=voucher)
    assert (reply.status, reply.json["error"]) == (404, "unknown_account")
    account = get_account(sandbox, slug)
    reply = enroll(sandbox, slug, account, course="NO-COURSE", voucher=voucher)
    assert (reply.status, reply.json["error"]) == (422, "unknown_course")
    path = f"{contract.enrollment_path}/NOTHING{contract.progress_path}"
    assert sandbox.ask(slug, "GET", path).json["error"] == "unknown_enrollment"


@each_partner
def test_one_partner_does_not_see_what_is_at_another(sandbox: Sandbox, slug: str) -> None:
    other = "milady" if slug != "milady" else "hsi"
    id = get_enrollment(sandbox, other)
    path = f"{CONTRACTS[slug].enrollment_path}/{id}{CONTRACTS[slug].progress_path}"
    assert sandbox.ask(slug, "GET", path).status == 404


def test_careersafe_gives_every_second_person_a_password(sandbox: Sandbox) -> None:
    given = ["temporaryPassword" in open_account(sandbox, "careersafe").json for _ in range(4)]
    assert sorted(given) == [False, False, True, True]


def test_hsi_wants_a_type_that_it_knows(sandbox: Sandbox) -> None:
    fields = {"studentId": get_account(sandbox, "hsi"), "courseCode": "HSI-CPR-AED"}
    for type_, status in (("online", 422), ("rsv", 201)):
        given = fields | {"enrollmentType": type_}
        assert sandbox.ask("hsi", "POST", "/api/v1/enrollments", given).status == status


def test_jri_works_without_a_key(start: Start) -> None:
    config = make_config({})
    config["partners"]["jri"]["credentials"] = {}
    fields = {"firstName": "A", "lastName": "B", "email": "a@example.org", "organizationId": "any"}
    assert start(config).ask("jri", "POST", "/api/users", fields).status == 201


@pytest.mark.parametrize(
    ("slug", "months"),
    [("hsi", 24), ("careersafe", 60), ("nds", 12), ("certiport", 0), ("nrf", 0), ("milady", 0)],
)
def test_certificates_expire_where_they_do(sandbox: Sandbox, slug: str, months: int) -> None:
    id = get_enrollment(sandbox, slug)
    act(sandbox, slug, id, "complete", at="2024-02-29T12:00:00Z")
    path = f"{CONTRACTS[slug].enrollment_path}/{id}/certificate"
    certificate = sandbox.ask(slug, "GET", path).json
    assert "2024-02-29" in (certificate.get("issuedDate"), certificate.get("issueDate"))
    ends = {0: None, 12: "2025-02-28", 24: "2026-02-28", 60: "2029-02-28"}[months]
    assert certificate.get("expirationDate") == ends
