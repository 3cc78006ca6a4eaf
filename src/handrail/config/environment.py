"""The settings of an installation: every `HANDRAIL_...` variable, read once, checked, typed.

Each process is given only what it needs. A process names itself by `HANDRAIL_PROCESS_ROLE`
(web, worker, owner, readonly), which is the database role it connects as; the command line sets
it. Nothing secret has a default outside debug.
"""

import base64
import binascii
import ipaddress
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, partial
from typing import Any
from urllib.parse import urlsplit

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from handrail.config.errors import ConfigurationError


class DatabaseRole(StrEnum):
    """A login role of the database; the role's name there is `handrail_<value>`."""

    OWNER = "owner"
    WEB = "web"
    WORKER = "worker"
    INGRESS = "ingress"
    READONLY = "readonly"

    @property
    def login(self) -> str:
        """The name of the role in PostgreSQL."""
        return f"handrail_{self.value}"

    @property
    def password_variable(self) -> str:
        """The environment variable that holds the password of this role."""
        return f"HANDRAIL_DATABASE_PASSWORD_{self.value.upper()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """All settings. Secrets are left out of `repr`, so that a log line cannot show them."""

    process_role: DatabaseRole
    """`HANDRAIL_PROCESS_ROLE`: web, worker (default), owner or readonly."""
    debug: bool
    """`HANDRAIL_DEBUG` on or off (default). On: development only, secrets get fixed defaults."""
    database_url: str
    """`HANDRAIL_DATABASE_URL`: `postgresql://host:port/name`, or with a socket folder
    `postgresql:///name?host=/folder&port=5432`; without user and password."""
    database_passwords: Mapping[DatabaseRole, str] = field(repr=False)
    """`HANDRAIL_DATABASE_PASSWORD_{OWNER,WEB,WORKER,INGRESS,READONLY}`: those of this process."""
    database_admin_url: str = field(repr=False)
    """`HANDRAIL_DATABASE_ADMIN_URL`: only for `handrail setup-database`; may create roles."""
    secret_keys: tuple[tuple[str, bytes], ...] = field(repr=False)
    """`HANDRAIL_SECRET_KEYS`: (id, 32 bytes) each; the first encrypts, all decrypt.
    Comma list of `id:base64url`."""
    django_secret_keys: tuple[str, ...] = field(repr=False)
    """`HANDRAIL_DJANGO_SECRET_KEYS`: comma list; the first signs, the rest are still accepted."""
    base_url: str
    """`HANDRAIL_BASE_URL`: address people and partners reach us at, without trailing slash."""
    bind: tuple[str, int]
    """`HANDRAIL_BIND`: host:port the web process listens on (default 127.0.0.1:8000)."""
    trusted_proxies: tuple[str, ...]
    """`HANDRAIL_TRUSTED_PROXIES`: comma list of addresses or networks whose
    `X-Forwarded-For` and `X-Forwarded-Proto` are believed (default: none)."""
    allowed_private_hosts: frozenset[tuple[str, int]]
    """`HANDRAIL_ALLOWED_PRIVATE_HOSTS`: comma list of host:port that outbound calls may reach
    although the address is private (default: none)."""
    mail_url: str = field(repr=False)
    """`HANDRAIL_MAIL_URL`: `smtp://user:password@host:587` (STARTTLS), `smtps://...:465`, or
    `file:///folder` that keeps each message as a file."""
    sandbox: bool
    """`HANDRAIL_SANDBOX` on or off (default): start the sandbox partners with `handrail run`."""
    service_token: str = field(repr=False)
    """`HANDRAIL_SERVICE_TOKEN`: bearer token of other services of the installation, at least 32
    characters; empty (default): no service may call."""
    retry_base_seconds: float
    """`HANDRAIL_RETRY_BASE_SECONDS`: first wait after a failed outside call (default 5)."""
    retry_max_seconds: float
    """`HANDRAIL_RETRY_MAX_SECONDS`: longest wait between two attempts (default 3600)."""
    call_timeout_seconds: float
    """`HANDRAIL_CALL_TIMEOUT_SECONDS`: longest time for one outside call (default 30)."""
    reconcile_seconds: float
    """`HANDRAIL_RECONCILE_SECONDS`: rhythm in which partners are polled (default 900)."""
    waiting_hours: float
    """`HANDRAIL_WAITING_HOURS`: a partner event without a run waits this long (default 24)."""

    def database_dsn(self, role: DatabaseRole | None = None) -> str:
        """The libpq connection string of `role` (default: the role of this process).

        Raises:
            ConfigurationError: this process was not given the password of that role.
        """
        role = role or self.process_role
        if role not in self.database_passwords:
            raise ConfigurationError(
                [f"{role.password_variable} is not set, but this process connects as {role.login}."]
            )
        return make_conninfo(
            self.database_url, user=role.login, password=self.database_passwords[role]
        )


DEBUG_DEFAULTS: Mapping[str, str] = {
    "HANDRAIL_DATABASE_URL": "postgresql://127.0.0.1:5432/handrail",
    **{role.password_variable: "debug" for role in DatabaseRole},
    "HANDRAIL_SECRET_KEYS": "debug:" + base64.urlsafe_b64encode(b"debug" + bytes(27)).decode(),
    "HANDRAIL_DJANGO_SECRET_KEYS": "debug-only-" + "0" * 40,
    "HANDRAIL_BASE_URL": "http://localhost:8000",
    "HANDRAIL_MAIL_URL": "file:var/mail",
}

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


@cache
def load_environment() -> Environment:
    """The settings of this process, from its environment, read once.

    Raises:
        ConfigurationError: with every problem found, not only the first.
    """
    return read_environment(os.environ)


def read_environment(variables: Mapping[str, str]) -> Environment:
    """Read and check all settings from `variables` (see the fields of `Environment`).

    Raises:
        ConfigurationError: with every problem found, not only the first.
    """
    read = _Reader(variables)
    debug = bool(read("HANDRAIL_DEBUG", _parse_switch, "off"))
    if debug:
        read.defaults = DEBUG_DEFAULTS
    role = read("HANDRAIL_PROCESS_ROLE", _parse_role, "worker")
    runtime = role in (DatabaseRole.WEB, DatabaseRole.WORKER)
    values = {
        "debug": debug,
        "process_role": role,
        "database_url": read("HANDRAIL_DATABASE_URL", _parse_database_url, required=True),
        "database_passwords": _read_passwords(read, role),
        "database_admin_url": read("HANDRAIL_DATABASE_ADMIN_URL", _parse_admin_url),
        "secret_keys": read("HANDRAIL_SECRET_KEYS", _parse_secret_keys, required=runtime),
        "django_secret_keys": read(
            "HANDRAIL_DJANGO_SECRET_KEYS", _parse_django_keys, required=runtime
        ),
        "base_url": read(
            "HANDRAIL_BASE_URL", partial(_parse_base_url, debug=debug), required=runtime
        ),
        "mail_url": read("HANDRAIL_MAIL_URL", _parse_mail_url, required=runtime),
        "bind": read("HANDRAIL_BIND", parse_host_port, "127.0.0.1:8000"),
        "trusted_proxies": read("HANDRAIL_TRUSTED_PROXIES", _parse_networks),
        "allowed_private_hosts": read("HANDRAIL_ALLOWED_PRIVATE_HOSTS", _parse_host_ports),
        "sandbox": read("HANDRAIL_SANDBOX", _parse_switch, "off"),
        "service_token": read("HANDRAIL_SERVICE_TOKEN", _parse_token),
        "retry_base_seconds": read("HANDRAIL_RETRY_BASE_SECONDS", _parse_number, "5"),
        "retry_max_seconds": read("HANDRAIL_RETRY_MAX_SECONDS", _parse_number, "3600"),
        "call_timeout_seconds": read("HANDRAIL_CALL_TIMEOUT_SECONDS", _parse_number, "30"),
        "reconcile_seconds": read("HANDRAIL_RECONCILE_SECONDS", _parse_number, "900"),
        "waiting_hours": read("HANDRAIL_WAITING_HOURS", _parse_number, "24"),
    }
    if read.problems:
        raise ConfigurationError(read.problems)
    return Environment(**values)


def read_admin_access(variables: Mapping[str, str]) -> tuple[str, str]:
    """Return the administrator's connection string and the name of our database on that server.

    Raises:
        ConfigurationError: `HANDRAIL_DATABASE_URL` or `HANDRAIL_DATABASE_ADMIN_URL` cannot be used.
    """
    read = _Reader(variables)
    url = read("HANDRAIL_DATABASE_URL", _parse_database_url, required=True)
    admin = read("HANDRAIL_DATABASE_ADMIN_URL", _parse_admin_url, required=True)
    if read.problems:
        raise ConfigurationError(read.problems)
    return admin, str(conninfo_to_dict(url)["dbname"])


def read_all_passwords(variables: Mapping[str, str]) -> Mapping[DatabaseRole, str]:
    """Return the passwords of all roles, for setting the database up.

    Raises:
        ConfigurationError: one is not there.
    """
    read = _Reader(variables)
    passwords = {role: read(role.password_variable, str, required=True) for role in DatabaseRole}
    if read.problems:
        raise ConfigurationError(read.problems)
    return passwords


class _Reader:
    """Reads variables from a mapping and collects what is wrong with them."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.defaults: Mapping[str, str] = {}
        self.problems: list[str] = []

    def __call__(
        self,
        name: str,
        parse: Callable[[str], Any],
        default: str = "",
        *,
        required: bool = False,
    ) -> Any:
        """The parsed value of `name` or of `default`; None, with a problem noted, when bad."""
        text = self.variables.get(name, "").strip() or self.defaults.get(name, default)
        if required and not text:
            self.problems.append(f"{name} is not set.")
            return None
        try:
            return parse(text)
        except ValueError as error:
            self.problems.append(f"{name} {error}.")
            return None


