"""Operations that reduce dimensions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from funnn.engine.dispatch import small_arrays as small
from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.elementwise import named, require, wide_type
from funnn.engine.ops.kit.return_types import return_type
from funnn.engine.ops.kit.table import FUNCTIONS, publish, row, write_out
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.casts import cast
from funnn.engine.types.warning import warn
from funnn.functional._checks import has_symbol
from funnn.functional._lp import check_order, lp_norm
from funnn.functional._norm_kernel import near_mean


def axes_of(dim: Any, input: Any) -> Any:
    """torch's dim as an axis or axes of ``input``: None and () mean all, and a number has one dimension of size 1."""
    if input.ndim > 64:
        raise RuntimeError(f"only tensors with up to 64 dims are supported, got {input.ndim}")
    if dim is None or dim == () or dim == []:
        return None
    axes = tuple(wrap_dim(d, input.ndim) for d in (dim if isinstance(dim, (tuple, list)) else (dim,)))
    for axis in axes:
        if axes.count(axis) > 1:
            raise RuntimeError(f"dim {axis} appears multiple times in the list of dims")
    return axes if input.ndim else ()


def as_vector(function: Any) -> Any:
    """The function of an array and a dimension, for numbers too: they count as vectors of one element."""

    @functools.wraps(function)
    def apply(input, *args, **kwargs):
        if input.ndim:
            return function(input, *args, **kwargs)
        return jax.tree.map(lambda array: array.reshape(()), function(input.reshape(1), *args, **kwargs))

    return apply


def _by_dim(name: str) -> Any:
    def grad(input, dim=None, *args, **kwargs):
        return f"{name}Backward{int(dim is not None)}"

    return grad


def kind_of(dtype: Any) -> Any:
    """NumPy's name of a torch dtype; None stays."""
    return None if dtype is None else _dtype.as_dtype(dtype).numpy


def result_kind(input: Any, dtype: Any) -> Any:
    """The type of a sum or product: as asked, else int64 for integers and the input's own for others."""
    return kind_of(dtype) or (input.dtype if jnp.issubdtype(input.dtype, jnp.inexact) else jnp.dtype(jnp.int64))


# -- sums, products, means


def sum(input, dim=None, keepdim=False, *, dtype=None):
    """The sum over ``dim`` (all by default); integers add up as int64."""
    kind = result_kind(input, dtype)
    return jnp.sum(cast(input, kind), axis=axes_of(dim, input), keepdims=keepdim).astype(kind)


def nansum(input, dim=None, keepdim=False, *, dtype=None):
    """The sum over ``dim`` of what is not NaN."""
    if jnp.iscomplexobj(input):
        raise RuntimeError("nansum does not support complex inputs")
    return sum(_without_nan(input), dim, keepdim, dtype=dtype)


def _without_nan(input):
    return jnp.where(jnp.isnan(input), 0, input) if jnp.issubdtype(input.dtype, jnp.inexact) else input


def prod(input, dim=None, keepdim=False, *, dtype=None):
    """The product over ``dim`` (all by default); integers multiply as int64."""
    kind = result_kind(input, dtype)
    return _product(cast(input, kind), axes_of(dim, input), keepdim).astype(kind)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _product(input, axis, keepdims):
    return jnp.prod(input, axis=axis, keepdims=keepdims)


@_product.defjvp
def _product_jvp(axis, keepdims, primals, tangents):
    """Σ of result · tangent/input, as PyTorch has it, which is NaN at ∞ and NaN; where there is a zero, the products of the others."""
    (x,), (tangent,) = primals, tangents
    result, zeros = _product(x, axis, keepdims), jnp.any(x == 0)
    # where one of the two is not wanted it is a product with 0, of ones, so that no infinity is left in it
    _, beside_zeros = jax.jvp(
        lambda x: jnp.prod(x, axis=axis, keepdims=keepdims), (jnp.where(zeros, x, 1),), (jnp.where(zeros, tangent, 0),)
    )
    quotients = jnp.where(zeros, 0, _product(x, axis, True) / jnp.where(zeros, 1, x)) * jnp.where(zeros, 0, tangent)
    return result, beside_zeros + jnp.sum(quotients, axis=axis, keepdims=keepdims)


