"""Where the benchmarks run: an embedded PostgreSQL of their own, durable, with production's roles.

Nothing is loosened: fsync and synchronous_commit are on, each process has its own role and
password, row security is forced. The folder below `var/bench` is made anew unless it is kept.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from handrail.config.database import setup_database
from handrail.config.embedded_postgres import find_free_port
from handrail.config.environment import DatabaseRole
from handrail.config.installation import Installation, LocalInstallation
from handrail.config.run import run_step

FOLDER = Path("var/bench")
TICKS = os.sysconf("SC_CLK_TCK")
SIMULATOR_PORT = find_free_port()
Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Bench:
    """One benchmark database and how to reach it."""

    local: LocalInstallation
    installation: Installation
    pairs: int
    quick: bool

    def dsn(self, role: DatabaseRole) -> str:
        """The connection string of a role of ours."""
        variables = self.installation.variables
        url = variables["HANDRAIL_DATABASE_URL"]
        return make_conninfo(url, user=role.login, password=variables[role.password_variable])

    def connect(self, role: DatabaseRole = DatabaseRole.WORKER) -> Connection:
        """Connect as a role of ours, in autocommit mode."""
        return psycopg.connect(self.dsn(role), autocommit=True)

    def connect_as_superuser(self) -> Connection:
        """Connect past all walls: to lay out data and to read the clock of processes."""
        return psycopg.connect(self.local.postgres.admin_dsn("handrail"), autocommit=True)

    @property
    def web(self) -> tuple[str, int]:
        """Where the web process listens."""
        return self.local.bind

    def environment_of(self, process: str) -> dict[str, str]:
        """The environment of a child; partners of the benchmark are on this machine."""
        environment = self.installation.environment_of(process)
        allowed = environment.get("HANDRAIL_ALLOWED_PRIVATE_HOSTS", "")
        environment["HANDRAIL_ALLOWED_PRIVATE_HOSTS"] = f"{allowed},127.0.0.1:{SIMULATOR_PORT}"
        return environment

    @contextlib.contextmanager
    def running(self, process: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run `python -m COMMAND` with the environment of `process`; ended with SIGTERM."""
        log = (FOLDER / f"{process}.log").open("ab")
        child = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=self.environment_of(process),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield child
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            log.close()


@contextlib.contextmanager
def open_bench(name: str, *, pairs: int, quick: bool, keep: bool = False) -> Iterator[Bench]:
    """Start the server of the benchmark `name`, made anew unless `keep` and there, of this version."""
    folder = FOLDER / name
    made_by = folder / "made_by"
    version = digest_schema()
    if not (keep and made_by.exists() and made_by.read_text() == version):
        shutil.rmtree((folder / "data").resolve(), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    made_by.write_text(version)
    local = LocalInstallation(folder, bind=("127.0.0.1", find_free_port()), say=lambda _: None)
    try:
        installation = local.start()
        setup_database(local.postgres.admin_dsn(), local.postgres.passwords)
        run_step(installation, "migrate")
        yield Bench(local, installation, pairs, quick)
    finally:
        local.postgres.stop()


def digest_schema() -> str:
    """What a database is made by: a kept one of another version would run its old functions."""
    files = sorted([*Path("src").rglob("sql/*.sql"), *Path("src").rglob("migrations/*.py")])
    return hashlib.sha256(b"".join(each.read_bytes() for each in files)).hexdigest()


def read_cpu_seconds(*pids: int) -> float:
    """User and system time of these processes so far, in seconds."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(int(each) for each in fields[11:15])  # with children that were waited for
    return total / TICKS


def list_server_processes(bench: Bench) -> list[int]:
    """The server's processes: the postmaster (which counts those that ended) and its children."""
    postmaster = int((bench.local.postgres.home.cluster / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return [postmaster, *map(int, children)]


def wait_until(
    check: Callable[[], bool], *, seconds: float, what: str, every: float = 0.05
) -> None:
    """Return when `check` says so.

    Raises:
        TimeoutError: it did not within `seconds`.
    """
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {seconds:g} s")
        time.sleep(every)


def median(values: Sequence[float]) -> float:
    """The median; a benchmark never quotes a single run."""
    return statistics.median(values)
