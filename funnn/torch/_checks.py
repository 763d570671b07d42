"""Checks that libraries write with torch's functions: ``torch._check(condition, message)`` and its kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn.engine.types.warning import say
from funnn.torch import _namespace as torch

_PLAIN = "Expected cond to be True, but got False. (Could this error message be improved? If so, please report an enhancement request to PyTorch.)"


def _raiser(error: type[Exception]) -> Callable[..., None]:
    def check(cond: Any, message: Callable[[], str] | None = None) -> None:
        if not isinstance(cond, bool):
            raise TypeError(f"cond must be a bool, but got {type(cond)}")
        if not cond:
            raise error(_PLAIN if message is None else str(message()))

    check.__doc__ = f"Raise {error.__name__} with what ``message`` gives unless the condition is True."
    return check


_check, _check_value, _check_index = map(_raiser, (RuntimeError, ValueError, IndexError))
_check_type, _check_not_implemented = map(_raiser, (TypeError, NotImplementedError))


def _check_is_size(i: Any, message: Callable[[], str] | None = None, *, max: Any = None) -> None:
    """Raise RuntimeError for a negative size, or for one that is greater than ``max``."""
    text = "_check_is_size will be removed in a future PyTorch release along with guard_size_oblivious.     Use _check(i >= 0) instead."
    say(text, FutureWarning)
    _check(i >= 0, message)
    if max is not None:
        _check(i <= max, message)


def _check_tensor_all(cond: Any, message: Callable[[], str] | None = None) -> None:
    """Raise RuntimeError unless all elements are True."""
    _check(bool(cond.all()), message)


def _tensor(name: str, input: Any) -> torch.Tensor:
    if not isinstance(input, torch.Tensor):
        raise TypeError(f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    return input


def _assert_async(input: Any, assert_msg: str = "Expected Tensor with single nonzero value, but got zero") -> None:
    """Raise RuntimeError if the one element is 0; at once here."""
    if not _tensor("_assert_async", input).item():
        raise RuntimeError(assert_msg)


def _shape_as_tensor(input: Any) -> Any:
    """The sizes, as a tensor."""
    return torch.tensor(list(_tensor("_shape_as_tensor", input).shape), dtype=torch.int64)
