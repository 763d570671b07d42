"""Operations on few numbers, done by NumPy.

Starting an XLA program takes longer than adding a hundred numbers. Where no gradient is recorded, nothing is being traced and the numbers
lie on one CPU device, the operations whose rows say how (``small=``) run on views of the same memory; their results stay NumPy arrays until a
program needs them. An attempt gives None for whatever it does not cover (types that differ, further arguments, errors): then the operation
runs as any other.
"""

from __future__ import annotations

import contextvars
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from jax.sharding import SingleDeviceSharding

from funnn.engine.memory.shared import SharedStorage
from funnn.engine.memory.storage import Window
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor

LIMIT = 2048  # elements of an operand, above which XLA is about as fast
_REAL, _FLOAT = "fdl", "fd"  # type codes: float32, float64 and int64; without int64
_MOST = 1e38  # a bound that every type of floating-point numbers here has


class _Quiet(threading.local):
    """Runs a function without NumPy's warnings, of which torch has none."""

    def __init__(self):
        context = contextvars.copy_context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


_quiet = _Quiet()


def numbers_of(tensor: Tensor) -> np.ndarray | None:
    """The values of a tensor, read-only, if they are few, at hand, and their gradient is not asked for."""
    recorded = tensor._grad_fn is not None or tensor._leaf_requires_grad if tensor._base is None else tensor.requires_grad
    if recorded and thread.grad:
        return None
    storage, window = tensor._storage, tensor._window
    value = storage.value
    if value.array is None:
        return _few_of(storage, window) if type(storage) is SharedStorage else None
    array = value.numbers
    if array is None:
        array = value.array
        if math.prod(value.shape if window is None else window.shape) > LIMIT:
            return None
        if type(array) is not np.ndarray:
            if not _at_hand(array):
                return None
            array = np.asarray(array)
        value.numbers = array
    if window is not None:
        array = _through(window, array)
    return array if array is not None and array.size <= LIMIT else None


def _few_of(storage: SharedStorage, window: Window | None) -> np.ndarray | None:
    """The numbers of memory that others write, as they are now, if they are few."""
    shape = storage.shape if window is None else window.shape
    if math.prod(shape) > LIMIT or (window is not None and (window.dtype is not None or storage.dtype.char not in _REAL)):
        return None
    live = storage.live(window)
    return None if live is None else live.copy()


def _at_hand(array: Any) -> bool:
    sharding = getattr(array, "sharding", None)
    if type(sharding) is not SingleDeviceSharding:
        return False
    device: Any = next(iter(sharding.device_set))
    return bool(device.platform == "cpu")


def _through(window: Window, array: np.ndarray) -> np.ndarray | None:
    if window.dtype is not None or window.turned or array.dtype.char not in _CATEGORIES:
        return None
    size = array.itemsize
    return np.ndarray(window.shape, array.dtype, array, window.offset * size, [stride * size for stride in window.stride])


def _wrapped(result: Any) -> Tensor:
    if type(result) is not np.ndarray:
        result = np.asarray(result)  # a NumPy number
    elif not result.flags.c_contiguous:
        result = np.ascontiguousarray(result)
    return Tensor._wrap(result)


def _attempt(compute: Callable) -> Callable[[tuple, dict], Tensor | None]:
    """``compute``, which gives an array or None, as what a row tries first."""

    def attempt(args: tuple, kwargs: dict) -> Tensor | None:
        try:
            result = compute(*args, **kwargs)
        except (TypeError, ValueError, AttributeError):  # the words are the operation's to choose
            return None
        return None if result is None else _wrapped(result)

    return attempt


def elementwise(function: Callable, kinds: str = _REAL, *, rounded: bool = False) -> Callable:
    """Of one operand; ``rounded``: float32 is computed in float64, because NumPy's own is less exact than XLA's."""

    def compute(input: Tensor) -> np.ndarray | None:
        array = numbers_of(input)
        if array is None or array.dtype.char not in kinds:
            return None
        if rounded and array.dtype.char == "f":
            return _quiet.run(function, array.astype(np.float64)).astype(np.float32)
        return _quiet.run(function, array)

    return _attempt(compute)


#: The larger of a number and 0; of equals, the second: −0 stays.
relu = elementwise(lambda array: np.maximum(array.dtype.type(0), array))


