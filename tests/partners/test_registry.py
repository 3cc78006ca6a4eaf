import pytest

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
