"""Elementwise functions with a derivative of their own."""

from __future__ import annotations

import functools
import numbers
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero


def with_slope(function: Callable[..., jax.Array], slope: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """An elementwise function of x and constants with its derivative: one array, computed with the value, is all that the backward pass keeps.

    Constants that are no plain numbers, but traced, say, may themselves have derivatives; then JAX derives the function.
    """

    @functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
    def derived(x: jax.Array, constants: tuple[Any, ...]) -> jax.Array:
        return function(x, *constants)

    @derived.defjvp
    def jvp(constants: tuple[Any, ...], primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
        return derived(*primals, constants), tangents[0] * slope(*primals, *constants)

    @functools.wraps(function)
    def call(x: jax.Array, *constants: Any) -> jax.Array:
        return derived(x, constants) if all(isinstance(c, numbers.Real) for c in constants) else function(x, *constants)

    return call


def with_slopes(function: Callable[..., jax.Array], *slopes: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """An elementwise function of several arrays with its derivative in each, ``slope(tangent, result, *arrays)``, which is linear in the tangent.

    What nobody differentiates in is not computed.
    """
    derived = jax.custom_jvp(function)

    @functools.partial(derived.defjvp, symbolic_zeros=True)
    def jvp(primals: tuple[jax.Array, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
        result = derived(*primals)
        pairs = zip(slopes, tangents, strict=True)
        parts = [slope(tangent, result, *primals) for slope, tangent in pairs if not isinstance(tangent, SymbolicZero)]
        return result, jnp.broadcast_to(functools.reduce(operator.add, parts), result.shape) if parts else jnp.zeros_like(result)

    return derived


def times_unless(zero: jax.Array, tangent: jax.Array, slope: jax.Array) -> jax.Array:
    """tangent · slope, and 0 where ``zero`` holds, however large both are there."""
    return jnp.where(zero, 0, tangent) * jnp.where(zero, 0, slope)


def sign(x: jax.Array) -> jax.Array:
    """−1, 0 or 1 of real numbers; 0 of NaN."""
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


#: |x| of real numbers, with PyTorch's derivative at 0 and at NaN, which is 0.
magnitude = with_slope(jnp.abs, sign)
