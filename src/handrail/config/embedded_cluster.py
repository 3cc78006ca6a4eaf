"""Making the embedded server's cluster and its passwords.

As root, nothing is ever written into a folder of the server's account: it could hold a link.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from handrail.config.embedded_home import Home
from handrail.config.environment import DatabaseRole
from handrail.config.errors import ConfigurationError, EmbeddedServerError

SUPERUSER = "postgres"


def read_or_make_passwords(home: Home) -> Mapping[str, str]:
    """Return the passwords by role and `superuser`; made at random before the cluster is.

    Raises:
        EmbeddedServerError: there is a cluster, but the file with its passwords is gone.
        ConfigurationError: the file is no JSON.
    """
    path = home.folder / "passwords.json"
    if not path.exists():
        if home.cluster.exists():
            raise EmbeddedServerError(
                f"{path} is missing, and without it nobody can sign in to the data in "
                f"{home.cluster}. Put it back, or move the data away to begin anew."
            )
        names = ["superuser", *(role.value for role in DatabaseRole)]
        write_private_file(
            path, json.dumps({name: secrets.token_urlsafe(32) for name in names}, indent=1)
        )
    return read_json_file(path)


def make_cluster(home: Home, *, version: int, password: str, durable: bool) -> None:
    """Make the cluster if there is none.

    Raises:
        EmbeddedServerError: the cluster is of another PostgreSQL, or initdb failed.
    """
    version_file = home.cluster / "PG_VERSION"
    if version_file.exists():
        found = version_file.read_text().strip()
        if found != str(version):
            raise EmbeddedServerError(
                f"The data in {home.cluster} is of PostgreSQL {found}, the server is {version}. "
                "Back it up with the Handrail that made it, move the folder away and restore."
            )
    else:
        _run_initdb(home, version=version, password=password, durable=durable)


def _run_initdb(home: Home, *, version: int, password: str, durable: bool) -> None:
    """Make the cluster beside its place and move it there, so that no half of one stays."""
    unfinished = home.folder / "cluster.unfinished"
    if unfinished.exists():
        shutil.rmtree(unfinished)
    home.account.make_private_folder(unfinished)
    locale = (
        ["--locale=C", "--locale-provider=builtin", "--builtin-locale=PG_UNICODE_FAST"]
        if version >= 18
        else ["--locale=C.UTF-8"]
    )
    with _password_file(home, password) as password_file:
        result = subprocess.run(
            [
                *(str(home.binaries / "initdb"), "--pgdata", str(unfinished)),
                *("--username", SUPERUSER, f"--pwfile={password_file}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", *locale),
                *([] if durable else ["--no-sync"]),
            ],
            capture_output=True,
            text=True,
            check=False,
            env=server_environment(),
            cwd="/",
            **home.account.popen_arguments(),
        )
    if result.returncode:
        raise EmbeddedServerError(f"PostgreSQL could not be set up: {result.stderr.strip()}")
    unfinished.rename(home.cluster)


def read_json_file(path: Path) -> dict[str, str]:
    """Return the texts by name that `write_private_file` wrote and a person may have edited.

    Raises:
        ConfigurationError: it is no such JSON.
        OSError: it cannot be read.
    """
    where = ""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        found, where = None, f" (line {error.lineno})"
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(each, str) for each in found.values()):
        raise ConfigurationError(
            [f'{path} is no JSON of the form {{"NAME": "text"}}{where}. Mend it or put it back.']
        )
    return found


def write_private_file(path: Path, text: str) -> None:
    """Write `text` to `path` whole or not at all, with mode 0600."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)


@contextlib.contextmanager
def _password_file(home: Home, password: str) -> Iterator[Path]:
    """A file that initdb, as the server's account, reads the superuser's password from."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "password"
        write_private_file(path, password)
        if home.account.popen_arguments():
            os.chown(folder, home.account.uid, home.account.gid)
            os.chown(path, home.account.uid, home.account.gid)
        yield path


def server_environment() -> dict[str, str]:
    """Nothing of ours: no PG... variable, no secret, no language of the person at the terminal."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
