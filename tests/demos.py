"""Demos as processes, in folders of their own, for tests that look at them or kill parts of them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.config.conftest import remove
from tests.databases import make_server_folder

DEMO = (
    "import sys; from handrail.config.demo.run import run_demo;"
    "from handrail.config.demo.wish import Wish; sys.exit(run_demo(Wish({})))"
)
PLAIN = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
CHILDREN = ("web", "applier", "worker", "sandbox", "postgres")


class Demo:
    """A demo that runs in `folder`; `wish`: the fields of Wish that differ from their defaults."""

    def __init__(self, folder: Path, wish: str = "", **environment: str) -> None:
        self.folder = folder
        self.output = folder / "output.txt"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", DEMO.format(wish)],
                cwd=folder,
                env=PLAIN | environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        """What it has said so far."""
        return self.output.read_text()

    @property
    def state(self) -> Path:
        """The sandbox's own records."""
        return self.folder / "var" / "demo" / "sandbox" / "state.sqlite"

    def wait(self, seconds: float = 240) -> int:
        """Wait until it ends; return its exit code."""
        return self.process.wait(seconds)

    def wait_for(self, condition: Callable[[], object], *, seconds: float = 120) -> None:
        """Look again and again until it is so."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, self.text
            time.sleep(0.05)

    def wait_for_steps(self, count: int) -> None:
        """Wait until so many steps are completed."""
        self.wait_for(lambda: self.count_steps() >= count)

    def count_steps(self) -> int:
        """The steps completed, by its last line."""
        found = re.findall(r"^steps (\d+)/", self.text, re.MULTILINE)
        return int(found[-1]) if found else 0

    def find_children(self) -> dict[str, int]:
        """The process ids of its processes and of the database server."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                words = (folder / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue  # it has ended
            if parent == self.process.pid:
                name = words[3] if "handrail.config.cli" in words else Path(words[0]).name
                found[name] = int(folder.name)
        return found

    def kill(self, name: str) -> None:
        """Kill a child, as the machine's memory killer does, and wait until there is a new one."""
        before = self.find_children()[name]
        os.kill(before, signal.SIGKILL)
        self.wait_for(lambda: self.find_children().get(name, before) != before)

    def read_summary(self) -> dict[str, Any]:
        """The figures that it wrote."""
        figures: dict[str, Any] = json.loads(
            (self.folder / "var" / "demo" / "summary.json").read_text()
        )
        return figures

    def end(self) -> None:
        """Stop it if it still runs."""
        self.process.terminate()
        self.process.wait(60)


@contextmanager
def open_folder() -> Iterator[Path]:
    """Give a folder that the database server's account can reach; remove it afterwards."""
    folder = make_server_folder()
    try:
        yield folder
    finally:
        remove(folder)


@contextmanager
def start_demo(folder: Path, wish: str = "", **environment: str) -> Iterator[Demo]:
    """Start a demo in `folder`, and see to it that it has ended afterwards."""
    demo = Demo(folder, wish, **environment)
    try:
        yield demo
    finally:
        demo.end()


def pick_constant(summary: dict[str, Any]) -> dict[str, int]:
    """The figures that are the same in each demo of the example, however it went."""
    names = (
        *("rows_taken", "rows_refused", "enrollments", "completed", "certificates"),
        *("steps_advanced", "violations"),
    )
    return {name: summary[name] for name in names}


EXAMPLE = {
    "rows_taken": 63,
    "rows_refused": 5,
    "enrollments": 62,
    "completed": 62,
    "certificates": 62,
    "steps_advanced": 220,
    "violations": 0,
}
