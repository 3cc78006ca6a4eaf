"""A group of real processes: started, killed, stubborn, stopped."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from handrail.config import supervisor
from handrail.config.supervisor import SAME_SIGNAL_SECONDS, Group, ProcessSpec, describe_exit

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


def python(name: str, code: str, **environment: str) -> ProcessSpec:
    return ProcessSpec(name, [sys.executable, "-c", code], environment)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what it watches tells nobody
            await asyncio.sleep(0.01)


def run(group: Group, *companions: Coroutine[Any, Any, None]) -> int:
    return asyncio.run(group.run(*companions))


def lives(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def test_lines_come_with_the_name_of_their_process() -> None:
    said: list[str] = []
    group = Group(
        [python("web", "print('one'); print('two', end='')"), python("applier", SLEEP)],
        say=said.append,
    )

    async def stop_later() -> None:
        await until(lambda: "applier | up" in said and "web     | two" in said)
        group.stop()

    assert run(group, stop_later()) == 0
    assert said.index("web     | one") < said.index("web     | two")


def test_output_that_is_not_text_or_has_no_end_of_line() -> None:
    said: list[str] = []
    code = "import sys; sys.stdout.buffer.write(b'\\xff' + b'x' * 3_000_000 + b'\\nend\\n')"
    group = Group([python("web", code)], say=said.append)

    async def stop_later() -> None:
        await until(lambda: "web | end" in said)
        group.stop()

    run(group, stop_later())
    lines = [line for line in said if line.startswith("web | ") and "x" in line]
    assert sum(line.count("x") for line in lines) == 3_000_000


def test_a_child_has_only_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDRAIL_DATABASE_PASSWORD_OWNER", "not yours")
    said: list[str] = []
    code = "import os; print(sorted(k for k in os.environ if k != 'LC_CTYPE')); " + SLEEP
    group = Group([python("web", code, HANDRAIL_BIND="127.0.0.1:1")], say=said.append)

    async def stop_later() -> None:
        await until(lambda: "web | up" in said)
        group.stop()

    run(group, stop_later())
    assert said[0] == "web | ['HANDRAIL_BIND']"


def test_a_killed_child_is_started_again_and_told_of() -> None:
    said: list[str] = []
    group = Group([python("web", SLEEP), python("worker", SLEEP)], say=said.append)
    pids: list[int] = []

    async def kill_one() -> None:
        await until(lambda: said.count("web    | up") == 1)
        pids.append(group._processes["web"].pid)
        os.kill(pids[0], signal.SIGKILL)
        await until(lambda: said.count("web    | up") == 2)
        pids.append(group._processes["web"].pid)
        group.stop()

    assert run(group, kill_one()) == 0
    assert "web ended (killed by SIGKILL). Starting it again in 0.5 s." in said
    assert said.count("worker | up") == 1
    assert pids[0] != pids[1]
    assert not any(map(lives, pids))


def test_a_child_that_keeps_ending_is_started_ever_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "SHORTEST_WAIT", 0.01)
    monkeypatch.setattr(supervisor, "LONGEST_WAIT", 0.04)
    said: list[str] = []
    group = Group([python("web", "raise SystemExit(3)")], say=said.append)

    async def stop_later() -> None:
        await until(lambda: len(said) == 4)
        group.stop()

    run(group, stop_later())
    assert said[:4] == [
        f"web ended (exit code 3). Starting it again in {wait} s."
        for wait in ("0.01", "0.02", "0.04", "0.04")
    ]


def test_a_wrong_configuration_ends_the_group() -> None:
    said: list[str] = []
    group = Group([python("web", "raise SystemExit(78)"), python("worker", SLEEP)], say=said.append)

    assert run(group) == 78
    assert "web cannot work with this configuration; stopping." in said


def test_children_are_stopped_in_their_order() -> None:
    said: list[str] = []
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('down', flush=True)))\n" + SLEEP
    )
    names = ["web", "applier", "worker", "sandbox"]
    group = Group([python(name, code) for name in names], say=said.append)

    async def stop_later() -> None:
        await until(lambda: len(said) == 4)
        group.stop()

    run(group, stop_later())
    assert [line.split()[0] for line in said if line.endswith("down")] == names


def test_a_child_that_does_not_stop_is_ended() -> None:
    said: list[str] = []
    group = Group([python("web", DEAF)], say=said.append, stop_seconds=0.2)

    async def stop_later() -> None:
        await until(lambda: "web | up" in said)
        group.stop()

    run(group, stop_later())
    assert said[-1] == "web did not stop in 0.2 s and is ended."


def test_a_child_that_was_halted_is_stopped_all_the_same() -> None:
    said: list[str] = []
    group = Group([python("web", SLEEP)], say=said.append, stop_seconds=5)

    async def stop_later() -> None:
        await until(lambda: "web | up" in said)
        os.kill(group._processes["web"].pid, signal.SIGSTOP)
        group.stop()

    began = time.monotonic()
    run(group, stop_later())
    assert time.monotonic() - began < 4


def test_an_error_beside_the_children_ends_the_group_and_is_raised() -> None:
    group = Group([python("web", SLEEP)], say=lambda _: None)

    async def fail() -> None:
        await until(lambda: group._processes)
        raise LookupError("beside")

    with pytest.raises(LookupError, match="beside"):
        run(group, fail())
    assert not lives(group._processes["web"].pid)


PARENT = """
import asyncio, sys
from handrail.config.supervisor import Group, ProcessSpec
code = "import os, signal, time; {}; print(os.getpid(), flush=True); time.sleep(600)"
deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
specs = [
    ProcessSpec("web", [sys.executable, "-c", code.format("pass")], {}),
    ProcessSpec("deaf", [sys.executable, "-c", code.format(deaf)], {}),
]
say = lambda line: print(line, flush=True)
sys.exit(asyncio.run(Group(specs, say=say, stop_seconds=float(sys.argv[1])).run()))
"""


def start_parent(*, stop_seconds: float) -> tuple[subprocess.Popen[str], list[int]]:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(stop_seconds)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    return parent, [int(parent.stdout.readline().split("|")[1]) for _ in range(2)]


def wait_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while any((Path(f"/proc/{pid}")).exists() for pid in pids):
        assert time.monotonic() < deadline, "a child outlived its group"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_all(number: signal.Signals) -> None:
    parent, pids = start_parent(stop_seconds=0.3)
    with parent:
        parent.send_signal(number)
        assert parent.wait(10) == 0
        assert parent.stdout
        assert parent.stdout.read().splitlines() == [
            "Stopping. Again to end at once.",
            "deaf did not stop in 0.3 s and is ended.",
        ]
    wait_gone(pids)


def test_a_second_signal_ends_all_at_once() -> None:
    parent, pids = start_parent(stop_seconds=60)
    with parent:
        parent.send_signal(signal.SIGINT)
        time.sleep(SAME_SIGNAL_SECONDS + 0.2)
        parent.send_signal(signal.SIGINT)
        assert parent.wait(10) == 0
    wait_gone(pids)


def test_a_signal_that_comes_twice_at_once_is_one() -> None:
    """A service manager tells make and us, and make passes it on."""
    parent, pids = start_parent(stop_seconds=1.5)
    with parent:
        parent.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(10) == 0
        assert parent.stdout
        assert "Ending at once." not in parent.stdout.read()
    wait_gone(pids)


def test_no_child_outlives_a_killed_group() -> None:
    parent, pids = start_parent(stop_seconds=60)
    with parent:
        parent.kill()
    wait_gone(pids)


def test_a_second_signal_is_for_the_group_only_while_it_runs() -> None:
    group = Group([], say=lambda _: None)

    async def stop_later() -> None:
        group.stop()

    before = signal.getsignal(signal.SIGTERM)
    run(group, stop_later())
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit code 0"), (-9, "killed by SIGKILL"), (-250, "killed by signal 250")],
)
def test_exits_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