def binary(function: Callable, kinds: str = _REAL, *, numbers: str = "either", converted: str = "?l") -> Callable:
    """Of two operands, or one and a number that does not change its type: ``either``, the ``second``, or ``neither`` may be one.

    Of two types the operand of a lower category, if it is one of those ``converted``, takes the other's first, as in torch.
    """

    def compute(input: Any, other: Any) -> np.ndarray | None:
        x: Any = numbers_of(input) if isinstance(input, Tensor) else input
        y: Any = numbers_of(other) if isinstance(other, Tensor) else other
        kind = type(y)
        if type(x) is np.ndarray:
            code = x.dtype.char
            if kind is np.ndarray:
                if y.dtype.char != code:
                    if code in converted and _CATEGORIES[code] < _CATEGORIES.get(y.dtype.char, 0):
                        x = x.astype(y.dtype)
                    elif y.dtype.char in converted and _CATEGORIES[y.dtype.char] < _CATEGORIES.get(code, 0):
                        y = y.astype(x.dtype)
                    else:
                        return None
                if x.dtype.char not in kinds:
                    return None
            elif code not in kinds or numbers == "neither" or not _fits(y, kind, code):
                return None
        elif numbers != "either" or kind is not np.ndarray or y.dtype.char not in kinds or not _fits(x, type(x), y.dtype.char):
            return None
        return _quiet.run(function, x, y)

    return _attempt(compute)


#: By type code, of the types that are computed here and of bool.
_CATEGORIES = {"?": 0, "l": 1, "f": 2, "d": 2}


def _fits(number: Any, kind: type, code: str) -> bool:
    """Whether a Python number meets an array of that type as torch would have it, exactly."""
    return (kind is float and code != "l") or (kind is int and -(2**24) <= number <= 2**24)


def _clamp(input: Tensor, min: Any = None, max: Any = None) -> np.ndarray | None:
    """Between numbers that the operand's type has for certain. Of equals NumPy takes the second: −0 stays."""
    array = numbers_of(input)
    if array is None or array.dtype.char not in _REAL or (min is None and max is None):
        return None
    for bound in (min, max):
        if bound is not None and not (_fits(bound, type(bound), array.dtype.char) and -_MOST <= bound <= _MOST):
            return None
    if min is not None:
        array = _quiet.run(np.maximum, min, array)
    return array if max is None else _quiet.run(np.minimum, max, array)


clamp = _attempt(_clamp)
clamp_min = _attempt(lambda input, min: _clamp(input, min))
clamp_max = _attempt(lambda input, max: _clamp(input, None, max))


@_attempt
def power(input: Tensor, exponent: Any) -> np.ndarray | None:
    """Powers that are products or a root; of whole numbers, only with whole ones."""
    array, function = numbers_of(input), _POWERS.get(exponent)
    if array is None or function is None or not (array.dtype.char in _FLOAT or (array.dtype.char == "l" and type(exponent) is int)):
        return None
    return _quiet.run(function, array)


_POWERS: dict[float, Callable] = {2: np.square, 3: lambda array: array * array * array, 0.5: np.sqrt}


@_attempt
def leaky_relu(input: Tensor, negative_slope: Any = 0.01, inplace: Any = False) -> np.ndarray | None:
    array = numbers_of(input)
    if array is None or array.dtype.char not in _FLOAT or inplace is not False or type(negative_slope) not in (int, float):
        return None
    return np.where(array > 0, array, _quiet.run(np.multiply, array, negative_slope))


def reduction(function: Callable, kinds: str = _REAL) -> Callable:
    """Over all numbers, or those along one dimension."""

    def compute(input: Tensor, dim: Any = None, keepdim: bool = False) -> np.ndarray | None:
        array = numbers_of(input)
        if array is None or array.dtype.char not in kinds or not array.ndim or not (dim is None or type(dim) is int):
            return None
        if type(keepdim) is not bool:  # which the operation itself refuses
            return None
        return _quiet.run(function, array, dim, keepdims=keepdim)

    return _attempt(compute)


@_attempt
def matrix_product(left: Tensor, right: Tensor) -> np.ndarray | None:
    x, y = numbers_of(left), numbers_of(right)
    if x is None or y is None or x.dtype is not y.dtype or x.dtype.char not in _FLOAT or x.ndim != 2 or y.ndim != 2:
        return None
    return _quiet.run(np.dot, x, y)  # twice as quick as matmul, here


def mean(array: np.ndarray, axis: int | None, keepdims: bool) -> np.ndarray:
    """The mean, as torch computes it: the sum over the count."""
    reduce: Any = np.add.reduce
    total = reduce(array, axis, keepdims=keepdims)
    return total / array.dtype.type(array.size if axis is None else array.shape[axis])
