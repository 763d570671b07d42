"""The tensors that a dataset can reach, without knowing what it is: forked workers can't read those that lie on an accelerator."""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Iterator
from typing import Any

from funnn.engine.program.value import Value

_LIBRARIES = frozenset(("funnn", "torch", "jax", "jaxlib", "numpy", *sys.stdlib_module_names)) - {"__main__"}
_OPAQUE = types.ModuleType, types.FrameType, types.TracebackType, str, bytes, int, float


def values_within(root: Any) -> list[Value]:
    """The values of all tensors that are held by ``root``, by what it holds, by closures and defaults, and by the globals that functions name."""
    found: list[Value] = []
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, _OPAQUE):
            continue
        seen.add(id(item))
        if type(item) is Value:
            found.append(item)
        elif isinstance(item, types.FunctionType):
            if not _is_librarys(item):
                waiting.extend((item.__closure__, item.__defaults__, item.__kwdefaults__, item.__dict__))
                waiting.extend(item.__globals__[name] for name in _names(item.__code__) if name in item.__globals__)
        elif isinstance(item, type):
            if not _is_librarys(item):
                waiting.extend((*vars(item).values(), *item.__bases__))
        else:
            waiting.extend(gc.get_referents(item))
    return found


def _is_librarys(item: Any) -> bool:
    return str(item.__module__).partition(".")[0] in _LIBRARIES


def _names(code: types.CodeType) -> Iterator[str]:
    """The names that a function, and those defined in it, look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)
