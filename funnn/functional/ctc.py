"""Connectionist temporal classification: the likelihood of a label sequence under per-step distributions, over all alignments.

An alignment walks through the extended labels: blank, y₁, blank, y₂, …, blank, which are its states s = 0 … 2S. From one step to the next it
stays, moves on by one, or skips a blank between two different labels. With p_t(s) the probability of state s's label at step t,

    α_t(s) = p_t(s) · Σ α_{t−1}(s′) over the states s′ that lead to s,   β_{t−1}(s′) = Σ p_t(s) · β_t(s) over the states s that s′ leads to,

likelihood = Σ_s α_{T−1}(s) over the last two states, and α_t(s) · β_t(s) / likelihood is the share of alignments that are in s at step t.
All of it is in logarithms.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from funnn.errors import ArgumentError, DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional._reduction import index_type, reduction_of
from funnn.functional._varying import vary_alike, vary_like

Lengths = jax.Array | Sequence[int]


def _log_add(terms: jax.Array, axis: int = 0) -> jax.Array:
    """``log Σ exp``, which is −∞ with derivative 0 where every term is −∞."""
    top = lax.stop_gradient(jnp.max(terms, axis, keepdims=True))
    top = jnp.where(top == -jnp.inf, jnp.zeros((), terms.dtype), top)
    total = jnp.sum(jnp.exp(terms - top), axis)
    none = total == 0
    return jnp.where(none, -jnp.inf, jnp.log(jnp.where(none, 1, total)) + jnp.squeeze(top, axis))


def _shift(x: jax.Array, by: int) -> jax.Array:
    """The states' values moved right by ``by`` places (left if negative); −∞ comes in."""
    fill = jnp.full((*x.shape[:-1], min(abs(by), x.shape[-1])), -jnp.inf, x.dtype)
    return jnp.concatenate([fill, x[..., : x.shape[-1] - by]] if by > 0 else [x[..., -by:], fill], -1)


def _states(log_probs: jax.Array, targets: jax.Array, blank: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The states' labels (N, 2S + 1), which of them a skip may enter, and log p_t(s) of shape (T, N, 2S + 1)."""
    items, length = targets.shape
    labels = jnp.full((items, 2 * length + 1), blank, targets.dtype).at[:, 1::2].set(targets)
    skips = (labels != blank) & (labels != jnp.roll(labels, 2, 1)) & (jnp.arange(2 * length + 1) >= 2)

    def read(row: jax.Array, label: jax.Array) -> jax.Array:  # a label out of range has no probability: NaN
        return row.at[:, label].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)

    return labels, skips, jax.vmap(read, (1, 0), 1)(log_probs, labels)


