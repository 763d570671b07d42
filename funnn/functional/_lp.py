"""The p-norm along axes, with torch's derivative where it has a kink."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from funnn._types import Arrays
from funnn.errors import ArgumentError
from funnn.functional._slope import magnitude

Axes = int | tuple[int, ...]


def check_order(p: float) -> None:
    """Raise for what is the order of no norm of vectors: a complex number, or another text than 'fro' and 'nuc'."""
    if isinstance(p, str) and p not in ("fro", "nuc"):
        raise ArgumentError(f"linalg.matrix_norm: Order {p} not supported; p is a number")
    if isinstance(p, complex):
        raise ArgumentError(f"linalg.vector_norm: Expected a non-complex scalar as the order of norm, but got {p}.")


def lp_norm(x: jax.Array, p: float, axes: Axes, keepdims: bool = False) -> jax.Array:
    """``(Σ |x|^p)^(1/p)``; p = 0 counts what is not zero, ±∞ takes the largest or smallest. The derivative is 0 where the norm is 0."""
    size = jnp.abs(x) if jnp.iscomplexobj(x) else magnitude(x)
    if p == 0:
        return jnp.sum(x != 0, axes, dtype=size.dtype, keepdims=keepdims)
    if abs(p) == math.inf:
        return _extreme(size, axes, keepdims, p > 0)
    if p == 1:
        return jnp.sum(size, axes, keepdims=keepdims)
    if p == 2:
        total = jnp.sum(jnp.real(x * jnp.conj(x)) if jnp.iscomplexobj(x) else jnp.square(x), axes, keepdims=keepdims)
        return _root(total, jnp.sqrt)
    zero = size == 0
    powers = jnp.where(zero, 1, size) ** p  # the choice keeps the infinite slope at 0 out of the derivative
    if p < 0:
        return jnp.where(jnp.any(zero, axes, keepdims=keepdims), 0, jnp.sum(powers, axes, keepdims=keepdims) ** (1 / p))
    return _root(jnp.sum(jnp.where(zero, 0, powers), axes, keepdims=keepdims), lambda total: total ** (1 / p))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _extreme(x: jax.Array, axes: Axes, keepdims: bool, largest: bool) -> jax.Array:
    """The largest or smallest number; equal ones share the derivative, which is 0 where the result is NaN."""
    return (jnp.max if largest else jnp.min)(x, axes, keepdims=keepdims)


@_extreme.defjvp
def _extreme_jvp(axes: Axes, keepdims: bool, largest: bool, primals: Arrays, tangents: Arrays) -> tuple[jax.Array, jax.Array]:
    reached = primals[0] == _extreme(primals[0], axes, True, largest)
    shares = jnp.sum(jnp.where(reached, tangents[0], 0), axes, keepdims=keepdims)
    count = jnp.sum(reached, axes, dtype=shares.dtype, keepdims=keepdims)
    return _extreme(primals[0], axes, keepdims, largest), shares / jnp.maximum(count, 1)


def difference_norm(difference: jax.Array, p: float) -> jax.Array:
    """The p-norm over the last axis as a distance: for p = ∞ each of several largest takes the whole derivative, which a norm would share."""
    if p != math.inf:
        return lp_norm(difference, p, -1)
    size = magnitude(difference)
    largest = lax.stop_gradient(jnp.max(size, -1, keepdims=True, initial=0))
    return jnp.sum(jnp.where(size == largest, size - lax.stop_gradient(size), 0), -1) + largest[..., 0]


def _root(total: jax.Array, root: Callable[[jax.Array], jax.Array]) -> jax.Array:
    zero = total == 0
    return jnp.where(zero, 0, root(jnp.where(zero, 1, total)))
