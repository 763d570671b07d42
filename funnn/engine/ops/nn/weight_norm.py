"""The length of a weight's slices, and a weight made of lengths and directions."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from funnn.engine.ops.kit.table import row
from funnn.functional._lengths import lengths


def norm_except_dim(v: Array, pow=2, dim=0):
    """The p-norm over all dimensions but ``dim``, which keep size 1; over all of them, as one number, if ``dim`` is −1. p = ``pow``."""
    if not -1 <= dim < v.ndim:
        raise IndexError(f"Dimension out of range (expected to be in range of [-1, {v.ndim - 1}], but got {dim}) in norm_except_dim()")
    axes = None if dim == -1 else tuple(axis for axis in range(v.ndim) if axis != dim)
    return lengths(v, axes) if pow == 2 else jnp.sum(jnp.abs(v) ** pow, axes, keepdims=dim != -1) ** (1 / pow)


def _weight_norm(v: Array, g: Array, dim=0):
    """``g · v / ‖v‖`` with the norms of :func:`norm_except_dim`."""
    return v * (g / norm_except_dim(v, 2, dim))


def _grad_name(v, g, dim=0):
    return "WeightNormInterfaceBackward0" if dim in (0, v.dim() - 1) else "MulBackward0"


row("norm_except_dim", norm_except_dim, method=False)
row("_weight_norm", _weight_norm, _grad_name, method=False)
