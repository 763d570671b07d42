"""Running totals: each element of the result depends on those up to it along a dimension."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.elementwise.pointwise import log_sum
from funnn.engine.ops.kit.elementwise import require, widened
from funnn.engine.ops.kit.return_types import return_type
from funnn.engine.ops.kit.table import row
from funnn.engine.ops.reduce.reductions import as_vector, result_kind
from funnn.engine.types.casts import cast


def _total(function, name, docstring, **policies):
    @as_vector
    def total(input, dim, *, dtype=None):
        return widened(function)(cast(input, result_kind(input, dtype)), wrap_dim(dim, input.ndim))

    total.__name__, total.__doc__ = name, docstring
    row(name, total, inplace=True, autocast={"cuda": FLOAT32}, **policies)


_total(
    lambda x, axis: lax.cumsum(x, axis=axis),
    "cumsum",
    "The sums of the elements up to each along ``dim``; integers as int64.",
    exact_out=True,
)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _products(x, axis):
    return lax.cumprod(x, axis=axis)


@_products.defjvp
def _products_jvp(axis, primals, tangents):
    """The products times Σ tangent/input up to each, as PyTorch has it, which is NaN after ∞ and NaN; where there is a zero, products of the others."""
    (x,), (tangent,) = primals, tangents
    products, zeros = _products(x, axis), jnp.any(x == 0)
    # where one of the two is not wanted it is a product with 0, of ones, so that no infinity is left in it
    _, beside_zeros = jax.jvp(lambda x: lax.cumprod(x, axis=axis), (jnp.where(zeros, x, 1),), (jnp.where(zeros, tangent, 0),))
    sums = lax.cumsum(jnp.where(zeros, 0, tangent) / jnp.where(zeros, 1, x), axis=axis)
    return products, beside_zeros + jnp.where(zeros, 0, products) * sums


_total(_products, "cumprod", "The products of the elements up to each along ``dim``; integers as int64.")


@as_vector
def logcumsumexp(input, dim):
    """log Σ exp of the elements up to each along ``dim``."""
    require("logcumsumexp_out_cpu", input, "fc")
    axis = wrap_dim(dim, input.ndim)
    return lax.associative_scan(log_sum, input, axis=axis) if jnp.iscomplexobj(input) else lax.cumlogsumexp(input, axis=axis)


row("logcumsumexp", logcumsumexp, exact_out=True)


def _extreme(function, name, docstring):
    result = return_type(name, "values", "indices")

    @as_vector
    def extreme(input, dim):
        require(f"{name}_cpu", input, "bif")
        axis = wrap_dim(dim, input.ndim)
        plain = input.astype(jnp.int8) if input.dtype == jnp.bool_ else lax.stop_gradient(input)
        reached = plain == function(plain, axis=axis)
        if jnp.issubdtype(plain.dtype, jnp.floating):
            reached |= jnp.isnan(plain)
        places = jnp.where(reached, lax.broadcasted_iota(jnp.int64, input.shape, axis), 0)
        indices = lax.cummax(places, axis=axis)
        return result(jnp.take_along_axis(input, indices, axis), indices)

    extreme.__name__, extreme.__doc__ = name, docstring
    row(name, extreme, exact_out=True)


_extreme(lax.cummax, "cummax", "The largest element up to each along ``dim``, and where it is: the last of equal ones.")
_extreme(lax.cummin, "cummin", "The smallest element up to each along ``dim``, and where it is: the last of equal ones.")
