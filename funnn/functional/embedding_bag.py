"""Look-up of several rows of a table at once, summed, averaged or compared."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from funnn.errors import ArgumentValueError, DtypeError, ShapeError, ShapeValueError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional.sparse import look_up, padding_row, table


@public
def embedding_bag(
    input: jax.Array,
    weight: jax.Array,
    offsets: jax.Array | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: jax.Array | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> jax.Array:
    """Look up bags of rows of a table and reduce each bag to one row: ``y[b] = reduce over i in bag b of weight[input[i]]``.

    Args:
      input: indices in [0, num_embeddings): integers of shape (B, L), B bags of L each, or (total,), bags one after the other.
      weight: the table, of shape (num_embeddings, embedding_dim).
      offsets: where each bag of an input of rank 1 begins: (B,) ascending integers, the first 0.
      max_norm: rows of a larger norm are scaled to it, as :func:`embedding` does; the caller's table stays as it is. Default none.
      norm_type: the p of that norm; default 2.
      scale_grad_by_freq: divide the gradient (in forward mode the tangent) of each row by how often it is in input, in 'sum' and 'mean';
        default False.
      mode: 'sum', 'mean' or 'max', whose gradient goes to the first of equal rows; default 'mean'.
      sparse: for Tensors of funnn.torch, a sparse gradient; those of arrays are dense, with the same values; default False.
      per_sample_weights: factors of the rows in mode 'sum', of the shape of input; default none.
      include_last_offset: whether the last offset is the end of the last bag, and begins none; default False.
      padding_idx: a row that does not count: not in sums, means or maxima, nor in gradients; a negative one counts from the end; default none.

    Returns:
      An array of shape (B, embedding_dim) of the weight's dtype; zeros for an empty bag. Sums are taken in float32 for half precision.
      An index out of range gives NaN, as in :func:`embedding`.

    Raises:
      ShapeError: ranks or shapes do not fit.
      DtypeError: input or offsets not integer, weight not floating point, or per_sample_weights of another dtype than weight.
      ArgumentError: offsets missing or superfluous, an unknown mode, or an option that the mode does not have.
      NotImplementedError: per_sample_weights with another mode than 'sum'.

    Source: torch.nn.functional.embedding_bag. With scale_grad_by_freq torch's code for a CPU divides by the frequency of another row; here it is
    the row's own, as torch documents and as its embedding does.

    Example:
      >>> import jax.numpy as jnp
      >>> weight = jnp.array([[1.0, 2.0], [3.0, 4.0]])
      >>> embedding_bag(jnp.array([0, 1, 1]), weight, jnp.array([0, 2, 3]), mode="sum").tolist()
      [[4.0, 6.0], [3.0, 4.0], [0.0, 0.0]]
    """
    if not isinstance(include_last_offset, bool):
        raise TypeError(f"embedding_bag(): argument 'include_last_offset' must be bool, not {type(include_last_offset).__name__}")
    input, weight = _integers("input", input), table("embedding_bag", weight)
    _check_mode(mode, scale_grad_by_freq, sparse, per_sample_weights)
    if per_sample_weights is not None:
        per_sample_weights = check.array("per_sample_weights", per_sample_weights)
        if per_sample_weights.shape != input.shape:
            raise ShapeValueError(
                f"embedding_bag: If per_sample_weights ({check.shape(per_sample_weights)}) is not None, then it must have the same shape as "
                f"the input ({check.shape(input)})"
            )
        if per_sample_weights.dtype != weight.dtype:
            raise DtypeError(
                f"embedding_bag: expected per_sample_weights to have the dtype of weight, {weight.dtype}, but got {per_sample_weights.dtype}"
            )
    bags, count = _bags(input, offsets, include_last_offset)
    padding = padding_row(padding_idx, weight.shape[0])
    index = input.reshape(-1)
    counts = (bags >= 0) & (bags < count)
    if padding is not None:
        counts &= index != padding
    found = look_up(weight, index, None, max_norm, norm_type, scale_grad_by_freq)
    if mode == "max":
        return _maximum(found, (index >= 0) & (index < weight.shape[0]), bags, counts, count)
    wide = found.astype(check.accumulator(found.dtype))
    if per_sample_weights is not None:
        wide = wide * per_sample_weights.reshape(-1, 1).astype(wide.dtype)
    wide = jnp.where(counts[:, None], wide, 0)
    regular = input.ndim == 2
    total = wide.reshape(*input.shape, weight.shape[1]).sum(1) if regular else _sum(wide, bags, count)
    if mode == "mean":
        ones = counts.astype(wide.dtype)
        size = ones.reshape(input.shape).sum(1) if regular else _sum(ones, bags, count)
        total = total / jnp.maximum(size, 1)[:, None]
    return total.astype(found.dtype)


def _integers(name: str, x: jax.Array) -> jax.Array:
    x = check.array(name, x)
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise DtypeError(
            f"embedding_bag: Expected tensor for {name} to have one of the following scalar types: Long, Int; but got {x.dtype} instead. "
            f"Convert it, e.g. {name}.astype(jnp.int32)."
        )
    return x


def _check_mode(mode: str, scale_grad_by_freq: bool, sparse: bool, per_sample_weights: jax.Array | None) -> None:
    if mode not in ("sum", "mean", "max"):
        raise ArgumentValueError(f"embedding_bag: mode has to be one of sum, mean or max, but got {mode!r}")
    if mode == "max" and scale_grad_by_freq:
        raise ArgumentValueError(
            "embedding_bag: max mode does not support scaling the gradient by the frequency; leave scale_grad_by_freq out"
        )
    if mode == "max" and sparse:
        raise ArgumentValueError("embedding_bag: max mode does not support sparse weights; leave sparse out")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
            f"(got mode='{mode}'); multiply the rows of F.embedding instead."
        )


def _bags(input: jax.Array, offsets: jax.Array | None, include_last_offset: bool) -> tuple[jax.Array, int]:
    """The bag of each index, and how many bags there are."""
    if input.ndim == 2:
        if offsets is not None:
            raise ArgumentValueError(
                "embedding_bag: if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length sequences. "
                f"However, found offsets of type {type(offsets).__name__}"
            )
        return jnp.arange(input.size) // max(input.shape[1], 1), input.shape[0]
    if input.ndim != 1:
        raise ShapeError(f"embedding_bag: input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}")
    if offsets is None:
        raise ArgumentValueError("embedding_bag: offsets has to be a 1D Tensor but got None; give the index at which each bag begins")
    offsets = _integers("offsets", offsets)
    if offsets.ndim != 1:
        raise ShapeValueError(f"embedding_bag: offsets has to be a 1D Tensor, but got {check.shape(offsets)}")
    if include_last_offset and not offsets.size:
        raise ShapeError("embedding_bag: include_last_offset: number of offset should be at least 1")
    return jnp.searchsorted(offsets, jnp.arange(input.size), side="right") - 1, offsets.size - include_last_offset


def _sum(x: jax.Array, bags: jax.Array, count: int) -> jax.Array:
    return jax.ops.segment_sum(x, bags, count, indices_are_sorted=True)


def _maximum(found: jax.Array, known: jax.Array, bags: jax.Array, counts: jax.Array, count: int) -> jax.Array:
    """The largest of each bag by column; taken from where it stands first, so that only that place has a gradient.

    As in torch's loop, which keeps what it has unless the next is larger, a NaN counts where it comes first; so does the NaN of a row that is not
    ``known``, wherever it stands.
    """
    total, columns = found.shape
    if not total:
        return jnp.zeros((count, columns), found.dtype)
    steps = jnp.arange(total)
    earliest = jax.ops.segment_min(jnp.where(counts, steps, total), bags, count, indices_are_sorted=True)
    keeps_nan = ~known | (steps == earliest.at[bags].get(mode="fill", fill_value=total))
    missing = jnp.isnan(found)
    eligible = counts[:, None] & (keeps_nan[:, None] | ~missing)
    value = jnp.where(eligible, jnp.where(missing, jnp.inf, lax.stop_gradient(found)), -jnp.inf)
    largest = jax.ops.segment_max(value, bags, count, indices_are_sorted=True)
    hit = eligible & (value == largest.at[bags].get(mode="fill", fill_value=0))
    places = jnp.where(hit, steps[:, None], total)
    first = jax.ops.segment_min(places, bags, count, indices_are_sorted=True)
    chosen = jnp.take_along_axis(found, jnp.clip(first, 0, total - 1), 0)
    return jnp.where(first < total, chosen, 0)
