"""Losses of margins: each is ``max(0, margin − advantage)``, where the advantage is that of the right answer over another."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from funnn.errors import DtypeError, ShapeError, ShapeValueError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional._reduction import hinge, index_type, operands, pick, reduced, reduction_of, take
from funnn.functional.sparse import rows


@public
def hinge_embedding_loss(
    input: jax.Array,
    target: jax.Array,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Small distances for similar pairs, large ones for the others: ``l = x`` where ``y = 1``, ``max(0, margin − x)`` where ``y = −1``.

    Args:
      input: ``x``, distances of any shape.
      target: ``y``, 1 or −1, of a shape that broadcasts with the input's; any other value gives the sum of both.
      margin: how far apart others should be, in units of the input; default 1.
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.

    Returns:
      A scalar, or an array of the input's shape for reduction='none', of the input's dtype.

    Raises:
      DtypeError: input is not floating point.
      ShapeError: the shapes do not broadcast.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.hinge_embedding_loss.

    Example:
      >>> import jax.numpy as jnp
      >>> hinge_embedding_loss(jnp.array([0.25, 0.25]), jnp.array([1.0, -1.0]), reduction="none").tolist()
      [0.25, 0.75]
    """
    reduction = reduction_of(reduction, size_average, reduce)
    input = check.floating("hinge_embedding_loss", "input", input)
    _, (x, y) = operands("hinge_embedding_loss", input=input, target=target)
    zero = jnp.zeros((), x.dtype)
    rounded = jnp.asarray(margin, input.dtype).astype(x.dtype)  # as torch does first
    return reduced(jnp.where(y != 1, hinge(rounded - x), zero) + jnp.where(y != -1, x, zero), reduction, input.dtype)


