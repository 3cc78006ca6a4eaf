"""What an adapter makes of a partner that does not work: a real server that answers as scripted."""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from handrail.core.outbound import OutboundPool
from handrail.partners.protocol import NeedsPerson, OutcomeUnknown, Person, RetryLater
from handrail.partners.registry import get_adapter
from tests.partners.desk import Desk, open_desk
from tests.partners.platform import Platform
from tests.scripted_partner import DROP, HANG, ScriptedPartner, reply

ALICE = Person("Alice", "Ames", "alice@example.org")
WRITES = ("create_account", "enroll", "unenroll")
READS = (
    "find_account",
    "find_enrollment",
    "read_progress",
    "read_certificate",
    "fetch_launch_url",
)
BROKEN = {
    "dropped": DROP,
    "500": reply(500, {"message": "oops"}),
    "502": reply(502),
}
UNREADABLE = {
    "huge": reply(200, body=b'"' + b"x" * 1_100_000 + b'"'),
    "not JSON": reply(200, body=b"<html>maintenance</html>"),
    "NaN": reply(200, body=b'{"percentage": NaN}'),
}


class ErrorContract(Platform):
    """Known not to have happened, may have happened, a person must look: for each call."""

    voucher = ""
    """What a refused enrollment says of the voucher that it was tried with."""

    @pytest.fixture
    def troubled(self, scripted: ScriptedPartner) -> Iterator[Desk]:
        url = f"http://127.0.0.1:{scripted.port}"
        with open_desk(self.slug, url, self.credentials) as desk:
            desk.saved["voucher_id"] = "v-1"  # so that each call is one request
            yield desk

    def list_offered(self, desk: Desk, names: tuple[str, ...]) -> list[str]:
        return [name for name in names if name != "unenroll" or desk.adapter.offers.unenroll]

    def fail(self, desk: Desk, scripted: ScriptedPartner, name: str, *replies: bytes) -> Any:
        """Make one call that must fail; return its error."""
        scripted.answer(*replies)
        calls: dict[str, Callable[[], object]] = {
            "create_account": lambda: desk.create_account(ALICE),
            "enroll": lambda: desk.enroll("a-1", self.course),
            "unenroll": lambda: desk.unenroll("e-1"),
            "find_account": lambda: desk.find_account(ALICE),
            "find_enrollment": lambda: desk.find_enrollment("a-1", self.course),
            "read_progress": lambda: desk.read_progress("e-1"),
            "read_certificate": lambda: desk.read_certificate("e-1"),
            "fetch_launch_url": lambda: desk.fetch_launch_url("a-1", "e-1"),
        }
        with pytest.raises((RetryLater, OutcomeUnknown, NeedsPerson)) as caught:
            calls[name]()
        scripted.forget()
        desk.pool.circuit(str(desk.provider.id)).leave("call", failed=False)
        return caught.value

    @pytest.mark.parametrize("kind", BROKEN)
    def test_a_write_that_breaks_may_have_happened(
        self, troubled: Desk, scripted: ScriptedPartner, kind: str
    ) -> None:
        for name in self.list_offered(troubled, WRITES):
            error = self.fail(troubled, scripted, name, *[BROKEN[kind]] * 2)
            assert isinstance(error, OutcomeUnknown), name

    @pytest.mark.parametrize("kind", BROKEN)
    def test_a_read_that_breaks_is_an_outage(
        self, troubled: Desk, scripted: ScriptedPartner, kind: str
    ) -> None:
        for name in READS:
            error = self.fail(troubled, scripted, name, *[BROKEN[kind]] * 2)
            assert isinstance(error, RetryLater), name
            assert error.outage, name

    def test_no_answer_in_time(self, troubled: Desk, scripted: ScriptedPartner) -> None:
        private = [scripted.host_port]
        troubled.pool = OutboundPool(allowed_private_hosts=private, total_seconds=0.4)
        error = self.fail(troubled, scripted, "enroll", HANG)
        assert isinstance(error, OutcomeUnknown)
        for name in ("find_enrollment", "fetch_launch_url"):
            error = self.fail(troubled, scripted, name, HANG)
            assert isinstance(error, RetryLater), name

    @pytest.mark.parametrize("kind", UNREADABLE)
    def test_an_answer_that_cannot_be_read_is_not_believed(
        self, troubled: Desk, scripted: ScriptedPartner, kind: str
    ) -> None:
        for name in self.list_offered(troubled, WRITES):
            error = self.fail(troubled, scripted, name, UNREADABLE[kind])
            assert isinstance(error, OutcomeUnknown), name
        for name in READS:
            error = self.fail(troubled, scripted, name, UNREADABLE[kind])
            assert isinstance(error, RetryLater), name
            assert not error.outage, name

    @pytest.mark.parametrize("data", [None, [], "text", 7, {"results": "none"}])
    def test_an_answer_of_another_shape_is_never_read_as_nothing(
        self, troubled: Desk, scripted: ScriptedPartner, data: Any
    ) -> None:
        for name in ("create_account", "enroll"):
            error = self.fail(troubled, scripted, name, reply(201, data))
            assert isinstance(error, OutcomeUnknown), name
        for name in ("find_account", "find_enrollment", "read_certificate", "fetch_launch_url"):
            error = self.fail(troubled, scripted, name, reply(200, data))
            assert isinstance(error, NeedsPerson), name
            assert error.cause == "not_understood", name

    def test_a_look_up_that_fails_does_not_say_that_there_is_nothing(
        self, troubled: Desk, scripted: ScriptedPartner
    ) -> None:
        for name in ("find_account", "find_enrollment"):
            error = self.fail(troubled, scripted, name, reply(404, {"message": "no such page"}))
            assert isinstance(error, NeedsPerson)
            assert error.words == "404: no such page"

    def test_a_wrong_address_does_not_say_that_the_enrollment_is_gone(
        self, troubled: Desk, scripted: ScriptedPartner
    ) -> None:
        error = self.fail(troubled, scripted, "unenroll", reply(404, body=b"<h1>Not found</h1>"))
        assert isinstance(error, NeedsPerson)
        assert error.cause in {"not_found", "not_offered"}

    def test_a_conflict_without_an_id_needs_a_person(
        self, troubled: Desk, scripted: ScriptedPartner
    ) -> None:
        for name in ("create_account", "enroll"):
            error = self.fail(troubled, scripted, name, reply(409, {"message": "is there"}))
            assert isinstance(error, NeedsPerson)
            assert (error.cause, error.words) == ("conflict", "409: is there")

    def test_too_many_requests(self, troubled: Desk, scripted: ScriptedPartner) -> None:
        answer = reply(429, {"message": "slow down"}, Retry_After="0.2")
        for name in self.list_offered(troubled, WRITES + READS):
            error = self.fail(troubled, scripted, name, answer)
            assert isinstance(error, RetryLater), name
            assert error.outage, name
            assert error.after_seconds is not None, name
            assert 0 < error.after_seconds <= 0.2, name

    def test_unavailable(self, troubled: Desk, scripted: ScriptedPartner) -> None:
        for name in self.list_offered(troubled, WRITES + READS):
            error = self.fail(troubled, scripted, name, reply(503))
            assert isinstance(error, RetryLater), name
            assert error.outage, name

    @pytest.mark.parametrize(
        ("status", "cause"), [(400, "refused"), (401, "credentials"), (403, "credentials")]
    )
    def test_a_refusal_comes_with_the_partners_words(
        self, troubled: Desk, scripted: ScriptedPartner, status: int, cause: str
    ) -> None:
        for name in self.list_offered(troubled, WRITES + READS):
            answer = reply(status, {"error": "x", "message": "It is closed."})
            error = self.fail(troubled, scripted, name, answer)
            assert isinstance(error, NeedsPerson), name
            is_named = name == "enroll" and cause == "refused"
            words = f"{status}: It is closed.{self.voucher if is_named else ''}"
            assert (error.cause, error.words) == (cause, words), name

    def test_a_redirect_is_not_followed(self, troubled: Desk, scripted: ScriptedPartner) -> None:
        for name in self.list_offered(troubled, WRITES + READS):
            asked = len(scripted.requests)
            error = self.fail(troubled, scripted, name, reply(308, Location="/elsewhere"))
            assert isinstance(error, NeedsPerson), name
            assert error.cause == "redirect", name
            assert len(scripted.requests) == asked + 1

    def test_a_private_address_is_refused(self, troubled: Desk, scripted: ScriptedPartner) -> None:
        troubled.pool = OutboundPool()
        for name in self.list_offered(troubled, WRITES + READS):
            error = self.fail(troubled, scripted, name)
            assert isinstance(error, NeedsPerson), name
            assert error.cause == "address", name
        assert scripted.connections == 0

    def test_it_names_the_credentials_that_it_needs(self) -> None:
        assert set(get_adapter(self.slug).credential_names) == set(self.credentials)

    def test_without_credentials_nothing_is_sent(self, scripted: ScriptedPartner) -> None:
        url = f"http://127.0.0.1:{scripted.port}"
        for missing in self.credentials:
            rest = {name: value for name, value in self.credentials.items() if name != missing}
            with open_desk(self.slug, url, rest) as desk:
                for name in self.list_offered(desk, WRITES + READS):
                    error = self.fail(desk, scripted, name)
                    assert isinstance(error, NeedsPerson), name
                    assert error.cause == "configuration", name
                    assert missing in error.words, name
        assert scripted.requests == []

    def test_an_id_cannot_leave_its_place_in_the_path(
        self, troubled: Desk, scripted: ScriptedPartner
    ) -> None:
        with suppress(NeedsPerson):  # `{}` is no exam to Certiport
            troubled.read_progress("../../admin?x=1#y")
        [request] = scripted.requests
        assert "/..%2F..%2Fadmin%3Fx%3D1%23y/" in request.target

    @pytest.mark.parametrize("status", [200, 400, 401, 409, 429, 500])
    def test_no_secret_stands_in_an_error_or_the_log(
        self,
        troubled: Desk,
        scripted: ScriptedPartner,
        status: int,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        secret = self.credentials["api_key"]
        body = (
            f"Authorization: Bearer {secret}; temporaryPassword: Welcome-4711 ({secret})".encode()
        )
        for name in self.list_offered(troubled, WRITES + READS):
            error = self.fail(troubled, scripted, name, reply(status, body=body))
            text = "".join(traceback.format_exception(error)) + repr(vars(error)) + caplog.text
            assert secret not in text, name
            assert "Welcome-4711" not in text, name
        assert secret not in repr(troubled.provider)
        assert secret not in repr(troubled.call())
