"""A JSON object of the configuration, taken key by key with clear messages."""

from collections.abc import Mapping
from typing import Any


class ConfigError(Exception):
    """The configuration cannot be used; the message says where and what to write instead."""


class JsonObject:
    """A JSON object whose keys are taken one by one; what is left over is a mistake."""

    def __init__(self, raw: object, place: str = "") -> None:
        if not isinstance(raw, dict):
            raise ConfigError(f"{place or 'the configuration'} must be a JSON object")
        self.left: dict[str, Any] = dict(raw)
        self.place = place

    def finish(self) -> None:
        if self.left:
            raise ConfigError(f"{self._name(next(iter(self.left)))} is not a key of it")

    def take_text(self, key: str, *, default: str | None = None, at_least: int = 1) -> str:
        value = self.left.pop(key, None)
        if default is not None and value in (None, ""):
            return default
        if not isinstance(value, str) or len(value) < at_least:
            raise ConfigError(f"{self._name(key)}: write a text of {at_least} characters or more")
        return value

    def take_number(
        self, key: str, *, default: float, least: float = 0.0, most: float = 1e9
    ) -> float:
        value = self.left.pop(key, None)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{self._name(key)}: write a number")
        if not least <= value <= most:
            raise ConfigError(f"{self._name(key)}: write a number from {least:g} to {most:g}")
        return float(value)

    def take_flag(self, key: str, *, default: bool) -> bool:
        value = self.left.pop(key, default)
        if not isinstance(value, bool):
            raise ConfigError(f"{self._name(key)}: write true or false")
        return value

    def take_list(self, key: str) -> list[Any]:
        value = self.left.pop(key, None)
        value = [] if value is None else value
        if not isinstance(value, list):
            raise ConfigError(f"{self._name(key)}: write a list")
        return value

    def take_texts(self, key: str) -> list[str]:
        items = self.take_list(key)
        return [JsonObject({key: item}, self.place).take_text(key) for item in items]

    def take_numbers(self, key: str, *, default: tuple[float, ...]) -> list[float]:
        if self.left.get(key) is None:
            return list(default)
        items = self.take_list(key)
        return [JsonObject({key: item}, self.place).take_number(key, default=0) for item in items]

    def take_object(self, key: str) -> "JsonObject":
        value = self.left.pop(key, None)
        return JsonObject({} if value is None else value, self._name(key))

    def take_objects(self, key: str) -> list["JsonObject"]:
        items = self.take_list(key)
        return [JsonObject(item, f"{self._name(key)}[{at}]") for at, item in enumerate(items)]

    def take_rates(self, key: str, *, known: Mapping[str, float]) -> dict[str, float]:
        """Return fault name → rate; the built-in rates when the key is not there."""
        if self.left.get(key) is None:
            return dict(known)
        raw = self.take_object(key)
        rates = {name: raw.take_number(name, default=0.0, most=1.0) for name in list(raw.left)}
        if unknown := [name for name in rates if name not in known]:
            raise ConfigError(f"{self._name(key)}: {unknown[0]!r} is not one of {', '.join(known)}")
        if sum(rates.values()) > 1:
            raise ConfigError(f"{self._name(key)}: the rates add up to more than 1")
        return rates

    def _name(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key
