"""Losses of classes: the target's entry is gathered along the class axis; a one-hot code is never built."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from funnn.errors import ArgumentError, DtypeError, ShapeError, ShapeValueError
from funnn.functional import _checks as check
from funnn.functional._class_kernel import log_total_and_entry
from funnn.functional._dispatch import public
from funnn.functional._reduction import index_type, pick, reduced, reduction_of
from funnn.functional.softmax import shifted_exp
from funnn.functional.sparse import rows


def class_weight(name: str, weight: jax.Array | None, input: jax.Array, classes: int) -> jax.Array | None:
    if weight is None:
        return None
    weight = check.like(name, "weight", weight, input, mixed=True)
    if weight.shape != (classes,):
        raise ShapeError(
            f"{name}: weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {check.shape(weight)}"
        )
    return weight.astype(check.accumulator(input.dtype))


def along(weight: jax.Array, ndim: int, axis: int) -> jax.Array:
    """Class weights with the rank that lets them broadcast along the class axis."""
    return weight.reshape(-1, *(1,) * (ndim - axis - 1))


def class_indices(name: str, input: jax.Array | jax.ShapeDtypeStruct, target: jax.Array) -> jax.Array:
    """Check a target of class indices: (N, d₁, …) for an input (N, C, d₁, …), or a scalar for an input (C,)."""
    size, wanted = check.shape(input), [*input.shape[:1], *input.shape[2:]] if input.ndim > 1 else []
    got = check.shape(target)
    if input.ndim == 1:
        if got not in ([], [1]):
            raise ShapeError(f"For 1D input, 1D target must have size 1, but got target size: {got}")
    elif got[:1] != wanted[:1] and len(got) > 0:
        raise ShapeValueError(
            f"Expected input batch_size ({size[0]}) to match target batch_size ({got[0]}). Got input {size} and target {got}."
        )
    elif input.ndim == 2 and len(got) != 1:
        raise ShapeError(f"0D or 1D target tensor expected, multi-target not supported: {name} got input {size} and target {got}")
    elif got != wanted:
        raise ShapeError(f"Expected target size {wanted}, got {got} ({name}: size mismatch, input {size} is (N, C, *), target is (N, *))")
    if not jnp.issubdtype(target.dtype, jnp.integer):
        raise DtypeError(
            f"{name}: expected target dtype to be Long or Byte (any integer), but got {target.dtype}. "
            f"Class probabilities, in cross_entropy, have the input's shape {size}; class indices need e.g. target.astype(jnp.int32)."
        )
    return target


def class_factors(target: jax.Array, weight: jax.Array | None, ignore_index: int, dtype: Any) -> jax.Array:
    """The class weight of each target, zero where it is ignored; their sum is the mean's divisor."""
    factors = jnp.ones(target.shape, dtype) if weight is None else rows(weight, target)
    return jnp.where(target == ignore_index, jnp.zeros((), dtype), factors)


def _weighted(losses: jax.Array, target: jax.Array, factors: jax.Array, ignore_index: int) -> jax.Array:
    """The losses times their factors, zero where ignored, whatever they are there."""
    return jnp.where(target == ignore_index, jnp.zeros((), losses.dtype), losses * factors)


