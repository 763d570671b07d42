"""Joining axes into one and splitting one into several."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax

from funnn.errors import ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public


@public
def flatten(input: jax.Array, start_dim: int = 0, end_dim: int = -1) -> jax.Array:
    """Join the axes from ``start_dim`` to ``end_dim``, both included, into one.

    Args:
      input: of any shape; a scalar becomes an array of shape (1,).
      start_dim: the first axis to join; default 0.
      end_dim: the last axis to join; default −1.

    Returns:
      An array of the same values in the same order.

    Raises:
      IndexError: an axis is out of range.
      ShapeError: start_dim comes after end_dim.

    Source: torch.flatten. The layer Flatten starts at axis 1, this function at 0.

    Example:
      >>> import jax.numpy as jnp
      >>> flatten(jnp.ones((2, 3, 4)), 1).shape
      (2, 12)
    """
    input = check.array("input", input)
    start, end = check.axis(start_dim, input.ndim), check.axis(end_dim, input.ndim)
    if start > end:
        raise ShapeError(f"flatten() has invalid args: start_dim cannot come after end_dim, but got {start_dim} and {end_dim}")
    # The product, not -1, which an axis of size 0 would leave open
    return input.reshape(*input.shape[:start], math.prod(input.shape[start : end + 1]), *input.shape[end + 1 :])


@public
def unflatten(input: jax.Array, dim: int, sizes: Sequence[int]) -> jax.Array:
    """Split one axis into several.

    Args:
      input: of any shape of at least rank 1.
      dim: the axis to split.
      sizes: the sizes that replace it, with the axis's size as product; one may be −1 and is inferred.

    Returns:
      An array of the same values in the same order.

    Raises:
      IndexError: dim is out of range.
      ShapeError: the sizes do not multiply up to the axis's size.

    Source: torch.unflatten.

    Example:
      >>> import jax.numpy as jnp
      >>> unflatten(jnp.ones((2, 12)), 1, (3, -1)).shape
      (2, 3, 4)
    """
    input = check.array("input", input)
    axis, sizes = check.axis(dim, input.ndim), tuple(sizes)
    size = input.shape[axis] if input.ndim else 1
    if not sizes:
        raise ShapeError("unflatten: sizes must be non-empty")
    if sizes.count(-1) > 1 or min(sizes) < -1:
        raise ShapeError(f"unflatten: only one dimension can be inferred (-1), and none is below that, but got sizes={list(sizes)}")
    known = math.prod(s for s in sizes if s != -1)
    full = tuple(size // max(known, 1) if s == -1 else s for s in sizes)
    if math.prod(full) != size:
        raise ShapeError(f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({size}) in the input tensor")
    return input.reshape(*input.shape[:axis], *full, *input.shape[axis + 1 :])
