"""Operations that reduce dimensions."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import jax
import jax.numpy as jnp

from funnn.torch import _dtype
from funnn.torch._call import Op, call
from funnn.torch._ops.table import publish, row
from funnn.torch._ops.views import wrap_dim
from funnn.torch._tensor import Tensor


class _Pair(namedtuple("_Pair", ("values", "indices"))):
    """What max, min, sort and topk return along a dimension."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"torch.return_types.{type(self).__name__}(\nvalues={self.values},\nindices={self.indices})"


Pair = {name: type(name, (_Pair,), {"__slots__": ()}) for name in ("max", "min", "sort", "topk")}


def _axes(dim: Any, input: Any) -> Any:
    """torch's dim as an axis or axes of ``input``: None and () mean all, and a number has one dimension of size 1."""
    if dim is None or dim == () or dim == []:
        return None
    axes = tuple(wrap_dim(d, input.ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,)))
    return axes if input.ndim else ()


def _by_dim(name: str) -> Any:
    def grad(input, dim=None, *args, **kwargs):
        return f"{name}Backward{int(dim is not None)}"

    return grad


def _kind(dtype: Any) -> Any:
    return None if dtype is None else _dtype.as_dtype(dtype).numpy


def sum(input, dim=None, keepdim=False, *, dtype=None):
    """The sum over ``dim`` (all by default); integers add up as int64."""
    kind = _kind(dtype) or (jnp.int64 if not jnp.issubdtype(input.dtype, jnp.inexact) else input.dtype)
    return jnp.sum(input.astype(kind), axis=_axes(dim, input), keepdims=keepdim)


def prod(input, dim=None, keepdim=False, *, dtype=None):
    """The product over ``dim`` (all by default); integers multiply as int64."""
    kind = _kind(dtype) or (jnp.int64 if not jnp.issubdtype(input.dtype, jnp.inexact) else input.dtype)
    return jnp.prod(input.astype(kind), axis=_axes(dim, input), keepdims=keepdim)


def mean(input, dim=None, keepdim=False, *, dtype=None):
    """The mean over ``dim`` (all by default)."""
    kind = _kind(dtype) or input.dtype
    if not jnp.issubdtype(kind, jnp.inexact):
        name = _dtype.dtype.of(kind).legacy
        raise RuntimeError(
            f"mean(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: {name}; "
            "use x.float().mean() or mean(dtype=torch.float32)"
        )
    return jnp.mean(input.astype(kind), axis=_axes(dim, input), keepdims=keepdim)


