"""The seven adapters of the origin: the contract they share, and the quirks of each."""

import logging
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from handrail.partners.protocol import (
    NeedsPerson,
    Offers,
    OutcomeUnknown,
    PartnerFact,
    Person,
)
from handrail.partners.registry import get_adapter
from tests.partners.adapter_contract import AdapterContract
from tests.partners.desk import Desk, open_desk
from tests.partners.translation_contract import TranslationContract
from tests.sandbox.partners import act, make_email
from tests.sandbox.process import Sandbox
from tests.scripted_partner import ScriptedPartner, reply

NOON = datetime(2026, 5, 28, 12, 0, tzinfo=UTC)


class TestMilady(AdapterContract):
    slug = "milady"
    course = "MS-BARB"
    credentials = {"api_key": "mil-key", "organization_id": "SCHOOL-1"}

    def test_what_it_sends(self, troubled: Desk, scripted: ScriptedPartner) -> None:
        scripted.answer(reply(201, {"studentId": 7}), reply(201, {"enrollmentId": 8}))
        account = troubled.create_account(Person("Ana", "Sample", "ana@example.org"), key="i-1")
        enrollment = troubled.enroll(account.external_id, "MS-BARB", key="i-1")
        assert (account.external_id, enrollment.external_id) == ("7", "8")
        first, second = scripted.requests
        assert (first.method, first.path) == ("POST", "/api/v1/students")
        assert first.json == {
            "firstName": "Ana",
            "lastName": "Sample",
            "email": "ana@example.org",
            "schoolId": "SCHOOL-1",
        }
        assert first.headers["authorization"] == "Bearer mil-key"
        assert first.headers["x-school-id"] == "SCHOOL-1"
        assert (second.method, second.path) == ("POST", "/api/v1/enrollments")
        assert second.json == {"studentId": "7", "courseCode": "MS-BARB", "schoolId": "SCHOOL-1"}
        keys = {first.headers["idempotency-key"], second.headers["idempotency-key"]}
        assert keys == {"i-1:account", "i-1:enrollment"}

    def test_after_leaving_and_coming_back_the_newest_enrollment_is_found(
        self, desk: Desk, account: str
    ) -> None:
        first = desk.enroll(account, self.course).external_id
        desk.unenroll(first)
        second = desk.enroll(account, self.course).external_id
        found = desk.find_enrollment(account, self.course)
        assert second != first
        assert found is not None
        assert found.external_id == second


class TestHsi(AdapterContract):
    slug = "hsi"
    course = "HSI-CPR-AED"
    credentials = {"api_key": "hsi-key", "organization_id": "ORG-1"}

    def test_phone_and_birth_date_are_sent_where_known(
        self, troubled: Desk, scripted: ScriptedPartner
    ) -> None:
        scripted.answer(*[reply(201, {"studentId": "s-1"})] * 2)
        troubled.create_account(
            Person("Ana", "Sample", "ana@example.org", "317-555-0100", date(2004, 2, 29))
        )
        troubled.create_account(Person("Ana", "Sample", "ana@example.org"))
        full, short = (request.json for request in scripted.requests)
        assert (full["phone"], full["dateOfBirth"]) == ("317-555-0100", "2004-02-29")
        assert set(short) == {"firstName", "lastName", "email", "organizationId"}

    @pytest.mark.parametrize(
        ("course", "kind"), [("HSI-FA-RSV", "rsv"), ("HSI-CPR-AED", "blended")]
    )
    def test_the_enrollment_type_follows_the_course_code(
        self, troubled: Desk, scripted: ScriptedPartner, course: str, kind: str
    ) -> None:
        scripted.answer(reply(201, {"enrollmentId": "e-1"}))
        troubled.enroll("s-1", course)
        assert scripted.requests[0].json == {
            "studentId": "s-1",
            "courseCode": course,
            "enrollmentType": kind,
        }


