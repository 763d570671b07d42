"""Losses of yes-or-no labels: binary cross entropy and the logistic losses of margins."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from funnn._types import Arrays
from funnn.errors import ShapeError, ShapeValueError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional._reduction import broadcast_shape, operands, reduced, reduction_of
from funnn.functional._slope import with_slope

#: ``log(1 + eˣ)`` without overflow.
_softplus = with_slope(lambda x: jnp.logaddexp(x, jnp.zeros((), x.dtype)), lax.logistic)


def _factors(name: str, argument: str, weight: jax.Array | None, losses: jax.Array) -> jax.Array | None:
    """Factors that broadcast to the losses' shape, in their dtype."""
    if weight is None:
        return None
    weight = check.array(argument, weight)
    if broadcast_shape(name, **{argument: weight, "input": losses}) != losses.shape:
        raise ShapeError(
            f"{name}: {argument} of shape {check.shape(weight)} must broadcast to the input's shape {check.shape(losses)}, not enlarge it"
        )
    return weight.astype(losses.dtype)


@jax.custom_jvp
def _cross_entropy(x: jax.Array, y: jax.Array) -> jax.Array:
    """Of probabilities; torch bounds the logarithms at −100."""
    return (y - 1) * jnp.maximum(jnp.log1p(-x), -100) - y * jnp.maximum(jnp.log(x), -100)


@_cross_entropy.defjvp
def _cross_entropy_jvp(primals: Arrays, tangents: Arrays) -> tuple[jax.Array, jax.Array]:
    # As torch: the logarithms' bounds are not seen by the derivatives, the one in x has a bound of its own
    (x, y), (x_t, y_t) = primals, tangents
    slope = (x - y) / jnp.maximum((1 - x) * x, jnp.asarray(1e-12, x.dtype))
    return _cross_entropy(x, y), slope * x_t + (jnp.log1p(-x) - jnp.log(x)) * y_t


