"""What is another function while a program is traced: calls and attributes of modules, and functions that ``wrap`` names."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable
from typing import Any

from funnn.engine.types.tree import items_of
from funnn.torch.fx._wrapping import wrapped_functions
from funnn.torch.fx.proxy import Proxy

_MISSING = object()
_MARK = "_fx_already_patched"


class Patcher:
    """Functions put in the places of others, until the block ends; then all are back, the last first."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._seen: set[int] = set()

    def __enter__(self) -> Patcher:
        return self

    def __exit__(self, *exc: Any) -> None:
        while self._undo:
            self._undo.pop()()

    def patch_method(self, cls: type, name: str, new_fn: Callable, deduplicate: bool = True) -> None:
        """Put a method into a class; with ``deduplicate`` unless there is one already that was put there so."""
        if getattr(getattr(cls, name), _MARK, False):
            return
        setattr(new_fn, _MARK, deduplicate)
        before = vars(cls).get(name, _MISSING)
        setattr(cls, name, new_fn)
        self._undo.append(functools.partial(delattr, cls, name) if before is _MISSING else functools.partial(setattr, cls, name, before))

    def patch_globals(self, variables: dict[str, Any], name: str) -> None:
        """Let a function that a module has record its call where it meets a proxy."""
        before = variables.get(name, _MISSING)
        function = getattr(builtins, name) if before is _MISSING else before
        if getattr(function, _MARK, False):
            return
        variables[name] = recording(function)
        self._undo.append(
            functools.partial(variables.pop, name) if before is _MISSING else functools.partial(variables.__setitem__, name, before)
        )

    def patch_wrapped(self) -> None:
        """Those that ``wrap`` was called for."""
        for (_, name), variables in list(wrapped_functions.items()):
            self.patch_globals(variables, name)

    def patch_listed(self, variables: dict[str, Any], functions: set[int]) -> None:
        """Those of a module whose ids are listed."""
        if id(variables) in self._seen:
            return
        self._seen.add(id(variables))
        for name, value in list(variables.items()):
            if not name.startswith("_") and callable(value) and id(value) in functions:
                self.patch_globals(variables, name)


def find_proxy(*values: Any) -> Proxy | None:
    """One of the proxies in some arguments."""
    return next((item for item in items_of(values) if isinstance(item, Proxy)), None)


def recording(function: Callable) -> Callable:
    """``function``, but a call with a proxy is recorded."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        proxy = find_proxy(args, kwargs)
        if proxy is None:
            return function(*args, **kwargs)
        result = proxy.tracer.create_proxy("call_function", function, args, kwargs)
        result.node.meta["is_wrapped"] = True
        return result

    setattr(wrapped, _MARK, True)
    return wrapped
