"""Similarities and distances between vectors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from funnn.errors import ArgumentError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional._lp import difference_norm, lp_norm


def _together(function: str, x1: jax.Array, x2: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both in one dtype, broadcast against each other."""
    x1, x2 = check.array("x1", x1), check.array("x2", x2)
    try:
        shape = jnp.broadcast_shapes(x1.shape, x2.shape)
    except ValueError:
        raise ShapeError(f"{function}: x1 of size {check.shape(x1)} and x2 of size {check.shape(x2)} do not broadcast together") from None
    dtype = jnp.promote_types(x1.dtype, x2.dtype)
    return jnp.broadcast_to(x1.astype(dtype), shape), jnp.broadcast_to(x2.astype(dtype), shape)


@public
def cosine_similarity(x1: jax.Array, x2: jax.Array, dim: int = 1, eps: float = 1e-8) -> jax.Array:
    """The cosine of the angle between vectors: ``Σ x₁ · x₂ / (max(‖x₁‖₂, ε) · max(‖x₂‖₂, ε))``.

    Args:
      x1: vectors along dim, floating point.
      x2: vectors along dim, of a shape that broadcasts with that of x1.
      dim: the axis of the vectors; default 1.
      eps: ε; default 1e-8.

    Returns:
      An array of the broadcast shape without dim.

    Raises:
      ShapeError: the shapes do not broadcast.
      DtypeError: an argument is not floating point.
      IndexError: dim is out of range.

    Source: torch.nn.functional.cosine_similarity.

    Example:
      >>> import jax.numpy as jnp
      >>> cosine_similarity(jnp.array([[1.0, 0.0]]), jnp.array([[3.0, 0.0]])).tolist()
      [1.0]
    """
    x1, x2 = _together("cosine_similarity", x1, x2)
    (a, dtype), (b, other) = check.widened("cosine_similarity", x1), check.widened("cosine_similarity", x2)
    axis = check.axis(dim, a.ndim)
    if not a.ndim:
        a, b = a[None], b[None]
    return jnp.sum(_unit(a, axis, eps) * _unit(b, axis, eps), axis).astype(jnp.promote_types(dtype, other))


def _unit(x: jax.Array, axis: int, eps: float) -> jax.Array:
    norm = lp_norm(x, 2, axis, keepdims=True)
    # as in torch, a norm below eps counts as eps, and its derivative still as that of the norm
    return x / jnp.where(norm < eps, eps + (norm - lax.stop_gradient(norm)), norm)


@public
def pairwise_distance(x1: jax.Array, x2: jax.Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> jax.Array:
    """The distance between vectors along the last axis: ``‖x₁ − x₂ + ε‖_p``.

    Args:
      x1: of shape (N, D) or (D,).
      x2: of a shape that broadcasts with that of x1.
      p: the norm's exponent; default 2.
      eps: ε, added to every difference; default 1e-6.
      keepdim: whether to keep the last axis, with size 1; default False.

    Returns:
      An array of the broadcast shape without its last axis; integers are taken as float32.

    Raises:
      ShapeError: the shapes do not broadcast.

    Source: torch.nn.functional.pairwise_distance.

    Example:
      >>> import jax.numpy as jnp
      >>> pairwise_distance(jnp.array([[3.0, 4.0]]), jnp.zeros((1, 2)), eps=0.0).tolist()
      [5.0]
    """
    x1, x2 = _together("pairwise_distance", x1, x2)
    difference = x1 - x2
    if not jnp.issubdtype(difference.dtype, jnp.inexact):
        difference = difference.astype(jnp.float32)
    difference = difference + jnp.asarray(eps, difference.dtype)
    complex_valued = jnp.issubdtype(difference.dtype, jnp.complexfloating)
    dtype = jnp.finfo(difference.dtype).dtype
    wide = difference if complex_valued else difference.astype(check.accumulator(dtype))
    return lp_norm(wide, p, -1, keepdims=keepdim).astype(dtype)


@public
def pdist(input: jax.Array, p: float = 2) -> jax.Array:
    """The distances between all pairs of rows: ``‖x_i − x_j‖_p`` for i < j.

    Args:
      input: ``x``, of shape (N, M).
      p: the norm's exponent, not negative; default 2.

    Returns:
      An array of N·(N − 1)/2 distances: of row 0 to rows 1, 2, …, of row 1 to rows 2, …. The derivative at distance 0 is 0.

    Raises:
      ShapeError: input is not of rank 2.
      ArgumentError: p is negative.
      DtypeError: input is not floating point.

    Source: torch.nn.functional.pdist.

    Example:
      >>> import jax.numpy as jnp
      >>> pdist(jnp.array([[0.0], [1.0], [5.0]])).tolist()
      [1.0, 5.0, 4.0]
    """
    input = check.floating("pdist", "input", input)
    if input.ndim != 2:
        raise ShapeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if p < 0:
        raise ArgumentError(f"pdist only supports non-negative p values, but got p={p}")
    first, second = np.triu_indices(input.shape[0], 1)
    return difference_norm(input[first] - input[second], p)
