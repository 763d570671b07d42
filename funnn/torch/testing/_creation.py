"""Random tensors for tests."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.limits import finfo, iinfo


def make_tensor(
    *shape: Any,
    dtype: _dtype.dtype,
    device: Any,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """Values drawn uniformly from [low, high), the same as PyTorch draws after the same seed.

    Args:
      shape: sizes, or one sequence of them.
      low, high: None means [0, 2) for bool, [0, 10) for uint8, [-9, 10) for other integers and [-9, 9) for the rest (and for both parts of
        complex numbers). They are clamped to what the dtype holds.
      noncontiguous: every other element of a tensor twice as long in the last dimension.
      exclude_zero: 1, or the smallest normal number, in place of zeros.
      memory_format: of the result; not together with ``noncontiguous``.

    Raises:
      ValueError: for low ≥ high, a nan, an interval outside the dtype, and integers that should require gradients.
    """
    shape = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], Sequence) else tuple(shape)
    if noncontiguous and memory_format is not None:
        raise ValueError(
            f"The parameters `noncontiguous` and `memory_format` are mutually exclusive, but got {noncontiguous=} and {memory_format=}"
        )
    integral = dtype.category < 2
    if requires_grad and integral:
        raise ValueError(f"`requires_grad=True` is not supported for boolean and integral dtypes, but got {dtype=}")
    noncontiguous = noncontiguous and math.prod(shape) > 1
    if noncontiguous:
        shape = (*shape[:-1], 2 * shape[-1])
    low, high = _interval(dtype, low, high)
    if integral:
        result = FUNCTIONS["randint"](math.ceil(low), math.ceil(high), shape, device=device, dtype=dtype)
    else:
        result = FUNCTIONS["empty"](shape, device=device, dtype=dtype)
        _draw(FUNCTIONS["view_as_real"](result) if dtype.is_complex else result, low, high)
    if noncontiguous:
        result = result[..., 1::2]
    elif memory_format is not None:
        result = result.clone(memory_format=memory_format)
    if exclude_zero:
        tiny = 1 if integral else finfo(dtype).tiny
        result[result == 0] = complex(tiny, tiny) if dtype.is_complex else tiny
    return result.requires_grad_(requires_grad) if requires_grad else result


def _draw(values: Tensor, low: float, high: float) -> None:
    """Uniform values in place; a range too wide for ``uniform_`` is halved first."""
    if high - low >= finfo(values.dtype).max:
        values.uniform_(low / 2, high / 2).mul_(2)
    else:
        values.uniform_(low, high)


def _interval(dtype: _dtype.dtype, low: float | None, high: float | None) -> tuple[float, float]:
    """The bounds, checked and clamped to those of the dtype."""
    if dtype is _dtype.bool_:
        bottom, top, usual = 0, 2, (0, 2)
    elif dtype.category < 2:  # randint takes no bound above that of int64
        bottom, top, usual = iinfo(dtype).min, iinfo(dtype).max + (dtype is not _dtype.int64), (-9, 10)
    else:
        bottom, top, usual = finfo(dtype).min, finfo(dtype).max, (-9, 9)
    low, high = usual[0] if low is None else low, usual[1] if high is None else high
    if any(isinstance(value, float) and math.isnan(value) for value in (low, high)):
        raise ValueError(f"`low` and `high` cannot be NaN, but got {low=} and {high=}")
    if low == high and dtype.category >= 2:
        warnings.warn("`low` equal to `high` is deprecated for floating or complex types; use torch.full", FutureWarning, stacklevel=3)
    elif low >= high:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    elif high < bottom or low >= top:
        raise ValueError(
            f"The value interval specified by `low` and `high` is [{low}, {high}), but {dtype} only supports [{bottom}, {top})"
        )
    return tuple(min(max(bound, bottom), top) for bound in (low, high))
