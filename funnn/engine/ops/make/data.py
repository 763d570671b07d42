"""Python's data for a tensor: numbers, nested sequences of them and arrays, as a NumPy array and the dtype that torch infers."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

from funnn.engine.memory.numpy_memory import check_order
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.sequences import is_sequence

NUMBERS = (bool, int, float, complex)
_ARRAYS = (np.ndarray, np.generic, jax.Array)
_LISTS = (list, tuple, range)


def values_of(data: Any, infers: bool = True) -> tuple[np.ndarray, _dtype.dtype]:
    """Python data as a NumPy array, and the dtype that torch infers for it; unless it ``infers``, what is no number is converted to one."""
    if isinstance(data, _ARRAYS):
        values = np.asarray(data)
        check_order(values)
        return values, _dtype.dtype.of(values.dtype)
    data = data if infers else _converted_items(data)
    kinds = _kinds(data)
    if not kinds:
        return np.zeros(np.shape(data), np.float32), _dtype.get_default_dtype()
    try:
        values = np.asarray(_plain(data))
        if values.dtype == object:
            raise OverflowError
        return values, functools.reduce(_dtype.join, kinds)
    except ValueError as error:
        _check_lengths(data, _first_lengths(data))
        raise ValueError(f"expected sequence of equal length at every level of the data: {error}") from None
    except OverflowError:
        if not infers:
            return np.asarray(_plain(data), np.float64), _dtype.float64
        raise ValueError("Overflow when unpacking long long: an integer does not fit into 64 bits") from None


def _kinds(data: Any, first: bool = False) -> set[_dtype.dtype]:
    """The dtypes of the items of nested sequences; ``first``, data is the first item of one, whose kind torch takes for a dimension."""
    if isinstance(data, (Tensor, *_ARRAYS)):
        return {_dtype.dtype.of(data.dtype.numpy if isinstance(data, Tensor) else data.dtype)}
    if isinstance(data, _LISTS):
        types = set(map(type, data))
        if types.issubset(NUMBERS):
            return {_dtype.category_default(NUMBERS.index(item)) for item in types}
        return set().union(*[_kinds(item, number == 0) for number, item in enumerate(data)])
    if isinstance(data, NUMBERS):
        return _kinds([data])
    if isinstance(data, str) and first:
        raise ValueError(f"too many dimensions 'str': expected numbers, or nested sequences of them, got {data[:40]!r} inside")
    if isinstance(data, (str, bytes)):
        raise TypeError(
            f"new(): invalid data type '{type(data).__name__}'; expected numbers, or nested sequences of them, got {data[:40]!r}"
        )
    if is_sequence(data):
        return _kinds(list(data))
    raise RuntimeError(f"Could not infer dtype of {type(data).__name__}; expected numbers, or nested sequences of them")


def _plain(data: Any) -> Any:
    """Tensors inside lists as numbers, sequences as lists."""
    if isinstance(data, Tensor):
        return data._number()
    if isinstance(data, (list, tuple)):
        return [_plain(item) for item in data]
    return data if isinstance(data, (range, *NUMBERS, *_ARRAYS)) else [_plain(item) for item in data]


def _converted_items(data: Any) -> Any:
    """Objects that convert themselves to numbers as these, for a dtype that was asked for."""
    if isinstance(data, (Tensor, range, str, bytes, *NUMBERS, *_ARRAYS)):
        return data
    if isinstance(data, (list, tuple)):
        return data if set(map(type, data)).issubset(NUMBERS) else [_converted_items(item) for item in data]
    if hasattr(type(data), "__index__"):
        return data.__index__()
    if hasattr(type(data), "__float__"):
        return float(data)
    if is_sequence(data):
        return _converted_items(list(data))
    raise TypeError(f"must be real number, not {type(data).__name__}")


def _first_lengths(data: Any) -> list[int]:
    """The shape of nested sequences, as far as the first one at each level tells it."""
    lengths: list[int] = []
    while isinstance(data, _LISTS):
        lengths.append(len(data))
        if not data:
            break
        data = data[0]
    return lengths


def _check_lengths(data: Any, lengths: list[int], dim: int = 0) -> None:
    """Raise torch's error where nested sequences have not the shape that their first ones have."""
    if dim == len(lengths):
        if isinstance(data, _LISTS):
            raise TypeError(
                f"'{type(data).__name__}' object cannot be interpreted as an integer: a sequence stands where others have numbers"
            )
        if isinstance(data, Tensor):
            _number_of(data)
        return
    if isinstance(data, _ARRAYS):
        data = np.asarray(data).tolist()
    if not isinstance(data, _LISTS):
        raise TypeError(f"not a sequence: the number {data!r} stands at dim {dim} beside sequences of numbers")
    if len(data) != lengths[dim]:
        raise ValueError(
            f"expected sequence of length {lengths[dim]} at dim {dim} (got {len(data)}); all sequences of one level need the same length"
        )
    for item in data:
        _check_lengths(item, lengths, dim + 1)


def _number_of(tensor: Tensor) -> None:
    if tensor.numel() != 1:
        raise ValueError(f"only one element tensors can be converted to Python scalars; this one has shape {list(tensor.shape)}")


def fitting(data: Any, values: np.ndarray, kind: _dtype.dtype) -> _dtype.dtype:
    """The type asked for, if the numbers of Python data can be of it (those of arrays wrap around)."""
    if isinstance(data, (np.ndarray, jax.Array)) or not values.size:
        return kind
    if kind.category == 1 and kind is not _dtype.uint64 and values.dtype in (np.uint64, np.float64) and _kinds(data) == {_dtype.int64}:
        raise ValueError("Overflow when unpacking long long: an integer does not fit into 63 bits and a sign")
    if values.dtype.kind == "c" and kind is not _dtype.bool_ and not kind.is_complex:
        raise TypeError(f"can't convert complex to {kind.name}; take the real part, or use a complex dtype")
    if kind.category == 1 and values.dtype.kind in "iuf":
        for value in (values.min(), values.max()):
            _dtype.check_fits(value.item(), kind)
    return kind


def number_of(function: str, name: str, position: int, value: Any) -> Any:
    """A Python number from one, one of NumPy's, or a tensor of no dimensions."""
    if isinstance(value, Tensor) and not value.dim():
        return value.item()
    if isinstance(value, np.generic):
        value = _dtype.plain_number(value)
    if not isinstance(value, NUMBERS):
        raise TypeError(f"{function}(): argument '{name}' (position {position}) must be Number, not {type(value).__name__}")
    _dtype.check_bits(value)
    return value
