"""What the demo shows while it runs: bars on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from handrail.config.demo.state import Snapshot

LINE_SECONDS = 1.0


class Display:
    """Shows snapshots, and passes on what the supervisor says; the children's lines go to a file."""

    def __init__(self, console: Console, log: TextIO) -> None:
        self.console = console
        self._log = log
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, TaskID] = {}
        self._said_at = 0.0
        self._said = ""

    @contextmanager
    def open(self) -> Iterator[None]:
        """Show progress until the block ends."""
        with self._progress:
            yield

    def say(self, line: str) -> None:
        """Say something to the person at the terminal, above the bars."""
        self.note(line)
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def note(self, line: str) -> None:
        """Write a line to the file only."""
        self._log.write(f"{line}\n")
        self._log.flush()

    def take_line(self, line: str) -> None:
        """Take a line of the group: a child's goes to the file, and to the person if it is an error."""
        _, bar, text = line.partition(" | ")
        if not bar or text.startswith(("ERROR", "CRITICAL", "handrail:")):
            self.say(line)
        else:
            self.note(line)

    def show(self, snapshot: Snapshot) -> None:
        """Show how far everybody is."""
        for program in snapshot.programs:
            self._move(program.title, program.done, program.steps)
        self._move("Enrollments completed", snapshot.completed, snapshot.enrollments)
        self._move("Certificates", snapshot.certificates, snapshot.enrollments)
        if not self.console.is_terminal:
            self._show_line(snapshot)

    def finish(self) -> None:
        """Leave the bars as they are; what is said from now on stands below them."""
        self._progress.stop()

    def _move(self, title: str, done: int, total: int) -> None:
        if title not in self._bars:
            self._bars[title] = self._progress.add_task(title)
        self._progress.update(self._bars[title], completed=done, total=total)

    def _show_line(self, snapshot: Snapshot) -> None:
        done = sum(program.done for program in snapshot.programs)
        steps = sum(program.steps for program in snapshot.programs)
        line = (
            f"steps {done}/{steps}, completed {snapshot.completed}/{snapshot.enrollments}, "
            f"certificates {snapshot.certificates}, webhooks {snapshot.webhooks}"
        )
        if line != self._said and time.monotonic() - self._said_at >= LINE_SECONDS:
            self._said, self._said_at = line, time.monotonic()
            self.say(line)


@contextmanager
def open_display(log: Path) -> Iterator[Display]:
    """Make the display, with a new file for what the children write."""
    with log.open("w", encoding="utf-8") as file:
        display = Display(Console(), file)
        with display.open():
            yield display
