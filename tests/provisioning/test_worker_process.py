"""The worker as a process: stopped, killed, ended in the middle of a call."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from pytest_django import Settings

from tests.provisioning.campus import Campus
from tests.provisioning.world import World, run_worker_here, wait_until
from tests.scripted_partner import HANG, Request, ScriptedPartner, reply


@contextmanager
def run_worker_process(
    world: World, *ports: int, call_timeout: float = 0.5
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `handrail worker` as a supervisor does; it must end without help unless it was killed."""
    environment = world.database.environment("worker") | {
        "HANDRAIL_ALLOWED_PRIVATE_HOSTS": ",".join(f"127.0.0.1:{port}" for port in ports),
        "HANDRAIL_RETRY_BASE_SECONDS": "0.05",
        "HANDRAIL_RETRY_MAX_SECONDS": "0.2",
        "HANDRAIL_CALL_TIMEOUT_SECONDS": str(call_timeout),
    }
    command = [sys.executable, "-m", "handrail.config.cli", "worker"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        _, errors = process.communicate(timeout=20)
        sys.stderr.write(errors.decode())


@pytest.fixture(autouse=True)
def same_lease(settings: Settings) -> None:
    settings.HANDRAIL_CALL_TIMEOUT_SECONDS = 0.5


def get_status(world: World, enrollment: UUID) -> str:
    return str(world.get_run(enrollment).get("status"))


@pytest.mark.parametrize("slug", ["milady", "careersafe"])
def test_after_kill_9_in_the_middle_of_a_call_another_worker_goes_on(
    campus: Campus, slug: str
) -> None:
    world = campus.world
    program = world.add_program([campus.add_course(slug)])
    campus.order_fault(slug, "enroll", "hang_after")
    with run_worker_process(world, campus.sandbox.port) as worker:
        enrollment = world.enroll(program)
        wait_until(lambda: campus.list_enrollments(slug))
        worker.kill()
    assert world.list_intents()[-1]["status"] == "sending"
    with run_worker_here("provisioning"):
        wait_until(lambda: get_status(world, enrollment) == "active")
    made = [each for each in campus.list_ledger(slug) if each[1] == "created"]
    assert [operation for operation, _, _ in made] == ["create_account", "enroll"]


def test_after_kill_9_where_nobody_can_tell_a_person_decides(campus: Campus) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("nds")])
    campus.order_fault("nds", "enroll", "hang_after")
    with run_worker_process(world, campus.sandbox.port, call_timeout=5) as worker:
        enrollment = world.enroll(program)
        wait_until(lambda: campus.list_enrollments("nds"))
        worker.kill()
    with world.database.connect("superuser") as superuser:
        superuser.execute("update intents set lease_until = now() where status = 'sending'")
    with run_worker_here("provisioning"):
        wait_until(world.list_attention)
    assert get_status(world, enrollment) == "needs_attention"
    assert len(campus.list_enrollments("nds")) == 1


def test_a_worker_that_was_stopped_past_its_lease_may_not_commit(campus: Campus) -> None:
    world = campus.world
    program = world.add_program([campus.add_course("careersafe")])
    campus.order_fault("careersafe", "enroll", "hang_after")
    with run_worker_process(world, campus.sandbox.port) as stopped:
        enrollment = world.enroll(program)
        wait_until(lambda: campus.list_enrollments("careersafe"))
        stopped.send_signal(signal.SIGSTOP)
        with run_worker_here("provisioning"):
            wait_until(lambda: get_status(world, enrollment) == "active")
            before = world.list_intents()[-1]
            stopped.send_signal(signal.SIGCONT)
            time.sleep(1.5)
    assert world.list_intents()[-1] == before
    assert (before["status"], before["fence"]) == ("done", 2)
    assert world.list_attention() == []


class _Gated(ScriptedPartner):
    """Keeps the first look-up waiting until `open` is set."""

    def __init__(self) -> None:
        super().__init__(None)
        self.open = threading.Event()
        self.delay = 0.0

    def take_reply(self, request: Request) -> bytes:
        answer = super().take_reply(request)
        if len(self.requests) == 1:
            self.open.wait(30)
        time.sleep(self.delay)
        return answer


@pytest.fixture
def gated(settings: Settings) -> Iterator[_Gated]:
    with _Gated() as partner:
        thread = threading.Thread(target=partner.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        settings.HANDRAIL_ALLOWED_PRIVATE_HOSTS = frozenset({partner.host_port})
        yield partner
        partner.open.set()
        partner.shutdown()
        thread.join()


def test_sigterm_lets_a_call_in_flight_finish(world: World, gated: _Gated) -> None:
    provider = world.add_provider("nrf", base_url=f"http://127.0.0.1:{gated.port}")
    program = world.add_program([world.add_course(provider, "C")])
    gated.answer(reply(200, {"results": [{"learnerId": "L-1"}]}))
    with run_worker_process(world, gated.port, call_timeout=5) as worker:
        world.enroll(program)
        wait_until(lambda: gated.requests)
        worker.terminate()
        time.sleep(0.5)
        gated.open.set()
        assert worker.wait(10) == 0
    account, *more = world.list_intents()
    assert (account["status"], [each["status"] for each in more]) == ("done", ["queued"])


def test_sigterm_does_not_wait_long_for_a_partner_that_hangs(
    world: World, partner: ScriptedPartner
) -> None:
    provider = world.add_provider("milady", base_url=f"http://127.0.0.1:{partner.port}")
    program = world.add_program([world.add_course(provider, "C")])
    partner.answer(reply(200, {"results": []}), HANG)
    with run_worker_process(world, partner.port, call_timeout=60) as worker:
        world.enroll(program)
        wait_until(lambda: len(partner.requests) == 2)
        began = time.monotonic()
        worker.terminate()
        assert worker.wait(12) == 0
    assert time.monotonic() - began < 9
    (intent,) = world.list_intents()
    assert (intent["status"], intent["uncertain"], intent["attempts"]) == ("unknown", True, 0)


def test_a_call_that_takes_too_long_in_all_is_given_up_and_gone_on_with(
    world: World, gated: _Gated, settings: Settings
) -> None:
    """Every answer comes in time, but there are many; what was bought is kept."""
    settings.HANDRAIL_CALL_TIMEOUT_SECONDS = 1.0
    gated.delay = 0.57  # three answers come within the 2 seconds of a call, the fourth does not
    gated.open.set()
    provider = world.add_provider("certiport", base_url=f"http://127.0.0.1:{gated.port}")
    program = world.add_program([world.add_course(provider, "EXAM")])
    nothing, user = reply(200, {"results": []}), reply(200, {"results": [{"userId": "U-1"}]})
    voucher, made = reply(201, {"voucherId": "V-1"}), reply(201, {"enrollmentId": "E-1"})
    gated.answer(user, nothing, nothing, voucher, reply(500), nothing, made)
    with run_worker_here("provisioning"):
        enrollment = world.enroll(program)
        wait_until(lambda: get_status(world, enrollment) == "active")
    posted = [each.path for each in gated.requests if each.method == "POST"]
    assert posted.count("/api/v2/vouchers") == 1
    assert world.get_run(enrollment)["external_enrollment_id"] == "E-1"


def test_the_worker_takes_its_password_and_no_other(world: World) -> None:
    names = {name for name in world.database.environment("worker") if "PASSWORD" in name}
    assert names == {"HANDRAIL_DATABASE_PASSWORD_WORKER"}
    assert "HANDRAIL_DATABASE_PASSWORD_OWNER" not in os.environ
