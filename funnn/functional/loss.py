"""Losses. Class losses gather the target's entry along the class axis; a one-hot code is never built."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from funnn.errors import DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional.activation import shifted_exp
from funnn.functional.sparse import rows


def reduction_of(reduction: str, size_average: bool | None, reduce: bool | None) -> str:
    """The reduction, also from torch's two deprecated flags, with torch's warning."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warnings.warn(f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.", stacklevel=4)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction; expected 'none', 'mean' or 'sum'")
    return reduction


def _reduce(losses: jax.Array, reduction: str, total: jax.Array | None = None) -> jax.Array:
    """Reduce ``losses``; the mean is over their number, or over ``total``."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return jnp.sum(losses)
    return jnp.mean(losses) if total is None else jnp.sum(losses) / total


def _elementwise(
    name: str,
    error: Callable[[jax.Array], jax.Array],
    input: jax.Array,
    target: jax.Array,
    size_average: bool | None,
    reduce: bool | None,
    reduction: str,
    weight: jax.Array | None,
) -> jax.Array:
    """The loss ``error(input − target)``, reduced."""
    input, target = check.array("input", input), check.array("target", target)
    if input.shape != target.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). "
            "This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=4,
        )
    reduction = reduction_of(reduction, size_average, reduce)
    dtype = jnp.promote_types(input.dtype, target.dtype)
    check.floating(name, "input", input if jnp.issubdtype(input.dtype, jnp.inexact) else target)
    try:
        shape = jnp.broadcast_shapes(input.shape, target.shape)
    except ValueError as e:
        raise ShapeError(
            f"{name}: the size of input {check.shape(input)} must match the size of target {check.shape(target)} "
            "at every non-singleton dimension"
        ) from e
    wide = check.accumulator(dtype)
    losses = error(input.astype(wide) - target.astype(wide))
    if weight is None:
        return _reduce(losses, reduction).astype(dtype)
    weight = check.array("weight", weight)
    if weight.shape != input.shape:
        raise ShapeError(f"Weights and input must have the same size. {name}: weight {check.shape(weight)} and input {check.shape(input)}")
    weight = weight.astype(wide)
    return _reduce(jnp.broadcast_to(losses * weight, shape), reduction, jnp.sum(weight)).astype(dtype)


def _absolute(x: jax.Array) -> jax.Array:
    """|x| with derivative sign(x), which is 0 at 0; that of jnp.abs is 1 there."""
    return x * lax.stop_gradient(jnp.sign(x))


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
    return _elementwise("mse_loss", jnp.square, input, target, size_average, reduce, reduction, weight)


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
      DtypeError: neither argument is floating point.
      ShapeError: the shapes do not broadcast, or the weight's differs.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.l1_loss.

    Example:
      >>> import jax.numpy as jnp
      >>> l1_loss(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0])).item()
      1.5
    """
    return _elementwise("l1_loss", _absolute, input, target, size_average, reduce, reduction, weight)


def _class_weight(name: str, weight: jax.Array | None, input: jax.Array, classes: int) -> jax.Array | None:
    if weight is None:
        return None
    weight = check.like(name, "weight", weight, input, mixed=True)
    if weight.shape != (classes,):
        raise ShapeError(
            f"{name}: weight tensor should be defined either for all {classes} classes or no classes "
            f"but got weight tensor of shape: {check.shape(weight)}"
        )
    return weight.astype(check.accumulator(input.dtype))


def _class_indices(name: str, input: jax.Array, target: jax.Array) -> jax.Array:
    """Check a target of class indices: (N, d₁, …) for an input (N, C, d₁, …), or a scalar for an input (C,)."""
    size, wanted = check.shape(input), [*input.shape[:1], *input.shape[2:]] if input.ndim > 1 else []
    got = check.shape(target)
    if not jnp.issubdtype(target.dtype, jnp.integer):
        raise DtypeError(
            f"{name}: expected target dtype to be Long or Byte (any integer), but got {target.dtype}. "
            f"Class probabilities, in cross_entropy, have the input's shape {size}; class indices need e.g. target.astype(jnp.int32)."
        )
    if input.ndim == 1:
        if got not in ([], [1]):
            raise ShapeError(f"For 1D input, 1D target must have size 1, but got target size: {got}")
    elif got[:1] != wanted[:1] and len(got) > 0:
        raise ShapeError(f"Expected input batch_size ({size[0]}) to match target batch_size ({got[0]}). Got input {size} and target {got}.")
    elif input.ndim == 2 and len(got) != 1:
        raise ShapeError(f"0D or 1D target tensor expected, multi-target not supported: {name} got input {size} and target {got}")
    elif got != wanted:
        raise ShapeError(f"Expected target size {wanted}, got {got} ({name}: size mismatch, input {size} is (N, C, *), target is (N, *))")
    return target


