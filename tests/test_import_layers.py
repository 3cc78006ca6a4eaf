"""The walls between the apps hold: each one is climbed once here, in a small copy of the tree."""

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
APPS = sorted(folder.parent.name for folder in (ROOT / "src/handrail").glob("*/__init__.py"))


def lint(
    folder: Path, files: dict[str, str] | None = None, *, apps: list[str] = APPS
) -> subprocess.CompletedProcess[str]:
    """Run lint-imports over the apps, empty but for `files` (text by dotted module name)."""
    packages = [folder / "handrail_sandbox", folder / "handrail"]
    packages += [folder / "handrail" / app for app in apps]
    for package in packages:
        package.mkdir()
        (package / "__init__.py").touch()
    for module, text in (files or {}).items():
        (folder / (module.replace(".", "/") + ".py")).write_text(text)
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--config",
            str(ROOT / "pyproject.toml"),
            "--no-cache",
        ],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_importing_downward_is_fine(tmp_path: Path) -> None:
    done = lint(
        tmp_path,
        {
            "handrail.config.asgi": "import handrail.student.views\nimport handrail_sandbox\n",
            "handrail.student.views": "import handrail.enrollments\n",
            "handrail.core.http_connection": "import httptools\n",
        },
    )
    assert (done.returncode, "0 broken" in done.stdout) == (0, True), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("module", "text", "contract"),
    [
        ("handrail.core.clock", "import handrail.config", "Imports go down only"),
        ("handrail.enrollments.tasks", "import handrail.credentials", "Imports go down only"),
        ("handrail.student.views", "import handrail.console", "Imports go down only"),
        ("handrail.inbox.applier", "import handrail.partners", "The inbox knows no partner"),
        ("handrail_sandbox.server", "import handrail.core", "The sandbox is an outside party"),
        ("handrail.partners.tasks", "import handrail_sandbox", "that there is a sandbox"),
        ("handrail.partners.calls", "import aiohttp", "One outbound HTTP client"),
        ("handrail.core.outbound", "import aiohttp", "One outbound HTTP client"),
    ],
)
def test_climbing_a_wall_breaks_its_contract(
    tmp_path: Path, module: str, text: str, contract: str
) -> None:
    done = lint(tmp_path, {module: text + "\n"})
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(contract in line for line in broken), broken


def test_an_app_without_a_place_in_the_layers_is_noticed(tmp_path: Path) -> None:
    done = lint(tmp_path, apps=[*APPS, "surprise"])
    assert done.returncode == 1, done.stdout + done.stderr
    assert "surprise" in done.stdout


def find_trespasses(graph: grimp.ImportGraph) -> set[tuple[str, str]]:
    """Return (adapter module, what it imports and may not).

    An adapter may import the protocol, core and what adapters share, nothing else of handrail
    (design: a narrow protocol, no tables). What they share is held to the same rule.
    """
    shared = ("handrail.partners.adapters.", "handrail.partners.reading.")
    allowed = (*shared, "handrail.partners.protocol.", "handrail.core.")
    inside = {name for name in graph.modules if (name + ".").startswith(shared)}
    return {
        (module, imported)
        for module in inside
        for imported in graph.find_modules_directly_imported_by(module)
        if (imported + ".").startswith(("handrail.", "handrail_sandbox."))
        and not (imported + ".").startswith(allowed)
    }


def test_adapters_import_only_the_protocol_and_core() -> None:
    graph = grimp.build_graph("handrail", "handrail_sandbox", cache_dir=None)
    assert find_trespasses(graph) == set()


def test_an_adapter_that_trespasses_is_found() -> None:
    graph = grimp.ImportGraph()
    adapter = "handrail.partners.adapters.milady"
    for imported in (
        "handrail.partners.protocol",
        "handrail.core.outbound",
        "handrail.partners.models",
        "handrail.partners",
        "handrail.enrollments.actions",
        "aiohttp",
    ):
        graph.add_import(importer=adapter, imported=imported)
    assert find_trespasses(graph) == {
        (adapter, "handrail.partners.models"),
        (adapter, "handrail.partners"),
        (adapter, "handrail.enrollments.actions"),
    }