def _read_passwords(read: _Reader, role: DatabaseRole | None) -> Mapping[DatabaseRole, str]:
    needed = {role}
    if role is DatabaseRole.WEB:
        needed.add(DatabaseRole.INGRESS)
    passwords = {
        each: read(each.password_variable, str, required=each in needed) for each in DatabaseRole
    }
    return {each: password for each, password in passwords.items() if password}


def _parse_switch(text: str) -> bool:
    match text.lower():
        case "1" | "on" | "true" | "yes":
            return True
        case "0" | "off" | "false" | "no":
            return False
    raise ValueError(f"is {text!r}, but must be on or off")


def _parse_role(text: str) -> DatabaseRole:
    if text not in ("web", "worker", "owner", "readonly"):
        raise ValueError(f"is {text!r}, but must be web, worker, owner or readonly")
    return DatabaseRole(text)


def _parse_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise ValueError(f"is {text!r}, but must be a number greater than 0")
    return number


def _parse_conninfo(text: str) -> dict[str, Any]:
    # The text may hold a password, therefore no message repeats it.
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    try:
        return conninfo_to_dict(text)
    except ProgrammingError:
        raise ValueError("is not a PostgreSQL address (postgresql://host:port/name)") from None


def _parse_database_url(text: str) -> str:
    parts = _parse_conninfo(text)
    if "user" in parts or "password" in parts:
        raise ValueError(
            "must not hold a user or a password: each process adds its own role and its "
            "password from HANDRAIL_DATABASE_PASSWORD_..."
        )
    if not parts.get("dbname"):
        raise ValueError("does not name a database (postgresql://host:port/name)")
    return text


