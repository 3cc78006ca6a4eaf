"""What an adapter does at a partner that works: the sandbox, over real HTTP."""

import http.client
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import pytest

from handrail.partners.protocol import NeedsPerson, OutcomeUnknown, PartnerFact, Person
from handrail.partners.signatures import verify
from tests.partners.desk import Desk, open_desk
from tests.partners.platform import Platform
from tests.sandbox.partners import PLAIN_SECRET, SECRET, act, make_email
from tests.sandbox.process import Sandbox
from tests.sandbox.receiver import Receiver

DONE_AT = datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC)
AS_TEXT = "2026-05-28T20:26:40Z"


class BehaviorContract(Platform):
    """What is not offered must be refused, not attempted."""

    @pytest.fixture
    def desk(self, sandbox: Sandbox) -> Iterator[Desk]:
        url = f"http://127.0.0.1:{sandbox.port}/{self.slug}"
        with open_desk(self.slug, url, self.credentials) as desk:
            yield desk

    @pytest.fixture
    def alice(self) -> Person:
        return Person("Alice", "O'Brien-Núñez", make_email(), "317-555-0100", date(2004, 2, 29))

    @pytest.fixture
    def account(self, desk: Desk, alice: Person) -> str:
        return desk.create_account(alice).external_id

    @pytest.fixture
    def enrollment(self, desk: Desk, account: str) -> str:
        return desk.enroll(account, self.course).external_id

    def ledger(self, sandbox: Sandbox, operation: str, account: str) -> list[dict[str, Any]]:
        rows = sandbox.list_all("ledger", partner=self.slug, operation=operation)
        return [row for row in rows if row["account"] == account]

    # Accounts.

    def test_an_account_is_made_with_the_persons_names(
        self, desk: Desk, sandbox: Sandbox, alice: Person
    ) -> None:
        made = desk.create_account(alice)
        assert made.external_id
        assert made.username
        assert made.login_url.startswith(desk.provider.base_url)
        [row] = self.ledger(sandbox, "create_account", made.external_id)
        assert row["outcome"] == "created"

    @pytest.mark.parametrize(
        ("first_name", "last_name"), [("Madonna", ""), ("王", "小明"), ("ياسمين", "حداد")]
    )
    def test_people_with_one_name_or_any_script_get_an_account(
        self, desk: Desk, first_name: str, last_name: str
    ) -> None:
        assert desk.create_account(Person(first_name, last_name, make_email())).external_id

    def test_an_account_that_exists_is_used(self, desk: Desk, alice: Person) -> None:
        assert desk.create_account(alice).external_id == desk.create_account(alice).external_id

    def test_an_account_is_found_by_its_address(self, desk: Desk, alice: Person) -> None:
        if not desk.adapter.offers.find_account:
            with pytest.raises(NeedsPerson):  # and not "there is none"
                desk.find_account(alice)
            return
        assert desk.find_account(alice) is None
        made = desk.create_account(alice)
        found = desk.find_account(alice)
        shouting = desk.find_account(Person("A", "B", alice.email.upper()))
        assert found is not None
        assert shouting is not None
        assert found.external_id == shouting.external_id == made.external_id
        assert desk.find_account(Person("Bob", "B", make_email("bob"))) is None

    # Enrollments.

    def test_enrolling_makes_one_enrollment(
        self, desk: Desk, sandbox: Sandbox, account: str
    ) -> None:
        made = desk.enroll(account, self.course)
        assert made.access_url.startswith(desk.provider.base_url)
        [row] = self.ledger(sandbox, "enroll", account)
        assert (row["outcome"], row["enrollment"]) == ("created", made.external_id)
        assert row["course"] == self.course

    def test_enrolling_twice(self, desk: Desk, account: str) -> None:
        first = desk.enroll(account, self.course).external_id
        desk.saved.clear()
        second = desk.enroll(account, self.course).external_id
        assert (first == second) == (self.enrolls_again == "existing")

    def test_a_repeat_with_the_same_key_changes_nothing(
        self, desk: Desk, sandbox: Sandbox, alice: Person
    ) -> None:
        honored = desk.adapter.offers.idempotency_hours > 0
        key = f"intent-{alice.email}"
        account = desk.create_account(alice, key=key)
        assert desk.create_account(alice, key=key).external_id == account.external_id
        first = desk.enroll(account.external_id, self.course, key=key)
        if honored:
            again = desk.enroll(account.external_id, self.course, key=key)
            assert again == first
        rows = self.ledger(sandbox, "enroll", account.external_id)
        assert [row["outcome"] for row in rows] == (
            ["created", "replayed"] if honored else ["created"]
        )
        assert all(bool(row["key"]) == honored for row in rows)

    def test_an_enrollment_is_found_by_account_and_course(self, desk: Desk, account: str) -> None:
        if not desk.adapter.offers.find_enrollment:
            with pytest.raises(NeedsPerson):
                desk.find_enrollment(account, self.course)
            return
        assert desk.find_enrollment(account, self.course) is None
        made = desk.enroll(account, self.course)
        assert desk.find_enrollment(account, self.course) == made
        assert desk.find_enrollment(account, f"{self.course}-2") is None

    def test_after_an_unknown_outcome_the_look_up_finds_what_was_done(
        self, desk: Desk, sandbox: Sandbox, account: str
    ) -> None:
        order = {"partner": self.slug, "on": "enroll", "kind": "error_after", "times": 1}
        sandbox.control("POST", "faults", order)
        with pytest.raises(OutcomeUnknown):
            desk.enroll(account, self.course)
        if desk.adapter.offers.find_enrollment:
            found = desk.find_enrollment(account, self.course)
            assert found is not None
            assert desk.enroll(account, self.course).external_id == found.external_id
        created = [
            row for row in self.ledger(sandbox, "enroll", account) if row["outcome"] == "created"
        ]
        assert len(created) == 1

    def test_a_course_the_partner_does_not_have_needs_a_person(
        self, desk: Desk, account: str
    ) -> None:
        with pytest.raises(NeedsPerson) as caught:
            desk.enroll(account, "NO-SUCH-COURSE")
        assert caught.value.cause == "refused"
        assert "NO-SUCH-COURSE" in caught.value.words or "course" in caught.value.words.lower()

    def test_leaving(self, desk: Desk, sandbox: Sandbox, enrollment: str) -> None:
        if not desk.adapter.offers.unenroll:
            with pytest.raises(NeedsPerson) as caught:
                desk.unenroll(enrollment)
            assert caught.value.cause == "not_offered"
            return
        desk.unenroll(enrollment)
        desk.unenroll(enrollment)
        desk.unenroll("NO-SUCH-ENROLLMENT")
        [fact] = [
            fact for fact in desk.read_progress(enrollment) if fact.kind == "enrollment.ended"
        ]
        assert fact.external_enrollment_id == enrollment

    def test_a_completed_course_is_not_left(
        self, desk: Desk, sandbox: Sandbox, enrollment: str
    ) -> None:
        act(sandbox, self.slug, enrollment, "complete")
        with pytest.raises(NeedsPerson) as caught:
            desk.unenroll(enrollment)
        offered = desk.adapter.offers.unenroll
        assert caught.value.cause == ("conflict" if offered else "not_offered")

    # Reads.

    def test_progress_is_what_the_partner_says(
        self, desk: Desk, sandbox: Sandbox, enrollment: str
    ) -> None:
        [fact] = desk.read_progress(enrollment)
        assert (fact.kind, fact.percent) == ("progress.updated", Decimal(0))
        act(sandbox, self.slug, enrollment, "progress", percent=50)
        [fact] = desk.read_progress(enrollment)
        assert fact.external_enrollment_id == enrollment
        assert fact.percent is not None
        assert 0 < fact.percent <= 50
        assert fact.occurred_at is None or fact.occurred_at.tzinfo is UTC

    def test_completion_has_the_partners_time(
        self, desk: Desk, sandbox: Sandbox, enrollment: str
    ) -> None:
        act(sandbox, self.slug, enrollment, "complete", at=AS_TEXT)
        facts = desk.read_progress(enrollment)
        completion = PartnerFact("course.completed", enrollment, occurred_at=DONE_AT)
        assert [fact for fact in facts if fact.kind != "progress.updated"] == [completion]

    def test_failure_is_no_completion(self, desk: Desk, sandbox: Sandbox, enrollment: str) -> None:
        act(sandbox, self.slug, enrollment, "fail", reason="missed the deadline")
        kinds = {fact.kind for fact in desk.read_progress(enrollment)}
        assert "course.failed" in kinds
        assert "course.completed" not in kinds

    def test_what_is_not_there_yet_is_nothing(self, desk: Desk, enrollment: str) -> None:
        assert desk.read_progress("NO-SUCH-ENROLLMENT") == []
        assert desk.read_certificate("NO-SUCH-ENROLLMENT") is None
        assert desk.read_certificate(enrollment) is None

    def test_the_certificate_of_a_completed_course(
        self, desk: Desk, sandbox: Sandbox, enrollment: str
    ) -> None:
        act(sandbox, self.slug, enrollment, "complete", at=AS_TEXT)
        certificate = desk.read_certificate(enrollment)
        assert certificate is not None
        assert certificate.external_id
        assert certificate.number
        assert certificate.issued_on is not None
        assert abs(certificate.issued_on - DONE_AT.date()) <= timedelta(days=1)
        assert certificate.expires_on is None or certificate.expires_on > certificate.issued_on
        assert certificate.download_url.startswith(desk.provider.base_url)
        assert get(certificate.download_url) == 200

    def test_the_launch_url_opens_the_course(
        self, desk: Desk, account: str, enrollment: str
    ) -> None:
        url = desk.fetch_launch_url(account, enrollment)
        assert url.startswith(desk.provider.base_url)
        assert get(url) in (200, 303)

    def test_another_persons_course_cannot_be_launched(self, desk: Desk, enrollment: str) -> None:
        charlie = desk.create_account(Person("Charlie", "C", make_email("charlie")))
        with pytest.raises(NeedsPerson):
            desk.fetch_launch_url(charlie.external_id, enrollment)

    # Webhooks, as the sandbox sends them.

    def test_webhooks_are_authentic_and_become_facts(
        self, desk: Desk, sandbox: Sandbox, receiver: Receiver, enrollment: str
    ) -> None:
        act(sandbox, self.slug, enrollment, "progress", percent=50)
        act(sandbox, self.slug, enrollment, "complete", at=AS_TEXT)
        certificate = desk.read_certificate(enrollment)
        act(sandbox, self.slug, enrollment, "revoke", reason="graded again")
        sandbox.wait_idle()
        facts = {fact.kind: fact for fact in self.receive_facts(desk, receiver, enrollment)}
        assert all(fact.external_enrollment_id == enrollment for fact in facts.values())
        assert all(fact.occurred_at and fact.occurred_at.tzinfo is UTC for fact in facts.values())
        assert facts["enrollment.created"].percent is None
        assert 0 < (facts["progress.updated"].percent or 0) <= 50
        assert facts["course.completed"].occurred_at == DONE_AT
        assert facts["certificate.issued"].certificate == certificate
        assert set(facts) == {
            "enrollment.created",
            "progress.updated",
            "course.completed",
            "certificate.issued",
            "completion.revoked",
        }

    def test_a_failure_says_why_to_those_who_may_know(
        self, desk: Desk, sandbox: Sandbox, receiver: Receiver, enrollment: str
    ) -> None:
        act(sandbox, self.slug, enrollment, "fail", reason="missed the deadline")
        sandbox.wait_idle()
        facts = self.receive_facts(desk, receiver, enrollment)
        [failure] = [fact for fact in facts if fact.kind == "course.failed"]
        said = (failure.sensitive_result, failure.reason)
        assert said == (
            ("missed the deadline", "") if self.sensitive else ("", "missed the deadline")
        )

    def receive_facts(self, desk: Desk, receiver: Receiver, enrollment: str) -> list[PartnerFact]:
        """What arrived about an enrollment, each message verified before it is translated."""
        facts = []
        for message in receiver.of(enrollment):
            headers = [(name.encode(), value.encode()) for name, value in message.headers.items()]
            verify(self.scheme, headers, message.body, [self.secret], now=message.at)
            facts += desk.adapter.translate(message.json)
        return facts

    @property
    def secret(self) -> bytes:
        return (SECRET if self.scheme == "standard-webhooks" else PLAIN_SECRET).encode()


def get(url: str) -> int:
    parts = urlsplit(url)
    assert parts.hostname
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        return connection.getresponse().status
    finally:
        connection.close()
