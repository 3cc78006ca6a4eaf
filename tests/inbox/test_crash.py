"""Processes that are killed, stopped and told to end, in the middle of their work."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Self

import pytest

from handrail.inbox.applier import BATCH, Applier
from handrail.inbox.ingress import PREFIX
from tests.databases import Database
from tests.inbox.machine import Machine, apply_all
from tests.inbox.world import World, sign_hex

Start = Callable[..., "subprocess.Popen[bytes]"]

SLOW_APPLIER = """
import time, django
django.setup()
from handrail.inbox.commands import applier
from handrail.inbox.registry import Outcome, register_handler

def handle(connection, events):
    outcomes = []
    for event in events:
        connection.execute("insert into machine (event_id) values (%s)", [event.event_id])
        time.sleep(0.005)
        outcomes.append(Outcome(event.id, "applied"))
    return outcomes

register_handler("partner", handle)
applier()
"""


@pytest.fixture
def start() -> Iterator[Start]:
    processes: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str, env: dict[str, str]) -> "subprocess.Popen[bytes]":
        processes.append(subprocess.Popen([sys.executable, *arguments], env=env))
        return processes[-1]

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


class Senders:
    """Post messages with ever new ids and keep a journal of those that were answered 2xx."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self.confirmed: list[str] = []
        self._threads = [threading.Thread(target=self._send, args=[name]) for name in range(16)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self, name: int) -> None:
        number = 0
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
            with contextlib.suppress(OSError, http.client.HTTPException):
                while not self._stop.is_set():
                    number += 1
                    event_id = f"{name}-{number}"
                    body = event_id.encode()
                    connection.request("POST", PREFIX + "milady", body, sign_hex(body, event_id))
                    response = connection.getresponse()
                    response.read()
                    if response.status < 300:
                        self.confirmed.append(event_id)
            connection.close()
            time.sleep(0.02)


def is_listening(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_nothing_that_was_confirmed_is_missing_after_kill_9(
    world: World, database: Database, start: Start
) -> None:
    world.make_endpoint(scheme="hmac-sha256-hex")
    port = find_free_port()
    env = database.environment("web") | {"HANDRAIL_BIND": f"127.0.0.1:{port}"}
    with Senders(port) as senders:
        for _ in range(3):
            web = start("-m", "handrail.config.cli", "web", env=env)
            wait_until(lambda: is_listening(port))
            before = len(senders.confirmed)
            wait_until(lambda: len(senders.confirmed) > before + 200)  # noqa: B023 - called at once
            web.send_signal(signal.SIGKILL)
            web.wait()

    stored = {event_id for (event_id,) in world.events("event_id")}
    assert len(senders.confirmed) > 600
    assert set(senders.confirmed) - stored == set()
    assert world.value("select count(*) from webhook_event_conflicts") == 0


def test_an_applier_that_is_killed_leaves_nothing_half_done(
    world: World, machine: Machine, database: Database, start: Start, applier: Applier
) -> None:
    milady = world.make_endpoint()
    for number in range(300):
        world.store(milady, event_id=f"{number}")
    env = database.environment("worker") | {"DJANGO_SETTINGS_MODULE": "handrail.config.settings"}
    for _ in range(2):
        process = start("-c", SLOW_APPLIER, env=env)
        wait_until(lambda: is_at_work(world))
        time.sleep(0.3)
        process.kill()
        process.wait()
    wait_until(lambda: not is_at_work(world))

    assert machine.applied == []
    apply_all(applier)
    assert sorted(machine.applied, key=int) == [str(number) for number in range(300)]


def is_at_work(world: World) -> bool:
    return bool(
        world.value(
            "select count(*) from pg_stat_activity"
            " where application_name = 'handrail_applier' and state = 'idle in transaction'"
        )
    )


def test_an_applier_that_is_told_to_end_finishes_its_batch(
    world: World, machine: Machine, database: Database, start: Start
) -> None:
    milady = world.make_endpoint()
    stored = 2 * BATCH + 100
    for number in range(stored):
        world.store(milady, event_id=f"{number}", age=timedelta(seconds=5000 - number))
    env = database.environment("worker") | {"DJANGO_SETTINGS_MODULE": "handrail.config.settings"}
    process = start("-c", SLOW_APPLIER, env=env)
    wait_until(lambda: is_at_work(world))
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 0
    # A batch of one lane, or of both.
    assert len(machine.applied) in (BATCH, 2 * BATCH)
    assert world.rows("select status, count(*) from webhook_events group by 1 order by 1") == [
        ("applied", len(machine.applied)),
        ("received", stored - len(machine.applied)),
    ]


@pytest.mark.slow
def test_a_stopped_applier_frees_its_rows_and_goes_on_when_it_is_woken(
    world: World, machine: Machine, database: Database, start: Start, applier: Applier
) -> None:
    milady = world.make_endpoint()
    for number in range(300):
        world.store(milady, event_id=f"{number}")
    env = database.environment("worker") | {"DJANGO_SETTINGS_MODULE": "handrail.config.settings"}
    process = start("-c", SLOW_APPLIER, env=env)
    wait_until(lambda: is_at_work(world))
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()
    while len(machine.applied) < 300:
        assert time.monotonic() - began < 20
        apply_all(applier)
        time.sleep(0.1)

    assert 5 < time.monotonic() - began < 15  # idle_in_transaction_session_timeout is 10 s
    os.kill(process.pid, signal.SIGCONT)
    last = world.store(milady, event_id="last")
    wait_until(
        lambda: world.value("select status from webhook_events where id = %s", last) == "applied"
    )
    assert sorted(machine.applied[:300], key=int) == [str(number) for number in range(300)]
    assert machine.applied[300:] == ["last"]
