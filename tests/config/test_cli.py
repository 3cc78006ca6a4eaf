"""The command line, as a person at a terminal meets it: whole processes in a folder of their own."""

import base64
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from handrail.config.cli import COMMANDS
from handrail.config.embedded_postgres import EmbeddedPostgres, find_free_port
from handrail.config.environment import DatabaseRole
from handrail.config.installation import LocalInstallation
from handrail.config.parsing import parse_mail_url, parse_secret_keys
from handrail.core.crypto import Keyring, Place
from tests.config.conftest import remove
from tests.databases import make_server_folder

HANDRAIL = [sys.executable, "-m", "handrail.config.cli"]
PLAIN = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}


def handrail(
    *arguments: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HANDRAIL, *arguments],
        cwd=folder,
        env=PLAIN | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Running:
    """`handrail run` in a folder."""

    def __init__(self, folder: Path, port: int, **environment: str) -> None:
        self.folder = folder
        self.port = port
        self.log = folder / "output"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*HANDRAIL, "run"],
                cwd=folder,
                env=PLAIN | environment | {"PORT": str(port)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def output(self) -> str:
        return self.log.read_text()

    def status(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", path)
            return connection.getresponse().status
        return 0

    def wait_for(self, words: str, *, times: int = 1) -> None:
        deadline = time.monotonic() + 60
        while self.output().count(words) < times:
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)

    def pids(self) -> dict[str, int]:
        """Return all processes of the group: by name, the database server as `postgres`."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                stat = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(stat[1]) == self.process.pid and stat[0] != "Z":
                    command = (folder / "cmdline").read_bytes().split(b"\0")
                    ours = b"handrail.config.cli" in command
                    name = command[3].decode() if ours else Path(command[0].decode()).name
                    found[name] = int(folder.name)
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


def list_users_of(folder: Path) -> list[str]:
    """Return the commands of all processes that work in `folder`."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (each / "cwd").readlink().is_relative_to(folder):
                found.append((each / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


@contextlib.contextmanager
def start_run(folder: Path) -> Iterator[Running]:
    running = Running(folder, find_free_port())
    try:
        running.wait_for("Handrail is ready")
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        deadline = time.monotonic() + 10
        while list_users_of(folder) and time.monotonic() < deadline:
            time.sleep(0.05)


@pytest.fixture
def running(folder: Path) -> Iterator[Running]:
    """A run that the test may end."""
    with start_run(folder) as running:
        yield running


@pytest.fixture(scope="module")
def lasting() -> Iterator[Running]:
    """A run that no test may end, in a folder whose name is no plain word."""
    folder = make_server_folder()
    odd = folder / "50% of a & b, #1?"
    odd.mkdir()
    with start_run(odd) as running:
        yield running
    remove(folder)


@pytest.fixture(scope="module")
def installed() -> Iterator[Path]:
    """A folder with an installation that is not running; made once for the tests of this file."""
    folder = make_server_folder()
    local = LocalInstallation(folder / "var", say=lambda _: None)
    installation = local.start()
    from handrail.config.database import setup_database
    from handrail.config.run import run_step

    setup_database(local.postgres.admin_dsn(), local.postgres.passwords)
    run_step(installation, "migrate")
    local.postgres.stop()
    yield folder
    remove(folder)


def test_help_names_every_command() -> None:
    result = handrail("--help")

    assert result.returncode == 0
    shown = [name for name, command in COMMANDS.items() if not command.hidden]
    assert re.findall(r"^  ([a-z-]+(?: [a-z-]+)?)  +\S", result.stdout, re.MULTILINE) == shown


def test_help_is_quick_because_it_loads_neither_django_nor_a_database() -> None:
    code = "import sys; from handrail.config import cli; cli.write_help(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True
    ).stdout.split()

    assert [name for name in ("django", "psycopg", "aiohttp") if name in loaded] == []


@pytest.mark.parametrize(
    "name", [n for n, c in COMMANDS.items() if c.target.startswith("handrail.config")]
)
def test_each_command_of_ours_explains_itself(name: str) -> None:
    result = handrail(name, "--help")

    assert result.returncode == 0, result.stderr
    assert "usage" in result.stdout.lower()


def test_a_slip_of_the_pen() -> None:
    result = handrail("bakcup")

    assert result.returncode == 2
    assert result.stderr == (
        "handrail: There is no command bakcup. Did you mean backup? See: handrail --help\n"
    )


def test_an_argument_that_is_no_text_is_told() -> None:
    result = subprocess.run(
        [*HANDRAIL, "import-roster", b"caf\xe9.csv"],
        env=PLAIN,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stderr) == (
        2,
        "handrail: An argument is not UTF-8. Write it in UTF-8, or give the file another name.\n",
    )


@pytest.mark.parametrize("command", ["release-outbound", "migrate", "doctor"])
def test_without_an_installation_it_is_told_how_to_get_one(folder: Path, command: str) -> None:
    result = handrail(command, folder=folder)

    assert result.returncode != 0
    assert "HANDRAIL_DATABASE_URL is not set" in result.stdout + result.stderr
    assert "handrail run" in result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert not (folder / "var").exists()


def test_run_starts_everything_and_stops_it(running: Running) -> None:
    assert f"http://localhost:{running.port}" in running.output()
    assert running.status("/readyz") == 200
    assert {"postgres", "web"} <= set(running.pids())
    # What goes wrong in the example's past is part of it and alarms nobody here.
    assert not re.search(r"^(WARNING|ERROR)", running.output(), re.MULTILINE)

    assert running.stop() == 0
    assert list_users_of(running.folder) == []
    assert "Traceback" not in running.output()


def test_ctrl_c_stops_it_and_a_second_start_goes_on_with_the_same_data(running: Running) -> None:
    control = running.folder / "var" / "data" / "cluster" / "global" / "pg_control"
    identifier = control.read_bytes()[:8]
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.process.wait(30) == 0

    again = Running(running.folder, running.port)
    try:
        again.wait_for("Handrail is ready", times=2)
        assert control.read_bytes()[:8] == identifier
    finally:
        assert again.stop() == 0
    assert list_users_of(running.folder) == []


@pytest.mark.parametrize("name", ["web", "postgres"])
def test_one_that_is_killed_is_started_again(lasting: Running, name: str) -> None:
    before = lasting.pids()
    os.kill(before[name], signal.SIGKILL)

    words = {"web": "web ended (killed by SIGKILL)", "postgres": "The database server is back."}
    lasting.wait_for(words[name])
    deadline = time.monotonic() + 30
    while lasting.status("/readyz") != 200:
        assert time.monotonic() < deadline, lasting.output()
        time.sleep(0.1)
    after = lasting.pids()
    assert after[name] != before[name]
    if name == "web":
        assert {**after, "web": 0} == {**before, "web": 0}


def test_after_a_kill_of_everything_it_starts_again(running: Running) -> None:
    children = running.pids().values()
    running.process.send_signal(signal.SIGSTOP)  # or they would end with it, before their turn
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    running.process.kill()
    running.process.wait()

    again = Running(running.folder, running.port)
    try:
        again.wait_for("Handrail is ready", times=2)
    finally:
        assert again.stop() == 0


def test_nothing_outlives_a_killed_run(running: Running) -> None:
    pids = running.pids().values()
    running.process.kill()
    running.process.wait()
    deadline = time.monotonic() + 15
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_that_is_none_is_told(folder: Path, port: str) -> None:
    result = handrail("run", folder=folder, PORT=port)

    assert result.returncode == 2
    assert "(env var: 'PORT')" in result.stderr
    assert list(folder.iterdir()) == []


def test_the_first_start_can_be_broken_off(folder: Path) -> None:
    running = Running(folder, find_free_port())
    running.wait_for("Making the example")
    time.sleep(3)
    os.killpg(running.process.pid, signal.SIGINT)  # as the terminal does

    assert running.process.wait(30) == 0
    assert (
        running.output().splitlines()[-1] == "Stopping before it was ready. The next start goes on."
    )
    assert "Traceback" not in running.output()
    assert list_users_of(folder) == []
    with start_run(folder) as again:
        assert again.status("/readyz") == 200


def test_each_process_has_its_own_passwords_only(lasting: Running) -> None:
    own = {
        "web": {DatabaseRole.WEB, DatabaseRole.INGRESS},
        "applier": {DatabaseRole.WORKER},
        "worker": {DatabaseRole.WORKER},
        "sandbox": set(),
        "learners": {DatabaseRole.WORKER},
        "postgres": set(),
    }
    path = (lasting.folder / "var" / "data").resolve() / "passwords.json"
    passwords = json.loads(path.read_text())
    for name, pid in lasting.pids().items():
        seen = Path(f"/proc/{pid}/environ").read_text()
        arguments = Path(f"/proc/{pid}/cmdline").read_text()
        assert {r for r in DatabaseRole if passwords[r.value] in seen} == own[name], name
        assert passwords["superuser"] not in seen
        assert not any(password in arguments for password in passwords.values())


def test_messages_are_kept_in_the_folder_whatever_its_name(lasting: Running) -> None:
    url = LocalInstallation(lasting.folder / "var").read().variables["HANDRAIL_MAIL_URL"]

    assert unquote(urlsplit(parse_mail_url(url)).path) == str(lasting.folder / "var" / "mail")


def test_a_second_run_in_the_same_folder_is_refused(lasting: Running) -> None:
    result = handrail("run", folder=lasting.folder, PORT=str(find_free_port()))

    assert result.returncode == 1
    assert f"kill {lasting.process.pid}" in result.stderr
    assert lasting.status("/readyz") == 200


def test_an_address_that_is_none_is_told(folder: Path) -> None:
    result = handrail("run", folder=folder, HANDRAIL_BIND="8000")

    assert result.returncode == 78
    assert "HANDRAIL_BIND has '8000', but must be host:port." in result.stderr


def test_a_port_in_use_is_told(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = handrail("run", folder=folder, PORT=str(port))

    assert result.returncode == 1
    assert result.stderr == (
        f"handrail: Port {port} of 127.0.0.1 is in use by another program. Stop that, or "
        f"choose another one, for instance: PORT={port + 1} make run\n"
    )
    assert not (folder / "var").exists()


def test_a_port_in_use_of_an_address_that_is_set_is_told_with_its_setting(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = handrail("run", folder=folder, HANDRAIL_BIND=f"127.0.0.1:{port}", PORT="9")

    assert result.stderr == (
        f"handrail: Port {port} of 127.0.0.1 is in use by another program. Stop that, or "
        f"choose another one, for instance: HANDRAIL_BIND=127.0.0.1:{port + 1} make run\n"
    )


def test_a_second_run_on_the_same_port_is_told_of_the_first(lasting: Running) -> None:
    result = handrail("run", folder=lasting.folder, PORT=str(lasting.port))

    assert result.returncode == 1
    assert f"kill {lasting.process.pid}" in result.stderr


def test_commands_work_while_it_runs_and_while_it_does_not(running: Running) -> None:
    for _ in range(2):
        result = handrail("release-outbound", folder=running.folder)
        assert (result.returncode, result.stdout) == (0, "Nothing was held.\n"), result.stderr
        if running.process.poll() is None:
            running.stop()
    assert list_users_of(running.folder) == []


LONG = """
import sys, time
from pathlib import Path
import psycopg
from handrail.config.installation import open_local_installation
with open_local_installation(Path("var")) as (local, _):
    with psycopg.connect(local.admin_dsn(), autocommit=True) as admin:
        print("begun", flush=True)
        sys.stdin.readline()
        print(*admin.execute("select 'done'").fetchone(), flush=True)
"""


def start_long_command(folder: Path) -> subprocess.Popen[str]:
    """Start one that uses the database until it is told to end."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", LONG],
        cwd=folder,
        env=PLAIN,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "begun\n", process.communicate()[1]
    return process


def test_the_command_that_started_the_server_ends_after_the_others(installed: Path) -> None:
    first = start_long_command(installed)
    second = start_long_command(installed)
    assert first.stdin
    assert first.stderr
    first.stdin.write("\n")
    first.stdin.flush()
    words = "Another command uses the database server that this one started: waiting for it.\n"
    assert first.stderr.readline() == words
    assert first.poll() is None

    assert second.communicate("\n", timeout=30) == ("done\n", "")
    assert first.communicate(timeout=30) == ("done\n", "")
    assert (first.returncode, second.returncode) == (0, 0)
    assert list_users_of(installed) == []


def test_commands_that_begin_at_once_all_get_the_server(installed: Path) -> None:
    commands = [
        subprocess.Popen(
            [*HANDRAIL, "release-outbound"],
            cwd=installed,
            env=PLAIN,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    said = [each.communicate(timeout=60)[0] for each in commands]

    assert said == ["Nothing was held.\n"] * 4


def test_a_start_waits_for_a_command_that_ends_soon(installed: Path) -> None:
    command = start_long_command(installed)
    port = find_free_port()
    with (installed / "output").open("ab") as log:
        run = subprocess.Popen(
            [*HANDRAIL, "run"],
            cwd=installed,
            env=PLAIN | {"PORT": str(port)},
            stdout=log,
            stderr=log,
        )
    time.sleep(2)
    assert run.poll() is None
    assert command.communicate("\n", timeout=30) == ("done\n", "")
    lock = (installed / "var" / "data").resolve() / "lock"
    deadline = time.monotonic() + 20
    while lock.read_text() != f"{run.pid}\n":
        assert time.monotonic() < deadline, (installed / "output").read_text()
        time.sleep(0.05)
    run.terminate()
    assert run.wait(30) == 0


def test_doctor_finds_nothing_wrong(installed: Path) -> None:
    result = handrail("doctor", folder=installed)

    assert result.returncode == 0, result.stdout
    assert {line.split()[0] for line in result.stdout.splitlines()} == {"ok"}
    for subject in ("configuration", "handrail_ingress", "durability", "locale", "migrations"):
        assert subject in result.stdout


@contextlib.contextmanager
def administrator(
    folder: Path, database: str = "handrail"
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with (
        EmbeddedPostgres(folder / "var" / "data", say=lambda _: None) as postgres,
        psycopg.connect(postgres.admin_dsn(database), autocommit=True) as admin,
    ):
        yield admin


@pytest.mark.parametrize(
    ("harm", "mend", "words"),
    [
        (
            "alter role handrail_web bypassrls",
            "alter role handrail_web nobypassrls",
            "handrail_web: handrail_web bypasses row security. Mend: ALTER ROLE handrail_web NOBYPASSRLS",
        ),
        (
            "alter role handrail_ingress nologin",
            "alter role handrail_ingress login",
            "handrail_ingress: cannot sign in",
        ),
        (
            "alter role handrail_worker set synchronous_commit = off",
            "alter role handrail_worker reset synchronous_commit",
            "handrail_worker: synchronous_commit is off",
        ),
        (
            "update django_migrations set app = 'x' where app = 'sessions'",
            "update django_migrations set app = 'sessions' where app = 'x'",
            "migrations: 1 migration is missing: sessions.0001_initial. Mend: handrail migrate",
        ),
    ],
)
def test_doctor_says_what_is_wrong_and_how_to_mend_it(
    installed: Path, harm: str, mend: str, words: str
) -> None:
    with administrator(installed) as admin:
        admin.execute(harm.encode())
    result = handrail("doctor", folder=installed)
    with administrator(installed) as admin:
        admin.execute(mend.encode())

    assert result.returncode == 1
    wrong = [line for line in result.stdout.splitlines() if line.startswith("WRONG")]
    assert any(line.startswith(f"WRONG  {words}") for line in wrong), result.stdout


@pytest.mark.parametrize("name", ["passwords.json", "secrets.json"])
def test_doctor_sees_open_secrets_and_a_wrong_setting(installed: Path, name: str) -> None:
    secrets = (installed / "var" / "data").resolve() / name
    secrets.chmod(0o644)
    result = handrail("doctor", folder=installed, HANDRAIL_SERVICE_TOKEN="short")
    secrets.chmod(0o600)

    assert result.returncode == 1
    assert f"WRONG  {secrets}: mode 0644. Mend: chmod 600 {secrets}" in result.stdout
    assert "HANDRAIL_SERVICE_TOKEN is shorter than 32 characters" in result.stdout


def test_lost_keys_are_told(installed: Path) -> None:
    secrets = (installed / "var" / "data").resolve() / "secrets.json"
    aside = secrets.rename(secrets.with_name("aside"))
    try:
        result = handrail("run", folder=installed, PORT=str(find_free_port()))
    finally:
        aside.rename(secrets)

    assert result.returncode == 1
    assert "secrets.json is missing" in result.stderr
    assert "Put it back" in result.stderr


@pytest.mark.parametrize("name", ["secrets.json", "passwords.json"])
@pytest.mark.parametrize("command", ["run", "check", "doctor"])
def test_a_slip_in_a_file_with_secrets_is_told_with_its_line(
    installed: Path, name: str, command: str
) -> None:
    path = (installed / "var" / "data").resolve() / name
    kept = path.read_text()
    path.write_text(kept.replace(",", "", 1))
    try:
        result = handrail(command, folder=installed, PORT=str(find_free_port()))
    finally:
        path.write_text(kept)

    assert result.returncode == (1 if command == "doctor" else 78)
    told = f'- {path} is no JSON of the form {{"NAME": "text"}} (line 3). Mend it or put it back.\n'
    assert told in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_backup_and_restore(installed: Path) -> None:
    with administrator(installed) as admin:
        admin.execute("insert into django_session values ('alice', '', now())")
    made = handrail("backup", "one.backup", folder=installed)
    assert made.returncode == 0, made.stderr
    assert (installed / "one.backup").stat().st_mode & 0o777 == 0o600

    with administrator(installed) as admin:
        admin.execute("update django_session set session_key = 'bob'")
    restored = handrail("restore", "one.backup", folder=installed)
    assert restored.returncode == 0, restored.stderr
    assert "handrail_before_restore" in restored.stdout

    with administrator(installed) as admin:
        assert admin.execute("select session_key from django_session").fetchall() == [("alice",)]
        question = "select outbound_held, calls_doubted_until = 'infinity' from installation"
        assert admin.execute(question).fetchall() == [(True, True)]
    with administrator(installed, "handrail_before_restore") as admin:
        assert admin.execute("select session_key from django_session").fetchall() == [("bob",)]
    examined = handrail("doctor", folder=installed)
    assert examined.returncode == 1
    (wrong,) = [line for line in examined.stdout.splitlines() if line.startswith("WRONG")]
    assert wrong == (
        "WRONG  calls and mail: held since a restore. "
        "Mend: look around, then let them out: handrail release-outbound"
    )
    released = handrail("release-outbound", folder=installed)
    assert released.stdout == "Calls and mail go out again.\n"
    with administrator(installed) as admin:
        assert admin.execute("select outbound_held from installation").fetchall() == [(False,)]

    again = handrail("restore", "one.backup", folder=installed)  # the one kept before is replaced
    assert again.returncode == 0, again.stderr
    handrail("release-outbound", folder=installed)


def read_walls(folder: Path) -> list[list[tuple[object, ...]]]:
    """Return all that keeps people apart in the database: owners, rights, policies, settings."""
    questions = [
        """
        select c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relowner::regrole::text,
          c.relacl::text,
          (select array_agg(p.polname::text order by 1) from pg_policy p where p.polrelid = c.oid)
        from pg_class c where c.relnamespace = 'public'::regnamespace order by 1
        """,
        """
        select p.oid::regprocedure::text, proowner::regrole::text, prosecdef, proconfig::text,
          (select array_agg(a::text order by 1) from unnest(proacl) a)
        from pg_proc p where pronamespace = 'public'::regnamespace order by 1
        """,
        """
        select setrole::regrole::text, setconfig from pg_db_role_setting
        join pg_database d on d.oid = setdatabase where datname = current_database() order by 1
        """,
        "select nspowner::regrole::text, nspacl::text from pg_namespace where nspname = 'public'",
        "select datdba::regrole::text, datacl::text from pg_database where datname = 'handrail'",
    ]
    with administrator(folder) as admin:
        return [admin.execute(question.encode()).fetchall() for question in questions]


def test_a_restored_database_has_its_walls(installed: Path) -> None:
    before = read_walls(installed)
    assert handrail("backup", "walls.backup", folder=installed).returncode == 0
    assert handrail("restore", "walls.backup", folder=installed).returncode == 0
    after = read_walls(installed)
    handrail("release-outbound", folder=installed)

    assert after == before
    assert all(before)


def test_a_backup_is_taken_while_it_runs_but_not_restored(lasting: Running) -> None:
    made = handrail("backup", "live.backup", folder=lasting.folder)
    assert made.returncode == 0, made.stderr

    refused = handrail("restore", "live.backup", folder=lasting.folder)
    assert refused.returncode == 1
    assert f"kill {lasting.process.pid}" in refused.stderr
    assert lasting.status("/readyz") == 200


def test_a_backup_overwrites_nothing(installed: Path) -> None:
    (installed / "kept").write_text("dear to me")
    result = handrail("backup", "kept", folder=installed)

    assert result.returncode == 1
    assert result.stderr == "handrail: kept exists already. Give another name.\n"
    assert (installed / "kept").read_text() == "dear to me"


def test_a_backup_that_cannot_be_written_is_told(installed: Path) -> None:
    for file, why in (
        ("no/such/folder", "No such file or directory"),
        ("n" * 256, "name too long"),
    ):
        result = handrail("backup", file, folder=installed)
        assert result.returncode == 1
        assert re.fullmatch(f"handrail: {file} cannot be written: .*{why}\\.\n", result.stderr)


def test_what_is_left_of_a_backup_that_was_broken_off_is_no_hindrance(installed: Path) -> None:
    unfinished = installed / "again.unfinished"
    unfinished.write_text("half")
    result = handrail("backup", "again", folder=installed)

    assert result.returncode == 0, result.stderr
    assert (installed / "again").stat().st_mode & 0o777 == 0o600
    assert not unfinished.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"not a backup", "is no backup made by `handrail backup`"),
        (b"PGDMP but broken", "Nothing was replaced; the database is as it was."),
    ],
)
def test_what_is_no_backup_replaces_nothing(
    installed: Path, content: bytes | None, words: str
) -> None:
    file = installed / "file"
    file.unlink(missing_ok=True)
    if content is not None:
        file.write_bytes(content)
    result = handrail("restore", "file", folder=installed)

    assert result.returncode == 1
    assert words in result.stderr
    assert handrail("doctor", folder=installed).returncode == 0


def test_a_backup_without_its_keys_is_told(installed: Path, folder: Path) -> None:
    keys = json.loads((installed / "var" / "data" / "secrets.json").read_text())
    keyring = Keyring(parse_secret_keys(keys["HANDRAIL_SECRET_KEYS"]))
    place = Place("mfa_authenticator", "", "data")
    sealed = base64.b64encode(keyring.encrypt(b"ABCDEFGH", place=place)).decode()
    words = ("keyed", "Keyed", "--owner", "alice@example.org", "--generate-password")
    assert handrail("create-organization", *words, folder=installed).returncode == 0
    with administrator(installed) as admin:
        admin.execute(
            "insert into mfa_authenticator (user_id, type, data, created_at) select id, 'totp', "
            "jsonb_build_object('secret', %s::text), now() from profiles",
            [sealed],
        )
    assert handrail("backup", "keyed", folder=installed).returncode == 0
    with administrator(installed) as admin:
        admin.execute("delete from mfa_authenticator")

    restored = handrail("restore", str(installed / "keyed"), folder=folder)
    assert restored.returncode == 0, restored.stderr
    assert (
        "The keys of this backup are not here: 1 of its secrets do not open. Put its secrets.json "
        "back into var/data, or its keys into HANDRAIL_SECRET_KEYS.\n"
    ) in restored.stdout
    examined = handrail("doctor", folder=folder).stdout
    assert "secrets: sealed: 1 with the key " in examined
    assert "which HANDRAIL_SECRET_KEYS does not have" in examined

    shutil.copy((installed / "var" / "data" / "secrets.json"), folder / "var" / "data")
    assert "secrets: 1 sealed, with the newest key" in handrail("doctor", folder=folder).stdout


def test_a_mistyped_file_makes_no_installation(folder: Path) -> None:
    result = handrail("restore", "typo", folder=folder)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "handrail: typo cannot be read: No such file or directory.\n"
    assert list(folder.iterdir()) == []


def test_a_backup_of_another_program_replaces_nothing(installed: Path) -> None:
    from handrail.config.embedded_home import find_binaries

    with EmbeddedPostgres(installed / "var" / "data", say=lambda _: None) as postgres:
        subprocess.run(
            [
                find_binaries() / "pg_dump",
                "-Fc",
                f"--file={installed / 'foreign'}",
                postgres.admin_dsn(),
            ],
            check=True,
        )
    result = handrail("restore", "foreign", folder=installed)

    assert result.returncode == 1
    assert "not one of Handrail. Nothing was replaced." in result.stderr
    assert handrail("doctor", folder=installed).returncode == 0


@pytest.fixture
def variables() -> Iterator[dict[str, str]]:
    with start_server() as variables:
        yield variables


@contextlib.contextmanager
def start_server(*, durable: bool = True) -> Iterator[dict[str, str]]:
    """Start a server of one's own; the settings of an installation there."""
    folder = make_server_folder()
    with EmbeddedPostgres(folder / "data", tcp=True, durable=durable) as postgres:
        admin = psycopg.conninfo.conninfo_to_dict(postgres.admin_dsn())
        own = {role.password_variable: f"password of {role}" for role in DatabaseRole}
        yield own | {
            "HANDRAIL_DATABASE_URL": f"postgresql://127.0.0.1:{postgres.port}/training",
            "HANDRAIL_DATABASE_ADMIN_URL": (
                f"postgresql://postgres:{admin['password']}@127.0.0.1:{postgres.port}/postgres"
            ),
            "HANDRAIL_SECRET_KEYS": "k:" + "A" * 43,
            "HANDRAIL_DJANGO_SECRET_KEYS": "d" * 50,
            "HANDRAIL_BASE_URL": "https://handrail.example.org",
            "HANDRAIL_MAIL_URL": "smtp://mail.example.org",
        }
    remove(folder)


@pytest.mark.parametrize("command", [("migrate",), ("setup-database",), ("restore", "b")])
def test_a_server_that_is_away_is_told(folder: Path, command: tuple[str, ...]) -> None:
    port = find_free_port()
    (folder / "b").write_bytes(b"PGDMP")
    result = handrail(
        *command,
        folder=folder,
        HANDRAIL_DATABASE_URL=f"postgresql://127.0.0.1:{port}/handrail",
        HANDRAIL_DATABASE_ADMIN_URL=f"postgresql://postgres:secret@127.0.0.1:{port}/postgres",
        **{role.password_variable: "password" for role in DatabaseRole},
    )

    assert result.returncode == 1
    first, second = result.stderr.splitlines()
    assert first.startswith("handrail: The database cannot be reached or refuses us: ")
    assert first.endswith("Connection refused")
    assert second == (
        "Is the server running? Are address and password right? handrail doctor says more."
    )


def test_a_server_of_ones_own_from_nothing_to_restored(
    folder: Path, variables: dict[str, str]
) -> None:
    missing = handrail(
        "migrate", folder=folder, HANDRAIL_DATABASE_URL=variables["HANDRAIL_DATABASE_URL"]
    )
    assert missing.returncode == 78
    assert "HANDRAIL_DATABASE_PASSWORD_OWNER is not set." in missing.stderr

    made = handrail("setup-database", folder=folder, **variables)
    assert made.returncode == 0, made.stderr
    assert handrail("doctor", folder=folder, **variables).returncode == 1
    migrated = handrail("migrate", folder=folder, **variables)
    assert migrated.returncode == 0, migrated.stderr
    examined = handrail("doctor", folder=folder, **variables)
    assert examined.returncode == 0, examined.stdout
    ownerless = {name: value for name, value in variables.items() if not name.endswith("_OWNER")}
    half = handrail("doctor", folder=folder, **ownerless)
    assert half.returncode == 1
    assert [line for line in half.stdout.splitlines() if not line.startswith("ok ")] == [
        "WRONG  configuration of migrate: The configuration cannot be used:",
        "- HANDRAIL_DATABASE_PASSWORD_OWNER is not set.",
        (
            "WRONG  migrations: not looked at, because the owner's password is not here. "
            "Mend: set HANDRAIL_DATABASE_PASSWORD_OWNER, and look again"
        ),
    ]

    wrong = variables | {"HANDRAIL_DATABASE_PASSWORD_OWNER": "wrong"}
    half = handrail("doctor", folder=folder, **wrong)
    assert half.returncode == 1
    (line, *_) = [line for line in half.stdout.splitlines() if not line.startswith("ok ")]
    assert line.startswith("WRONG  handrail_owner: cannot sign in"), half.stdout
    assert "migrations" not in half.stdout
    refused = handrail("migrate", folder=folder, **wrong)
    assert refused.returncode == 1
    assert refused.stderr.startswith("handrail: The database cannot be reached or refuses us: ")
    assert 'password authentication failed for user "handrail_owner"' in refused.stderr
    assert "Traceback" not in refused.stderr

    backed = handrail("backup", "b", folder=folder, **variables)
    assert backed.returncode == 0, backed.stderr
    restored = handrail("restore", "b", folder=folder, **variables)
    assert restored.returncode == 0, restored.stderr
    assert "training_before_restore" in restored.stdout

    with psycopg.connect(
        variables["HANDRAIL_DATABASE_URL"],
        user="handrail_web",
        password=variables["HANDRAIL_DATABASE_PASSWORD_WEB"],
    ):
        busy = handrail("restore", "b", folder=folder, **variables)
    running = Running(folder, find_free_port(), **variables)
    try:
        running.wait_for("Handrail is ready: https://handrail.example.org")
        assert running.status("/readyz") == 200
        assert "postgres" not in running.pids()
    finally:
        assert running.stop() == 0
    assert busy.returncode == 1
    assert "Stop every web, applier and worker process" in busy.stderr
    assert not (folder / "var").exists()


def test_doctor_sees_a_forgetful_server_and_another_locale(folder: Path) -> None:
    with start_server(durable=False) as variables:
        with psycopg.connect(variables["HANDRAIL_DATABASE_ADMIN_URL"], autocommit=True) as admin:
            admin.execute(
                "create database training template template0 encoding 'UTF8' "
                "locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'"
            )
        made = handrail("setup-database", folder=folder, **variables)
        assert made.returncode == 0, made.stderr
        result = handrail("doctor", folder=folder, **variables)

    assert result.returncode == 1
    assert re.findall(r"^.*  (?:server|durability|locale): .*$", result.stdout, re.MULTILINE) == [
        "ok     server: PostgreSQL 18",
        (
            "WRONG  durability: fsync off, full_page_writes off. "
            "Mend: turn both on, or what is confirmed may be lost"
        ),
        (
            "WRONG  locale: C.UTF-8, UTF8. Mend: make the database with PG_UNICODE_FAST and UTF8, "
            "or searches differ in case folding"
        ),
    ]


def test_a_server_that_has_no_database_yet_gets_it_from_a_backup(
    installed: Path, folder: Path, variables: dict[str, str]
) -> None:
    refused = handrail("backup", "b", folder=folder, **variables)
    assert refused.returncode == 1
    assert refused.stderr.startswith("handrail: pg_dump did not succeed: ")
    assert 'database "training" does not exist' in refused.stderr
    assert not (folder / "b").exists()

    moved = installed / "moved"
    made = handrail("backup", "moved", folder=installed)
    assert made.returncode == 0, made.stderr
    restored = handrail("restore", str(moved), folder=folder, **variables)
    assert restored.returncode == 0, restored.stderr
    assert restored.stdout.splitlines()[0] == f"Restored from {moved}."
    examined = handrail("doctor", folder=folder, **variables)
    assert [each for each in examined.stdout.splitlines() if not each.startswith("ok ")] == [
        (
            "WRONG  calls and mail: held since a restore. "
            "Mend: look around, then let them out: handrail release-outbound"
        )
    ]