def _pick(x: jax.Array, index: jax.Array, axis: int) -> jax.Array:
    """The entry ``index`` of ``x`` along ``axis`` at every position; NaN where it is out of range."""
    # Negative indices would count from the end: they are sent past it, as the others that are out of range
    size = x.shape[axis]
    index = jnp.where((index < 0) | (index >= size), jnp.asarray(size, index.dtype), index)
    return jnp.take_along_axis(x, jnp.expand_dims(index, axis), axis, mode="fill", fill_value=jnp.nan).squeeze(axis)


def _index_type(target: jax.Array) -> jax.Array:
    """The target in a dtype that can also hold the number of classes and −100 (uint8 cannot)."""
    return target if jnp.iinfo(target.dtype).bits >= 32 and jnp.issubdtype(target.dtype, jnp.signedinteger) else target.astype(jnp.int32)


def _weighted(losses: jax.Array, target: jax.Array, weight: jax.Array | None, ignore_index: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The losses times their class weights, zero where ignored; the mask of those that count; the sum of their weights."""
    counts = target != ignore_index
    factors = jnp.ones(target.shape, losses.dtype) if weight is None else rows(weight, target)
    factors = jnp.where(counts, factors, jnp.zeros((), losses.dtype))
    return jnp.where(counts, losses * factors, jnp.zeros((), losses.dtype)), counts, jnp.sum(factors)


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
    target = _index_type(_class_indices("nll_loss", input, target))
    axis = min(input.ndim - 1, 1)
    weight = _class_weight("nll_loss", weight, input, input.shape[axis])
    picked = _pick(input, target.reshape(()) if input.ndim == 1 else target, axis)
    losses = -picked.reshape(target.shape).astype(check.accumulator(input.dtype))
    losses, _, total = _weighted(losses, target, weight, ignore_index)
    if input.ndim == 1:
        losses = losses.reshape(())  # torch squeezes a target of shape (1,)
    return _reduce(losses, reduction, total).astype(input.dtype)


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
      ValueError: label_smoothing outside [0, 1], an unknown reduction, or ignore_index with class probabilities.

    Source: torch.nn.functional.cross_entropy. Half precision is computed in float32 and rounded once.

    Example:
      >>> import jax.numpy as jnp
      >>> round(cross_entropy(jnp.array([[0.0, 0.0], [9.0, 9.0]]), jnp.array([0, 1])).item(), 4)
      0.6931
    """
    reduction = reduction_of(reduction, size_average, reduce)
    input, target = check.floating("cross_entropy", "input", input), check.array("target", target)
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    if input.ndim < 1:
        raise ShapeError("cross_entropy: Expected 1 or more dimensions (got 0); input is (C,), (N, C) or (N, C, d1, ...)")
    axis = min(input.ndim - 1, 1)
    classes = input.shape[axis]
    weight = _class_weight("cross_entropy", weight, input, classes)
    along = None if weight is None else weight.reshape(-1, *(1,) * (input.ndim - axis - 1))
    x = input.astype(check.accumulator(input.dtype))

    if target.shape == input.shape and not (input.ndim == 1 and classes == 1 and jnp.issubdtype(target.dtype, jnp.integer)):
        if not jnp.issubdtype(target.dtype, jnp.floating):
            raise DtypeError(
                f"Expected floating point type for target with class probabilities, got {target.dtype}. "
                f"Class indices for an input of shape {check.shape(input)} leave out its class axis, {axis}."
            )
        if ignore_index >= 0:
            raise ValueError(f"ignore_index is not supported for floating point target, but got ignore_index={ignore_index}")
        shifted, total = shifted_exp(x, axis)
        q = target.astype(x.dtype) * (1 - label_smoothing) + label_smoothing / max(classes, 1)
        q = q if along is None else q * along
        losses = -jnp.sum((shifted - jnp.log(total)) * q, axis)
        return _reduce(losses, reduction).astype(input.dtype)

    target = _index_type(_class_indices("cross_entropy", input, target))
    index = target.reshape(()) if input.ndim == 1 else target
    shifted, total = shifted_exp(x, axis)
    log_total = jnp.log(total)
    # log softmax at the target alone, without writing out the others
    losses = log_total.squeeze(axis) - _pick(shifted, index, axis)
    losses, counts, divisor = _weighted(losses, index, weight, ignore_index)
    if label_smoothing > 0.0:
        log_p = shifted - log_total
        smooth = -jnp.sum(log_p if along is None else log_p * along, axis)
        smooth = jnp.where(counts, smooth, jnp.zeros((), x.dtype))
        losses = (1 - label_smoothing) * losses + (label_smoothing / max(classes, 1)) * smooth
    return _reduce(losses, reduction, divisor).astype(input.dtype)