@public
def nll_loss(
    input: jax.Array,
    target: jax.Array,
    weight: jax.Array | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Negative log likelihood: ``l_n = −w[y_n] · x[n, y_n]``, then ``Σ l_n / Σ w[y_n]``, the sum, or as it is.

    Args:
      input: ``x``, log probabilities of shape (N, C), (N, C, d₁, d₂, …), or (C,) for a single item.
      target: ``y``, class indices in [0, C), integers of shape (N), (N, d₁, d₂, …), or ().
      weight: ``w``, a factor for each class, of shape (C,); default 1.
      size_average: deprecated in torch; see reduction.
      ignore_index: a target that counts neither in the sum nor in the mean's divisor; default −100.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.

    Returns:
      A scalar, or an array of the target's shape for reduction='none', of the input's dtype. A target out of range (other than
      ignore_index) makes the loss NaN, for a traced value cannot be checked; torch raises IndexError. The mean over ignored targets
      alone is NaN.

    Raises:
      ShapeError: input, target and weight do not fit.
      DtypeError: input is not floating point, or target not integer.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.nll_loss. Any integer dtype is a target here, only int64 and uint8 in torch.

    Example:
      >>> import jax.numpy as jnp
      >>> nll_loss(jnp.array([[-1.0, -2.0], [-3.0, -4.0]]), jnp.array([0, 1])).item()
      2.5
    """
    reduction = reduction_of(reduction, size_average, reduce)
    input, target = check.floating("nll_loss", "input", input), check.array("target", target)
    if input.ndim < 1:
        raise ShapeError(f"nll_loss: Expected 1 or more dimensions (got {input.ndim}); input is (C,), (N, C) or (N, C, d1, ...)")
    target = index_type(class_indices("nll_loss", input, target))
    axis = min(input.ndim - 1, 1)
    weight = class_weight("nll_loss", weight, input, input.shape[axis])
    picked = pick(input, target.reshape(()) if input.ndim == 1 else target, axis)
    losses = -picked.reshape(target.shape).astype(check.accumulator(input.dtype))
    factors = class_factors(target, weight, ignore_index, losses.dtype)
    losses = _weighted(losses, target, factors, ignore_index)
    if input.ndim == 1:
        losses = losses.reshape(())  # torch squeezes a target of shape (1,)
    return reduced(losses, reduction, input.dtype, jnp.sum(factors))


def index_losses(
    x: jax.Array, index: jax.Array, axis: int, weight: jax.Array | None, ignore_index: int, label_smoothing: float = 0.0
) -> jax.Array:
    """cross_entropy's losses of class indices, for logits in the dtype to compute in."""
    log_total, entry, top = log_total_and_entry(x, index, axis)
    losses = _weighted(log_total - entry, index, class_factors(index, weight, ignore_index, x.dtype), ignore_index)
    if label_smoothing > 0.0:
        classes = x.shape[axis]
        shifted = x - jnp.expand_dims(top, axis)
        if weight is None:
            smooth = classes * log_total - jnp.sum(shifted, axis)
        else:
            smooth = jnp.sum(weight) * log_total - jnp.sum(shifted * along(weight, x.ndim, axis), axis)
        smooth = jnp.where(index == ignore_index, jnp.zeros((), x.dtype), smooth)
        losses = (1 - label_smoothing) * losses + (label_smoothing / max(classes, 1)) * smooth
    return losses


@public
def cross_entropy(
    input: jax.Array,
    target: jax.Array,
    weight: jax.Array | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> jax.Array:
    """Cross entropy between logits and classes: ``l_n = −Σ_c w_c · q_nc · log softmax(x_n)_c``.

    For class indices ``q_nc = (1 − s) · [c = y_n] + s / C`` with s the label smoothing, and 'mean' is ``Σ l_n / Σ w[y_n]``; for class
    probabilities ``q_nc = (1 − s) · y_nc + s / C``, and 'mean' is over the items.

    Args:
      input: ``x``, logits of shape (N, C), (N, C, d₁, d₂, …), or (C,) for a single item.
      target: ``y``, class indices in [0, C), integers of shape (N), (N, d₁, d₂, …) or (); or class probabilities of the input's shape.
      weight: ``w``, a factor for each class, of shape (C,); default 1.
      size_average: deprecated in torch; see reduction.
      ignore_index: a class index that counts neither in the sum nor in the mean's divisor; default −100.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.
      label_smoothing: ``s``, in [0, 1]; default 0.

    Returns:
      A scalar, or an array with one loss an item for reduction='none', of the input's dtype. A class index out of range (other than
      ignore_index) makes the loss NaN, for a traced value cannot be checked; torch raises IndexError. The mean over ignored targets
      alone is NaN.

    Raises:
      ShapeError: input, target and weight do not fit.
      DtypeError: input is not floating point, or an index target not integer.
      ArgumentError: label_smoothing outside [0, 1], or ignore_index with class probabilities.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.cross_entropy. Half precision is computed in float32 and rounded once.

    Example:
      >>> import jax.numpy as jnp
      >>> round(cross_entropy(jnp.array([[0.0, 0.0], [9.0, 9.0]]), jnp.array([0, 1])).item(), 4)
      0.6931
    """
    reduction = reduction_of(reduction, size_average, reduce)
    input, target = check.floating("cross_entropy", "input", input), check.array("target", target)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ArgumentError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.ndim < 1:
        raise ShapeError("cross_entropy: Expected 1 or more dimensions (got 0); input is (C,), (N, C) or (N, C, d1, ...)")
    axis = min(input.ndim - 1, 1)
    classes = input.shape[axis]
    weight = class_weight("cross_entropy", weight, input, classes)
    x = input.astype(check.accumulator(input.dtype))

    if target.shape == input.shape and not (input.ndim == 1 and classes == 1 and jnp.issubdtype(target.dtype, jnp.integer)):
        if not jnp.issubdtype(target.dtype, jnp.floating):
            raise DtypeError(
                f"Expected floating point type for target with class probabilities, got {target.dtype}. "
                f"Class indices for an input of shape {check.shape(input)} leave out its class axis, {axis}."
            )
        if ignore_index >= 0:
            raise ArgumentError(f"ignore_index is not supported for floating point target, but got ignore_index={ignore_index}")
        shifted, total = shifted_exp(x, axis)
        q = target.astype(x.dtype) * (1 - label_smoothing) + label_smoothing / max(classes, 1)
        q = q if weight is None else q * along(weight, input.ndim, axis)
        losses = -jnp.sum((shifted - jnp.log(total)) * q, axis)
        return reduced(losses, reduction, input.dtype)

    target = index_type(class_indices("cross_entropy", input, target))
    index = target.reshape(()) if input.ndim == 1 else target
    losses = index_losses(x, index, axis, weight, ignore_index, label_smoothing)
    return reduced(losses, reduction, input.dtype, jnp.sum(class_factors(index, weight, ignore_index, x.dtype)))
