#!/usr/bin/env python3
"""Try `make run` in the clone this file lies in, as a newcomer would, as the user who runs this.

Starts it, opens the sign-in page, stops it with Ctrl-C, starts it again on the same data, kills
everything, starts it once more, stops it by SIGTERM, and asks for a port that is taken. Nothing
may be left running after a stop. Ends with 0, or says what went wrong and shows the output.

Standard library only: it runs where there is no .venv yet. Linux only: it reads /proc.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
LOG = CLONE.parent / "make-run.log"
FIRST_START_SECONDS = 600  # downloads and installs the requirements, makes the database
NEXT_START_SECONDS = 60
STOP_SECONDS = 20
PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


class Unexpected(Exception):
    """What a newcomer would have run into; the message is the finding."""


def say(text: str) -> None:
    print(f"  {time.monotonic() - STARTED:5.0f} s  {text}", flush=True)


def adopt_orphans() -> None:
    """Make every process that loses its parent below us our child, so that none can hide."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def list_descendants() -> dict[int, str]:
    """Return the running processes below this one: command line by process id."""
    parents: dict[int, int] = {}
    commands: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if state != "Z":
                parents[int(folder.name)] = int(parent)
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                commands[int(folder.name)] = command.decode(errors="replace").strip()

    def is_below(pid: int) -> bool:
        while pid in parents:
            pid = parents[pid]
            if pid == os.getpid():
                return True
        return False

    return {pid: commands[pid] for pid in parents if is_below(pid)}


def reap_orphans() -> None:
    """Collect the adopted children that have ended: a zombie's id looks alive to a stale lock."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def wait_until(done: Callable[[], bool], *, seconds: float, finding: str) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise Unexpected(f"{finding} within {seconds:.0f} s")
        time.sleep(0.2)


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def fetch(url: str) -> tuple[int, str]:
    """Return the status (0: nobody answers) and the text of a page, redirects followed."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except OSError:
        return 0, ""


def start(port: int) -> "subprocess.Popen[bytes]":
    LOG.write_bytes(b"")
    with LOG.open("ab") as log:
        return subprocess.Popen(
            ["make", "run"],
            cwd=CLONE,
            env={**os.environ, "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its own process group, as in a terminal
        )


def wait_ready(make: "subprocess.Popen[bytes]", port: int, *, seconds: float) -> None:
    def is_ready() -> bool:
        if make.poll() is not None:
            raise Unexpected(f"make run ended by itself with {make.returncode}")
        # While the example's past is played, a web process answers there already: the output tells.
        told = f"http://localhost:{port}" in LOG.read_text(errors="replace")
        return told and fetch(f"http://localhost:{port}/readyz")[0] == 200

    finding = "the output did not name the address, or /readyz did not answer 200"
    wait_until(is_ready, seconds=seconds, finding=finding)


def look_around(port: int) -> None:
    status, page = fetch(f"http://localhost:{port}/")
    if status != 200 or 'type="password"' not in page:
        raise Unexpected(f"no sign-in page: GET / answered {status}\n{page[:2000]}")


def wait_gone(make: "subprocess.Popen[bytes]") -> None:
    def is_gone() -> bool:
        if make.poll() is not None:
            reap_orphans()
        return not list_descendants()

    try:
        wait_until(is_gone, seconds=STOP_SECONDS, finding="not everything stopped")
    except Unexpected as error:
        raise Unexpected(f"{error}; still there: {list_descendants()}") from None


def expect_no_traceback() -> None:
    if "Traceback (most recent call last)" in LOG.read_text(errors="replace"):
        raise Unexpected("there is a traceback in the output")


def read_clusters() -> dict[str, bytes]:
    """Return what names a database cluster for good, its system identifier, by its folder.

    It is the first field of global/pg_control (src/include/catalog/pg_control.h, 8 bytes), set
    once by initdb. Links are followed: as root the data may lie outside the clone.
    """
    found = {}
    for folder, _, names in os.walk(CLONE / "var", followlinks=True):
        if "pg_control" in names:
            found[folder] = (Path(folder) / "pg_control").read_bytes()[:8]
    if not found:
        raise Unexpected("no database cluster below var/")
    return found


@contextlib.contextmanager
def running(port: int, *, seconds: float) -> Iterator["subprocess.Popen[bytes]"]:
    make = start(port)
    wait_ready(make, port, seconds=seconds)
    look_around(port)
    say("ready, and the sign-in page answers")
    yield make
    wait_gone(make)
    say("stopped, and no process is left")


def try_busy_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        make = start(port)
        try:
            make.wait(timeout=NEXT_START_SECONDS)
        except subprocess.TimeoutExpired:
            raise Unexpected(f"make run went on although port {port} is taken") from None
    wait_gone(make)
    output = LOG.read_text(errors="replace")
    if make.returncode == 0 or str(port) not in output or "PORT" not in output:
        raise Unexpected("a port in use gave no sentence that names it and PORT")
    expect_no_traceback()
    say("a port in use is refused with a sentence")


def try_everything() -> None:
    port = find_free_port()
    with running(port, seconds=FIRST_START_SECONDS) as make:
        os.killpg(make.pid, signal.SIGINT)  # what a terminal does on Ctrl-C
    expect_no_traceback()
    clusters = read_clusters()
    try_busy_port()
    with running(port, seconds=NEXT_START_SECONDS):
        if read_clusters() != clusters:
            raise Unexpected("the second start made another database")
        kill_everything()
    with running(port, seconds=NEXT_START_SECONDS) as make:
        if read_clusters() != clusters:
            raise Unexpected("the start after a kill -9 made another database")
        make.send_signal(signal.SIGTERM)
    expect_no_traceback()


def kill_everything() -> None:
    while below := list_descendants():
        say(f"killing {len(below)} processes")
        for pid in below:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        reap_orphans()
        time.sleep(0.1)


def remove_data() -> None:
    """Remove what `make run` put outside the clone: as root, var/data may be a link."""
    data = (CLONE / "var" / "data").resolve()
    for folder in (data, *data.parents):
        if folder.parent == Path("/var/lib/handrail"):
            shutil.rmtree(folder)


def main() -> int:
    adopt_orphans()
    try:
        try_everything()
    except Unexpected as error:
        print(f"make run: {error}\n--- the end of its output:")
        print("\n".join(LOG.read_text(errors="replace").splitlines()[-60:]))
        return 1
    finally:
        kill_everything()
        remove_data()
    return 0


STARTED = time.monotonic()
if __name__ == "__main__":
    sys.exit(main())
