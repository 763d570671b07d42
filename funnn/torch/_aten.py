"""``torch.ops.aten``: PyTorch's own operators by name and overload, as libraries list them; called, they are the functions of torch."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

#: Operators that no function of torch has for its name, and what they do; None: they are names alone.
_OTHERS: dict[str, Callable[..., Any] | None] = {
    "alias": lambda x: x.view_as(x),
    "slice": lambda x, dim=0, start=None, end=None, step=1: x[(slice(None),) * (dim % x.dim()) + (slice(start, end, step),)],
    "_to_copy": lambda x, **options: x.to(copy=True, **options),
    **dict.fromkeys(
        ("_pin_memory", "_sparse_addmm", "convolution", "index", "lift_fresh", "sym_size", "sym_numel", "sym_stride", "is_pinned")
    ),
}


def _function(name: str) -> Callable[..., Any] | None:
    torch = sys.modules["funnn.torch"]
    for place in (torch, torch.nn.functional, torch.Tensor, torch.linalg, torch.special):
        found = vars(place).get(name)
        if callable(found):
            return found  # type: ignore[no-any-return]
    return None


class Operator:
    """An operator, or one of its overloads; the function decides by its arguments what it does."""

    def __init__(self, name: str, overload: str | None, function: Callable[..., Any] | None):
        self._opname, self._overloadname, self._function = name, overload, function
        self.__name__ = name if overload is None else f"{name}.{overload}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._function is None:
            raise NotImplementedError(f"torch.ops.aten.{self.__name__} is not supported: call the function or method of torch that does it")
        return self._function(*args, **kwargs)

    def __repr__(self) -> str:
        overload = "" if self._overloadname is None else f", overload='{self._overloadname}'"
        kind = "OpOverloadPacket" if self._overloadname is None else "OpOverload"
        return f"<{kind}(op='aten.{self._opname}'{overload})>"

    def __getattr__(self, overload: str) -> Operator:
        if overload.startswith("__") or self._overloadname is not None:
            raise AttributeError(f"{self!r} has no attribute {overload!r}", name=overload, obj=self)
        made = Operator(self._opname, overload, self._function)
        setattr(self, overload, made)
        return made


@functools.cache
def operator(name: str) -> Operator | None:
    """The operator of a name; None where there is no such function, and it is not one of those that libraries list."""
    function = _OTHERS.get(name) or _function(name)
    return None if function is None and name not in _OTHERS else Operator(name, None, function)
