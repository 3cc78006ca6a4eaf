"""`handrail doctor`: what is wrong with an installation and how to mend it."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from handrail.config.database import find_role_problems
from handrail.config.environment import DatabaseRole, Environment, read_environment
from handrail.config.errors import EX_CONFIG, Refusal
from handrail.config.installation import ROLES, Installation, open_local_installation
from handrail.config.reseal import count_keys, count_unopened
from handrail.core.crypto import Keyring


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    subject: str
    good: bool
    words: str

    def line(self) -> str:
        """Return it as it is printed."""
        return f"{'ok   ' if self.good else 'WRONG'}  {self.subject}: {self.words}"


def examine(folder: Path) -> list[Finding]:
    """Look at the installation of the environment, or at the one below `folder`."""
    if os.environ.get("HANDRAIL_DATABASE_URL"):
        return list(_examine(Installation(dict(os.environ))))
    try:
        with open_local_installation(folder) as (_, installation):
            return [*_examine(installation), *_examine_files(folder)]
    except Refusal as error:
        return [Finding("configuration", good=False, words=str(error))]


def _examine(installation: Installation) -> Iterator[Finding]:
    environments = {}
    for process in ("web", "worker", "migrate"):
        try:
            environments[process] = read_environment(installation.environment_of(process))
        except Refusal as error:
            yield Finding(f"configuration of {process}", good=False, words=str(error))
        else:
            yield Finding(f"configuration of {process}", good=True, words="complete")
    signed_in: set[DatabaseRole] = set()
    for process, environment in environments.items():
        for role in ROLES[process]:
            found = list(_examine_role(environment, role))
            yield from found
            if all(each.good for each in found):
                signed_in.add(role)
    if "worker" in environments:
        yield from _examine_database(environments["worker"])
        if "migrate" not in environments or DatabaseRole.OWNER in signed_in:
            yield _examine_migrations(installation)
        yield from _examine_secrets(environments["worker"])
        yield from _examine_outbound(environments["worker"])


def _examine_role(environment: Environment, role: DatabaseRole) -> Iterator[Finding]:
    """Sign in as the role; the owner of the tables is not asked whether it owns tables."""
    try:
        with psycopg.connect(environment.database_dsn(role), connect_timeout=5) as own:
            problems = [] if role is DatabaseRole.OWNER else find_role_problems(own)
    except psycopg.OperationalError as error:
        words = f"cannot sign in ({str(error).strip()}). Is the server running? Is the password "
        yield Finding(role.login, good=False, words=f"{words}that of handrail setup-database?")
        return
    for problem in problems:
        yield Finding(role.login, good=False, words=problem)
    if not problems:
        words = (
            "signs in" if role is DatabaseRole.OWNER else "signs in, with no more rights than due"
        )
        yield Finding(role.login, good=True, words=words)


_FACTS = """
select current_setting('server_version_num')::int, current_setting('fsync'),
  current_setting('full_page_writes'), datlocprovider::text,
  coalesce(to_jsonb(d) ->> 'datlocale', datcollate), pg_encoding_to_char(encoding)
