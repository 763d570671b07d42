"""Numbers of 8 bits with scales: weights row by row, and the products of such weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from funnn.functional import _checks as check


def quantize_rows(weight: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Integers q in [−127, 127] of the shape of ``weight``, and scales s (…, 1) in float32, with w ≈ s q in each row of the last axis.

    s = max |w| / 127, and q = w / s rounded to the nearest, so that no number is off by more than s / 2. A row of zeros has s = 1.

    >>> q, s = quantize_rows(jnp.array([[1.27, -0.4], [0.0, 0.0]]))
    >>> q.tolist(), [round(x, 4) for x in s[:, 0].tolist()]
    ([[127, -40], [0, 0]], [0.01, 1.0])
    """
    wide = weight.astype(jnp.float32)
    largest = jnp.max(jnp.abs(wide), -1, keepdims=True, initial=0.0)
    scale = jnp.where(largest == 0, 1.0, largest / 127)
    return jnp.clip(jnp.round(wide / scale), -127, 127).astype(jnp.int8), scale


def scaled_linear(input: jax.Array, weight: jax.Array, scale: jax.Array, bias: jax.Array | None) -> jax.Array:
    """``x (s q)ᵀ + b`` of integers q (out, in) and scales s (out, 1): sums in float32, rounded once to the input's dtype."""
    wide = check.accumulator(input.dtype)
    dimensions = (((input.ndim - 1,), (1,)), ((), ()))
    # An integer of 8 bits is a number of any floating type, and the scale of a row leaves the sum.
    sums = lax.dot_general(input, weight.astype(input.dtype), dimensions, preferred_element_type=wide) * scale[:, 0].astype(wide)
    return (sums if bias is None else sums + bias.astype(wide)).astype(input.dtype)
