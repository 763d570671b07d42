"""Elementwise functions with a derivative of their own."""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable

import jax


def with_slope(function: Callable, slope: Callable) -> Callable:
    """An elementwise function of x and constants with its derivative: one array, computed with the value, is all that the backward pass keeps.

    Constants that are no plain numbers, but traced, say, may themselves have derivatives; then JAX derives the function.
    """

    @functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
    def derived(x, constants):
        return function(x, *constants)

    @derived.defjvp
    def jvp(constants, primals, tangents):
        return derived(*primals, constants), tangents[0] * slope(*primals, *constants)

    @functools.wraps(function)
    def call(x, *constants):
        return derived(x, constants) if all(isinstance(c, numbers.Real) for c in constants) else function(x, *constants)

    return call
