"""torch.masked: reductions and normalisations over the elements that a mask keeps.

An element that is masked out counts as the operation's neutral one: 0 in a sum, 1 in a product, −∞ in a maximum. The mask is broadcast to
the input and converted to truth values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jax import Array

from funnn import functional as F
from funnn.engine.ops.kit.table import FUNCTIONS, publish
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.limits import iinfo


def _axes(dim: Any, rank: int) -> tuple[int, ...]:
    """The dimensions, ascending; None and () mean all."""
    if dim is None or dim == ():
        return tuple(range(rank))
    if not isinstance(dim, (int, tuple, list)):
        raise TypeError(f"argument 'dim' must be int or tuple of ints, not {type(dim).__name__}")
    found = []
    for each in dim if isinstance(dim, (tuple, list)) else (dim,):
        if not -max(rank, 1) <= each < max(rank, 1):
            raise IndexError(f"Dimension out of range (expected to be in range of [{-max(rank, 1)}, {max(rank, 1) - 1}], but got {each})")
        if each % max(rank, 1) in found:
            raise RuntimeError(f"dim={each} appears multiple times in the list of dims")
        found.append(each % max(rank, 1))
    return tuple(sorted(found))


def _full_mask(input: Tensor, mask: Tensor) -> Tensor:
    if mask.dim() > input.dim():
        raise IndexError("_input_mask expected broadcastable mask (got mask dimensionality higher than of the input)")
    return mask.broadcast_to(input.shape).to(_dtype.bool_)


def _lowest(kind: _dtype.dtype) -> float | int:
    return -math.inf if kind.category >= 2 else iinfo(kind).min


def _highest(kind: _dtype.dtype) -> float | int:
    return math.inf if kind.category >= 2 else iinfo(kind).max


def _kept(input: Tensor, mask: Tensor | None, neutral: Callable | complex) -> Tensor:
    """The input with the neutral element where the mask is False."""
    if mask is None:
        return input
    value = neutral(input.dtype) if callable(neutral) else neutral
    return FUNCTIONS["where"](_full_mask(input, mask), input, FUNCTIONS["tensor"](value, dtype=input.dtype))


def _sum_kind(input: Tensor, dtype: Any) -> Any:
    return dtype if dtype is not None else _dtype.int64 if input.dtype.category < 2 else input.dtype


def sum(input, dim=None, *, keepdim=False, dtype=None, mask: Array | None = None):
    """The sum over ``dim``."""
    dtype = _sum_kind(input, dtype)
    return FUNCTIONS["sum"](_kept(input, mask, 0), _axes(dim, input.dim()), bool(keepdim), dtype=dtype)


def prod(input, dim=None, *, keepdim=False, dtype=None, mask: Array | None = None):
    """The product over ``dim``."""
    dtype = _sum_kind(input, dtype)
    result = _kept(input, mask, 1)
    for axis in sorted(_axes(dim, input.dim()), reverse=True):
        result = FUNCTIONS["prod"](result, axis, bool(keepdim), dtype=dtype)
    return result if result.dtype is dtype else result.to(dtype)


def _cumulative(name: str, neutral: int) -> None:
    def scan(input, dim, *, dtype=None, mask: Array | None = None):
        kind = input.dtype if dtype is None else dtype
        return FUNCTIONS[name](_kept(input, mask, neutral), _axes(dim, input.dim())[0], dtype=kind)

    scan.__doc__ = f"{name} along ``dim``."
    publish(f"masked.{name}", scan)


def _extreme(name: str, neutral: Callable) -> None:
    def extreme(input, dim=None, *, keepdim=False, dtype=None, mask: Array | None = None):
        kind = input.dtype if dtype is None else dtype
        return FUNCTIONS[name](_kept(input, mask, neutral), _axes(dim, input.dim()), bool(keepdim)).to(kind)

    def place(input, dim=None, *, keepdim=False, dtype=None, mask: Array | None = None):
        kind = input.dtype if dtype is None else dtype
        return FUNCTIONS[f"arg{name[1:]}"](_kept(input, mask, neutral), dim, bool(keepdim)).to(kind)

    extreme.__doc__ = f"The {name[1:]}imum over ``dim``."
    place.__doc__ = f"The place of the {name[1:]}imum, as numbers of the input's type unless ``dtype`` says another."
    publish(f"masked.{name}", extreme)
    publish(f"masked.arg{name[1:]}", place)


def _count(input: Tensor, dim: Any, keepdim: bool, mask: Tensor | None) -> Tensor:
    """How many elements there are to reduce."""
    kept = FUNCTIONS["ones"](input.shape, dtype=_dtype.bool_) if mask is None else _full_mask(input, mask)
    return kept.sum(_axes(dim, input.dim()), keepdim)


def mean(input, dim=None, *, keepdim=False, dtype=None, mask: Array | None = None):
    """The mean over ``dim``, NaN where nothing is kept."""
    kind = input.dtype if dtype is None else _dtype.as_dtype(dtype)
    if kind.category < 2:
        source = "Input" if dtype is None else "Optional"
        raise ValueError(
            f"mean(): Could not infer output dtype. {source} dtype must be either a floating point or complex dtype. Got: {kind}"
        )
    return sum(input, dim, keepdim=keepdim, dtype=kind, mask=mask) / _count(input, dim, bool(keepdim), mask)


def median(input, dim=-1, *, keepdim=False, dtype=None, mask: Array | None = None):
    """The median along ``dim``, NaN where nothing is kept."""
    floats = input.dtype.is_floating_point
    values = input if floats else input.float()
    result = FUNCTIONS["nanmedian"](_kept(values, mask, math.nan), _axes(dim, input.dim())[0], keepdim).values
    if floats:
        return result
    if bool(result.isnan().any()):
        raise ValueError("masked median expects no fully masked out rows if dtype is not floating point")
    return result.to(input.dtype if dtype is None else dtype)


def norm(input, ord=2.0, dim=None, *, keepdim=False, dtype=None, mask: Array | None = None):
    """linalg.vector_norm over ``dim``."""
    kind = input.dtype if dtype is None else dtype
    kept = _kept(input, mask, math.inf if ord == -math.inf else 0)
    return FUNCTIONS["linalg.vector_norm"](kept, ord, _axes(dim, input.dim()), bool(keepdim), dtype=kind)


def _variance(input: Tensor, dim: Any, unbiased: Any, correction: Any, keepdim: Any, dtype: Any, mask: Any) -> tuple[Tensor, Any]:
    """The sum of squared distances from the mean by the count less the correction, not below 0; and the type of the result."""
    if unbiased is not None and correction is not None:
        raise AssertionError("Only one of unbiased and correction may be given")
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    kind = _dtype.as_dtype(dtype) if dtype is not None else input.dtype if input.dtype.category >= 2 else _dtype.float32
    wide = kind if kind.category >= 2 else _dtype.float32
    centre = sum(input, dim, keepdim=True, dtype=kind, mask=mask) / _count(input, dim, True, mask)
    distance = input - centre
    total = sum(distance * distance.conj(), dim, keepdim=keepdim, dtype=wide, mask=mask)
    count = _count(input, dim, bool(keepdim), mask)
    if correction != 0:
        count = (count.to(total.real.dtype) - correction).clamp(min=0)
    return (total / count).to(kind), kind


def var(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask: Array | None = None):
    """The variance over ``dim``, divided by the count less ``correction``, which is 1 by default; NaN where nothing is kept."""
    return _variance(input, dim, unbiased, correction, keepdim, dtype, mask)[0]


def std(input, dim=None, unbiased=None, *, correction=None, keepdim=False, dtype=None, mask: Array | None = None):
    """The root of the variance over ``dim``."""
    return _variance(input, dim, unbiased, correction, keepdim, dtype, mask)[0].sqrt()


def logsumexp(input, dim=None, *, keepdim=False, dtype=None, mask: Array | None = None):
    """log Σ exp(input) over ``dim``."""
    kind = input.dtype if dtype is None else dtype
    return FUNCTIONS["logsumexp"](_kept(input, mask, _lowest), _axes(dim, input.dim()), keepdim=keepdim).to(kind)


def logaddexp(input, other, *, dtype=None, input_mask=None, other_mask=None):
    """log(exp(input) + exp(other)), each with its own mask."""
    kind = input.dtype if dtype is None else dtype
    return FUNCTIONS["logaddexp"](_kept(input, input_mask, _lowest), _kept(other, other_mask, _lowest)).to(kind)


def _normalisation(name: str, neutral: Callable) -> None:
    function = getattr(F, name)

    def normalised(input, dim, *, dtype=None, mask: Array | None = None):
        kind = input.dtype if dtype is None else dtype
        return function(_kept(input, mask, neutral), _axes(dim, input.dim())[0], dtype=kind)

    normalised.__doc__ = f"{name} along ``dim``."
    publish(f"masked.{name}", normalised)


def normalize(input, ord, dim, *, eps=1e-12, dtype=None, mask: Array | None = None):
    """The input by its norm along ``dim``, which counts as ``eps`` if it is less; 0 where it is masked out."""
    size = norm(input, ord, dim, keepdim=True, dtype=input.dtype if dtype is None else dtype, mask=mask)
    return _kept(input, mask, 0) / FUNCTIONS["maximum"](size, FUNCTIONS["tensor"](eps, dtype=size.dtype))


_cumulative("cumsum", 0)
_cumulative("cumprod", 1)
_extreme("amax", _lowest)
_extreme("amin", _highest)
_normalisation("softmax", _lowest)
_normalisation("log_softmax", _lowest)
_normalisation("softmin", _highest)
for _function in (sum, prod, mean, median, norm, var, std, logsumexp, logaddexp, normalize):
    publish(f"masked.{_function.__name__}", _function)
