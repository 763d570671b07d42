"""Products of bfloat16 arrays.

    y = a b, the sums in float32, rounded once to bfloat16

On a CPU, XLA computes a product whose result is bfloat16 by making its operands float32, in the time of a float32 product and that of the conversion.
One whose result is float32 it computes from the bfloat16 numbers, in half that time or less where the processor has instructions for it; so that is
asked for, and rounded. The derivatives are products of the same sort, of cotangents that are bfloat16 too.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from funnn._types import Arrays
from funnn.functional import _checks as check
from funnn.functional._linear_map import linear_map

Dims = tuple[tuple[tuple[int, ...], tuple[int, ...]], tuple[tuple[int, ...], tuple[int, ...]]]


def product(a: jax.Array, b: jax.Array, dimensions: Dims) -> jax.Array:
    """``lax.dot_general`` of two arrays of one dtype, whose result has it too; ``dimensions`` are tuples."""
    return _product(a, b, dimensions) if a.dtype == b.dtype == jnp.bfloat16 else lax.dot_general(a, b, dimensions)


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """``jnp.matmul``."""
    if a.dtype == b.dtype == jnp.bfloat16 and min(a.ndim, b.ndim) > 1 and (b.ndim == 2 or a.shape[:-2] == b.shape[:-2]):
        batch = tuple(range(b.ndim - 2))
        return _product(a, b, (((a.ndim - 1,), (b.ndim - 2,)), (batch, batch)))
    return jnp.matmul(a, b)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def _product(a: jax.Array, b: jax.Array, dimensions: Dims) -> jax.Array:
    def on_cpu(a: jax.Array, b: jax.Array) -> jax.Array:
        where: Any = dimensions
        if len(where[0][0]) == 1 and where[0][0][0] < a.ndim - 1:
            # XLA has no fast product over an axis of a that is not the last, but transposes a where there are two such axes.
            a, b = a[None], b[None]
            (left, right), batch = (tuple(tuple(i + 1 for i in axes) for axes in pair) for pair in where)
            where = ((0, *left), (0, *right)), batch
        return lax.dot_general(a, b, where, preferred_element_type=check.accumulator(a.dtype)).astype(a.dtype)

    def elsewhere(a: jax.Array, b: jax.Array) -> jax.Array:
        return lax.dot_general(a, b, dimensions)

    result: jax.Array = lax.platform_dependent(a, b, cpu=on_cpu, default=elsewhere)
    return result


@functools.partial(_product.defjvp, symbolic_zeros=True)
def _product_jvp(dimensions: Dims, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    y = _product(*primals, dimensions)
    terms: list[jax.Array] = []
    for left, (moved, own, other) in enumerate(((tangents[1], *primals[::-1]), (tangents[0], *primals))):
        if not isinstance(moved, SymbolicZero):
            static = {"dimensions": dimensions, "rank": own.ndim, "left": bool(left)}
            terms += linear_map(_by_other, _transposed, (moved,), (other,), (y,), **static)
    return y, functools.reduce(jnp.add, terms) if terms else jnp.zeros_like(y)


def _by_other(linear: Arrays, residuals: Arrays, dimensions: Dims, rank: int, left: bool) -> Arrays:
    """The product of the left or of the right operand and the other one."""
    a, b = (linear[0], residuals[0]) if left else (residuals[0], linear[0])
    return (product(a, b, dimensions),)


def _transposed(linear: Arrays, residuals: Arrays, dimensions: Dims, rank: int, left: bool) -> Arrays:
    """The cotangent of the left or of the right operand, which has ``rank`` axes, of the product's."""
    g, other = linear[0], residuals[0]
    pairs = dimensions if left else tuple(pair[::-1] for pair in dimensions)
    (own_summed, other_summed), (own_batch, other_batch) = pairs
    own_kept = [axis for axis in range(rank) if axis not in (*own_summed, *own_batch)]
    other_kept = tuple(axis for axis in range(other.ndim) if axis not in (*other_summed, *other_batch))
    batch = len(own_batch)
    begin = batch + (len(own_kept) if left else 0)  # g has the axes of the batch, those of the left operand, those of the right one
    summed = tuple(range(begin, begin + len(other_kept)))
    y = product(g, other, ((summed, other_kept), (tuple(range(batch)), other_batch)))
    order = sorted(range(len(other_summed)), key=other_summed.__getitem__)
    axes = [*own_batch, *own_kept, *(own_summed[i] for i in order)]
    return (y if axes == sorted(axes) else y.transpose([axes.index(axis) for axis in range(rank)]),)