def _forward(scores: jax.Array, skips: jax.Array, input_lengths: jax.Array, ends: jax.Array) -> tuple[jax.Array, jax.Array]:
    """−log likelihood (N,), and log α of shape (T, N, 2S + 1)."""

    def step(alpha: jax.Array, given: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        score, time = given
        skipped = jnp.where(skips, _shift(alpha, 2), -jnp.inf)
        moved = _log_add(jnp.stack([alpha, _shift(alpha, 1), skipped])) + score
        alpha = jnp.where((time < input_lengths)[:, None], moved, alpha)  # an item that is over keeps its values
        return alpha, alpha

    # Before the first step an alignment stands at the first state: staying and moving on by one then give the two states it may begin with
    start = vary_like(jnp.full(skips.shape, -jnp.inf, scores.dtype).at[:, 0].set(0), scores)
    last, alphas = lax.scan(step, start, (scores, jnp.arange(len(scores))))
    return -_log_add(jnp.where(ends, last, -jnp.inf), 1), alphas


def _backward(scores: jax.Array, skips: jax.Array, input_lengths: jax.Array, ends: jax.Array) -> jax.Array:
    """log β of shape (T, N, 2S + 1)."""

    def step(beta: jax.Array, given: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        score, time = given
        ahead = beta + score
        skipped = _shift(jnp.where(skips, ahead, -jnp.inf), -2)
        moved = _log_add(jnp.stack([ahead, _shift(ahead, -1), skipped]))
        return jnp.where((time < input_lengths)[:, None], moved, beta), beta

    final = vary_like(jnp.where(ends, jnp.zeros((), scores.dtype), -jnp.inf), scores)
    return lax.scan(step, final, (scores, jnp.arange(len(scores))), reverse=True)[1]


def _ends(targets: jax.Array, target_lengths: jax.Array) -> jax.Array:
    """The states where an alignment may end: the last label and the blank behind it."""
    state = jnp.arange(2 * targets.shape[1] + 1)
    last = 2 * target_lengths[:, None]
    return (state == last) | (state == last - 1)


@functools.partial(jax.custom_jvp, nondiff_argnums=(4, 5))
def _losses(
    log_probs: jax.Array, targets: jax.Array, input_lengths: jax.Array, target_lengths: jax.Array, blank: int, zero_infinity: bool
) -> jax.Array:
    """−log likelihood of each item."""
    _, skips, scores = _states(log_probs, targets, blank)
    losses, _ = _forward(scores, skips, input_lengths, _ends(targets, target_lengths))
    return jnp.where(losses == jnp.inf, 0, losses) if zero_infinity else losses


@_losses.defjvp
def _losses_jvp(blank: int, zero_infinity: bool, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    # torch's derivative: that of the loss as a function of logits under a log softmax, exp(x) − share, which the softmax passes unchanged
    log_probs, targets, input_lengths, target_lengths = primals
    labels, skips, scores = _states(log_probs, targets, blank)
    ends = _ends(targets, target_lengths)
    losses, alphas = _forward(scores, skips, input_lengths, ends)
    paths = alphas + _backward(scores, skips, input_lengths, ends)
    shares = jnp.exp(paths - _log_add(paths, 2)[..., None])  # over their sum, not the likelihood, whose logarithm rounds differently

    def spread(share: jax.Array, label: jax.Array) -> jax.Array:
        return jnp.zeros((len(share), log_probs.shape[2]), share.dtype).at[:, label].add(share, mode="drop")

    slopes = jnp.exp(log_probs) - jax.vmap(spread, (1, 0), 1)(shares, labels)
    impossible = losses == jnp.inf  # no alignment: no share of any either
    slopes = jnp.where(impossible[:, None], 0 if zero_infinity else jnp.nan, slopes)
    losses = jnp.where(impossible, 0, losses) if zero_infinity else losses
    live = (jnp.arange(len(scores))[:, None] < input_lengths)[..., None]
    return losses, jnp.sum(jnp.where(live, slopes, 0) * tangents[0], (0, 2))


def _check_lengths(name: str, lengths: Lengths, items: int, most: int | None) -> jax.Array:
    """One length an item; the values of a sequence of ints are checked, those of an array cannot be."""
    if isinstance(lengths, (tuple, list)):
        for value in lengths:
            if value < 0 or (most is not None and value > most):
                bound = "at least 0" if value < 0 else f"at most {most}"
                raise ArgumentError(f"ctc_loss: Expected {name} to have value {bound}, but got value {value}")
        lengths = jnp.asarray(lengths, jnp.int32)
    lengths = check.array(name, lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise DtypeError(f"ctc_loss: {name} must be integral, but got {lengths.dtype}")
    if lengths.size != items or lengths.ndim > 1:
        raise ShapeError(f"ctc_loss: {name} must be of size batch_size, [{items}], but got {check.shape(lengths)}")
    return index_type(lengths.reshape(items))


def _padded(targets: jax.Array, target_lengths: jax.Array, length: int) -> jax.Array:
    """Concatenated targets as (N, length); what is not there becomes −1, which is no label."""
    starts = jnp.cumsum(target_lengths) - target_lengths
    return targets.at[starts[:, None] + jnp.arange(length)].get(mode="fill", fill_value=-1)


@public
def ctc_loss(
    log_probs: jax.Array,
    targets: jax.Array,
    input_lengths: Lengths,
    target_lengths: Lengths,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> jax.Array:
    """Connectionist temporal classification: ``l = −log Σ_a Π_t exp(x_t[a_t])`` over the alignments ``a`` that spell the target.

    An alignment gives each step a label or a blank; it spells what is left when repetitions are merged and then blanks removed.

    Args:
      log_probs: ``x``, log probabilities (of log_softmax) of shape (T, N, C), or (T, C) for a single item.
      targets: labels in [0, C) other than blank, integers of shape (N, S), of which the first target_lengths[n] count; or of shape
        (sum(target_lengths),), one target after the other.
      input_lengths: how many of the T steps count, integers of shape (N,) or (), or a tuple.
      target_lengths: how many labels each target has, integers of shape (N,) or (), or a tuple. Concatenated targets whose lengths are a
        tuple cost less than those whose lengths are an array, which may be anything up to the number of labels.
      blank: the blank's index, in [0, C); default 0.
      reduction: 'mean' (each loss over its target's length, then the mean over the items), 'sum' or 'none'; default 'mean'.
      zero_infinity: whether an infinite loss, of an input too short for its target, counts as 0 with derivative 0; default False.

    Returns:
      A scalar, or an array of shape (N,) (() for a single item) for reduction='none', of log_probs's dtype. A label or a length out of
      range makes the loss NaN, for a traced value cannot be checked; torch raises RuntimeError.

      The derivative is torch's: exp(x) minus the share of alignments with that label at that step. It is the derivative in the logits and is
      right for the output of log_softmax, which passes it on unchanged; not for other functions of x.

    Raises:
      ShapeError: the shapes do not fit.
      DtypeError: log_probs is not floating point, or a length not integer.
      ArgumentError: blank is no index of a class, or a length in a tuple is out of range.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.ctc_loss; Graves et al., "Connectionist temporal classification", ICML 2006.

    Example:
      >>> import jax.numpy as jnp
      >>> even = jnp.log(jnp.full((2, 1, 2), 0.5))  # two steps, a blank and one label: 3 of 4 alignments spell the label
      >>> round(jnp.exp(-ctc_loss(even, jnp.array([[1]]), (2,), (1,))).item(), 4)
      0.75
    """
    reduction = reduction_of(reduction)
    log_probs, targets = check.floating("ctc_loss", "log_probs", log_probs), check.array("targets", targets)
    if log_probs.ndim not in (2, 3):
        raise ShapeError(f"ctc_loss: Expected 3-dimensional log_probs (T, N, C) or 2-dimensional (T, C), but got {check.shape(log_probs)}")
    x = (log_probs if log_probs.ndim == 3 else log_probs[:, None]).astype(check.accumulator(log_probs.dtype))
    steps, items, classes = x.shape
    if not 0 <= blank < classes:
        raise ArgumentError(f"ctc_loss: blank must be in label range [0, {classes}), but got blank={blank}")
    if targets.ndim not in (1, 2):
        raise ShapeError(f"ctc_loss: targets must be (N, S) or (sum(target_lengths),), but got {check.shape(targets)}")
    if targets.ndim == 2 and len(targets) != items:
        raise ShapeError(
            f"ctc_loss: Expected tensor to have size {items} at dimension 0, but got size {len(targets)} for argument #2 'targets'"
        )
    given = target_lengths
    input_lengths = _check_lengths("input_lengths", input_lengths, items, steps)
    target_lengths = _check_lengths("target_lengths", target_lengths, items, targets.shape[1] if targets.ndim == 2 else None)
    y = index_type(targets if jnp.issubdtype(targets.dtype, jnp.integer) else targets.astype(jnp.int32))
    if targets.ndim == 1:
        if isinstance(given, (tuple, list)) and sum(given) != targets.size:
            raise ShapeError(
                f"ctc_loss: Expected tensor to have size {sum(given)} at dimension 0, but got size {targets.size} for argument #2 'targets'"
            )
        y = _padded(y, target_lengths, max(given, default=0) if isinstance(given, (tuple, list)) else targets.size)
    length = y.shape[1]
    # What stands behind a target's end must not matter, whatever it is
    y = jnp.where(jnp.arange(length) < target_lengths[:, None], y, blank)
    losses = _losses(*vary_alike(x, y, input_lengths, target_lengths), blank, zero_infinity)
    valid = (input_lengths >= 0) & (input_lengths <= steps) & (target_lengths >= 0) & (target_lengths <= length)
    losses = jnp.where(valid, losses, jnp.nan)
    if reduction == "mean":
        losses = jnp.mean(losses / jnp.maximum(target_lengths, 1).astype(losses.dtype))
    elif reduction == "sum":
        losses = jnp.sum(losses)
    elif log_probs.ndim == 2:
        losses = losses.reshape(())
    return losses.astype(log_probs.dtype)
