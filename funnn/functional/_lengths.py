"""Lengths of slices, as weight normalisation divides by them."""

from __future__ import annotations

import jax
import jax.numpy as jnp


def lengths(x: jax.Array, axes: tuple[int, ...] | None) -> jax.Array:
    """√(Σ x²) over these axes, which keep size 1, or over all, as one number, if they are None. The derivative at zero is zero."""
    size = jnp.abs(x)
    total = jnp.sum(size * size, axes, keepdims=axes is not None)
    root = jnp.sqrt(jnp.where(total == 0, 1, total))
    return jnp.where(total == 0, 0, root)