def _parse_admin_url(text: str) -> str:
    if text and not _parse_conninfo(text).get("user"):
        raise ValueError("does not name a user that may create roles")
    return text


def _parse_secret_keys(text: str) -> tuple[tuple[str, bytes], ...]:
    keys: dict[str, bytes] = {}
    for number, item in enumerate(_split(text), start=1):
        name, _, encoded = item.partition(":")
        try:
            key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True)
        except binascii.Error:
            key = b""
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", name) or len(key) != 32 or name in keys:
            raise ValueError(
                f"has a bad entry at place {number}: each is id:key, its own id (letters, "
                "digits, _ . -) and a key of 32 bytes in base64url"
            )
        keys[name] = key
    return tuple(keys.items())


def _parse_django_keys(text: str) -> tuple[str, ...]:
    keys = _split(text)
    if any(len(key) < 50 for key in keys):
        raise ValueError("has a key of fewer than 50 characters")
    return keys


def _parse_token(text: str) -> str:
    if text and len(text) < 32:
        raise ValueError("is shorter than 32 characters")
    return text


def _parse_base_url(text: str, *, debug: bool) -> str:
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError(f"is {text!r}, but must be like https://handrail.example.org")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must not have a path: Handrail is served at the root of its host")
    if parts.scheme == "http" and not debug and parts.hostname not in LOCAL_HOSTS:
        raise ValueError("must begin with https:// unless the host is localhost")
    return f"{parts.scheme}://{parts.netloc}"


def _parse_mail_url(text: str) -> str:
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme in ("smtp", "smtps") and parts.hostname:
        return text
    if parts.scheme == "file" and parts.path and not parts.netloc:
        return text
    raise ValueError(
        "must be smtp://user:password@host:587, smtps://user:password@host:465 or file:///folder"
    )


def parse_host_port(text: str) -> tuple[str, int]:
    """Return host and port of `host:port`; ValueError says what is wrong, to be put after a name."""
    parts = urlsplit(f"//{text}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if not parts.hostname or port is None or parts.path or parts.username:
        raise ValueError(f"has {text!r}, but must be host:port")
    return parts.hostname, port


def _parse_host_ports(text: str) -> frozenset[tuple[str, int]]:
    return frozenset(parse_host_port(item) for item in _split(text))


def _parse_networks(text: str) -> tuple[str, ...]:
    for item in _split(text):
        try:
            ipaddress.ip_network(item)
        except ValueError:
            raise ValueError(f"has {item!r}, but each entry is an address or network") from None
    return _split(text)


def _split(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(",") if item.strip())