class TestCertiport(AdapterContract):
    slug = "certiport"
    course = "MOS-365"
    credentials = {"api_key": "cpt-key", "organization_id": "ORG-2"}
    voucher = " (voucher v-1)"
    scheme = "hmac-sha256-hex"

    def vouchers(self, sandbox: Sandbox, account: str) -> list[str]:
        rows = self.ledger(sandbox, "buy_voucher", account)
        return [row["voucher"] for row in rows if row["outcome"] == "created"]

    def order_fault(self, sandbox: Sandbox, operation: str, kind: str) -> None:
        order = {"partner": "certiport", "on": operation, "kind": kind, "times": 1}
        sandbox.control("POST", "faults", order)

    def test_the_voucher_is_saved_before_it_is_used(
        self, desk: Desk, sandbox: Sandbox, account: str
    ) -> None:
        self.order_fault(sandbox, "enroll", "error_before")
        with pytest.raises(OutcomeUnknown):
            desk.enroll(account, self.course)
        [voucher] = self.vouchers(sandbox, account)
        assert desk.saved == {"voucher_id": voucher}
        desk.enroll(account, self.course)
        assert self.vouchers(sandbox, account) == [voucher]
        [used] = [row for row in self.ledger(sandbox, "enroll", account) if row["status"] == 201]
        assert used["voucher"] == voucher

    @pytest.mark.parametrize("kind", ["error_after", "drop_after"])
    def test_a_voucher_bought_without_hearing_so_is_found_and_not_bought_again(
        self, desk: Desk, sandbox: Sandbox, account: str, kind: str
    ) -> None:
        self.order_fault(sandbox, "buy_voucher", kind)
        with pytest.raises(OutcomeUnknown):
            desk.enroll(account, self.course)
        assert desk.saved == {}
        desk.enroll(account, self.course)
        [voucher] = self.vouchers(sandbox, account)
        assert desk.saved == {"voucher_id": voucher}

    def test_a_used_voucher_is_not_taken_for_another_exam(
        self, desk: Desk, sandbox: Sandbox, account: str
    ) -> None:
        desk.enroll(account, self.course)
        desk.saved.clear()
        desk.enroll(account, f"{self.course}-2")
        assert len(set(self.vouchers(sandbox, account))) == 2

    @pytest.mark.parametrize(
        ("found", "used"),
        [
            ([{"voucherId": "v-1", "status": "used"}], "v-9"),
            ([{"voucherId": "v-2", "status": "used"}, {"voucherId": 1, "status": "unused"}], "1"),
        ],
    )
    def test_a_used_voucher_is_not_used_again(
        self, troubled: Desk, scripted: ScriptedPartner, found: list[Any], used: str
    ) -> None:
        troubled.saved.clear()
        nowhere = reply(200, {"results": []})
        bought = [nowhere, reply(201, {"voucherId": "v-9"})] if used == "v-9" else []
        scripted.answer(reply(200, {"results": found}), *bought, reply(201, {"enrollmentId": "e"}))
        troubled.enroll("u-1", self.course)
        assert troubled.saved == {"voucher_id": used}
        assert scripted.requests[-1].json == {
            "userId": "u-1",
            "examCode": self.course,
            "voucherId": used,
        }

    def test_a_voucher_that_is_refused_is_named(
        self, troubled: Desk, scripted: ScriptedPartner
    ) -> None:
        troubled.saved["voucher_id"] = "v-1"
        scripted.answer(reply(422, {"message": "This voucher has expired."}))
        with pytest.raises(NeedsPerson) as refused:
            troubled.enroll("u-1", self.course)
        assert refused.value.words == "422: This voucher has expired. (voucher v-1)"

    def test_a_voucher_look_up_that_fails_buys_nothing(
        self, troubled: Desk, scripted: ScriptedPartner
    ) -> None:
        troubled.saved.clear()
        scripted.answer(reply(404, {"message": "no such page"}))
        with pytest.raises(NeedsPerson):
            troubled.enroll("u-1", self.course)
        assert [request.method for request in scripted.requests] == ["GET"]

    def test_who_is_enrolled_already_needs_no_voucher(
        self, desk: Desk, sandbox: Sandbox, account: str
    ) -> None:
        made = desk.enroll(account, self.course)
        desk.saved.clear()
        assert desk.enroll(account, self.course) == made
        assert len(self.vouchers(sandbox, account)) == 1
        assert desk.saved == {}

    def test_an_enrollment_look_up_that_fails_buys_nothing(
        self, troubled: Desk, scripted: ScriptedPartner
    ) -> None:
        troubled.saved.clear()
        scripted.answer(reply(200, {"results": []}), reply(404, {"message": "no such page"}))
        with pytest.raises(NeedsPerson):
            troubled.enroll("u-1", self.course)
        assert [request.method for request in scripted.requests] == ["GET", "GET"]

    @pytest.mark.parametrize(
        ("answer", "facts"),
        [
            (
                {"examTaken": True, "passed": True, "takenDate": "2026-05-28T12:00:00Z"},
                [PartnerFact("course.completed", "e-1", occurred_at=NOON)],
            ),
            (
                {"examTaken": True, "passed": False, "takenDate": "2026-05-28T12:00:00Z"},
                [PartnerFact("course.failed", "e-1", occurred_at=NOON)],
            ),
            ({"examTaken": True, "passed": True}, [PartnerFact("course.completed", "e-1")]),
            (
                {"examTaken": False, "practiceTestsCompleted": 1, "totalPracticeTests": 3},
                [PartnerFact("progress.updated", "e-1", percent=Decimal("16.66"))],
            ),
            (
                {"examTaken": False, "practiceTestsCompleted": 0, "totalPracticeTests": 4},
                [PartnerFact("progress.updated", "e-1", percent=Decimal(0))],
            ),
            ({"examTaken": False, "practiceTestsCompleted": 0, "totalPracticeTests": 0}, []),
            ({"examTaken": False, "passed": False}, []),
            # The word alone completes nothing, and neither does a date.
            ({"examTaken": False, "status": "completed", "takenDate": "2026-05-28"}, []),
        ],
    )
    def test_the_exam_rule(
        self,
        troubled: Desk,
        scripted: ScriptedPartner,
        answer: dict[str, Any],
        facts: list[PartnerFact],
    ) -> None:
        scripted.answer(reply(200, answer))
        assert troubled.read_progress("e-1") == facts

    @pytest.mark.parametrize(
        "answer",
        [
            {},
            {"examTaken": "yes", "passed": True},
            {"examTaken": True},
            {"examTaken": True, "passed": 1},
            {"examTaken": False, "passed": True},
            {"examTaken": False, "practiceTestsCompleted": 5, "totalPracticeTests": 4},
            {"examTaken": False, "practiceTestsCompleted": -1, "totalPracticeTests": 4},
            {"examTaken": True, "passed": True, "takenDate": "yesterday"},
        ],
    )
    def test_a_contradictory_exam_needs_a_person(
        self, troubled: Desk, scripted: ScriptedPartner, answer: dict[str, Any]
    ) -> None:
        scripted.answer(reply(200, answer))
        with pytest.raises(NeedsPerson) as caught:
            troubled.read_progress("e-1")
        assert caught.value.cause == "not_understood"


