"""Distances between tensors and between rows, and bounds on norms."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.elementwise import widened
from funnn.engine.ops.kit.table import row
from funnn.engine.types.dtype import dtype, promoted
from funnn.functional._lp import difference_norm, lp_norm

_MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


def dist(input, other: Array, p=2):
    """‖input − other‖_p of all elements."""
    a, b = promoted(input, other)
    if not jnp.issubdtype(a.dtype, jnp.inexact):
        raise RuntimeError(f"norm(): input dtype should be either floating point or complex. Got {dtype.of(a.dtype).legacy}; use x.float()")
    difference = a - b
    return lp_norm(difference, p, tuple(range(difference.ndim)))


def cdist(x1: Array, x2: Array, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """The p-norm distance of every row of x1 to every row of x2; always as a norm of differences, whatever ``compute_mode``.

    Args:
      x1: of shape (…, P, M).
      x2: of shape (…, R, M); the leading dimensions broadcast.

    Returns:
      A tensor of shape (…, P, R).
    """
    if compute_mode not in _MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode; expected one of {', '.join(_MODES)}")
    for name, array in (("X1", x1), ("X2", x2)):
        if array.ndim < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {name} got: {array.ndim}D")
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise RuntimeError(f"cdist only supports floating-point dtypes, {name} got: {dtype.of(array.dtype).legacy}")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    if p < 0:
        raise RuntimeError(f"cdist only supports non-negative p values, got p={p}")
    first, second = promoted(x1[..., :, None, :], x2[..., None, :, :])
    return difference_norm(first - second, p)


def renorm(input, p, dim, maxnorm):
    """The slices along ``dim`` whose p-norm is larger than ``maxnorm`` scaled down to it."""
    if p <= 0:
        raise RuntimeError(f"renorm: non-positive-norm not supported: p={p}")
    if maxnorm < 0:
        raise RuntimeError(f"renorm: expected maxnorm to be >= 0 but got {maxnorm}")
    if input.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions")
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        raise RuntimeError(f"linalg.vector_norm: Expected a floating point or complex tensor as input. Got {dtype.of(input.dtype).legacy}")
    dim = wrap_dim(dim, input.ndim)
    return widened(_renorm)(input, p, dim, maxnorm)


def _renorm(input, p, dim, maxnorm):
    norm = lp_norm(input, p, tuple(axis for axis in range(input.ndim) if axis != dim), keepdims=True)
    return input * jnp.where(norm > maxnorm, maxnorm / (norm + 1e-7), 1).astype(norm.dtype)


row("dist", dist, autocast={"cuda": FLOAT32})
row("cdist", cdist, method=False, autocast=FLOAT32)
row("renorm", renorm, inplace=True, exact_out=True, autocast={"cuda": FLOAT32})
