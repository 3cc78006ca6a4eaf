"""An installation: all its settings, and which process is given which of them.

`handrail run` makes one below `./var`, where other commands find it again:

    var/data/                 the embedded database server (see embedded_home)
    var/data/secrets.json     the keys, mode 0600; a backup is of little use without them
    var/data/address.json     where the server, the web process and the sandbox are
    var/mail/                 messages, as files, unless HANDRAIL_MAIL_URL says where to send them
    var/sandbox/              the sandbox partners' configuration and state
"""

import base64
import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import psycopg
from psycopg.conninfo import make_conninfo

from handrail.config.embedded_cluster import SUPERUSER, read_json_file, write_private_file
from handrail.config.embedded_postgres import EmbeddedPostgres, find_free_port, is_locked
from handrail.config.environment import DatabaseRole
from handrail.config.errors import (
    AlreadyRunning,
    ConfigurationError,
    EmbeddedServerError,
    PortInUse,
)
from handrail.config.parsing import format_host_port
from handrail.config.supervisor import ProcessSpec

# What a child may have of the environment of the person who starts the group.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
SHARED = (
    *("HANDRAIL_DATABASE_URL", "HANDRAIL_BASE_URL", "HANDRAIL_BIND", "HANDRAIL_SANDBOX"),
    *("HANDRAIL_DEBUG", "HANDRAIL_TRUSTED_PROXIES", "HANDRAIL_ALLOWED_PRIVATE_HOSTS"),
    *("HANDRAIL_RETRY_BASE_SECONDS", "HANDRAIL_RETRY_MAX_SECONDS", "HANDRAIL_RECONCILE_SECONDS"),
    *("HANDRAIL_CALL_TIMEOUT_SECONDS", "HANDRAIL_WAITING_HOURS"),
)
SECRETS = (
    *("HANDRAIL_SECRET_KEYS", "HANDRAIL_DJANGO_SECRET_KEYS", "HANDRAIL_SERVICE_TOKEN"),
    "HANDRAIL_MAIL_URL",
)
ROLES: Mapping[str, tuple[DatabaseRole, ...]] = {
    "web": (DatabaseRole.WEB, DatabaseRole.INGRESS),
    "applier": (DatabaseRole.WORKER,),
    "worker": (DatabaseRole.WORKER,),
    "load-example": (DatabaseRole.WORKER,),
    "learners": (DatabaseRole.WORKER,),
    "migrate": (DatabaseRole.OWNER,),
    "sandbox": (),
}

SERVER_SECONDS = 30.0  # so long a command waits for the server that another one starts


@dataclass(frozen=True, slots=True)
class Installation:
    """All settings of an installation, as environment variables."""

    variables: Mapping[str, str] = field(repr=False)

    def environment_of(self, process: str) -> dict[str, str]:
        """Return the whole environment of a child (a key of `ROLES`): its passwords, no other's."""
        roles = ROLES[process]
        own: dict[str, str] = {}
        if roles:
            names = [*SHARED, *(role.password_variable for role in roles)]
            if DatabaseRole.OWNER not in roles:
                names += SECRETS
            own = {name: self.variables[name] for name in names if self.variables.get(name)}
            own["HANDRAIL_PROCESS_ROLE"] = roles[0].value
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return {**inherited, "PYTHONUNBUFFERED": "1", **own}

    def spec_of(self, process: str, *arguments: str) -> ProcessSpec:
        """Return how this child is started."""
        command = [sys.executable, "-m", "handrail.config.cli", process, *arguments]
        return ProcessSpec(process, command, self.environment_of(process))


def read_installation(variables: Mapping[str, str], *, bind: tuple[str, int]) -> Installation:
    """Return the installation that the environment describes (`HANDRAIL_DATABASE_URL` is set).

    Raises:
        ConfigurationError: a password that one of the group's processes needs is not there.
    """
    needed = {role for roles in ROLES.values() for role in roles}
    names = [each.password_variable for each in DatabaseRole if each in needed]
    missing = [name for name in ("HANDRAIL_BASE_URL", *names) if not variables.get(name)]
    if missing:
        raise ConfigurationError([f"{name} is not set." for name in missing])
    return Installation({**variables, "HANDRAIL_BIND": format_host_port(bind)})


