"""The whole system with simulated partners, as the benchmarks of latency and journeys drive it."""

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.bench import SIMULATOR_PORT, Bench, wait_until


@dataclass(frozen=True, slots=True)
class System:
    """Web, applier and worker of one benchmark database, and the partners."""

    processes: tuple[int, int, int]
    """Process ids of web, applier and worker."""
    simulator: subprocess.Popen[str]

    def tell(self, **command: Any) -> Any:
        """Give the partners a command and return their answer."""
        if self.simulator.stdin is None or self.simulator.stdout is None:
            raise TypeError("the simulator is spoken to through pipes")
        self.simulator.stdin.write(json.dumps(command) + "\n")
        self.simulator.stdin.flush()
        return json.loads(self.simulator.stdout.readline())


@contextlib.contextmanager
def run_system(bench: Bench) -> Iterator[System]:
    """Run the three processes and the partners; return when the web process answers."""
    host, port = bench.web
    with (
        bench.running("web", "benchmarks.adapter", "web") as web,
        bench.running("applier", "benchmarks.adapter", "applier") as applier,
        bench.running("worker", "benchmarks.adapter", "calls") as worker,
    ):
        wait_until(lambda: _listens(host, port), seconds=30, what="the web process")
        simulator = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.partner", str(SIMULATOR_PORT), host, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            wait_until(
                lambda: _listens("127.0.0.1", SIMULATOR_PORT), seconds=20, what="the partners"
            )
            yield System((web.pid, applier.pid, worker.pid), simulator)
        finally:
            simulator.kill()
            simulator.wait()


def _listens(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        return True
    return False
