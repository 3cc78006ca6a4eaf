"""Adapters by name: each folder below `partners/adapters` that has an `adapter`."""

import pkgutil
from functools import cache
from importlib import import_module

from handrail.partners import adapters
from handrail.partners.protocol import Adapter


class UnknownAdapter(LookupError):
    """A provider names an adapter that this version of Handrail does not have."""


@cache
def load_adapters() -> dict[str, Adapter]:
    """All adapters by name. A folder without `adapter` is shared code of several."""
    found: dict[str, Adapter] = {}
    for folder in pkgutil.iter_modules(adapters.__path__):
        adapter = getattr(import_module(f"{adapters.__name__}.{folder.name}"), "adapter", None)
        if adapter is not None:
            found[folder.name] = adapter
    return found


def get_adapter(name: str) -> Adapter:
    """The adapter of this name.

    Raises:
        UnknownAdapter: there is none; the message names those that are.
    """
    found = load_adapters()
    if name not in found:
        raise UnknownAdapter(f"there is no adapter {name!r}; there are {', '.join(sorted(found))}")
    return found[name]