class LocalInstallation:
    """An installation with an embedded server below `folder` (`./var`, or `var/demo`)."""

    def __init__(
        self,
        folder: Path,
        *,
        bind: tuple[str, int] = ("127.0.0.1", 8000),
        say: Callable[[str], None] = print,
    ) -> None:
        self.folder = folder.absolute()
        self.bind = bind
        self.sandbox_port = 0
        self.postgres = EmbeddedPostgres(self.folder / "data", say=say)

    def start(self) -> Installation:
        """Start the server, make or find the keys; remember the addresses for other commands."""
        self.postgres.start()
        home = self.postgres.home.folder
        read_or_make_secrets(home)
        self.sandbox_port = _choose_sandbox_port(_read_json(home / "address.json"))
        sandbox = f"127.0.0.1:{self.sandbox_port}"
        given = {name: value for name in SHARED if (value := os.environ.get(name))}
        allowed = (given.get("HANDRAIL_ALLOWED_PRIVATE_HOSTS"), sandbox)
        addresses = {
            "HANDRAIL_BASE_URL": f"http://localhost:{self.bind[1]}",
            "HANDRAIL_SANDBOX": "on",
            **given,
            "HANDRAIL_ALLOWED_PRIVATE_HOSTS": ",".join(filter(None, allowed)),
            "HANDRAIL_BIND": format_host_port(self.bind),
            "HANDRAIL_DATABASE_URL": self.postgres.url,
            "sandbox_port": str(self.sandbox_port),
        }
        write_private_file(home / "address.json", json.dumps(addresses, indent=1))
        return self.read()

    def erase(self) -> None:
        """Remove all of the installation, to begin anew; what was left running is ended first.

        Raises:
            AlreadyRunning: it is being used.
        """
        self.postgres.erase()
        for name in ("secrets.json", "address.json"):
            (self.postgres.home.folder / name).unlink(missing_ok=True)
        for name in ("mail", "sandbox"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def read(self) -> Installation:
        """Return the settings of an installation that was started before.

        Raises:
            ConfigurationError: there is none, or it is another user's.
        """
        home = (self.folder / "data").resolve()
        try:
            passwords = _read_json(home / "passwords.json")
            kept = _read_json(home / "secrets.json")
            addresses = _read_json(home / "address.json")
        except PermissionError as error:
            raise ConfigurationError(
                [f"{error.filename} is another user's. Give the command as that user."]
            ) from None
        if not (passwords and kept and addresses):
            problem = f"HANDRAIL_DATABASE_URL is not set, and {self.folder} holds no installation."
            raise ConfigurationError([f"{problem} Set it, or make one here with: handrail run"])
        given = {name: value for name in SECRETS if (value := os.environ.get(name))}
        mail = {"HANDRAIL_MAIL_URL": (self.folder / "mail").as_uri()}
        named = {role.password_variable: passwords[role.value] for role in DatabaseRole}
        return Installation({**kept, **mail, **given, **addresses, **named})

    def is_used(self) -> bool:
        """Whether another process of ours holds the data: it runs, or starts the server."""
        return is_locked((self.folder / "data").resolve() / "lock")

    def answers(self) -> bool:
        """Whether the server takes connections, whoever started it."""
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.admin_dsn(), connect_timeout=5).close()
            return True
        return False

    def admin_dsn(self) -> str:
        """Return the superuser's connection string, whoever started the server."""
        passwords = _read_json((self.folder / "data").resolve() / "passwords.json")
        url = self.read().variables["HANDRAIL_DATABASE_URL"]
        return make_conninfo(
            url, user=SUPERUSER, password=passwords["superuser"], dbname="postgres"
        )


@contextlib.contextmanager
def open_local_installation(folder: Path) -> Iterator[tuple[LocalInstallation, Installation]]:
    """Give the installation below `folder`; start its server meanwhile where it does not run.

    Who started it stops it only when no other command uses it any more.

    Raises:
        ConfigurationError: there is none, or it is another user's.
    """
    local = LocalInstallation(folder, say=lambda _: None)
    installation = local.read()
    with ((local.folder / "data").resolve() / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)  # waits for one that stops the server at the moment
        is_ours = _start_or_find_server(local)
        try:
            yield local, installation
        finally:
            if is_ours:
                _stop_after_others(local, users)


def _start_or_find_server(local: LocalInstallation) -> bool:
    """Return whether we started it; if not, another process of ours did, and it answers."""
    deadline = time.monotonic() + SERVER_SECONDS
    while True:
        try:
            local.postgres.start()
        except AlreadyRunning:
            if local.answers() or time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        else:
            return True


def _stop_after_others(local: LocalInstallation, users: IO[str]) -> None:
    try:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            words = (
                "Another command uses the database server that this one started: waiting for it."
            )
            sys.stderr.write(f"{words}\n")
            fcntl.flock(users, fcntl.LOCK_EX)
    finally:
        local.postgres.stop()


def read_or_make_secrets(home: Path) -> Mapping[str, str]:
    """Return the keys of the installation; made at random once.

    Raises:
        EmbeddedServerError: they were made before and are gone, and what they encrypted is not.
    """
    path = home / "secrets.json"
    kept = _read_json(path)
    if kept:
        return kept
    if (home / "address.json").exists():
        raise EmbeddedServerError(
            f"{path} is missing, and without its keys the partners' credentials in the database "
            "cannot be read. Put it back, or move the data away to begin anew."
        )
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    # An id of its own, by which a backup of another installation is told from one of this.
    key_id = f"{datetime.now(UTC):%Y-%m-%d}-{secrets.token_hex(4)}"
    made = {
        "HANDRAIL_SECRET_KEYS": f"{key_id}:{key}",
        "HANDRAIL_DJANGO_SECRET_KEYS": secrets.token_urlsafe(50),
        "HANDRAIL_SERVICE_TOKEN": secrets.token_urlsafe(32),
    }
    write_private_file(path, json.dumps(made, indent=1))
    return made


def next_port(port: int) -> int:
    """Return one to propose where `port` is taken."""
    return port + 1 if 1024 <= port < 65535 else 8000


def check_port(host: str, port: int, *, example: str) -> None:
    """Make sure that we can listen there.

    `example`: what to write to choose another one.

    Raises:
        PortInUse: with what to do.
    """
    advice = f"choose another one, for instance: {example}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host, port), family=family):
            pass
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            problem = f"Port {port} of {host} is in use by another program. Stop that, or"
        else:
            problem = f"Port {port} of {host} cannot be used ({error.strerror}). Please"
        raise PortInUse(f"{problem} {advice}") from None


def _choose_sandbox_port(addresses: Mapping[str, str]) -> int:
    """Keep the port of before, which providers' addresses name, while nobody else has it."""
    port = int(addresses.get("sandbox_port", "0"))
    if port:
        with contextlib.suppress(PortInUse):
            check_port("127.0.0.1", port, example="")
            return port
    return find_free_port()


def _read_json(path: Path) -> dict[str, str]:
    try:
        return read_json_file(path)
    except FileNotFoundError:
        return {}
