"""torch.jit: what scripts write for TorchScript. Nothing needs compiling to another language here, so functions and modules stay as they are.

For one XLA program of a whole function, use ``torch.compile``.
"""

from __future__ import annotations

import builtins
import types
import typing
from collections.abc import Callable
from typing import Any, NamedTuple
from typing import Final as Final


def script(obj: Any, *args: Any, **kwargs: Any) -> Any:
    """``obj`` itself: a function, class or module."""
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    """``func`` itself; unlike torch's, it keeps its control flow."""
    return func


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """Decorator without effect, with or without arguments."""
    return drop if callable(drop) else lambda function: function


def _same(function: Callable) -> Callable:
    """Decorator without effect."""
    return function


export = unused = interface = script_method = script_if_tracing = _overload = _overload_method = _same


def annotate(the_type: Any, the_value: Any) -> Any:
    """``the_value``: its type matters to TorchScript only."""
    return the_value


class Attribute(NamedTuple):
    """A value with the type that it would have in TorchScript."""

    value: Any
    type: Any


def isinstance(obj: Any, target_type: Any) -> bool:
    """Whether ``obj`` is of a type, which may be a container of types such as ``list[torch.Tensor]``: then all its items are looked at.

    Raises:
      RuntimeError: a container without the types of its items.
    """
    if typing.get_origin(target_type) in (typing.Union, types.UnionType):
        return any(isinstance(obj, kind) for kind in typing.get_args(target_type))
    if builtins.isinstance(target_type, tuple):
        return any(isinstance(obj, kind) for kind in target_type)
    origin, items = typing.get_origin(target_type), typing.get_args(target_type)
    if origin is None:
        if target_type in (list, dict, tuple, typing.List, typing.Dict, typing.Tuple):  # noqa: UP006
            raise RuntimeError(f"Attempted to use {target_type} without contained types; write for instance list[int]")
        return target_type is Any or builtins.isinstance(obj, type(None) if target_type is None else target_type)
    if not builtins.isinstance(obj, origin):
        return False
    if origin is dict:
        return all(isinstance(key, items[0]) and isinstance(value, items[1]) for key, value in obj.items())
    if origin is tuple and len(items) == len(obj) and Ellipsis not in items:
        return all(map(isinstance, obj, items))
    return origin is not tuple and all(isinstance(item, items[0]) for item in obj)


def trace_module(mod: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
    """``mod`` itself."""
    return mod


def freeze(mod: Any, *args: Any, **kwargs: Any) -> Any:
    """``mod`` itself."""
    return mod


optimize_for_inference = freeze


def is_scripting() -> bool:
    """False: nothing is TorchScript."""
    return False


def is_tracing() -> bool:
    """False: nothing is traced to TorchScript."""
    return False


def save(*args: Any, **kwargs: Any) -> None:
    """Not supported: TorchScript archives hold code of another language."""
    raise NotImplementedError("torch.jit.save is not supported; save model.state_dict(), or export a jitted function with jax.export")


def load(*args: Any, **kwargs: Any) -> None:
    """Not supported: TorchScript archives hold code of another language."""
    raise NotImplementedError("torch.jit.load is not supported: build the model in Python and load its state_dict")
