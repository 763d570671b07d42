"""A linear layer and cross entropy in one: the logits of a large vocabulary are made, used and dropped chunk by chunk."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from funnn._types import Arrays
from funnn.errors import ArgumentError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional._precision import precise_jvp
from funnn.functional._reduction import index_type, reduction_of
from funnn.functional._varying import vary_alike, vary_like
from funnn.functional._warn import warn
from funnn.functional.class_loss import class_factors, class_indices, class_weight, cross_entropy, index_losses
from funnn.functional.linear import linear


@dataclasses.dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """How linear_cross_entropy divides the batch; with any such options it is divided, without it is not.

    Args:
      allow_retain_graph: has no effect: derivatives may be taken any number of times.
      batch_chunk_size: rows in a chunk; default as chunking_method says.
      chunking_method: 'auto', or 'aspect_ratio' with an optional ':k': chunks whose logits have about as many elements as the input,
        divided by k. None, or 'auto' beside a batch_chunk_size, leaves the size to batch_chunk_size.
      acc_policy: 'auto', 'accurate', 'balanced' or 'compact'; has no effect: sums over half precision are always taken in float32.
      acc_dtype: has no effect, for the same reason.

    Raises:
      ValueError: a value out of its range.

    Source: torch.nn.LinearCrossEntropyOptions.
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: str = "auto"
    acc_dtype: Any = None

    def __post_init__(self) -> None:
        if self.acc_policy not in ("auto", "accurate", "balanced", "compact"):
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}; expected 'auto', 'accurate', 'balanced' or 'compact'")
        name, colon, factor = (self.chunking_method or "auto").partition(":")
        if not (name == "aspect_ratio" and (not colon or (factor.isdigit() and int(factor) > 0))) and (name, colon) != ("auto", ""):
            raise ValueError(
                f"invalid chunking_method: {self.chunking_method!r}; expected 'auto', 'aspect_ratio', 'aspect_ratio:2' or None"
            )
        size = self.batch_chunk_size
        if not (size is None or (isinstance(size, int) and size > 0)):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size!r}")


