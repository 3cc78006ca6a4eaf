"""kill -9 of each process in the middle of a demo: nothing is lost, nothing happens twice.

The demo itself compares at its end the partners' books (accounts, enrollments, orders, vouchers,
certificates, and every webhook that the sender says was delivered) with the database, and checks
the promises; `violations` counts what differs.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from handrail.config.installation import LocalInstallation
from tests.demos import CHILDREN, EXAMPLE, open_folder, pick_constant, start_demo

LEASE_SECONDS = 9.0  # of a call: twice HANDRAIL_CALL_TIMEOUT_SECONDS of the demo, and 5

pytestmark = pytest.mark.slow


def test_everybody_completes_though_each_process_is_killed() -> None:
    invented = 10  # two in each program: of 4, 5, 4, 3 and 2 steps
    more = {"rows_taken": invented, "steps_advanced": 2 * (4 + 5 + 4 + 3 + 2)}
    more |= dict.fromkeys(("enrollments", "completed", "certificates"), invented)
    expected = {name: value + more.get(name, 0) for name, value in EXAMPLE.items()}
    wish = f"study_seconds=3, learners={invented}"
    with open_folder() as folder, start_demo(folder, wish) as demo:
        for number, name in enumerate(CHILDREN):
            demo.wait_for_steps(20 + 35 * number)
            demo.kill(name)
        assert demo.wait() == 0, demo.text
        killed = [name for name in CHILDREN if f"{name} ended (killed by SIGKILL)" in demo.text]
        assert killed == [name for name in CHILDREN if name != "postgres"]
        assert "The database server is back." in demo.text
        assert pick_constant(demo.read_summary()) == expected


@pytest.mark.parametrize(("name", "faults"), [("worker", True), ("applier", False)])
def test_a_stopped_process_that_comes_back_late_does_nothing_twice(
    name: str,
    *,
    faults: bool,
) -> None:
    """Another one goes on meanwhile; partners that fail give the worker more to hold when it stops."""
    wish = f"study_seconds=5, faults={faults}"  # it still runs when the stopped one comes back
    with open_folder() as folder, start_demo(folder, wish) as demo:
        demo.wait_for_steps(40)
        stopped = demo.find_children()[name]
        os.kill(stopped, signal.SIGSTOP)
        with start_another(folder, name):
            before = demo.count_steps()
            time.sleep(LEASE_SECONDS + 2)
            assert demo.count_steps() > before, demo.text
            os.kill(stopped, signal.SIGCONT)
            assert demo.wait() == 0, demo.text
        assert pick_constant(demo.read_summary()) == EXAMPLE


@contextmanager
def start_another(folder: Path, name: str) -> Iterator[None]:
    """Run a second process of this kind, as on a second machine."""
    spec = LocalInstallation(folder / "var" / "demo").read().spec_of(name)
    with (folder / f"another-{name}.txt").open("wb") as output:
        process = subprocess.Popen(
            spec.arguments, env=spec.environment, stdout=output, stderr=output
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
