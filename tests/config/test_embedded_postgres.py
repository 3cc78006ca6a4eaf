"""The embedded server: made, found, killed, left behind, contested. Always a real one."""

import contextlib
import grp
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import OperationalError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from handrail.config.embedded_postgres import EmbeddedPostgres
from handrail.config.environment import DatabaseRole
from handrail.config.errors import AlreadyRunning, EmbeddedServerError

ROOT = os.geteuid() == 0


def ask(postgres: EmbeddedPostgres, question: str) -> object:
    with psycopg.connect(postgres.admin_dsn()) as admin:
        row = admin.execute(question.encode()).fetchone()
    return row and row[0]


def postmaster_pid(postgres: EmbeddedPostgres) -> int:
    return int((postgres.home.cluster / "postmaster.pid").read_text().splitlines()[0])


def lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return False


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 20 s"
        time.sleep(0.02)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_server_is_18_with_the_builtin_locale_and_durable(postgres: EmbeddedPostgres) -> None:
    assert str(ask(postgres, "show server_version")).startswith("18.")
    assert ask(postgres, "select datlocale from pg_database where datname = 'template0'") == (
        "PG_UNICODE_FAST"
    )
    assert ask(postgres, "select lower('ÀÉŞ') = 'àéş' and 'É' ilike 'é'") is True
    for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert ask(postgres, f"show {name}") == "on"


def test_no_setting_file_weakens_durability(folder: Path) -> None:
    with (
        EmbeddedPostgres(folder / "data") as postgres,
        psycopg.connect(postgres.admin_dsn(), autocommit=True) as admin,
    ):
        admin.execute("alter system set fsync = off")
    with EmbeddedPostgres(folder / "data") as postgres:
        assert ask(postgres, "show fsync") == "on"


def test_it_listens_on_no_address(postgres: EmbeddedPostgres) -> None:
    assert ask(postgres, "show listen_addresses") == ""


