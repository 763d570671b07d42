"""Losses of distances between embeddings: pairs by their cosine, triplets of an anchor, a positive and a negative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from funnn.errors import ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import composed, public
from funnn.functional._reduction import broadcast_shape, hinge, operands, reduced, reduction_of
from funnn.functional.distance import pairwise_distance


@public
def cosine_embedding_loss(
    input1: jax.Array,
    input2: jax.Array,
    target: jax.Array,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Small angles for similar pairs, large ones for the others.

    ``l = 1 − cos(x₁, x₂)`` where ``y = 1``, ``max(0, cos(x₁, x₂) − margin)`` where ``y = −1``, and 0 for any other y.

    Args:
      input1: ``x₁``, of shape (N, D), or (D,) for a single pair.
      input2: ``x₂``, of a shape that broadcasts with it.
      target: ``y``, 1 or −1, of shape (N,) or ().
      margin: the cosine below which others are far enough, in [−1, 1]; default 0.
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.

    Returns:
      A scalar, or an array of the target's shape for reduction='none'; integers alone give float32.

    Raises:
      ShapeError: the shapes do not fit.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.cosine_embedding_loss; 1e-12 is added to the squared lengths, as there.

    Example:
      >>> import jax.numpy as jnp
      >>> x1, x2 = jnp.array([[1.0, 0.0], [1.0, 0.0]]), jnp.array([[0.0, 1.0], [2.0, 0.0]])
      >>> cosine_embedding_loss(x1, x2, jnp.array([1, -1]), reduction="none").tolist()
      [1.0, 1.0]
    """
    name = "cosine_embedding_loss"
    reduction = reduction_of(reduction, size_average, reduce)
    target = check.array("target", target)
    dtype, (x1, x2) = operands(name, integers=True, input1=input1, input2=input2)
    if target.ndim > 1:
        raise ShapeError(f"{name}: 0D or 1D target tensor expected, multi-target not supported, but got target {check.shape(target)}")
    if {x1.ndim, x2.ndim} != {target.ndim + 1}:
        raise ShapeError(
            f"{name}: {target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found inputs with sizes "
            f"{check.shape(x1)} and {check.shape(x2)}"
        )
    length1, length2 = (jnp.sum(jnp.square(x), -1) + 1e-12 for x in (x1, x2))
    cosine = jnp.sum(x1 * x2, -1) / jnp.sqrt(length1 * length2)
    broadcast_shape(name, input1=cosine, target=target)
    zero = jnp.zeros((), cosine.dtype)
    losses = jnp.where(target == 1, 1 - cosine, zero) + jnp.where(target == -1, hinge(cosine - margin), zero)
    return reduced(losses, reduction, dtype)


def _check_margin(margin: float) -> None:
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")


def _check_triplet(anchor: Any, positive: Any, negative: Any) -> None:
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise ShapeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )


@public
def from_distances(near: jax.Array, far: jax.Array, other: jax.Array | None, margin: float, reduction: str) -> jax.Array:
    """``max(0, near − far + margin)``, reduced; with ``other``, from the positive to the negative, the smaller of it and far counts."""
    far = far if other is None else jnp.minimum(far, other)
    return reduced(hinge(margin + near - far), reduction, near.dtype)


@public
def triplet_margin_loss(
    anchor: jax.Array,
    positive: jax.Array,
    negative: jax.Array,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """The positive nearer to the anchor than the negative: ``l = max(0, d(a, b) − d(a, c) + margin)`` with ``d(x, y) = ‖x − y + ε‖ₚ``.

    Args:
      anchor: ``a``, of shape (N, D), or (D,) for a single triplet.
      positive: ``b``, of a shape that broadcasts with it.
      negative: ``c``, of a shape that broadcasts with it.
      margin: by how much, in units of the distance, positive; default 1.
      p: the norm's exponent; default 2.
      eps: ``ε``, which keeps the derivative of the norm finite; default 1e-6.
      swap: whether the distance from the positive to the negative takes the place of d(a, c) where it is smaller; default False.
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.

    Returns:
      A scalar, or an array of shape (N,) (or ()) for reduction='none'; integers give float32.

    Raises:
      ShapeError: the ranks differ, or the shapes do not broadcast.
      ValueError: margin is not positive, or an unknown reduction.

    Source: torch.nn.functional.triplet_margin_loss; Balntas et al., "Learning shallow convolutional feature descriptors with triplet
    losses", BMVC 2016, for swap.

    Example:
      >>> import jax.numpy as jnp
      >>> round(triplet_margin_loss(jnp.zeros(2), jnp.array([3.0, 4.0]), jnp.array([0.0, 5.0])).item(), 4)
      1.0
    """
    reduction = reduction_of(reduction, size_average, reduce)
    _check_margin(margin)
    arrays = {name: check.array(name, x) for name, x in (("anchor", anchor), ("positive", positive), ("negative", negative))}
    a, b, c = arrays.values()
    _check_triplet(a, b, c)
    broadcast_shape("triplet_margin_loss", **arrays)

    def distance(x: jax.Array, y: jax.Array) -> jax.Array:
        return pairwise_distance(x, y, p, eps)

    return from_distances(distance(a, b), distance(a, c), distance(b, c) if swap else None, margin, reduction)


@composed
def triplet_margin_with_distance_loss(
    anchor: jax.Array,
    positive: jax.Array,
    negative: jax.Array,
    *,
    distance_function: Callable[[jax.Array, jax.Array], jax.Array] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> jax.Array:
    """The positive nearer to the anchor than the negative, by a distance of one's own: ``l = max(0, d(a, b) − d(a, c) + margin)``.

    Args:
      anchor: ``a``, of shape (N, D), or whatever the distance takes.
      positive: ``b``, of the same rank.
      negative: ``c``, of the same rank.
      distance_function: ``d``, from two arrays to an array of distances; default pairwise_distance.
      margin: by how much, in units of the distance, positive; default 1.
      swap: whether the distance from the positive to the negative takes the place of d(a, c) where it is smaller; default False.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.

    Returns:
      A scalar, or an array of the distances' shape for reduction='none'.

    Raises:
      ShapeError: the ranks differ, or the shapes do not broadcast.
      ValueError: margin is not positive, or an unknown reduction.

    Source: torch.nn.functional.triplet_margin_with_distance_loss.

    Example:
      >>> import jax.numpy as jnp
      >>> def manhattan(x, y):
      ...     return jnp.abs(x - y).sum(-1)
      >>> triplet_margin_with_distance_loss(jnp.zeros(2), jnp.ones(2), 2 * jnp.ones(2), distance_function=manhattan, margin=3.0).item()
      1.0
    """
    # The distance is the caller's and sees the arguments as they came, the shim's Tensors included.
    reduction = reduction_of(reduction)
    _check_margin(margin)
    _check_triplet(anchor, positive, negative)
    broadcast_shape("triplet_margin_with_distance_loss", anchor=anchor, positive=positive, negative=negative)
    distance = pairwise_distance if distance_function is None else distance_function
    other = distance(positive, negative) if swap else None
    return from_distances(distance(anchor, positive), distance(anchor, negative), other, margin, reduction)
