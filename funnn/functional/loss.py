"""Losses of numbers: squared and absolute errors and their mixtures, divergences and likelihoods of distributions."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from funnn.errors import ArgumentError, ShapeError, ShapeValueError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional._reduction import broadcast_shape, operands, reduced, reduction_of, warn_of_sizes
from funnn.functional._slope import magnitude, with_slope
from funnn.functional._warn import warn

#: ``d²/2c`` where |d| < b, and the straight line from there on.
_bent = with_slope(
    lambda d, b, c: jnp.where(jnp.abs(d) < b, 0.5 * jnp.square(d) / c, b / c * (jnp.abs(d) - 0.5 * b)),
    lambda d, b, c: jnp.where(d >= b, b / c, jnp.where(d <= -b, -b / c, d / c)),
)


def _weighted(
    name: str, losses: jax.Array, input: jax.Array, weight: jax.Array | None, reduction: str, dtype: jnp.dtype, by_weight: bool
) -> jax.Array:
    """The losses times weights of the input's size, reduced; the mean is over the weights' sum, or over the losses' number."""
    if weight is None:
        return reduced(losses, reduction, dtype)
    weight = check.array("weight", weight)
    if weight.shape != input.shape:
        raise ShapeError(f"Weights and input must have the same size. {name}: weight {check.shape(weight)} and input {check.shape(input)}")
    weight = weight.astype(losses.dtype)
    return reduced(losses * weight, reduction, dtype, jnp.sum(weight) if by_weight else None)


@public
def mse_loss(
    input: jax.Array,
    target: jax.Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: jax.Array | None = None,
) -> jax.Array:
    """Mean squared error: ``l = (x − y)²``, then its mean, its sum, or as it is.

    Args:
      input: ``x``, of any shape.
      target: ``y``, of the same shape (another one is broadcast, with a warning).
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.
      weight: factors of the squared errors, of the input's shape; the mean is then over their sum; default none.

    Returns:
      A scalar, or an array of the input's shape for reduction='none'.

    Raises:
      DtypeError: neither argument is floating point.
      ShapeError: the shapes do not broadcast, or the weight's differs.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.mse_loss.

    Example:
      >>> import jax.numpy as jnp
      >>> mse_loss(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0])).item()
      2.5
    """
    input, target = check.array("input", input), check.array("target", target)
    warn_of_sizes(input, target)
    reduction = reduction_of(reduction, size_average, reduce)
    dtype, (x, y) = operands("mse_loss", input=input, target=target)
    return _weighted("mse_loss", jnp.square(x - y), input, weight, reduction, dtype, by_weight=True)


@public
def l1_loss(
    input: jax.Array,
    target: jax.Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: jax.Array | None = None,
) -> jax.Array:
    """Mean absolute error: ``l = |x − y|``, then its mean, its sum, or as it is.

    Args:
      input: ``x``, of any shape.
      target: ``y``, of the same shape (another one is broadcast, with a warning).
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.
      weight: factors of the absolute errors, of the input's shape; the mean is then over their sum; default none.

    Returns:
      A scalar, or an array of the input's shape for reduction='none'. The derivative at x = y is 0.

    Raises:
      DtypeError: neither argument is floating point or complex.
      ShapeError: the shapes do not broadcast, or the weight's differs.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.l1_loss.

    Example:
      >>> import jax.numpy as jnp
      >>> l1_loss(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0])).item()
      1.5
    """
    input, target = check.array("input", input), check.array("target", target)
    warn_of_sizes(input, target)
    reduction = reduction_of(reduction, size_average, reduce)
    kind = jnp.result_type(input, target)
    if jnp.issubdtype(kind, jnp.complexfloating):
        broadcast_shape("l1_loss", input=input, target=target)
        losses = jnp.abs(input.astype(kind) - target.astype(kind))
        return _weighted("l1_loss", losses, input, weight, reduction, losses.dtype, by_weight=True)
    dtype, (x, y) = operands("l1_loss", input=input, target=target)
    return _weighted("l1_loss", magnitude(x - y), input, weight, reduction, dtype, by_weight=True)


