"""Elementwise functions with a derivative of their own."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable
from typing import Any

import jax


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
