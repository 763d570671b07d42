"""Which arguments of torch's functions must be Tensors: a number in their place is a TypeError. The functions' own annotations say it.

``Array`` (of a pure function) and ``Tensor`` (of a function on Tensors) must be one, or None where that is the default; of two parameters that are
``Operand``, one must be; ``input`` and ``self`` must be one where nothing else is said of them; ``Any`` and all others may be anything.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from funnn.engine.program.value import Value
from funnn.engine.tensor.overrides import PROTOCOL
from funnn.engine.tensor.tensor import Tensor

#: A Tensor, or a number beside one.
Operand = Any

_TENSORS = frozenset(f"{name}{optional}" for name in ("Array", "jax.Array", "Tensor") for optional in ("", " | None"))
_TAKEN = (Tensor, jax.Array, np.ndarray, np.generic, Value)
_NUMBERS = (int, float, complex, str, list, tuple)
_ONE_OF = "one of"  # stands for the first two parameters where one must be a Tensor
_ABSENT = object()


def tensors_of(like: Callable) -> dict[str, int]:
    """The parameters of the function that must be Tensors, with their positions."""
    parameters = list(inspect.signature(like).parameters.values())
    if any(parameter.annotation == "Operand" for parameter in parameters):
        return {_ONE_OF: 0}
    return {parameter.name: position for position, parameter in enumerate(parameters) if _is_tensor(parameter)}


def _is_tensor(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    if annotation is parameter.empty:
        return parameter.name in ("input", "self")
    return (annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")) in _TENSORS


def tensors_only(name: str, run: Callable, wanted: dict[str, int]) -> Callable:
    """``run``, after a look at the arguments that must be Tensors (or arrays, in a pure function)."""
    if not wanted:
        return run

    may_be_none = _may_be_none(run)

    @functools.wraps(run)
    def checked(*args: Any, **kwargs: Any) -> Any:
        for parameter, position in wanted.items():
            value = args[position] if position < len(args) else kwargs.get(parameter, _ABSENT)
            if parameter == "tensors":  # any number of them
                _check_each(args[position:])
            elif parameter == _ONE_OF:
                if len(args) == 2 and all(isinstance(arg, _NUMBERS) or (isinstance(arg, jax.Array) and arg.weak_type) for arg in args):
                    raise TypeError(f"{name.rpartition('.')[2]}(): one of two operands must be Tensor, got two numbers")
            elif not _is_taken(value) and value is not _ABSENT and not (value is None and parameter in may_be_none):
                raise TypeError(
                    f"{name.rpartition('.')[2]}(): argument '{parameter}' (position {position + 1}) must be Tensor, not {type(value).__name__}; "
                    "make one with torch.tensor(…)"
                )
        return run(*args, **kwargs)

    return checked


def _may_be_none(function: Callable) -> frozenset[str]:
    """The parameters whose default is None, or whose annotation says it."""
    parameters = inspect.signature(function).parameters.values()
    return frozenset(item.name for item in parameters if item.default is None or str(item.annotation).endswith("| None"))


def _is_taken(value: Any) -> bool:
    """Whether a value is a tensor or what counts as one; of a class that overrides functions that is for the class to say."""
    return isinstance(value, _TAKEN) or hasattr(type(value), PROTOCOL)


def _check_each(tensors: tuple) -> None:
    for number, value in enumerate(tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors):
        if not _is_taken(value):
            raise TypeError(f"expected Tensor as element {number} in argument 0, but got {type(value).__name__}")
