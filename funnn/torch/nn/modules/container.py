"""Modules that hold modules: Sequential, ModuleList, ModuleDict."""

from __future__ import annotations

import itertools
import operator
import warnings
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from funnn import layers
from funnn.layers._text import list_text
from funnn.torch.nn.modules.derived import LayerModule, module_of
from funnn.torch.nn.modules.module import Module


class _Numbered(Module):
    """Children in order, named "0", "1", … unless a mapping names them."""

    @classmethod
    def from_layer(cls, layer: layers.Layer, dtype: Any, source: Any) -> Module:
        """The container of a Layer's items, each as its Module."""
        return _filled(cls(), layer, dtype, source)

    def _get_abs_string_index(self, idx: Any) -> str:
        """The name of the module at a position, as torch's subclasses ask for it."""
        return str(self._position(idx))

    def _get_item_by_idx(self, iterator: Iterable[Any], idx: Any) -> Any:
        """The item at a position of an iterable as long as this, as torch's subclasses ask for it."""
        return next(itertools.islice(iterator, self._position(idx), None))

    def _position(self, index: Any) -> int:
        index, size = operator.index(index), len(self)
        if not -size <= index < size:
            raise IndexError(f"index {index} is out of range")
        return index % size

    def _replace_all(self, modules: Iterable[Module]) -> None:
        self._modules.clear()
        for position, module in enumerate(modules):
            self.add_module(str(position), module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, list(self._modules)[self._position(index)], module)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self)
        del modules[index if isinstance(index, slice) else self._position(index)]
        self._replace_all(modules)

    def append(self, module: Module) -> Any:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self

    def _insert(self, index: int, module: Module) -> None:
        if not isinstance(module, Module):
            raise AssertionError(f"module should be of type: {Module}, got {type(module).__name__}")
        modules = list(self)
        modules.insert(index, module)
        self._replace_all(modules)

    def pop(self, key: int | slice) -> Module:
        """Remove and return the module at a position."""
        module = self[key]
        del self[key]
        return module


class Container(Module):
    """A Module with the children given by name; deprecated by torch."""

    def __init__(self, **kwargs: Any):
        warnings.warn(
            "`nn.Container` is deprecated: all of its functionality is in nn.Module, so subclass that", FutureWarning, stacklevel=2
        )
        super().__init__()
        for name, module in kwargs.items():
            self.add_module(name, module)


class Sequential(_Numbered):
    """Applies modules one after the other; takes them as arguments or as one OrderedDict. Source: torch.nn.Sequential."""

    forward = layers.Sequential.forward

    def __init__(self, *args: Any):
        super().__init__()
        named = args[0].items() if len(args) == 1 and isinstance(args[0], OrderedDict) else ((str(i), m) for i, m in enumerate(args))
        for name, module in named:
            self.add_module(name, module)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return list(self)[self._position(index)]

    def insert(self, index: int, module: Module) -> Sequential:
        """Put a module before position ``index``."""
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index}")
        self._insert(index, module)
        return self

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self).__iadd__(other)

    def __iadd__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(f"add operator supports only objects of Sequential class, but {type(other)} is given.")
        return self.extend(list(other))

    def __mul__(self, other: int) -> Sequential:
        return Sequential(*self).__imul__(other)

    __rmul__ = __mul__

    def __imul__(self, other: int) -> Sequential:
        if not isinstance(other, int):
            raise TypeError(f"unsupported operand type(s) for *: {type(self)} and {type(other)}")
        if other <= 0:
            raise ValueError(f"Non-positive multiplication factor {other} for {type(self)}")
        return self.extend(list(self) * (other - 1))


class ModuleList(_Numbered):
    """A list of modules. Source: torch.nn.ModuleList."""

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        return type(self)(list(self)[index]) if isinstance(index, slice) else list(self)[self._position(index)]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"ModuleList.extend should be called with an iterable, but got {type(modules).__name__}")
        return super().extend(modules)

    __iadd__ = extend

    def insert(self, index: int, module: Module) -> None:
        """Put a module before position ``index``."""
        self._insert(index, module)

    def __repr__(self) -> str:
        """Runs of equal modules print once, as ``(0-2): 3 x Linear(…)``."""
        return list_text([repr(module) for module in self], type(self).__name__)


class ModuleDict(Module):
    """Modules by name, in order. Source: torch.nn.ModuleDict."""

    def __init__(self, modules: Mapping[str, Module] | None = None):
        super().__init__()
        if modules is not None:
            self.update(modules)

    @classmethod
    def from_layer(cls, layer: layers.Layer, dtype: Any, source: Any) -> Module:
        """The container of a Layer's items, each as its Module."""
        return _filled(cls(), layer, dtype, source)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> Any:
        """The names."""
        return self._modules.keys()

    def values(self) -> Any:
        """The modules."""
        return self._modules.values()

    def items(self) -> Any:
        """The names with their modules."""
        return self._modules.items()

    def clear(self) -> None:
        """Remove all."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Remove and return one."""
        return self._modules.pop(key)

    def update(self, modules: Any) -> None:
        """Add modules from a mapping or from pairs."""
        for name, module in pairs("Module", modules, (OrderedDict, ModuleDict, Mapping)):
            self[name] = module


def pairs(what: str, given: Any, ordered: tuple[type, ...]) -> Iterable[tuple[str, Any]]:
    """The names and values that ``update`` of a ModuleDict or ParameterDict was given."""
    if not isinstance(given, Iterable):
        name = "ParametersDict" if what == "Parameter" else "ModuleDict"
        raise TypeError(f"{name}.update should be called with an iterable of key/value pairs, but got {type(given).__name__}")
    if isinstance(given, ordered):
        return given.items()
    if isinstance(given, Mapping):
        return sorted(given.items())
    return [_pair(what, number, item) for number, item in enumerate(given)]


def _pair(what: str, number: int, item: Any) -> tuple[str, Any]:
    if not isinstance(item, Iterable):
        raise TypeError(f"{what}Dict update sequence element #{number} should be Iterable; is{type(item).__name__}")
    if len(item) != 2:
        raise ValueError(f"{what}Dict update sequence element #{number} has length {len(item)}; 2 is required")
    return item[0], item[1]


def _filled(module: Any, layer: Any, dtype: Any, source: Any) -> Module:
    """A container with a Layer's items: layers as their Modules, functions as Modules that call them, and None."""
    for name, item in layer._items().items():
        if item is not None and not isinstance(item, layers.Layer):
            item = layers.Lambda(item)
        module.add_module(name, None if item is None else module_of(item, dtype, source))
    return module  # type: ignore[no-any-return]


LayerModule.adopt_type(layers.Sequential, Sequential)
LayerModule.adopt_type(layers.LayerList, ModuleList)
LayerModule.adopt_type(layers.LayerDict, ModuleDict)