def test_a_free_port_when_asked(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data", tcp=True) as postgres:
        dsn = make_conninfo(postgres.admin_dsn(), host="127.0.0.1")
        with psycopg.connect(dsn) as admin:
            assert admin.execute("show port").fetchone() == (str(postgres.port),)


def test_postgresql_16_can_be_had(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data", version=16) as postgres:
        assert str(ask(postgres, "show server_version")).startswith("16.")
        assert ask(postgres, "select lower('É') = 'é'") is True


@pytest.mark.parametrize("user", ["postgres", "handrail_owner", "nobody", "root"])
@pytest.mark.parametrize("password", [None, "", "postgres"])
def test_nobody_signs_in_without_the_password(
    postgres: EmbeddedPostgres, user: str, password: str | None
) -> None:
    parts = conninfo_to_dict(postgres.admin_dsn())
    with pytest.raises(OperationalError, match=r"password|authentication"):
        psycopg.connect(host=str(parts["host"]), dbname="postgres", user=user, password=password)


def test_no_rule_trusts_anybody(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.admin_dsn()) as admin:
        methods = admin.execute("select distinct auth_method from pg_hba_file_rules").fetchall()

    assert methods == [("scram-sha-256",)]


def test_files_are_closed_to_others(postgres: EmbeddedPostgres) -> None:
    home = postgres.home

    assert mode_of(home.folder / "passwords.json") == 0o600
    assert mode_of(home.folder / "server.log") == 0o600
    assert mode_of(home.cluster) == 0o700
    assert mode_of(Path(str(conninfo_to_dict(postgres.url)["host"]))) == 0o700
    assert mode_of(home.folder) == (0o711 if ROOT else 0o700)
    assert (home.folder / "passwords.json").stat().st_uid == os.geteuid()


def test_passwords_are_random_and_kept(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as postgres:
        first = dict(postgres.passwords)
    with EmbeddedPostgres(folder / "data") as postgres:
        assert dict(postgres.passwords) == first

    assert len(set(first.values())) == len(DatabaseRole)
    assert min(map(len, first.values())) >= 40


def test_the_server_sees_nothing_of_our_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDRAIL_SECRET_KEYS", "ours")
    monkeypatch.setenv("PGDATA", "/elsewhere")
    with EmbeddedPostgres(folder / "data") as postgres:
        seen = Path(f"/proc/{postmaster_pid(postgres)}/environ").read_bytes()

    assert b"HANDRAIL" not in seen
    assert b"/elsewhere" not in seen


def test_data_outlives_a_kill_of_the_server(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as postgres:
        with psycopg.connect(postgres.admin_dsn()) as admin:
            admin.execute("create table kept as select 1 as one")
        os.kill(postmaster_pid(postgres), signal.SIGKILL)
        wait_for(lambda: not postgres.is_running())

        postgres.relaunch()
        postgres.wait_until_ready()

        assert ask(postgres, "select one from kept") == 1


def test_a_new_supervisor_starts_after_everything_was_killed(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder / "data")
    postgres.start()
    os.kill(postmaster_pid(postgres), signal.SIGKILL)
    postgres.stop()
    assert (postgres.home.cluster / "postmaster.pid").exists()

    with EmbeddedPostgres(folder / "data") as again:
        assert ask(again, "select 1") == 1


def test_a_number_in_a_stale_pid_file_that_is_another_program_now(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as postgres:
        account = postgres.home.account
        left = (postgres.home.cluster / "postmaster.pid").read_text()
    with subprocess.Popen(["sleep", "60"], **account.popen_arguments()) as other:
        pid_file = postgres.home.cluster / "postmaster.pid"
        pid_file.write_text("\n".join([str(other.pid), *left.splitlines()[1:]]))
        os.chown(pid_file, account.uid, account.gid)
        try:
            with EmbeddedPostgres(folder / "data") as again:
                assert ask(again, "select 1") == 1
            assert other.poll() is None
        finally:
            other.kill()


def test_a_pid_file_full_of_rubbish(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as postgres:
        pass
    (postgres.home.cluster / "postmaster.pid").write_text("rubbish\n")

    with EmbeddedPostgres(folder / "data") as again:
        assert ask(again, "select 1") == 1


START = """
import sys, time
from pathlib import Path
from handrail.config.embedded_postgres import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]))
postgres.start()
print((postgres.home.cluster / "postmaster.pid").read_text().split()[0], flush=True)
time.sleep(600)
"""


@contextlib.contextmanager
def other_supervisor(data: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process that has started the server; and the server's process id."""
    with subprocess.Popen(
        [sys.executable, "-c", START, str(data)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def test_a_second_supervisor_is_refused_with_what_to_do(folder: Path) -> None:
    with other_supervisor(folder / "data") as (process, server):
        with pytest.raises(AlreadyRunning) as caught:
            EmbeddedPostgres(folder / "data").start()

        assert f"kill {process.pid}" in str(caught.value)
        assert lives(server)


def test_the_server_ends_with_its_supervisor(folder: Path) -> None:
    with other_supervisor(folder / "data") as (process, server):
        process.kill()
        wait_for(lambda: not lives(server))


def test_a_server_left_by_a_killed_supervisor_is_stopped_first(folder: Path) -> None:
    said: list[str] = []
    with other_supervisor(folder / "data") as (process, server):
        os.kill(server, signal.SIGSTOP)  # so that it cannot end with its supervisor
        process.kill()
        process.wait()

        with EmbeddedPostgres(folder / "data", say=said.append) as postgres:
            assert ask(postgres, "select 1") == 1
            assert postmaster_pid(postgres) != server

    assert said == [f"Stopping a database server (process {server}) left from before."]
    assert not lives(server)


def test_stop_ends_open_sessions_and_a_stopped_server(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder / "data")
    postgres.start()
    server = postmaster_pid(postgres)
    with psycopg.connect(postgres.admin_dsn()) as busy:
        busy.execute("create table mine ()")
        os.kill(server, signal.SIGSTOP)
        postgres.stop()
        busy.close()

    assert not lives(server)
    postgres.stop()  # a second time does nothing


def test_half_a_cluster_is_made_anew(folder: Path) -> None:
    unfinished = folder / "data" / "cluster.unfinished"
    with EmbeddedPostgres(folder / "data") as postgres:
        pass
    postgres.home.cluster.rename(unfinished)
    (unfinished / "PG_VERSION").unlink()

    with EmbeddedPostgres(folder / "data") as again:
        assert ask(again, "select 1") == 1
    assert not unfinished.exists()


def test_lost_passwords_are_told(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as postgres:
        pass
    (postgres.home.folder / "passwords.json").unlink()

    with pytest.raises(EmbeddedServerError, match=r"passwords.json is missing.*Put it back"):
        EmbeddedPostgres(folder / "data").start()


def test_wrong_passwords_are_told_and_nothing_keeps_running(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as postgres:
        pass
    path = postgres.home.folder / "passwords.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"superuser": "wrong"}))

    with pytest.raises(EmbeddedServerError, match="Put the right file back"):
        EmbeddedPostgres(folder / "data").start()
    assert not (postgres.home.cluster / "postmaster.pid").exists()


def test_data_of_another_version_is_refused(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data", version=16):
        pass

    with pytest.raises(EmbeddedServerError, match=r"is of PostgreSQL 16, the server is 18"):
        EmbeddedPostgres(folder / "data").start()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder / "data", settings={"shared_buffers": "nonsense"})

    with pytest.raises(EmbeddedServerError, match=r"(?s)server.log:.*shared_buffers"):
        postgres.start()
    with EmbeddedPostgres(folder / "data") as again:  # the lock was given back
        assert ask(again, "select 1") == 1


def test_a_long_log_is_put_aside(folder: Path) -> None:
    with EmbeddedPostgres(folder / "data") as postgres:
        log = postgres.home.folder / "server.log"
    os.truncate(log, 9 * 1024 * 1024)

    with EmbeddedPostgres(folder / "data"):
        assert log.stat().st_size < 1024 * 1024
        assert log.with_suffix(".log.1").stat().st_size == 9 * 1024 * 1024


def test_a_long_path_has_its_socket_elsewhere(folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)

    with EmbeddedPostgres(deep / "data") as postgres:
        socket_folder = Path(str(conninfo_to_dict(postgres.url)["host"]))
        assert len(os.fsencode(socket_folder / ".s.PGSQL.5432")) <= 107
        assert not socket_folder.is_relative_to(folder)
        assert mode_of(socket_folder) == 0o700
        assert ask(postgres, "select 1") == 1
    shutil.rmtree(socket_folder)


@pytest.mark.parametrize("name", ["it's 100% \\odd ünd long", "a%20b&port=1 #?+", "one, two"])
def test_a_folder_name_is_taken_literally(folder: Path, name: str) -> None:
    odd = folder / name
    with EmbeddedPostgres(odd / "data") as postgres:
        assert ask(postgres, "select 1") == 1
        told = conninfo_to_dict(postgres.url)
        known = conninfo_to_dict(postgres.admin_dsn())
        assert (told["host"], told["port"]) == (known["host"], known["port"])
        is_inside = Path(str(told["host"])).is_relative_to(folder)
    if not is_inside:
        shutil.rmtree(str(told["host"]))
    assert is_inside == ("," not in name)


def test_modes_of_parent_folders_stay(folder: Path) -> None:
    parent = folder / "parent"
    parent.mkdir()
    parent.chmod(0o751)
    with EmbeddedPostgres(parent / "data"):
        pass

    assert mode_of(parent) == 0o751


@pytest.mark.skipif(not ROOT, reason="only root has an unprivileged account to run the server as")
class TestAsRoot:
    def test_the_server_is_not_root(self, postgres: EmbeddedPostgres) -> None:
        owner = Path(f"/proc/{postmaster_pid(postgres)}").stat()

        assert owner.st_uid != 0
        assert owner.st_uid == postgres.home.cluster.stat().st_uid

    def test_the_server_has_no_group_of_ours(self, postgres: EmbeddedPostgres) -> None:
        status = Path(f"/proc/{postmaster_pid(postgres)}/status").read_text()
        groups = status.partition("Groups:")[2].splitlines()[0].split()
        name = pwd.getpwuid(postgres.home.account.uid).pw_name

        assert [g for g in groups if name not in grp.getgrgid(int(g)).gr_mem] == []

    def test_the_account_cannot_read_the_passwords(self, postgres: EmbeddedPostgres) -> None:
        result = subprocess.run(
            ["cat", str(postgres.home.folder / "passwords.json")],
            capture_output=True,
            check=False,
            **postgres.home.account.popen_arguments(),
        )
        assert result.returncode != 0
        assert result.stdout == b""

    def test_a_closed_folder_has_its_data_below_var_lib(self, folder: Path) -> None:
        closed = folder / "closed"
        closed.mkdir(mode=0o700)
        said: list[str] = []

        with EmbeddedPostgres(closed / "var" / "data", say=said.append) as postgres:
            assert ask(postgres, "select 1") == 1
        with EmbeddedPostgres(closed / "var" / "data", say=said.append) as again:
            assert again.home == postgres.home

        home = postgres.home
        assert home.folder.parent == Path("/var/lib/handrail")
        assert (closed / "var" / "data").readlink() == home.folder
        assert home.binaries.is_relative_to(home.folder)
        assert mode_of(closed) == 0o700
        name = pwd.getpwuid(home.account.uid).pw_name
        sentence = f"The database runs as {name}; its data and a copy of its programs are in {home.folder}."
        assert said == [sentence, sentence]

    def test_data_of_an_ordinary_user_is_refused(self, folder: Path) -> None:
        data = folder / "data"
        data.mkdir()
        os.chown(data, 65534, 65534)

        with pytest.raises(EmbeddedServerError, match="Start Handrail as that user"):
            EmbeddedPostgres(data).start()

    def test_a_link_in_place_of_the_socket_folder_is_refused(self, folder: Path) -> None:
        with EmbeddedPostgres(folder / "data") as postgres:
            pass
        socket_folder = postgres.home.folder / "socket"
        shutil.rmtree(socket_folder)
        (folder / "elsewhere").mkdir(mode=0o755)
        socket_folder.symlink_to(folder / "elsewhere")

        with pytest.raises(EmbeddedServerError, match="belongs to somebody else"):
            EmbeddedPostgres(folder / "data").start()
        assert mode_of(folder / "elsewhere") == 0o755
