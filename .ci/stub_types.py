"""Types as text in a stub: names that are imported where needed, under another name where the stub has that name for something else."""

from __future__ import annotations

import builtins
import collections.abc
import re
import sys
import types
import typing
from typing import Any

import jax
import numpy

import funnn.torch as torch

#: What a bare generic type stands for.
_BARE = {
    **dict.fromkeys((list, set, frozenset, type, collections.abc.Iterable, collections.abc.Iterator, collections.abc.Sequence), "[Any]"),
    **dict.fromkeys((dict, collections.OrderedDict, collections.abc.Mapping, numpy.ndarray), "[Any, Any]"),
    tuple: "[Any, ...]",
    collections.abc.Callable: "[..., Any]",
}

#: Names that annotations may use though their file imports them for type checkers alone.
_COMMON = {
    **{name: getattr(typing, name) for name in typing.__all__},
    **{name: getattr(collections.abc, name) for name in collections.abc.__all__},
    **{
        name: getattr(torch, name) for name in ("Tensor", "Size", "Generator", "dtype", "device", "layout", "memory_format", "return_types")
    },
    **{"Parameter": torch.nn.Parameter, "Module": torch.nn.Module, "Optimizer": torch.optim.Optimizer, "np": numpy, "jax": jax},
}


class Unknown(Exception):
    """A type that a stub does not name."""


class Names:
    """The names that a stub binds, and those that its annotations need besides.

    Args:
      module: whose stub it is.
      bound: what the stub binds at its top level, by name.
      hidden: names of attributes of its classes, which hide those of the module within them.
      homes: the id of a class or function -> the module and the name by which it can be imported.
    """

    def __init__(self, module: str, bound: dict[str, Any], hidden: set[str], homes: dict[int, tuple[str, str]]):
        self.module, self.bound, self.hidden, self.homes = module, bound, hidden, homes
        self.chosen: dict[tuple[str, str], str] = {}
        self.imports: set[str] = set()
        self.aliases: set[str] = set()

    def of(self, module: str, name: str) -> str:
        """The text that means ``module.name`` in this stub."""
        if (module, name) not in self.chosen:
            self.chosen[module, name] = self._choose(module, name)
        return self.chosen[module, name]

    def _choose(self, module: str, name: str) -> str:
        value = getattr(sys.modules[module], name)
        if name not in self.hidden and self.bound.get(name, self) is value:
            return name
        free = name not in self.hidden and name not in self.bound
        if free and module in ("builtins", "typing", "collections.abc"):
            self.imports |= {f"from {module} import {name}"} - {f"from builtins import {name}"}
            return name
        other = f"_{name}" if name[0] != "_" else f"{name}_"
        while other in self.bound or other in self.hidden or other in self.chosen.values():
            other += "_"
        if module == self.module:
            self.aliases.add(f"{other} = {name}")
        else:
            self.imports.add(f"from {module} import {name} as {other}")
        return other

    # -- annotations

    @property
    def any(self) -> str:
        return self.of("typing", "Any")

    def parse(self, annotation: Any, namespace: dict[str, Any] | None = None, tensors: bool = False) -> str | None:
        """An annotation as text; None where there is none or it can't be known. With ``tensors``, JAX's arrays are Tensors."""
        if annotation is None or annotation is typing.Any:
            return "None" if annotation is None else self.any
        if not isinstance(annotation, str):
            candidates = [annotation]
        else:
            candidates = []
            for names in ({**_COMMON, **(namespace or {})}, {**vars(builtins), **_COMMON}):
                try:
                    candidates.append(eval(annotation, dict(names)))
                except Exception:
                    continue
        for candidate in candidates:
            try:
                return self.text(candidate, tensors)
            except Unknown:
                continue
        return None

    def text(self, value: Any, tensors: bool = False) -> str:
        """A type as text."""
        if value is None or value is types.NoneType:
            return "None"
        if value is ...:
            return "..."
        if value is typing.Any or isinstance(value, typing.TypeVar):
            return self.any
        if value in (typing.Self, typing.NoReturn, typing.Never):
            return self.of("typing", value._name)
        if isinstance(value, (str, typing.ForwardRef)):
            found = self.parse(value if isinstance(value, str) else value.__forward_arg__, tensors=tensors)
            if found is None:
                raise Unknown(value)
            return found
        if isinstance(value, list):  # the arguments of a Callable
            return f"[{', '.join(self.text(item, tensors) for item in value)}]"
        origin, items = typing.get_origin(value), typing.get_args(value)
        if origin in (typing.Union, types.UnionType):
            return " | ".join(dict.fromkeys(self.text(item, tensors) for item in items))
        if origin is typing.Literal:
            return f"{self.of('typing', 'Literal')}[{', '.join(map(repr, items))}]"
        if origin is typing.ClassVar:
            return f"{self.of('typing', 'ClassVar')}[{self.text(items[0], tensors)}]"
        if origin is not None:
            return f"{self._class(origin, tensors)}[{', '.join(self.text(item, tensors) for item in items) or '()'}]"
        if isinstance(value, type):
            bare = _BARE.get(value)
            if bare is not None:
                return self._class(value, tensors) + re.sub(r"\bAny\b", lambda _: self.any, bare)
            return self._class(value, tensors)
        raise Unknown(value)

    def _class(self, kind: type, tensors: bool) -> str:
        if kind is jax.Array:
            return self.of(*self.homes[id(torch.Tensor)]) if tensors else self.of("jax", "Array")
        if id(kind) in self.homes:
            return self.of(*self.homes[id(kind)])
        module, name = kind.__module__, kind.__qualname__
        module = "numpy" if kind is numpy.ndarray else module
        top = module.partition(".")[0]
        known = getattr(sys.modules.get(module), name, None) is kind
        if not known or not (top in ("numpy", "funnn") or top in sys.stdlib_module_names):
            raise Unknown(kind)
        return self.of(module, name)