def _chunk_size(options: Any, rows: int, features: int, classes: int) -> int:
    """Rows in a chunk, by options of this module's class or of torch's."""
    method = options.chunking_method
    if method is None or (method == "auto" and options.batch_chunk_size is not None):
        return min(options.batch_chunk_size or rows, rows)
    factor = int(method.partition(":")[2] or 1)
    enough = -(-rows // -(-classes // max(features, 1)))  # rows over the rounded-up ratio of classes to features
    size = max(1, min((1 << (enough - 1).bit_length()) // factor, rows))
    if options.batch_chunk_size not in (None, size):
        raise ValueError(
            f"batch_chunk_size (={options.batch_chunk_size}) and chunking_method ({method!r}) give different chunk sizes "
            f"({options.batch_chunk_size} vs {size}); pass only one."
        )
    return size


# (linear_weight, linear_bias, weight), the last two or None
Parameters = tuple[jax.Array, jax.Array | None, jax.Array | None]


def _chunk_losses(parameters: Parameters, input: jax.Array, target: jax.Array, ignore_index: int) -> jax.Array:
    """The losses of one chunk of rows."""
    linear_weight, linear_bias, weight = parameters
    wide = check.accumulator(input.dtype)
    logits = lax.dot_general(input, linear_weight, (((1,), (1,)), ((), ())), preferred_element_type=wide)
    logits = logits if linear_bias is None else logits + linear_bias.astype(wide)
    return index_losses(logits, target, 1, weight, ignore_index)


def _chunks(input: jax.Array, target: jax.Array, ignore_index: int, size: int) -> tuple[jax.Array, jax.Array]:
    """The rows in chunks, the last one filled up with rows that do not count."""
    missing = -len(input) % size
    input = jnp.pad(input, ((0, missing), (0, 0)))
    target = jnp.pad(target, (0, missing), constant_values=ignore_index)
    return input.reshape(-1, size, input.shape[1]), target.reshape(-1, size)


@functools.partial(precise_jvp, nondiff_argnums=(3, 4))
def _total(parameters: Parameters, input: jax.Array, target: jax.Array, ignore_index: int, size: int) -> jax.Array:
    """The sum of all losses, over chunks of ``size`` rows."""

    def step(total: jax.Array, chunk: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        return total + jnp.sum(_chunk_losses(parameters, *chunk, ignore_index)), None

    zero = vary_like(jnp.zeros((), check.accumulator(input.dtype)), input)
    total: jax.Array = lax.scan(step, zero, _chunks(input, target, ignore_index, size))[0]
    return total


@functools.partial(_total.defjvp, symbolic_zeros=True)
def _total_jvp(ignore_index: int, size: int, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    # A chunk's gradients are taken while its logits are at hand, so that nothing is computed twice; the tangent is their product with the
    # arguments' tangents, whose transpose scales them.
    (parameters, input, target), (parameters_t, input_t, _) = primals, tangents
    wide = check.accumulator(input.dtype)
    live = [i for i, t in enumerate(parameters_t) if t is not None and not isinstance(t, SymbolicZero)]
    chosen = tuple(parameters[i] for i in live)

    def loss(chosen: Arrays, input: jax.Array, target: jax.Array) -> jax.Array:
        every = list(parameters)
        for i, array in zip(live, chosen, strict=True):
            every[i] = array
        return jnp.sum(_chunk_losses(tuple(every), input, target, ignore_index))

    def step(totals: Any, chunk: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        value, (slopes, slope) = jax.value_and_grad(loss, (0, 1))(chosen, *chunk)
        return jax.tree.map(lambda total, part: total + part.astype(wide), totals, (value, slopes)), slope

    zeros = vary_like((jnp.zeros((), wide), tuple(jnp.zeros(array.shape, wide) for array in chosen)), input)
    (value, slopes), slope = lax.scan(step, zeros, _chunks(input, target, ignore_index, size))
    terms = [jnp.vdot(total, parameters_t[i].astype(wide)) for i, total in zip(live, slopes, strict=True)]
    if not isinstance(input_t, SymbolicZero):
        terms.append(jnp.vdot(slope.reshape(-1, input.shape[1])[: len(input)].astype(wide), input_t.astype(wide)))
    return value, sum(terms, jnp.zeros((), wide))


def _each(parameters: Parameters, input: jax.Array, target: jax.Array, ignore_index: int, size: int) -> jax.Array:
    """Each row's loss, over chunks of ``size`` rows; a chunk's logits are computed again for the derivative."""

    @jax.checkpoint
    def losses(parameters: Parameters, chunk: tuple[jax.Array, jax.Array]) -> jax.Array:
        return _chunk_losses(parameters, *chunk, ignore_index)

    every: jax.Array = lax.map(lambda chunk: losses(parameters, chunk), _chunks(input, target, ignore_index, size))
    return every.reshape(-1)[: len(input)]


def _check_shapes(input: jax.Array, linear_weight: jax.Array, linear_bias: jax.Array | None) -> None:
    if input.ndim not in (1, 2):
        raise ShapeError(f"linear_cross_entropy: expected input with dimensionality 1 or 2, got {input.ndim}")
    if linear_weight.ndim < 2:
        raise ShapeError(f"linear_cross_entropy: expected linear_weight with dimensionality at least 2, got {linear_weight.ndim}")
    if input.shape[-1] != linear_weight.shape[-1]:
        raise ShapeError(
            "linear_cross_entropy: expected equal input and linear_weight last dimensions (in_features), "
            f"got {input.shape[-1]} and {linear_weight.shape[-1]}, respectively"
        )
    if linear_bias is not None and linear_bias.shape != linear_weight.shape[:-1]:
        raise ShapeError(f"linear_cross_entropy: expected linear_bias shape {linear_weight.shape[:-1]}, got {linear_bias.shape}")
    if linear_weight.ndim > 2 and input.ndim == 1:
        raise ShapeError(
            f"linear_cross_entropy: K-dimensional loss defined by linear_weight shape {linear_weight.shape} requires batched input, "
            f"(N, {input.shape[-1]}), got unbatched input with shape {input.shape}"
        )


@public
def linear_cross_entropy(
    input: jax.Array,
    linear_weight: jax.Array,
    target: jax.Array,
    *,
    linear_bias: jax.Array | None = None,
    weight: jax.Array | None = None,
    reduction: str = "mean",
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    options: LinearCrossEntropyOptions | None = None,
) -> jax.Array:
    """Cross entropy of a linear layer's output: ``cross_entropy(linear(x, A, b), y)``, with options in chunks of rows.

    In chunks, neither the loss nor its gradients ever hold the logits of more than one chunk: the memory for N rows and C classes is that
    of x, A and their gradients. Every kind of derivative works in chunks too, which torch's chunks refuse.

    Args:
      input: ``x``, of shape (N, in_features), or (in_features,) for a single item.
      linear_weight: ``A``, of shape (C, in_features), or (C, d₁, …, in_features) for a loss with more axes.
      target: ``y``, class indices, integers of shape (N,), (N, d₁, …) or (); or class probabilities of the logits' shape.
      linear_bias: ``b``, of linear_weight's shape without its last axis; default none.
      weight: a factor for each class, of shape (C,); default 1.
      reduction: 'mean', 'sum' or 'none'; default 'mean'.
      ignore_index: a class index that counts neither in the sum nor in the mean's divisor; default −100, for class indices.
      label_smoothing: in [0, 1]; default 0.
      options: how to divide the rows; default not at all. Chunks need class indices, no label smoothing, and a linear_weight of rank 2;
        otherwise the options are ignored, with torch's warning.

    Returns:
      A scalar, or an array with one loss an item for reduction='none', of the input's dtype.

    Raises:
      ShapeError: the shapes do not fit.
      DtypeError: input is not floating point, another dtype differs, or an index target is not integer.
      ArgumentError: label_smoothing outside [0, 1], or ignore_index with class probabilities.
      ValueError: an unknown reduction.

    Source: torch.nn.functional.linear_cross_entropy.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn.layers import LinearCrossEntropyOptions
      >>> x, vocabulary = jnp.ones((4, 2)), jnp.zeros((8, 2))
      >>> loss = linear_cross_entropy(x, vocabulary, jnp.arange(4), options=LinearCrossEntropyOptions(batch_chunk_size=2))
      >>> round(loss.item(), 4)
      2.0794
    """
    name = "linear_cross_entropy"
    input, target = check.floating(name, "input", input), check.array("target", target)
    linear_weight = check.like(name, "linear_weight", linear_weight, input)
    linear_bias = None if linear_bias is None else check.like(name, "linear_bias", linear_bias, input)
    _check_shapes(input, linear_weight, linear_bias)
    classes, *more = linear_weight.shape[:-1]
    shape = (*input.shape[:-1], classes, *more)
    if target.shape == shape and ignore_index is not None:
        raise ArgumentError(f"{name}: ignore_index cannot be specified when target contains probabilities, but got {ignore_index}")
    if ignore_index is not None and not hasattr(ignore_index, "__index__"):
        raise TypeError(f"{name}: argument 'ignore_index' must be int, not {type(ignore_index).__name__}")
    ignore_index = -100 if ignore_index is None else ignore_index

    whole = more or label_smoothing or not jnp.issubdtype(target.dtype, jnp.integer) or reduction not in ("mean", "sum", "none")
    if options is not None and whole:
        warn(
            f"{name}: ``options`` ignored; chunked path needs reduction in {{'mean','sum','none'}}, label_smoothing == 0, target.dtype == int64, "
            f"out_features == (). Got reduction={reduction!r}, label_smoothing={label_smoothing}, target.dtype=torch.{target.dtype}, "
            f"out_features={tuple(more)}, tracing=False, linear_bias.shape={None if linear_bias is None else linear_bias.shape}."
        )
    if options is None or whole:
        features = input.shape[-1]
        logits = linear(input, linear_weight.reshape(-1, features), None if linear_bias is None else linear_bias.reshape(-1))
        return cross_entropy(
            logits.reshape(shape), target, weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
        )

    reduction = reduction_of(reduction)
    target = index_type(class_indices(name, jax.ShapeDtypeStruct(shape, input.dtype), target))
    weight = class_weight(name, weight, input, classes)
    rows = input if input.ndim == 2 else input[None]
    index = target.reshape(len(rows))
    parameters, rows, index = vary_alike((linear_weight, linear_bias, weight), rows, index)
    size = _chunk_size(options, len(rows), rows.shape[1], classes)
    if reduction == "none":
        return _each(parameters, rows, index, ignore_index, size).reshape(target.shape if input.ndim == 2 else ()).astype(input.dtype)
    total = _total(parameters, rows, index, ignore_index, size)
    return (total / class_factors(index, weight, ignore_index, total.dtype).sum() if reduction == "mean" else total).astype(input.dtype)
