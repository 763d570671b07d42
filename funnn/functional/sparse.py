"""Look-up of rows by index, and its opposite, the one-hot code."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from funnn.errors import DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public


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
      max_norm: not implemented.
      norm_type: the norm that max_norm would bound; unused.
      scale_grad_by_freq: not implemented.
      sparse: not implemented; gradients are dense.

    Returns:
      An array of shape (*input.shape, embedding_dim) of the weight's dtype. An index out of range, also a negative one, gives a row of NaN
      (and no gradient): a traced index cannot be checked, and an error is better seen than clamped. torch raises IndexError.

    Raises:
      DtypeError: input is not integer, or weight not floating point.
      ShapeError: weight is not of rank 2.
      ValueError: padding_idx is out of range.
      NotImplementedError: max_norm, scale_grad_by_freq or sparse is given.

    Source: torch.nn.functional.embedding.

    Example:
      >>> import jax.numpy as jnp
      >>> embedding(jnp.array([1, 0]), jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
      [[3.0, 4.0], [1.0, 2.0]]
    """
    check.unsupported("embedding", max_norm=max_norm is not None and max_norm, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)
    input, weight = _indices("embedding", input), check.floating("embedding", "weight", weight)
    if weight.ndim != 2:
        raise ShapeError(f"embedding: 'weight' must be 2-D, (num_embeddings, embedding_dim), but got {check.shape(weight)}")
    found = rows(weight, input)
    if padding_idx is None:
        return found
    count = weight.shape[0]
    if not -count <= padding_idx < count:
        raise ValueError(f"Padding_idx must be within num_embeddings: expected [{-count}, {count}), but got padding_idx={padding_idx}")
    return jnp.where((input == padding_idx % count)[..., None], lax.stop_gradient(found), found)


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
      ValueError: an index is out of range, or num_classes is −1 and the input is empty or traced.

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
            raise ValueError("one_hot: num_classes=-1 needs the largest index, which is unknown under jit; pass num_classes=...")
        if input.size == 0:
            raise ValueError("one_hot: Can not infer total number of classes from empty tensor; pass num_classes=...")
        num_classes = int(input.max()) + 1
    if concrete and input.size:
        if int(input.min()) < 0:
            raise ValueError(f"one_hot: Class values must be non-negative, but got {int(input.min())}.")
        if int(input.max()) >= num_classes:
            raise ValueError(
                f"one_hot: Class values must be smaller than num_classes. Got {int(input.max())}, and num_classes={num_classes}."
            )
    return (input[..., None] == jnp.arange(num_classes, dtype=input.dtype)).astype(input.dtype)
