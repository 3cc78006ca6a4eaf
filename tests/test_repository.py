"""What the repository promises to whoever clones it: pinned parts, commands, files, links."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.needs import require_program

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
PIN = re.compile(r"([a-z0-9-]+)(?:\[[a-z0-9,-]+\])?==([^ ;]+)")


def read_lines(name: str) -> list[str]:
    """Return the lines of a requirements file: comments gone, continued lines joined."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def read_pins(name: str) -> dict[str, str]:
    """Return version by normalized name of what a lock file pins."""
    found = (PIN.match(line) for line in read_lines(name))
    return {match[1]: match[2] for match in found if match}


def list_tracked() -> list[Path]:
    """Return the text files that git knows."""
    git = require_program("git")
    listing = subprocess.run(
        [git, "-c", "safe.directory=*", "ls-files", "-z", "--cached"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / name for name in listing.stdout.split("\0") if name)
    return [path for path in paths if path.is_file() and b"\0" not in path.read_bytes()[:8000]]


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_locked_requirement_is_pinned_with_hashes(name: str) -> None:
    lines = read_lines(name)
    loose = [line for line in lines if not PIN.match(line) or not HASH.search(line)]
    assert (loose, len(lines) > 20) == ([], True)


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("requirements*")))
def test_requirement_files_name_no_index_and_no_host(name: str) -> None:
    allowed = "-c requirements.txt"
    options = [line for line in read_lines(name) if line.startswith("-") and line != allowed]
    assert (options, "://" in (ROOT / name).read_text()) == ([], False)


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_the_lock_answers_every_wish(name: str) -> None:
    wishes = [Requirement(line) for line in read_lines(f"{name}.in") if not line.startswith("-")]
    pins = read_pins(f"{name}.txt")
    unmet = [
        str(wish)
        for wish in wishes
        if not wish.specifier.contains(pins.get(wish.name.lower().replace("_", "-"), "0"))
    ]
    assert (unmet, len(wishes) > 5) == ([], True), "run make lock"


def test_both_locks_agree() -> None:
    runtime, dev = read_pins("requirements.txt"), read_pins("requirements-dev.txt")
    shared = runtime.keys() & dev.keys()
    assert {name: dev[name] for name in shared} == {name: runtime[name] for name in shared}
    assert shared != set()


@pytest.mark.parametrize(
    ("target", "command"),
    [
        ("run", ".venv/bin/handrail run --some thing"),
        ("demo", ".venv/bin/handrail demo --some thing"),
        ("bench", ".venv/bin/python -m benchmarks --some thing"),
        ("test", ".venv/bin/python -m pytest -n 2 --some thing"),
        ("lint", ".venv/bin/mypy"),
        ("format", ".venv/bin/ruff format"),
        ("lock", "--generate-hashes"),
        ("clean", "rm -rf .venv"),
    ],
)
def test_make_prepares_the_venv_and_passes_options_on(target: str, command: str) -> None:
    make = require_program("make")
    shown = subprocess.run(
        [make, "--dry-run", target, "ARGS=--some thing"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert command in shown
    assert ("scripts/prepare-venv" in shown) == (target != "clean")
    assert ("prepare-venv dev" in shown) == (target not in {"run", "demo", "clean"})


def test_the_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "requirements.in"):
        shutil.copy(ROOT / name, copy)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", copy / "src", ignore=ignore)
    files = [path for path in copy.glob("src/**/*") if path.is_file()]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"),
            *("--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(copy)),
        ],
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == {str(path.relative_to(copy / "src")) for path in files}


def test_the_license_is_the_one_that_is_declared() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == "Unreleased"


def test_every_ignored_rule_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = text[text.index("[tool.ruff.lint]") : text.index("[tool.ruff.lint.flake8-builtins]")]
    rules = [line for line in block.splitlines() if re.match(r'\s+"[A-Z]+\d*",', line)]
    assert [line for line in rules if not re.search(r"#\s+(as [A-Z]+\d|\S.{8})", line)] == []
    assert len(rules) > 10


def test_warnings_are_errors() -> None:
    assert PROJECT["tool"]["pytest"]["ini_options"]["filterwarnings"][0] == "error"


def test_types_are_strict() -> None:
    assert PROJECT["tool"]["mypy"]["strict"] is True
    typed = {path.parent.name for path in ROOT.glob("src/*/py.typed")}
    assert typed == {path.parent.name for path in ROOT.glob("src/*/__init__.py")}


def test_pre_commit_downloads_nothing() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    assert set(re.findall(r"repo: (\S+)", text)) == {"local"}
    assert set(re.findall(r"language: (\S+)", text)) == {"system"}


def test_ci_installs_every_program_that_a_test_asks_for() -> None:
    sources = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
    asked = {
        program
        for path in sources
        if path.name != "test_needs.py"
        for program in re.findall(r'require_program\("([^"]+)"\)', path.read_text())
    }
    parts = (ROOT / ".ci/run").read_text().partition("<<'PARTS'\n")[2].partition("PARTS\n")[0]
    installed = {line.split()[0] for line in parts.splitlines()}
    assert asked - installed == set()
    assert "git" in asked


def test_every_link_between_the_documents_leads_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in list_tracked()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text())
        if "://" not in target and not target.startswith("mailto:")
        if not (path.parent / target).exists()
    ]
    assert broken == []


def list_anchors(page: Path) -> set[str]:
    """Return what a link can name of a page: its headings, as code forges write them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).strip().replace(" ", "-") for each in headings}


def test_every_link_to_a_heading_names_one_there_is() -> None:
    links = [
        (path, target, anchor)
        for path in list_tracked()
        if path.suffix == ".md"
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", path.read_text())
        if "://" not in target
    ]
    broken = [
        f"{path.relative_to(ROOT)}: {target}#{anchor}"
        for path, target, anchor in links
        if anchor not in list_anchors((path.parent / target) if target else path)
    ]
    assert (broken, len(links) > 20) == ([], True)


def test_nothing_names_a_package_registry_or_the_folder_of_a_machine() -> None:
    unwanted = re.compile(
        r"(py[p]i|npm[j]s|deb[.]debia[n])[.](org|com)|pythonhoste[d]|[.][.]/share[d]/|/roo[t]/"
    )
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in list_tracked()
        if (match := unwanted.search(path.read_text(errors="replace")))
    ]
    assert found == []
