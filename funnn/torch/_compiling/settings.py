"""Modules of settings, such as torch._dynamo.config: names that can be read, set and patched; one that torch has not got is an error."""

from __future__ import annotations

import contextlib
import copy
import pickle
import sys
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any


class Settings(ModuleType):
    """A module of settings. They are kept and handed back; none of them changes what XLA does. Each module has a class that holds its values."""

    _values: dict[str, Any]
    _defaults: dict[str, Any]
    _aliases: dict[str, tuple[Any, str]]

    def __getattr__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        if name in self._aliases:
            owner, key = self._aliases[name]
            return getattr(owner, key)
        if not name.startswith("__") and any(key.startswith(f"{name}.") for key in self._values):
            return Group(self, f"{name}.")
        raise AttributeError(f"{self._torch_name()}.{name} does not exist", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._values:
            self._values[name] = value
        elif name in self._aliases:
            owner, key = self._aliases[name]
            setattr(owner, key, value)
        elif name.startswith("__"):
            super().__setattr__(name, value)
        else:
            raise AttributeError(f"{self._torch_name()}.{name} does not exist", name=name, obj=self)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *(name.partition(".")[0] for name in self._values), *self._aliases})

    def _torch_name(self) -> str:
        return self.__name__.removeprefix("funnn.")

    def patch(self, arg1: str | dict[str, Any] | None = None, arg2: Any = None, **kwargs: Any) -> ConfigPatch:
        """Other values for a block, or during the calls of a function: ``patch("name", value)``, ``patch({"name": value})`` or ``patch(name=value)``."""
        changes: dict[str, Any] = kwargs
        if arg1 is not None:
            if arg2 is not None and not isinstance(arg1, str):
                raise AssertionError("first argument must be a string when passing 2 positional args to patch")
            if arg2 is None and not isinstance(arg1, dict):
                raise AssertionError("first argument must be a dict when passing a single positional arg to patch")
            if kwargs:
                raise AssertionError("cannot pass both positional and keyword arguments to patch")
            changes = arg1 if isinstance(arg1, dict) else {arg1: arg2}
        elif arg2 is not None:
            raise AssertionError("second positional argument is only valid when first argument is a key string")
        return ConfigPatch(self, changes)

    def get_type(self, config_name: str) -> type:
        """The type of a setting's default."""
        return type(self._defaults[config_name])

    def get_config_copy(self) -> dict[str, Any]:
        """All settings by name; those of a group as ``group.name``."""
        return copy.deepcopy(self._values)

    shallow_copy_dict = to_dict = get_config_copy

    def save_config(self) -> bytes:
        """All settings as a pickle, for ``load_config``."""
        return pickle.dumps(self._values, protocol=2)

    def load_config(self, maybe_pickled_config: bytes | Mapping[str, Any]) -> None:
        """Set what ``save_config`` or ``get_config_copy`` gave."""
        config = pickle.loads(maybe_pickled_config) if isinstance(maybe_pickled_config, bytes) else maybe_pickled_config
        for name, value in config.items():
            setattr(self, name, value)


class Group:
    """The settings that share the first part of their name, such as ``config.triton``."""

    def __init__(self, settings: Settings, prefix: str):
        self.__dict__.update(_settings=settings, _prefix=prefix)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings, self._prefix + name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._settings, self._prefix + name, value)


class ConfigPatch(contextlib.ContextDecorator):
    """Other values within a block, or during the calls of the function that it decorates.

    Attributes:
      changes: the values, by name.
    """

    def __init__(self, settings: Settings, changes: dict[str, Any]):
        self.settings, self.changes = settings, changes
        self._before: list[dict[str, Any]] = []

    def __enter__(self) -> None:
        self._before.append({name: getattr(self.settings, name) for name in self.changes})
        for name, value in self.changes.items():
            setattr(self.settings, name, value)

    def __exit__(self, *error: object) -> None:
        for name, value in self._before.pop().items():
            setattr(self.settings, name, value)


def make_settings(module: str, defaults: Iterable[tuple[Any, str]], aliases: Mapping[str, tuple[Any, str]] | None = None) -> Settings:
    """Let the module of that name hold settings.

    Args:
      defaults: values, each with the names that have it.
      aliases: names that stand for an attribute of another object, (object, attribute).
    """
    settings: Any = sys.modules[module]
    values = {name: copy.copy(value) for value, names in defaults for name in names.split()}
    members = {"_values": values, "_defaults": copy.deepcopy(values), "_aliases": dict(aliases or {})}
    settings.__class__ = type("Settings", (Settings,), members)
    return settings