@public
def margin_ranking_loss(
    input1: jax.Array,
    input2: jax.Array,
    target: jax.Array,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """The first score above the second, or below it: ``l = max(0, margin − y · (x₁ − x₂))``.

    Args:
      input1: ``x₁``, scores of any shape.
      input2: ``x₂``, of the same rank and a shape that broadcasts.
      target: ``y``, 1 where x₁ should be larger and −1 where it should be smaller; of the same rank and a shape that broadcasts.
      margin: by how much, in units of the input; default 0.
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.

    Returns:
      A scalar, or an array of the inputs' shape for reduction='none'; integers alone give float32.

    Raises:
      ShapeError: the ranks differ, or the shapes do not broadcast.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.margin_ranking_loss.

    Example:
      >>> import jax.numpy as jnp
      >>> margin_ranking_loss(jnp.array([3.0, 1.0]), jnp.array([1.0, 2.0]), jnp.ones(2), reduction="none").tolist()
      [0.0, 1.0]
    """
    reduction = reduction_of(reduction, size_average, reduce)
    arrays = {"input1": input1, "input2": input2, "target": target}
    arrays = {name: check.array(name, x) for name, x in arrays.items()}
    if len({x.ndim for x in arrays.values()}) > 1:
        sizes = ", ".join(f"{name}: {check.shape(x)}" for name, x in arrays.items())
        raise ShapeError(f"margin_ranking_loss : All input tensors should have same dimension but got sizes: {sizes}")
    dtype, (x1, x2, y) = operands("margin_ranking_loss", integers=True, **arrays)
    common = jnp.result_type(*arrays.values())
    if not jnp.issubdtype(common, jnp.inexact):  # integers wrap around, as torch's
        x1, x2, y = (x.astype(common) for x in arrays.values())
    return reduced(hinge(margin + (y * (x2 - x1)).astype(check.accumulator(dtype))), reduction, dtype)


def _positive(x: jax.Array) -> jax.Array:
    """``max(0, x)`` with derivative 0 at 0, and 0 for NaN, as in torch's loops over classes, which add what is above 0."""
    return jnp.where(x > 0, x, jnp.zeros((), x.dtype))


def _scores(name: str, input: jax.Array, target: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Input as (N, C) in the dtype to compute in, a single item with N = 1; the target checked to be integer."""
    input, target = check.floating(name, "input", input), check.array("target", target)
    if input.ndim > 2 or 0 in (input.shape if input.ndim == 1 else input.shape[1:]):
        raise ShapeError(
            f"{name}: Expected non-empty vector or matrix with optional 0-dim batch size, but got: {check.shape(input)}; "
            "input is (N, C) or (C,)"
        )
    if not jnp.issubdtype(target.dtype, jnp.integer):
        raise DtypeError(
            f"{name}: expected scalar type Long (any integer) for target but found {target.dtype}; convert it, e.g. target.astype(jnp.int32)"
        )
    return (input if input.ndim == 2 else input.reshape(1, -1)).astype(check.accumulator(input.dtype)), index_type(target)


@public
def multi_margin_loss(
    input: jax.Array,
    target: jax.Array,
    p: int = 1,
    margin: float = 1.0,
    weight: jax.Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """The right class above every other: ``l_n = Σ_{c ≠ y} w[y] · max(0, margin − x[n, y] + x[n, c])ᵖ / C`` with ``y = target[n]``.

    Args:
      input: ``x``, scores of shape (N, C), or (C,) for a single item.
      target: class indices in [0, C), integers of shape (N,), or () or (1,).
      p: the exponent, 1 or 2; default 1.
      margin: by how much, in units of the input; default 1.
      weight: ``w``, a factor for each class, of shape (C,); default 1.
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.

    Returns:
      A scalar, or an array of the target's shape for reduction='none', of the input's dtype. A target out of range makes
      the loss NaN, for a traced value cannot be checked; torch raises RuntimeError. Terms of scores that are NaN are left
      out, as in torch.

    Raises:
      ShapeError: the shapes do not fit.
      DtypeError: input is not floating point, target not integer, or weight of another dtype.
      ValueError: p is neither 1 nor 2, or an unknown reduction.

    Source: torch.nn.functional.multi_margin_loss.

    Example:
      >>> import jax.numpy as jnp
      >>> multi_margin_loss(jnp.array([[1.0, 0.5], [3.0, 0.0]]), jnp.array([0, 0]), reduction="none").tolist()
      [0.25, 0.0]
    """
    name = "multi_margin_loss"
    reduction = reduction_of(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError(f"only p == 1 and p == 2 supported, but got p={p}")
    if weight is not None and weight.ndim != 1:
        raise ShapeValueError(f"weight must be one-dimensional, with a number for each class, but got {check.shape(weight)}")
    x, y = _scores(name, input, target)
    items, classes = x.shape
    if y.ndim > 1 or y.size != items:
        raise ShapeError(
            f"{name}: inconsistent target size: target tensor should be 1-D with size equal to the batch size. "
            f"Expected target size [{items}] for input {check.shape(x)}, but got {check.shape(y)}"
        )
    shape, y = y.shape, y.reshape(items)
    if weight is not None:
        weight = check.like(name, "weight", weight, input, mixed=True).astype(x.dtype)
        if weight.shape != (classes,):
            raise ShapeError(f"inconsistent weight size, expected {classes} but got {check.shape(weight)}")
    excess = _positive(margin - pick(x, y, 1)[:, None] + x)
    excess = jnp.square(excess) if p == 2 else excess
    excess = excess if weight is None else excess * rows(weight, y)[:, None]
    other = jnp.arange(classes, dtype=y.dtype) != y[:, None]
    losses = jnp.sum(jnp.where(other, excess, jnp.zeros((), x.dtype)), 1) / classes
    losses = jnp.where((y >= 0) & (y < classes), losses, jnp.nan)
    return reduced(losses.reshape(shape), reduction, input.dtype)


@public
def multilabel_margin_loss(
    input: jax.Array, target: jax.Array, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> jax.Array:
    """Every right class above every other: ``l_n = Σ_{j ∈ Y} Σ_{c ∉ Y} max(0, 1 − x[n, j] + x[n, c]) / C``.

    Args:
      input: ``x``, scores of shape (N, C), or (C,) for a single item.
      target: the classes ``Y`` of each item, integers of the input's shape: those before the first negative number of the row.
      size_average: deprecated in torch; see reduction.
      reduce: deprecated in torch; see reduction.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.

    Returns:
      A scalar, or an array of shape (N,) (or () for a single item) for reduction='none', of the input's dtype. A class that is C or more
      makes the loss NaN, for a traced value cannot be checked; torch raises RuntimeError. Terms of scores that are NaN are left
      out, as in torch.

    Raises:
      ShapeError: the shapes do not fit.
      DtypeError: input is not floating point, or target not integer.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.multilabel_margin_loss.

    Example:
      >>> import jax.numpy as jnp
      >>> multilabel_margin_loss(jnp.array([0.0, 0.25, 0.5, 1.0]), jnp.array([3, 0, -1, 1])).item()
      0.875
    """
    reduction = reduction_of(reduction, size_average, reduce)
    x, y = _scores("multilabel_margin_loss", input, target)
    if y.size != x.size or (y.ndim != 2 if input.ndim == 2 else y.ndim > 1):
        raise ShapeError(
            f"multilabel_margin_loss: inconsistent target size: {check.shape(y)} for input of size: {check.shape(input)}; they must be equal"
        )
    y, classes = y.reshape(x.shape), x.shape[1]
    listed = jnp.cumprod(y >= 0, 1).astype(bool)
    right = jnp.any(listed[:, :, None] & (y[:, :, None] == jnp.arange(classes, dtype=y.dtype)), 1)
    excess = _positive(1 - take(x, y, 1)[:, :, None] + x[:, None, :])
    losses = jnp.sum(jnp.where(listed[:, :, None] & ~right[:, None, :], excess, jnp.zeros((), x.dtype)), (1, 2)) / classes
    losses = jnp.where(jnp.any(listed & (y >= classes), 1), jnp.nan, losses)
    return reduced(losses if input.ndim == 2 else losses.reshape(()), reduction, input.dtype)