@public
def smooth_l1_loss(
    input: jax.Array,
    target: jax.Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> jax.Array:
    """Squared error near zero, absolute error far from it: ``l = d² / 2β`` where ``d = |x − y| < β``, else ``d − β/2``.

    Args:
      input: ``x``, of any shape.
      target: ``y``, of the same shape (another one is broadcast, with a warning).
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.
      beta: ``β``, not negative, in units of the input; 0 gives l1_loss; default 1.

    Returns:
      A scalar, or an array of the input's shape for reduction='none'.

    Raises:
      DtypeError: neither argument is floating point.
      ShapeError: the shapes do not broadcast.
      ArgumentError: beta is negative.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.smooth_l1_loss.

    Example:
      >>> import jax.numpy as jnp
      >>> smooth_l1_loss(jnp.array([1.0, 2.0]), jnp.array([0.5, 5.0]), reduction="none").tolist()
      [0.125, 2.5]
    """
    input, target = check.array("input", input), check.array("target", target)
    warn_of_sizes(input, target)
    reduction = reduction_of(reduction, size_average, reduce)
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss does not support negative values for beta, but got beta={beta}; use 0 for l1_loss.")
    dtype, (x, y) = operands("smooth_l1_loss", input=input, target=target)
    losses = magnitude(x - y) if beta == 0 else _bent(x - y, beta, beta)
    return reduced(losses, reduction, dtype)


@public
def huber_loss(
    input: jax.Array, target: jax.Array, reduction: str = "mean", delta: float = 1.0, weight: jax.Array | None = None
) -> jax.Array:
    """Squared error near zero, absolute error far from it: ``l = d²/2`` where ``d = |x − y| ≤ δ``, else ``δ · (d − δ/2)``.

    Args:
      input: ``x``, of any shape.
      target: ``y``, of the same shape (another one is broadcast, with a warning).
      reduction: 'mean', 'sum' or 'none'; default 'mean'.
      delta: ``δ``, positive, in units of the input; default 1.
      weight: factors of the losses, of the input's shape; the mean is over the losses' number; default none.

    Returns:
      A scalar, or an array of the input's shape for reduction='none'. It is δ times smooth_l1_loss with β = δ.

    Raises:
      DtypeError: neither argument is floating point.
      ShapeError: the shapes do not broadcast, or the weight's differs.
      ArgumentError: delta is not positive.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.huber_loss.

    Example:
      >>> import jax.numpy as jnp
      >>> huber_loss(jnp.array([1.0, 2.0]), jnp.array([0.5, 5.0]), reduction="none").tolist()
      [0.125, 2.5]
    """
    input, target = check.array("input", input), check.array("target", target)
    warn_of_sizes(input, target)
    reduction = reduction_of(reduction)
    if delta <= 0:
        raise ArgumentError(f"huber_loss does not support non-positive values for delta, but got delta={delta}; its default is 1.0.")
    dtype, (x, y) = operands("huber_loss", input=input, target=target)
    return _weighted("huber_loss", _bent(x - y, delta, 1), input, weight, reduction, dtype, by_weight=False)


def _entropy(t: jax.Array) -> jax.Array:
    """``t · log t``, which is 0 at 0."""
    return jnp.where(t == 0, jnp.zeros((), t.dtype), t) * jnp.log(t + (t == 0))


@public
def kl_div(
    input: jax.Array,
    target: jax.Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> jax.Array:
    """Kullback–Leibler divergence: ``l = y · (log y − x)``, with ``y = exp(target)`` for a target given as a logarithm.

    Args:
      input: ``x``, log probabilities, of any shape.
      target: ``y``, probabilities, or with log_target their logarithms; of a shape that broadcasts with the input's.
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'batchmean' (the sum over the input's first size, which is the divergence), 'mean' (over all elements, with torch's warning),
        'sum' or 'none'; default 'mean'.
      log_target: whether target holds logarithms; default False.

    Returns:
      A scalar, or an array of the input's shape for reduction='none'. Where y is 0, l is 0.

    Raises:
      DtypeError: an argument is not floating point.
      ShapeError: the shapes do not broadcast.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.kl_div. The derivative in a target of 0 is finite here, −x; in torch it is NaN.

    Example:
      >>> import jax.numpy as jnp
      >>> round(kl_div(jnp.log(jnp.array([[0.5, 0.5]])), jnp.array([[1.0, 0.0]]), reduction="batchmean").item(), 4)
      0.6931
    """
    if size_average is None and reduce is None and reduction == "mean":
        warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release."
        )
    reduction = reduction_of(reduction, size_average, reduce, also=("batchmean",))
    for name, x in (("input", input), ("target", target)):
        check.floating("kl_div: Integral inputs not supported", name, x)
    dtype, (x, y) = operands("kl_div", input=input, target=target)
    losses = jnp.exp(y) * (y - x) if log_target else _entropy(y) - y * x
    if reduction == "batchmean":
        return (jnp.sum(losses) / (x.shape[0] if x.ndim else 1)).astype(dtype)
    return reduced(losses, reduction, dtype)


@public
def poisson_nll_loss(
    input: jax.Array,
    target: jax.Array,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Negative log likelihood of counts ``k`` under a Poisson distribution of mean λ, up to a constant: ``l = λ − k · log λ``.

    Args:
      input: ``log λ``, or with log_input=False ``λ`` itself; of any shape.
      target: ``k``, of a shape that broadcasts with the input's.
      log_input: whether input is a logarithm; default True.
      full: whether to add Stirling's approximation of ``log k!``, ``k · log k − k + ½ log 2πk``, where k > 1; default False.
      size_average: deprecated in torch; see reduction.
      eps: added to λ under the logarithm for log_input=False; default 1e-8.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.

    Returns:
      A scalar, or an array of the input's shape for reduction='none'; integers alone give float32.

    Raises:
      ShapeError: the shapes do not broadcast.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.poisson_nll_loss.

    Example:
      >>> import jax.numpy as jnp
      >>> poisson_nll_loss(jnp.array([0.0, 0.0]), jnp.array([0.0, 3.0]), reduction="none").tolist()
      [1.0, 1.0]
    """
    reduction = reduction_of(reduction, size_average, reduce)
    dtype, (x, k) = operands("poisson_nll_loss", integers=True, input=input, target=target)
    losses = jnp.exp(x) - k * x if log_input else x - k * jnp.log(x + jnp.asarray(eps, x.dtype))
    if full:
        large = k > 1
        safe = jnp.where(large, k, jnp.ones((), k.dtype))
        stirling = safe * jnp.log(safe) - safe + 0.5 * jnp.log(2 * math.pi * safe)
        losses = losses + jnp.where(large, stirling, jnp.zeros((), k.dtype))
    return reduced(losses, reduction, dtype)


@public
def gaussian_nll_loss(
    input: jax.Array, target: jax.Array, var: jax.Array | float, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> jax.Array:
    """Negative log likelihood under normal distributions, up to a constant: ``l = ½ · (log v + (x − y)² / v)`` with ``v = max(var, ε)``.

    Args:
      input: ``x``, the distributions' means, of any shape.
      target: ``y``, of the same shape, or one that broadcasts.
      var: variances, not negative: a number; or an array of the input's shape, or of that shape without its last axis or with one axis of
        size 1.
      full: whether to add the constant ``½ log 2π``; default False.
      eps: ``ε``, the least variance; the derivative passes as if there were none; default 1e-6.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.

    Returns:
      A scalar, or an array of the input's shape for reduction='none'.

    Raises:
      DtypeError: no argument is floating point.
      ShapeError: the shapes do not fit.
      ValueError: var is a negative number, or an unknown reduction. A negative variance in an array is taken as ε, for a traced value
        cannot be checked; torch raises ValueError.

    Source: torch.nn.functional.gaussian_nll_loss.

    Example:
      >>> import jax.numpy as jnp
      >>> gaussian_nll_loss(jnp.array([1.0, 2.0]), jnp.array([1.0, 4.0]), jnp.ones(2), reduction="none").tolist()
      [0.0, 2.0]
    """
    input = check.array("input", input)
    if isinstance(var, (int, float)):
        if var < 0:
            raise ValueError(f"var has negative entry/entries: got var={var}, expected a variance, 0 or more")
        var = jnp.full(input.shape, var, input.dtype)
    var = check.array("var", var)
    if var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = var[..., None]
        elif input.ndim != var.ndim or sum(v for x, v in zip(input.shape, var.shape, strict=True) if x != v) != 1:
            raise ShapeValueError(
                f"var is of incorrect size: got {check.shape(var)}, expected the input's {check.shape(input)}, "
                "that without its last axis, or with one axis of size 1"
            )
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid; reduction is 'none', 'mean' or 'sum'")
    dtype, (x, y, v) = operands("gaussian_nll_loss", input=input, target=target, var=var)
    v = v + lax.stop_gradient(jnp.maximum(v, jnp.asarray(eps, v.dtype)) - v)
    losses = 0.5 * (jnp.log(v) + jnp.square(x - y) / v)
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction, dtype)