def _moment(function: Any) -> Any:
    def apply(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
        """The variance (or its root) over ``dim``, divided by N − correction (1 by default)."""
        if isinstance(dim, bool):  # the overload var(unbiased)
            dim, unbiased = None, dim
        ddof = (1 if unbiased is None else int(unbiased)) if correction is None else correction
        return function(input, axis=_axes(dim, input), ddof=ddof, keepdims=keepdim)

    return apply


row("sum", sum, _by_dim("Sum"))
row("prod", prod, _by_dim("Prod"), saves=("input", "result"))
row("mean", mean, _by_dim("Mean"))
row("var", _moment(jnp.var), "VarBackward0", saves=("input",))
row("std", _moment(jnp.std), "StdBackward0", saves=("input", "result"))


def all(input, dim=None, keepdim=False):
    """Whether all elements are true."""
    return jnp.all(input, axis=_axes(dim, input), keepdims=keepdim)


def any(input, dim=None, keepdim=False):
    """Whether some element is true."""
    return jnp.any(input, axis=_axes(dim, input), keepdims=keepdim)


def _position(find: Any, input: Any, dim: Any, keepdim: bool) -> Any:
    dim = None if dim is None else wrap_dim(dim, input.ndim)
    return find(input, axis=dim if input.ndim else None, keepdims=keepdim).astype(jnp.int64)


def argmax(input, dim=None, keepdim=False):
    """The position of the first maximum (of the flattened tensor by default)."""
    return _position(jnp.argmax, input, dim, keepdim)


def argmin(input, dim=None, keepdim=False):
    """The position of the first minimum (of the flattened tensor by default)."""
    return _position(jnp.argmin, input, dim, keepdim)


row("all", all)
row("any", any)
row("argmax", argmax)
row("argmin", argmin)


def _extreme(name: str, everything: Any, position: Any) -> None:
    """max and min: of all elements, along a dimension with indices, or of two tensors."""

    def along(input, dim, keepdim=False):
        dim = wrap_dim(dim, input.ndim)
        if not input.ndim:
            return Pair[name](input, jnp.zeros((), jnp.int64))
        index = position(input, axis=dim, keepdims=True)
        value = jnp.take_along_axis(input, index, axis=dim)
        if not keepdim:
            value, index = jnp.squeeze(value, dim), jnp.squeeze(index, dim)
        return Pair[name](value, index.astype(jnp.int64))

    reduce_all = Op(lambda input: everything(input), f"{name.capitalize()}Backward1")
    reduce_dim = Op(along, f"{name.capitalize()}Backward0")

    def run(input, dim=None, keepdim=False, *, other=None):
        if isinstance(dim, Tensor) or other is not None:
            from funnn.torch._ops.table import FUNCTIONS

            return FUNCTIONS[f"{name}imum"](input, dim if other is None else other)
        return call(reduce_all, (input,), {}) if dim is None else call(reduce_dim, (input, dim, keepdim), {})

    run.__doc__ = f"The {name}imum of all elements; with ``dim`` a pair (values, indices); with a tensor, element by element."
    publish(name, run)


_extreme("max", jnp.max, jnp.argmax)
_extreme("min", jnp.min, jnp.argmin)


def _running(function: Any) -> Any:
    def apply(input, dim, *, dtype=None):
        """The sums (or products) of the elements up to each along ``dim``; integers as int64."""
        kind = _kind(dtype) or (jnp.int64 if not jnp.issubdtype(input.dtype, jnp.inexact) else input.dtype)
        return function(jnp.atleast_1d(input), axis=wrap_dim(dim, input.ndim), dtype=kind).reshape(input.shape)

    return apply


row("amax", lambda input, dim=(), keepdim=False: jnp.max(input, axis=_axes(dim, input), keepdims=keepdim), "AmaxBackward0")
row("amin", lambda input, dim=(), keepdim=False: jnp.min(input, axis=_axes(dim, input), keepdims=keepdim), "AminBackward0")
row("logsumexp", lambda input, dim, keepdim=False: jax.nn.logsumexp(input, axis=_axes(dim, input), keepdims=keepdim), "LogsumexpBackward0")
row("cumsum", _running(jnp.cumsum), "CumsumBackward0")
row("cumprod", _running(jnp.cumprod), "CumprodBackward0")


def norm(input, p=2, dim=None, keepdim=False):
    """(Σ|x|ᵖ)^(1/p) over ``dim`` (all by default); p may be inf or 'fro'."""
    size = jnp.abs(input)
    if p == float("inf"):
        return jnp.max(size, axis=_axes(dim, input), keepdims=keepdim)
    if p == float("-inf"):
        return jnp.min(size, axis=_axes(dim, input), keepdims=keepdim)
    if p == 0:
        return jnp.sum((size != 0).astype(size.dtype), axis=_axes(dim, input), keepdims=keepdim)
    if p == 1:
        return jnp.sum(size, axis=_axes(dim, input), keepdims=keepdim)
    if p in (2, "fro", None):
        total = jnp.sum(size * size, axis=_axes(dim, input), keepdims=keepdim)
        positive = total > 0  # the gradient of a zero vector's norm is zero, not NaN
        return jnp.where(positive, jnp.sqrt(jnp.where(positive, total, 1)), 0)
    return jnp.sum(size**p, axis=_axes(dim, input), keepdims=keepdim) ** (1 / p)


row("norm", norm, "LinalgVectorNormBackward0", saves=("input", "result"))


def equal(input, other):
    """Whether both have the same shape and values."""
    return jnp.array_equal(input, other)


_equal = Op(equal)


def _run_equal(input: Tensor, other: Tensor) -> bool:
    return bool(call(_equal, (input, other), {}))


def allclose(input, other, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether |input − other| ≤ atol + rtol·|other| everywhere."""
    return jnp.allclose(input, other, rtol=rtol, atol=atol, equal_nan=equal_nan)


_allclose = Op(allclose)


def _run_allclose(input: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> bool:
    return bool(call(_allclose, (input, other, rtol, atol, equal_nan), {}))


publish("equal", _run_equal, equal)
publish("allclose", _run_allclose, allclose)