from pg_database d where datname = current_database()
"""


def _examine_database(environment: Environment) -> Iterator[Finding]:
    try:
        with psycopg.connect(environment.database_dsn(), connect_timeout=5) as own:
            facts = own.execute(_FACTS).fetchone()
    except psycopg.OperationalError:
        return  # Said already.
    if facts is None:
        raise TypeError("a database is in its own list of databases")
    version, fsync, full_pages, provider, locale, encoding = facts
    yield _judge(
        "server",
        good=version >= 160000,
        words=f"PostgreSQL {version // 10000}",
        advice="use 16 or later",
    )
    yield _judge(
        "durability",
        good=fsync == full_pages == "on",
        words=f"fsync {fsync}, full_page_writes {full_pages}",
        advice="turn both on, or what is confirmed may be lost",
    )
    wanted = ("b", "PG_UNICODE_FAST") if version >= 180000 else ("c", "C.UTF-8")
    yield _judge(
        "locale",
        good=(provider, locale, encoding) == (*wanted, "UTF8"),
        words=f"{locale}, {encoding}",
        advice=f"make the database with {wanted[1]} and UTF8, or searches differ in case folding",
    )


def _examine_migrations(installation: Installation) -> Finding:
    spec = installation.spec_of("migrate", "--check")
    result = subprocess.run(
        spec.arguments, env=spec.environment, capture_output=True, text=True, check=False
    )
    if result.returncode == EX_CONFIG:  # What is wrong there stands in the line of `migrate`.
        return _judge(
            "migrations",
            good=False,
            words="not looked at, because the owner's password is not here",
            advice=f"set {DatabaseRole.OWNER.password_variable}, and look again",
        )
    words = (result.stdout or result.stderr).strip()
    return _judge("migrations", good=result.returncode == 0, words=words, advice="handrail migrate")


def _examine_secrets(environment: Environment) -> Iterator[Finding]:
    """Look with which keys the stored secrets are sealed, and whether they open."""
    known = [key_id for key_id, _ in environment.secret_keys]
    try:
        with psycopg.connect(environment.database_dsn(), connect_timeout=5) as own:
            counted = count_keys(own)
            unopened = count_unopened(own, Keyring(environment.secret_keys))
    except (psycopg.OperationalError, psycopg.ProgrammingError):
        return  # Said already: it cannot be reached, or has not all tables yet.
    old = {key_id: n for key_id, n in (counted - unopened).items() if key_id in known[1:]}
    lost = {key_id: n for key_id, n in unopened.items() if key_id not in known}
    shut = {key_id: n for key_id, n in unopened.items() if key_id in known}
    if lost:
        yield _judge(
            "secrets",
            good=False,
            words=f"{_list_keys(lost)}, which HANDRAIL_SECRET_KEYS does not have",
            advice="give the key back behind the first one, or enter those secrets again",
        )
    if shut:
        yield _judge(
            "secrets",
            good=False,
            words=f"{_list_keys(shut)}, but not with the one that HANDRAIL_SECRET_KEYS has by "
            "that id",
            advice="put the right key in its place, or enter those secrets again",
        )
    if old:
        yield _judge(
            "secrets",
            good=False,
            words=f"{_list_keys(old)}, no longer the newest key",
            advice="handrail reseal-secrets, before the old key is taken away",
        )
    if not (lost or shut or old):
        yield Finding("secrets", good=True, words=f"{counted.total()} sealed, with the newest key")


def _examine_outbound(environment: Environment) -> Iterator[Finding]:
    """Look whether calls and mail are still held after a restore."""
    try:
        with psycopg.connect(environment.database_dsn(), connect_timeout=5) as own:
            row = own.execute("select outbound_held from installation").fetchone()
    except (psycopg.OperationalError, psycopg.ProgrammingError):
        return  # Said already, as above.
    yield _judge(
        "calls and mail",
        good=row == (False,),
        words="go out" if row == (False,) else "held since a restore",
        advice="look around, then let them out: handrail release-outbound",
    )


def _list_keys(counted: Mapping[str, int]) -> str:
    """Return the counts in words."""
    return "sealed: " + ", ".join(
        f"{n} with the key {key_id}" if key_id else f"{n} not as they should be"
        for key_id, n in sorted(counted.items())
    )


def _examine_files(folder: Path) -> Iterator[Finding]:
    """Look whether others can read the files with the secrets."""
    for name in ("passwords.json", "secrets.json"):
        path = (folder / "data" / name).resolve()
        mode = path.stat().st_mode & 0o777
        words = f"mode {mode:04o}"
        yield _judge(str(path), good=mode == 0o600, words=words, advice=f"chmod 600 {path}")


def _judge(subject: str, *, good: bool, words: str, advice: str) -> Finding:
    told = words if good else f"{words.rstrip('.')}. Mend: {advice}"
    return Finding(subject, good=good, words=told)