class TestCareerSafe(AdapterContract):
    slug = "careersafe"
    course = "OSHA10-GI"
    credentials = {"api_key": "csf-key", "organization_id": "ORG-3"}
    scheme = "shared-secret"

    def test_a_temporary_password_goes_no_further(
        self, troubled: Desk, scripted: ScriptedPartner, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        answer = {"memberId": "m-1", "username": "ana", "temporaryPassword": "Welcome-4711"}
        scripted.answer(reply(201, answer), reply(201, {**answer, "memberId": None}))
        ana = Person("Ana", "Sample", "ana@example.org")
        assert "Welcome-4711" not in repr(troubled.create_account(ana))
        with pytest.raises(OutcomeUnknown) as caught:
            troubled.create_account(ana)
        assert "Welcome-4711" not in str(caught.value)
        assert "Welcome-4711" not in caplog.text

    def test_the_certificate_is_a_card(self, troubled: Desk, scripted: ScriptedPartner) -> None:
        card = {
            "certificateId": "c-1",
            "cardNumber": "36-007",
            "issueDate": "2026-05-28",
            "expirationDate": "2031-05-28",
            "pdfUrl": "https://careersafe.example.org/c-1.pdf",
            "verificationUrl": "javascript:alert(1)",
        }
        scripted.answer(reply(200, card))
        found = troubled.read_certificate("e-1")
        assert found is not None
        assert (found.number, found.issued_on) == ("36-007", date(2026, 5, 28))
        assert found.expires_on == date(2031, 5, 28)
        assert found.download_url == "https://careersafe.example.org/c-1.pdf"
        assert found.verification_url == ""


class TestNrf(AdapterContract):
    slug = "nrf"
    course = "SS-MGR"
    credentials = {"api_key": "nrf-key", "organization_id": "ORG-6"}

    def test_after_leaving_it_names_the_old_enrollment_for_ever(
        self, desk: Desk, account: str
    ) -> None:
        first = desk.enroll(account, self.course).external_id
        desk.unenroll(first)
        assert desk.enroll(account, self.course).external_id == first


class TestNds(AdapterContract):
    slug = "nds"
    course = "NDS-COLLECTOR"
    credentials = {"api_key": "nds-key", "organization_id": "ORG-7"}
    enrolls_again = "another"
    sensitive = True

    def test_a_screening_is_ordered_and_its_result_kept_apart(
        self, desk: Desk, sandbox: Sandbox, receiver: Any, account: str
    ) -> None:
        order = desk.enroll(account, "NDS-5PANEL").external_id
        assert {fact.kind for fact in desk.read_progress(order)} <= {"progress.updated"}
        act(sandbox, "nds", order, "fail", reason="")
        sandbox.wait_idle()
        [failure] = [
            fact
            for fact in self.receive_facts(desk, receiver, order)
            if fact.kind == "course.failed"
        ]
        assert "positive" in failure.sensitive_result
        assert failure.reason == ""
        assert "positive" not in repr(desk.read_progress(order))
        assert desk.read_certificate(order) is None

    def test_a_negative_result_is_sensitive_as_well(self) -> None:
        message = {"event": "course.completed", "data": {"enrollmentId": "e", "result": "negative"}}
        assert get_adapter("nds").translate(message) == [
            PartnerFact("course.completed", "e", sensitive_result="negative")
        ]

    def test_words_beside_the_result_count_as_result(self) -> None:
        data = {"enrollmentId": "e-1", "result": "positive", "reason": "THC"}
        [fact] = get_adapter("nds").translate({"event": "course.failed", "data": data})
        assert (fact.reason, fact.sensitive_result) == ("", "positive; THC")


class TestJri(TranslationContract):
    slug = "jri"

    def test_it_offers_nothing_and_sends_nothing(self, scripted: ScriptedPartner) -> None:
        with open_desk("jri", f"http://127.0.0.1:{scripted.port}", {}) as desk:
            assert desk.adapter.offers == Offers(
                find_account=False,
                find_enrollment=False,
                progress=False,
                certificate=False,
                launch=False,
            )
            ana = Person("Ana", "Sample", make_email())
            for call in (
                lambda: desk.find_account(ana),
                lambda: desk.create_account(ana),
                lambda: desk.find_enrollment("a", "JRI-WORK"),
                lambda: desk.enroll("a", "JRI-WORK"),
                lambda: desk.unenroll("e"),
                lambda: desk.read_progress("e"),
                lambda: desk.read_certificate("e"),
                lambda: desk.fetch_launch_url("a", "e"),
            ):
                with pytest.raises(NeedsPerson) as caught:
                    call()
                assert caught.value.cause == "not_offered"
        assert scripted.requests == []