def _inexact(name, input, dtype):
    kind = kind_of(dtype) or input.dtype
    if not jnp.issubdtype(kind, jnp.inexact):
        raise RuntimeError(
            f"{name}(): could not infer output dtype. Input dtype must be either a floating point or complex dtype. "
            f"Got: {_dtype.dtype.of(kind).legacy}; use x.float().{name}() or {name}(dtype=torch.float32)"
        )
    return input.astype(kind)


def mean(input, dim=None, keepdim=False, *, dtype=None):
    """The mean over ``dim`` (all by default)."""
    return jnp.mean(_inexact("mean", input, dtype), axis=axes_of(dim, input), keepdims=keepdim)


def nanmean(input, dim=None, keepdim=False, *, dtype=None):
    """The mean over ``dim`` of what is not NaN."""
    kept = _inexact("nanmean", input, dtype)
    count = jnp.sum(~jnp.isnan(kept), axis=axes_of(dim, input), keepdims=keepdim)
    return jnp.sum(_without_nan(kept), axis=axes_of(dim, input), keepdims=keepdim) / count.astype(kept.real.dtype)


def count_nonzero(input, dim=None):
    """How many elements over ``dim`` (all by default) are not 0."""
    return jnp.sum(input != 0, axis=axes_of(dim, input), dtype=jnp.int64)


row("sum", sum, _by_dim("Sum"), autocast={"cuda": FLOAT32}, small=small.reduction(np.add.reduce))
row("nansum", nansum)
row("prod", prod, _by_dim("Prod"), autocast=FLOAT32)
row("mean", mean, _by_dim("Mean"), small=small.reduction(small.mean, "fd"))
row("nanmean", nanmean, "DivBackward0")
row("count_nonzero", count_nonzero)


# -- variances


def _moments(input, dim, unbiased, keepdim, correction, name):
    """The variance and the mean over ``dim``."""
    if isinstance(dim, bool):  # the overload var(unbiased)
        dim, unbiased = None, dim
    _inexact("var", input, None)
    ddof = (1 if unbiased is None else int(unbiased)) if correction is None else correction
    axes = axes_of(dim, input)
    x = input.astype(wide_type(input.dtype))
    shift = near_mean(x, tuple(range(x.ndim)) if axes is None else axes)
    x = x - shift
    mean = jnp.mean(x, axis=axes, keepdims=True) + shift
    mean = (mean if keepdim else jnp.squeeze(mean, axes)).astype(input.dtype)
    count, kind = math.prod(input.shape if axes is None else [input.shape[axis] for axis in axes]), jnp.real(input).dtype
    if has_symbol((count,)):
        return (jnp.var(x, axis=axes, keepdims=keepdim) * count / jnp.maximum(count - ddof, 0)).astype(kind), mean
    if count > ddof:
        return jnp.var(x, axis=axes, ddof=ddof, keepdims=keepdim).astype(kind), mean
    warn(
        f"{name}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor (input numel divided by output numel)."
    )
    return (jnp.var(x, axis=axes, keepdims=keepdim) * count / 0.0).astype(kind), mean


def _root(variance):
    """√σ², whose gradient at 0 is 0."""
    zero = variance == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, variance)))