@public
def binary_cross_entropy(
    input: jax.Array,
    target: jax.Array,
    weight: jax.Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Cross entropy of probabilities: ``l = −w · (y · log x + (1 − y) · log(1 − x))``, each logarithm not below −100.

    Args:
      input: ``x``, probabilities in [0, 1], of any shape.
      target: ``y``, in [0, 1], of the same shape and dtype.
      weight: ``w``, factors that broadcast to the input's shape; default 1.
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.

    Returns:
      A scalar, or an array of the input's shape for reduction='none'. A probability outside [0, 1] makes the loss NaN, for a traced value
      cannot be checked; torch raises RuntimeError. For logits, binary_cross_entropy_with_logits is exact where a sigmoid saturates.

    Raises:
      DtypeError: input is not floating point, or target or weight has another dtype.
      ShapeError: target has another shape than input, or weight does not broadcast to it.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.binary_cross_entropy.

    Example:
      >>> import jax.numpy as jnp
      >>> round(binary_cross_entropy(jnp.array([0.5, 0.0]), jnp.array([1.0, 0.0]), reduction="sum").item(), 4)
      0.6931
    """
    reduction = reduction_of(reduction, size_average, reduce)
    input = check.floating("binary_cross_entropy", "input", input)
    target = check.like("binary_cross_entropy", "target", target, input)
    if target.shape != input.shape:
        raise ShapeValueError(
            f"binary_cross_entropy: Using a target size ({check.shape(target)}) that is different to the input size ({check.shape(input)}) is deprecated. "
            "Please ensure they have the same size."
        )
    if weight is not None:
        weight = check.like("binary_cross_entropy", "weight", weight, input)
    wide = check.accumulator(input.dtype)
    losses = _cross_entropy(input.astype(wide), target.astype(wide))
    factors = _factors("binary_cross_entropy", "weight", weight, losses)
    return reduced(losses if factors is None else losses * factors, reduction, input.dtype)


@public
def binary_cross_entropy_with_logits(
    input: jax.Array,
    target: jax.Array,
    weight: jax.Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: jax.Array | None = None,
) -> jax.Array:
    """Cross entropy of logits: ``l = −w · (p · y · log σ(x) + (1 − y) · log(1 − σ(x)))``, computed without a sigmoid that saturates.

    Args:
      input: ``x``, logits of any shape.
      target: ``y``, in [0, 1], of the same shape.
      weight: ``w``, factors that broadcast to the input's shape; default 1.
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.
      pos_weight: ``p``, factors of the positive part that broadcast to the input's shape; default 1.

    Returns:
      A scalar, or an array of the input's shape for reduction='none'.

    Raises:
      DtypeError: input is not floating point.
      ShapeError: target has another shape than input, or a weight does not broadcast to it.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.binary_cross_entropy_with_logits.

    Example:
      >>> import jax.numpy as jnp
      >>> round(binary_cross_entropy_with_logits(jnp.array([0.0, -90.0]), jnp.array([1.0, 1.0]), reduction="sum").item(), 4)
      90.6931
    """
    name = "binary_cross_entropy_with_logits"
    reduction = reduction_of(reduction, size_average, reduce)
    input, target = check.floating(name, "input", input), check.array("target", target)
    if target.shape != input.shape:
        raise ShapeValueError(f"{name}: Target size ({check.shape(target)}) must be the same as input size ({check.shape(input)})")
    dtype, (x, y) = operands(name, input=input, target=target)
    positive = _factors(name, "pos_weight", pos_weight, x)
    factor = 1 if positive is None else 1 + (positive - 1) * y
    losses = (1 - y) * x + factor * _softplus(-x)
    weight = _factors(name, "weight", weight, losses)
    return reduced(losses if weight is None else losses * weight, reduction, dtype)


@public
def soft_margin_loss(
    input: jax.Array, target: jax.Array, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> jax.Array:
    """Logistic loss of a margin: ``l = log(1 + exp(−y · x))``.

    Args:
      input: ``x``, scores of any shape.
      target: ``y``, 1 or −1, of a shape that broadcasts with the input's.
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.

    Returns:
      A scalar, or an array of the input's shape for reduction='none'.

    Raises:
      DtypeError: neither argument is floating point.
      ShapeError: the shapes do not broadcast.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.soft_margin_loss, which overflows to infinity (and a NaN derivative) where −y·x exceeds 88; this does not.

    Example:
      >>> import jax.numpy as jnp
      >>> soft_margin_loss(jnp.array([-100.0, 100.0]), jnp.array([1.0, 1.0])).item()
      50.0
    """
    reduction = reduction_of(reduction, size_average, reduce)
    dtype, (x, y) = operands("soft_margin_loss", input=input, target=target)
    return reduced(_softplus(-y * x), reduction, dtype)


@public
def multilabel_soft_margin_loss(
    input: jax.Array,
    target: jax.Array,
    weight: jax.Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Binary cross entropy of logits, averaged over the classes: ``l_n = −Σ_c w_c · (y · log σ(x) + (1 − y) · log σ(−x))_nc / C``.

    Args:
      input: ``x``, logits of shape (*, C).
      target: ``y``, in [0, 1], of a shape that broadcasts with the input's.
      weight: ``w``, of shape (C,) or one that broadcasts to the input's; default 1.
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.

    Returns:
      A scalar, or an array of shape (*) for reduction='none'.

    Raises:
      DtypeError: input is not floating point.
      ShapeError: input has no axis, or the shapes do not broadcast.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.multilabel_soft_margin_loss.

    Example:
      >>> import jax.numpy as jnp
      >>> round(multilabel_soft_margin_loss(jnp.zeros((2, 3)), jnp.ones((2, 3))).item(), 4)
      0.6931
    """
    name = "multilabel_soft_margin_loss"
    if size_average is None and reduce is None and reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid; reduction is 'none', 'mean' or 'sum'")
    reduction = reduction_of(reduction, size_average, reduce)
    input = check.floating(name, "input", input)
    if input.ndim == 0:
        raise ShapeError(f"{name}: input must have an axis of classes, (*, C), but got a scalar")
    dtype, (x, y) = operands(name, input=input, target=target)
    losses = y * _softplus(-x) + (1 - y) * _softplus(x)
    factors = _factors(name, "weight", weight, losses)
    losses = losses if factors is None else losses * factors
    return reduced(jnp.sum(losses, -1) / input.shape[-1], reduction, dtype)
