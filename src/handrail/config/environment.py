"""The settings of an installation: every `HANDRAIL_...` variable, read once, checked, typed.

Each process is given only what it needs. A process names itself by `HANDRAIL_PROCESS_ROLE`
(web, worker, owner, readonly), which is the database role it connects as; the command line sets
it. Nothing secret has a default outside debug.
"""

import base64
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache, partial
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from handrail.config.errors import ConfigurationError
from handrail.config.parsing import (
    parse_admin_url,
    parse_base_url,
    parse_database_url,
    parse_django_keys,
    parse_host_port,
    parse_host_ports,
    parse_mail_url,
    parse_networks,
    parse_number,
    parse_secret_keys,
    parse_switch,
    parse_token,
)


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
    """`HANDRAIL_MAIL_URL`: `smtp://user:password@host:587` (STARTTLS when a user is given),
    `smtps://...:465`, or `file:///folder` that keeps each message as a file."""
    sandbox: bool
    """`HANDRAIL_SANDBOX` on or off (default; with `handrail run` and the embedded database on):
    whether practice partners belong to this installation and are started with it."""
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
    debug = bool(read("HANDRAIL_DEBUG", parse_switch, "off"))
    if debug:
        read.defaults = DEBUG_DEFAULTS
    role = read("HANDRAIL_PROCESS_ROLE", _parse_role, "worker")
    runtime = role in (DatabaseRole.WEB, DatabaseRole.WORKER)
    values = {
        "debug": debug,
        "process_role": role,
        "database_url": read("HANDRAIL_DATABASE_URL", parse_database_url, required=True),
        "database_passwords": _read_passwords(read, role),
        "database_admin_url": read("HANDRAIL_DATABASE_ADMIN_URL", parse_admin_url),
        "secret_keys": read("HANDRAIL_SECRET_KEYS", parse_secret_keys, required=runtime),
        "django_secret_keys": read(
            "HANDRAIL_DJANGO_SECRET_KEYS", parse_django_keys, required=runtime
        ),
        "base_url": read(
            "HANDRAIL_BASE_URL", partial(parse_base_url, debug=debug), required=runtime
        ),
        "mail_url": read("HANDRAIL_MAIL_URL", parse_mail_url, required=runtime),
        "bind": read("HANDRAIL_BIND", parse_host_port, "127.0.0.1:8000"),
        "trusted_proxies": read("HANDRAIL_TRUSTED_PROXIES", parse_networks),
        "allowed_private_hosts": read("HANDRAIL_ALLOWED_PRIVATE_HOSTS", parse_host_ports),
        "sandbox": read("HANDRAIL_SANDBOX", parse_switch, "off"),
        "service_token": read("HANDRAIL_SERVICE_TOKEN", parse_token),
        "retry_base_seconds": read("HANDRAIL_RETRY_BASE_SECONDS", parse_number, "5"),
        "retry_max_seconds": read("HANDRAIL_RETRY_MAX_SECONDS", parse_number, "3600"),
        "call_timeout_seconds": read("HANDRAIL_CALL_TIMEOUT_SECONDS", parse_number, "30"),
        "reconcile_seconds": read("HANDRAIL_RECONCILE_SECONDS", parse_number, "900"),
        "waiting_hours": read("HANDRAIL_WAITING_HOURS", parse_number, "24"),
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
    url = read("HANDRAIL_DATABASE_URL", parse_database_url, required=True)
    admin = read("HANDRAIL_DATABASE_ADMIN_URL", parse_admin_url, required=True)
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


def read_secret_keys(variables: Mapping[str, str]) -> tuple[tuple[str, bytes], ...]:
    """Return the keys of what is encrypted at rest; none where they are not set.

    Raises:
        ConfigurationError: they cannot be used.
    """
    read = _Reader(variables)
    keys: tuple[tuple[str, bytes], ...] | None = read("HANDRAIL_SECRET_KEYS", parse_secret_keys)
    if keys is None:
        raise ConfigurationError(read.problems)
    return keys


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


def _parse_role(text: str) -> DatabaseRole:
    if text not in ("web", "worker", "owner", "readonly"):
        raise ValueError(f"is {text!r}, but must be web, worker, owner or readonly")
    return DatabaseRole(text)
