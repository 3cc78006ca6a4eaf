"""`handrail COMMAND` as a process of its own, on the database of a test."""

import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.databases import Database


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


def _command(arguments: tuple[str | Path, ...]) -> list[str]:
    return [sys.executable, "-m", "handrail.config.cli", *map(str, arguments)]


def handrail(
    database: Database, *arguments: str | Path, stdin: str | bytes = "", **more: str
) -> Said:
    """Run a command as the service role; `more` are further environment variables."""
    result = subprocess.run(
        _command(arguments),
        env=database.environment() | more,
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )
    return Said(result.returncode, result.stdout.decode(), result.stderr.decode())


def handrail_at_terminal(database: Database, *arguments: str | Path, typed: str) -> Said:
    """Run a command at a terminal where a person types; `out` is what the person sees."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, _command(arguments), database.environment())  # noqa: S606
    seen = b""
    for line in typed.splitlines(keepends=True):
        # A prompt is asked for before anything is typed, or it would be shown.
        while not seen.rstrip(b" ").endswith(b":"):
            seen += os.read(terminal, 4096)
        os.write(terminal, line.encode())
        seen += b"\n"
    try:
        while some := os.read(terminal, 4096):
            seen += some
    except OSError:  # the process has ended
        pass
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    return Said(os.waitstatus_to_exitcode(status), seen.decode().replace("\r\n", "\n"), "")