def var(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """The variance over ``dim`` (all by default), divided by N − correction (1 by default)."""
    return _moments(input, dim, unbiased, keepdim, correction, "var")[0]


def std(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """The root of the variance over ``dim`` (all by default)."""
    return _root(_moments(input, dim, unbiased, keepdim, correction, "std")[0])


def var_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """The variance and the mean over ``dim`` (all by default)."""
    return _moments(input, dim, unbiased, keepdim, correction, "var_mean")


def std_mean(input, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """The root of the variance, and the mean over ``dim`` (all by default)."""
    variance, mean = _moments(input, dim, unbiased, keepdim, correction, "std_mean")
    return _root(variance), mean


row("var", var)
row("std", std)
row("var_mean", var_mean, method=False)
row("std_mean", std_mean, method=False)


# -- truth


def _truth(function, docstring):
    def pure(input, dim=None, keepdim=False):
        result = function(input, axis=axes_of(dim, input), keepdims=keepdim)
        return result.astype(jnp.uint8) if input.dtype == jnp.uint8 else result

    pure.__doc__ = docstring
    row(function.__name__, named(pure, function.__name__), exact_out=True)


_truth(jnp.all, "Whether all elements are true.")
_truth(jnp.any, "Whether some element is true.")


# -- extremes


def _not_empty(name, input, dim):
    """Raise torch's errors where there is no element to choose."""
    if input.size:
        return
    if dim is None or dim == () or dim == []:
        raise (IndexError if name.startswith("arg") else RuntimeError)(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
        )
    for axis in axes_of(dim, input):
        if input.shape[axis] == 0:
            raise IndexError(f"{name}(): Expected reduction dim {axis} to have non-zero size.")


def _position(function, docstring):
    name = function.__name__

    def pure(input, dim=None, keepdim=False):
        _not_empty(name, input, dim)
        if input.dtype == jnp.bool_ or jnp.iscomplexobj(input):
            raise RuntimeError(
                f"{name}(): does not support {'bool' if input.dtype == jnp.bool_ else 'complex'} input; use .int() or .abs()"
            )
        axis = None if dim is None else wrap_dim(dim, input.ndim)
        return function(input, axis=axis if input.ndim else None, keepdims=keepdim).astype(jnp.int64)

    pure.__doc__ = docstring
    row(name, named(pure, name), exact_out=True)


_position(jnp.argmax, "The position of the first maximum (of the flattened tensor by default).")
_position(jnp.argmin, "The position of the first minimum (of the flattened tensor by default).")


def _shared(extreme: Callable) -> Callable:
    """The extreme over axes (all for None), whose gradient is shared by all that are equal to it: where it is NaN, all are NaN, or those share it."""

    @functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
    def reduce(input, axes, keepdims, nan_too=False):
        return extreme(input, axis=axes, keepdims=keepdims)

    @reduce.defjvp
    def reduce_jvp(axes, keepdims, nan_too, primals, tangents):
        (input,), (tangent,) = primals, tangents
        value = extreme(input, axis=axes, keepdims=True)
        equal = (input == value) | (jnp.isnan(input) & jnp.isnan(value)) if nan_too else input == value
        count = jnp.sum(equal, axis=axes, keepdims=True).astype(input.dtype)
        shares = jnp.where(count == 0, jnp.nan, equal.astype(input.dtype) / count)
        return reduce(input, axes, keepdims, nan_too), jnp.sum(tangent * shares, axis=axes, keepdims=keepdims)

    return reduce


def _extreme(name: str, everything: Any, position: Any) -> None:
    """max and min: of all elements, along a dimension with indices, or of two tensors; amax and amin."""
    pair = return_type(name, "values", "indices")

    @as_vector
    def along(input, dim, keepdim=False):
        _not_empty(name, input, dim)
        require(name, input, "bif")
        dim = wrap_dim(dim, input.ndim)
        index = position(input, axis=dim, keepdims=True)
        value = jnp.take_along_axis(input, index, axis=dim)
        if not keepdim:
            value, index = jnp.squeeze(value, dim), jnp.squeeze(index, dim)
        return pair(value, index.astype(jnp.int64))

    def over(input, dim=(), keepdim=False):
        _not_empty(f"a{name}", input, dim)
        require(f"{name}_values_cpu", input, "bif")
        return everything(input, axes_of(dim, input), keepdim)

    def of_all(input):
        _not_empty(name, input, None)
        require(f"{name}_all", input, "bif")
        return everything(input, None, False, True)

    reduce_all = Op(of_all, f"{name.capitalize()}Backward1")
    reduce_dim = Op(along, f"{name.capitalize()}Backward0")

    def extreme_of(input, dim=None, keepdim=False, *, other=None, out=None):
        if isinstance(dim, Tensor) or other is not None:
            return FUNCTIONS[f"{name}imum"](input, dim if other is None else other, out=out)
        result = call(reduce_all, (input,), {}) if dim is None else call(reduce_dim, (input, dim, keepdim), {})
        return result if out is None else write_out(out, result, exact=True)

    extreme_of.__doc__ = f"The {name}imum of all elements; with ``dim`` a pair (values, indices); with a tensor, element by element."
    over.__doc__ = f"The {name}imum over ``dim`` (all by default); equal ones share the gradient."
    publish(name, extreme_of, elementwise=True)
    row(f"a{name}", named(over, f"a{name}"), exact_out=True)


_largest, _smallest = _shared(jnp.max), _shared(jnp.min)
_extreme("max", _largest, jnp.argmax)
_extreme("min", _smallest, jnp.argmin)

_MinMax = return_type("aminmax", "min", "max")


def aminmax(input, *, dim=None, keepdim=False):
    """The smallest and the largest element over ``dim`` (all by default)."""
    _not_empty("aminmax", input, dim)
    require("aminmax_cpu", input, "bif")
    axes = axes_of(dim, input)
    return _MinMax(_smallest(input, axes, keepdim), _largest(input, axes, keepdim))


row("aminmax", aminmax, exact_out=True)


# -- norms


def logsumexp(input, dim, keepdim=False):
    """log Σ exp(input) over ``dim``."""
    (input,) = _dtype.promoted(input, floating=True)
    return jax.nn.logsumexp(input, axis=axes_of(dim, input), keepdims=keepdim)


def norm(input, p="fro", dim=None, keepdim=False, dtype=None):
    """(Σ|x|ᵖ)^(1/p) over ``dim`` (all by default); p may be inf, 'fro' (2), or 'nuc', the sum of a matrix's singular values."""
    input = input if dtype is None else input.astype(kind_of(dtype))
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        raise RuntimeError(
            f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {_dtype.dtype.of(input.dtype).legacy}; use x.float()"
        )
    check_order(p)
    axes = axes_of(dim, input)
    if p != "nuc":
        axes = tuple(range(input.ndim)) if axes is None else axes
        return lp_norm(input, 2 if p in ("fro", None) else p, axes, keepdims=keepdim)
    axes = tuple(range(input.ndim)) if axes is None else axes
    if len(axes) != 2:
        raise RuntimeError(f"norm: the nuclear norm is of matrices: it expects 2 dimensions, got {len(axes)}")
    total = jnp.sum(jnp.linalg.svd(jnp.moveaxis(input, axes, (-2, -1)), compute_uv=False), -1)
    return jnp.expand_dims(total, sorted(axes)) if keepdim else total


def _gradient_of_norm(input, p="fro", *args, **kwargs):
    return "SumBackward1" if p == "nuc" else "LinalgVectorNormBackward0"


row("logsumexp", logsumexp)
row("norm", norm, _gradient_of_norm, exact_out=True, autocast={"cuda": FLOAT32})


# -- hashes


def hash_tensor(input, dim=(), *, keepdim=False, mode=0):
    """All bits of the numbers, as float64 or int64, joined by exclusive or over ``dim`` (all by default); a uint64."""
    if mode != 0:
        raise RuntimeError(f"Unknown hash_tensor mode {mode}; 0, exclusive or, is the only one")
    wide = input.astype(jnp.float64 if jnp.issubdtype(input.dtype, jnp.floating) else jnp.int64)
    bits = lax.bitcast_convert_type(wide, jnp.uint64)
    axes = axes_of(dim, input)
    axes = tuple(range(input.ndim)) if axes is None else axes
    result = lax.reduce(bits, jnp.uint64(0), lax.bitwise_xor, axes)
    return jnp.expand_dims(result, axes) if keepdim and input.ndim else result


row("hash_tensor", hash_tensor, exact_out=True)
