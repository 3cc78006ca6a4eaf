"""`scripts/prepare-venv`, run in a small copy with an interpreter that only writes down its calls."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "prepare-venv"

# Answers as Python does to what the script asks: its version, the venv module, venv, pip.
INTERPRETER = """#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
case "$*" in
  -V) echo "Python ${VERSION:-3.11.9}" ;;
  "-c import ensurepip, venv") exit "${NO_VENV:-0}" ;;
  "-c import sys; print"*) echo 3.11 ;;
  "-c import sys; raise"*) exit "${TOO_OLD:-0}" ;;
  "-c import pip") [ -e "$here/pip" ] ;;
  "-m venv"*)
    echo venv >> "$JOURNAL"
    rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python
    echo "command = /usr/bin/python3.11 -m venv --clear $(pwd -P)/.venv" > .venv/pyvenv.cfg
    if [ -n "${BROKEN_OFF:-}" ]; then exit 130; fi
    echo pip > .venv/bin/pip ;;
  "-m pip"*)
    echo "pip $*" | sed 's/ -m pip --disable-pip-version-check --quiet//' >> "$JOURNAL"
    exit "${NO_NETWORK:-0}" ;;
esac
"""


class Copy:
    """A checkout with the script and lock files, and a PATH with one interpreter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.journal = folder / "journal"
        self.path = folder / "bin"
        (self.folder / "scripts").mkdir(parents=True)
        shutil.copy(SCRIPT, self.folder / "scripts")
        for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml"):
            (self.folder / name).write_text(f"# {name}\n")
        self.path.mkdir()
        for tool in ("cat", "cksum", "cp", "dirname", "grep", "mkdir", "rm", "sed", "sh"):
            (self.path / tool).symlink_to(str(shutil.which(tool)))
        self.add_interpreter("python3.11")

    def add_interpreter(self, name: str) -> None:
        (self.path / name).write_text(INTERPRETER)
        (self.path / name).chmod(0o755)

    def prepare(self, what: str, **environment: str) -> subprocess.CompletedProcess[str]:
        environment |= {"PATH": str(self.path), "JOURNAL": str(self.journal)}
        self.journal.write_text("")
        return subprocess.run(
            [self.folder / "scripts" / "prepare-venv", what],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def read_journal(self) -> list[str]:
        return self.journal.read_text().splitlines()


RUNTIME = [
    "pip install --require-hashes --requirement requirements.txt",
    "pip install --no-deps --no-build-isolation --editable .",
]
DEV = [
    "pip install --require-hashes --requirement requirements.txt --requirement requirements-dev.txt",
    "pip install --no-deps --no-build-isolation --editable .",
]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_a_missing_venv_is_made_once_and_then_left_alone(copy: Copy) -> None:
    assert copy.prepare("runtime").returncode == 0
    assert copy.read_journal() == ["venv", *RUNTIME]
    again = copy.prepare("runtime")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert copy.read_journal() == []


def test_dev_holds_runtime(copy: Copy) -> None:
    assert copy.prepare("runtime").returncode == 0
    assert copy.prepare("dev").returncode == 0
    assert copy.read_journal() == DEV
    assert copy.prepare("runtime").returncode == 0
    assert copy.read_journal() == []


@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_a_changed_file_is_installed_again(copy: Copy, name: str) -> None:
    copy.prepare("dev")
    with (copy.folder / name).open("a") as file:
        file.write("changed\n")
    copy.prepare("dev")
    assert copy.read_journal() == DEV
    copy.prepare("runtime")
    assert copy.read_journal() == []


def test_an_installation_that_broke_off_is_done_again(copy: Copy) -> None:
    failed = copy.prepare("runtime", NO_NETWORK="1")
    assert failed.returncode == 1
    assert "PIP_INDEX_URL" in failed.stderr
    assert copy.prepare("runtime").returncode == 0
    assert copy.read_journal() == RUNTIME


def test_a_venv_whose_making_was_broken_off_is_made_again(copy: Copy) -> None:
    assert copy.prepare("runtime", BROKEN_OFF="1").returncode == 130
    assert copy.prepare("runtime").returncode == 0
    assert copy.read_journal() == ["venv", *RUNTIME]


def test_a_checkout_that_moved_gets_a_new_venv(copy: Copy) -> None:
    copy.prepare("runtime")
    copy.folder = copy.folder.rename(copy.folder.with_name("elsewhere"))
    copy.prepare("runtime")
    assert copy.read_journal() == ["venv", *RUNTIME]


def test_an_interpreter_that_is_gone_is_replaced(copy: Copy) -> None:
    copy.prepare("runtime")
    python = copy.folder / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    copy.prepare("runtime")
    assert copy.read_journal() == ["venv", *RUNTIME]


def test_another_interpreter_can_be_named(copy: Copy) -> None:
    copy.prepare("runtime")
    other = copy.path / "python3.13"
    other.write_text(INTERPRETER.replace("${VERSION:-3.11.9}", "3.13.1"))
    other.chmod(0o755)
    copy.prepare("runtime", PYTHON="python3.13")
    assert copy.read_journal() == ["venv", *RUNTIME]
    copy.prepare("runtime", PYTHON="python3.13")
    assert copy.read_journal() == []


def test_the_first_interpreter_that_fits_is_taken(copy: Copy) -> None:
    shim = copy.path / "python3.11"
    shim.write_text("#!/bin/sh\necho 'no such version' >&2\nexit 127\n")
    copy.add_interpreter("python3.12")
    assert copy.prepare("runtime").returncode == 0
    assert copy.read_journal()[0] == "venv"


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"TOO_OLD": "1"}, "needs Python 3.11, 3.12 or 3.13, and found none"),
        ({"PYTHON": "python2"}, "PYTHON=python2 is not a Python 3.11, 3.12 or 3.13"),
        ({"NO_VENV": "1"}, "apt-get install python3.11-venv"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(
    copy: Copy, environment: dict[str, str], sentence: str
) -> None:
    done = copy.prepare("runtime", **environment)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert not (copy.folder / ".venv").exists()
    assert copy.read_journal() == []


def test_the_script_says_how_it_is_called(copy: Copy) -> None:
    done = copy.prepare("everything")
    assert (done.returncode, done.stderr) == (2, "usage: scripts/prepare-venv runtime|dev\n")
