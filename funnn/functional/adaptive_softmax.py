"""Log probabilities of a softmax in two levels: frequent classes in a head, rare ones in clusters that the head names as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from funnn.errors import DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._class_kernel import log_total_and_entry
from funnn.functional._dispatch import public
from funnn.functional._reduction import index_type
from funnn.functional.softmax import log_softmax


def _log_prob_at(logits: jax.Array, index: jax.Array) -> jax.Array:
    """log softmax at one index a row, without writing out the others."""
    log_total, entry, _ = log_total_and_entry(logits, index, logits.ndim - 1)
    return entry - log_total


def _check_target(head: jax.Array, target: jax.Array) -> None:
    if not jnp.issubdtype(target.dtype, jnp.integer):
        raise DtypeError(f"adaptive_log_softmax: target must hold class indices, integers, but got {target.dtype}")
    if target.ndim > 1:
        raise ShapeError(f"0D or 1D target tensor expected, multi-target not supported; got target {check.shape(target)}")
    if target.ndim == 1 and head.ndim > 0 and head.shape[0] != target.shape[0]:
        raise ShapeError(
            "Input and target should have the same size in the batch dimension, but got "
            f"{check.shape(head)} (the head's output) and {check.shape(target)}"
        )
    if head.ndim != target.ndim + 1:
        raise ShapeError(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found inputs with {head.ndim} axes: "
            f"{check.shape(head)} (the head's output)"
        )


@public
def adaptive_log_softmax(head: jax.Array, tail: Sequence[jax.Array], target: jax.Array | None = None) -> jax.Array:
    """Log probabilities of a softmax in two levels.

    The head has K frequent classes and one entry for each cluster: ``log p(c) = log softmax(head)_c`` for ``c < K``, and for the j-th class
    of the i-th cluster ``log softmax(head)_{K+i} + log softmax(tail_i)_j``.

    Args:
      head: logits of shape (N, K + len(tail)), or without N for a single item.
      tail: the clusters' logits, each of shape (N, its number of classes).
      target: class indices in [0, n_classes), integers of shape (N,) or (); default none, which gives every class.

    Returns:
      Log probabilities of the target, of its shape; or of all n_classes = K + Σ classes of the clusters, (N, n_classes). A target out of range
      gives NaN, for a traced value cannot be checked; torch raises RuntimeError.

    Raises:
      ShapeError: the shapes do not fit.
      DtypeError: an argument is not floating point, or target not integer.

    Source: the formula of torch.nn.AdaptiveLogSoftmaxWithLoss; Grave et al., "Efficient softmax approximation for GPUs", ICML 2017. torch
    computes each cluster for the rows whose target lies in it alone; shapes are static here, so every row is computed in every cluster.

    Example:
      >>> import jax.numpy as jnp
      >>> log_p = adaptive_log_softmax(jnp.zeros((1, 4)), [jnp.zeros((1, 2))])
      >>> jnp.exp(log_p).round(3).tolist() == [[0.25, 0.25, 0.25, 0.125, 0.125]]
      True
    """
    head = check.floating("adaptive_log_softmax", "head", head)
    tail = [check.like("adaptive_log_softmax", f"tail[{i}]", cluster, head) for i, cluster in enumerate(tail)]
    frequent = head.shape[-1] - len(tail)
    if target is None:
        log_head = log_softmax(head, -1)
        rare = [log_softmax(cluster, -1) + log_head[..., frequent + i, None] for i, cluster in enumerate(tail)]
        return jnp.concatenate([log_head[..., :frequent], *rare], -1)

    target = check.array("target", target)
    _check_target(head, target)
    target = index_type(target)
    wide = check.accumulator(head.dtype)
    place = jnp.where((target >= 0) & (target < frequent), target, -1)  # in the head; out of range gives NaN
    local, first = jnp.zeros(target.shape, wide), frequent
    for i, cluster in enumerate(tail):
        size = cluster.shape[-1]
        inside = (target >= first) & (target < first + size)
        place = jnp.where(inside, frequent + i, place)
        log_prob = _log_prob_at(cluster.astype(wide), jnp.clip(target - first, 0, size - 1))
        local, first = jnp.where(inside, log_prob, local), first + size
    return (local + _log_prob_at(head.astype(wide), place)).astype(head.dtype)
