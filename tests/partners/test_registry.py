import ast
from pathlib import Path

import pytest

from handrail.partners import adapters
from handrail.partners.registry import UnknownAdapter, get_adapter, load_adapters


def test_every_folder_with_an_adapter_is_found_under_its_name() -> None:
    found = load_adapters()
    assert sorted(found) == ["careersafe", "certiport", "hsi", "jri", "milady", "nds", "nrf"]
    assert {name: adapter.name for name, adapter in found.items()} == {name: name for name in found}


def test_an_adapter_is_one_object_per_process() -> None:
    assert get_adapter("hsi") is get_adapter("hsi")


@pytest.mark.parametrize("name", ["", "origin", "os", "hsi.sheet", "../hsi", "HSI"])
def test_other_names_import_nothing(name: str) -> None:
    with pytest.raises(UnknownAdapter, match="there are careersafe, certiport"):
        get_adapter(name)


FOLDERS = [path for path in Path(adapters.__path__[0]).iterdir() if (path / "__init__.py").exists()]
MAY_IMPORT = ("protocol", "reading", "adapters.origin")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_adapter_is_small_and_knows_only_the_protocol(folder: Path) -> None:
    files = list(folder.glob("*.py"))
    assert len(files) <= 4
    own = f"adapters.{folder.name}"
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            ours = [name for name in names if name.startswith("handrail")]
            allowed = tuple(f"handrail.partners.{name}" for name in (*MAY_IMPORT, own))
            assert [name for name in ours if not name.startswith(allowed)] == [], file
