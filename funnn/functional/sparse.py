"""Look-up of rows by index, and its opposite, the one-hot code."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from funnn.errors import ArgumentError, AssertedError, DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional._lp import lp_norm


def _indices(function: str, x: jax.Array) -> jax.Array:
    x = check.array("input", x)
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise DtypeError(
            f"{function}: Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; "
            f"but got {x.dtype} instead. Convert it, e.g. input.astype(jnp.int32)."
        )
    return x


def rows(table: jax.Array, index: jax.Array) -> jax.Array:
    """``table[index]``, NaN where an index is out of range, negative ones included."""
    return table.at[index].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)


@jax.custom_jvp
def _counted(value: jax.Array, source: jax.Array, factor: jax.Array) -> jax.Array:
    """``value``, with ``factor`` times the derivative of ``source``."""
    return value


@_counted.defjvp
def _counted_jvp(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, ...]:
    value, _, factor = primals
    return value, tangents[1] * factor


def table(function: str, weight: jax.Array) -> jax.Array:
    weight = check.floating(function, "weight", weight)
    if weight.ndim != 2:
        raise ShapeError(
            f"{function}: 'weight' must be 2-D, (num_embeddings, embedding_dim), but got {check.shape(weight)} "
            f"(torch: weight has to be a 2D Tensor, but got Tensor of dimension {weight.ndim})"
        )
    return weight


def padding_row(padding_idx: int | None, count: int) -> int | None:
    """The row that ``padding_idx`` names, counted from the front."""
    if padding_idx is None:
        return None
    if not -count <= padding_idx < count:
        raise AssertedError(f"Padding_idx must be within num_embeddings: expected [{-count}, {count}), but got padding_idx={padding_idx}")
    return padding_idx % count


def _bounded(found: jax.Array, max_norm: float, norm_type: float) -> jax.Array:
    """Rows with a norm of at most ``max_norm``; without a derivative of their own."""
    wide = lax.stop_gradient(found).astype(check.accumulator(found.dtype))
    norm = lp_norm(wide, norm_type, -1, keepdims=True)
    return (wide * jnp.where(norm > max_norm, max_norm / (norm + 1e-7), 1)).astype(found.dtype)


def look_up(
    weight: jax.Array, index: jax.Array, padding: int | None, max_norm: float | None, norm_type: float, scale_grad_by_freq: bool
) -> jax.Array:
    """The rows of a table, with what changes their values or their derivative; a padding row has none."""
    found = rows(weight, index)
    value, factor = found, None
    if max_norm is not None:
        value, factor = _bounded(found, max_norm, norm_type), jnp.ones((), found.dtype)
    if scale_grad_by_freq:
        times = jnp.zeros(weight.shape[0], check.accumulator(weight.dtype)).at[index].add(1, mode="drop", wrap_negative_indices=False)
        factor = (1 / jnp.maximum(times, 1))[index][..., None].astype(found.dtype)
    found = found if factor is None else _counted(lax.stop_gradient(value), found, factor)
    return found if padding is None else jnp.where((index == padding)[..., None], lax.stop_gradient(found), found)


@public
def embedding(
    input: jax.Array,
    weight: jax.Array,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> jax.Array:
    """Look up rows of a table: ``y[...] = weight[input[...]]``.

    Args:
      input: indices in [0, num_embeddings), integers of any shape.
      weight: the table, of shape (num_embeddings, embedding_dim).
      padding_idx: a row that gets no gradient; a negative one counts from the end; default none.
      max_norm: rows that are looked up and have a larger norm are scaled to it, ``row · max_norm / (‖row‖ + 1e-7)``, as a value: the gradient is
        that of a plain look-up. The caller's table stays as it is; :func:`embedding_renorm` gives the one that torch leaves behind.
        Default none.
      norm_type: the p of that norm; default 2.
      scale_grad_by_freq: divide the gradient (in forward mode the tangent) of each row by how often it is looked up; default False.
      sparse: for Tensors of funnn.torch, a sparse gradient; those of arrays are dense, with the same values; default False.

    Returns:
      An array of shape (*input.shape, embedding_dim) of the weight's dtype. An index out of range, also a negative one, gives a row of NaN
      (and no gradient): a traced index cannot be checked, and an error is better seen than clamped. torch raises IndexError.

    Raises:
      DtypeError: input is not integer, or weight not floating point.
      ShapeError: weight is not of rank 2.
      ArgumentError: padding_idx is out of range.

    Source: torch.nn.functional.embedding.

    Example:
      >>> import jax.numpy as jnp
      >>> embedding(jnp.array([1, 0]), jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
      [[3.0, 4.0], [1.0, 2.0]]
    """
    input, weight = _indices("embedding", input), table("embedding", weight)
    return look_up(weight, input, padding_row(padding_idx, weight.shape[0]), max_norm, norm_type, scale_grad_by_freq)


@public
def embedding_renorm(input: jax.Array, weight: jax.Array, max_norm: float, norm_type: float = 2.0) -> jax.Array:
    """The table after a look-up with ``max_norm``: the rows that ``input`` names scaled down to that norm where theirs is larger.

    With it ``embedding(input, weight, max_norm=m)`` equals ``embedding(input, embedding_renorm(input, weight, m))``, gradients included.

    Args:
      input: indices in [0, num_embeddings), integers of any shape; others name no row.
      weight: the table, of shape (num_embeddings, embedding_dim).
      max_norm: the largest norm of a row.
      norm_type: the p of the norm; default 2.

    Returns:
      The new table. Its derivative is that of the old one, unscaled.

    Raises:
      DtypeError: input is not integer, or weight not floating point.
      ShapeError: weight is not of rank 2.

    Source: torch.embedding_renorm_, which writes into the table.

    Example:
      >>> import jax.numpy as jnp
      >>> embedding_renorm(jnp.array([1]), jnp.array([[6.0, 8.0], [6.0, 8.0]]), 5.0).tolist()
      [[6.0, 8.0], [3.0, 4.0]]
    """
    input, weight = _indices("embedding_renorm", input), table("embedding_renorm", weight)
    bounded = _bounded(rows(weight, input), max_norm, norm_type)
    value = lax.stop_gradient(weight).at[input].set(bounded, mode="drop", wrap_negative_indices=False)
    return _counted(value, weight, jnp.ones((), weight.dtype))


@public
def one_hot(input: jax.Array, num_classes: int = -1) -> jax.Array:
    """Code each index as a row of zeros with a single one: ``y[..., c] = 1 if input[...] == c else 0``.

    Args:
      input: class indices, integers of any shape.
      num_classes: length of the new last axis; −1 takes one more than the largest index, which a traced input cannot tell.

    Returns:
      An array of shape (*input.shape, num_classes) of the input's dtype. Under jit, where values cannot be checked, an index out of range
      gives a row of zeros.

    Raises:
      DtypeError: input is not integer.
      ArgumentError: an index is out of range, or num_classes is −1 and the input is empty or traced.

    Source: torch.nn.functional.one_hot, which always returns int64.

    Example:
      >>> import jax.numpy as jnp
      >>> one_hot(jnp.array([0, 2])).tolist()
      [[1, 0, 0], [0, 0, 1]]
    """
    input = _indices("one_hot", input)
    concrete = not isinstance(input, jax.core.Tracer)
    if num_classes == -1:
        if not concrete:
            raise ArgumentError("one_hot: num_classes=-1 needs the largest index, which is unknown under jit; pass num_classes=...")
        if input.size == 0:
            raise ArgumentError("one_hot: Can not infer total number of classes from empty tensor; pass num_classes=...")
        num_classes = int(input.max()) + 1
    if concrete and input.size:
        if int(input.min()) < 0:
            raise ArgumentError(f"one_hot: Class values must be non-negative, but got {int(input.min())}.")
        if int(input.max()) >= num_classes:
            raise ArgumentError(
                f"one_hot: Class values must be smaller than num_classes. Got {int(input.max())}, and num_classes={num_classes}."
            )
    return (input[..., None] == jnp.arange(num_classes, dtype=input.dtype)).astype(input.dtype)
