"""What the losses share: operands of one size and dtype, and the reduction, with torch's deprecated forms of it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from funnn.errors import ShapeError
from funnn.functional import _checks as check
from funnn.functional._slope import with_slope
from funnn.functional._warn import warn

REDUCTIONS = ("none", "mean", "sum")


def reduction_of(reduction: str, size_average: bool | None = None, reduce: bool | None = None, also: tuple[str, ...] = ()) -> str:
    """The reduction, also from torch's two deprecated flags, with torch's warning; ``also`` names those that only some losses have."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warn(f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.")
    if reduction not in (*REDUCTIONS, *also):
        raise ValueError(f"{reduction} is not a valid value for reduction; expected one of {', '.join(map(repr, (*REDUCTIONS, *also)))}")
    return reduction


def reduced(losses: jax.Array, reduction: str, dtype: Any, total: jax.Array | None = None) -> jax.Array:
    """The losses reduced, in ``dtype``; the mean is over their number, or over ``total``."""
    if reduction == "sum":
        losses = jnp.sum(losses)
    elif reduction == "mean":
        losses = jnp.mean(losses) if total is None else jnp.sum(losses) / total
    return losses.astype(dtype)


def warn_of_sizes(input: jax.Array, target: jax.Array) -> None:
    """torch's warning that a target of another size is broadcast."""
    if input.shape != target.shape:
        warn(
            "Using a target size ({1}) that is different to the input size ({0}). "
            "This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            UserWarning,
            input.shape,
            target.shape,
        )


def broadcast_shape(name: str, **arrays: jax.Array) -> tuple[int, ...]:
    """The shape that the arrays broadcast to."""
    try:
        return jnp.broadcast_shapes(*[x.shape for x in arrays.values()])
    except ValueError as error:
        raise ShapeError(_sizes_that_differ(name, {key: check.shape(x) for key, x in arrays.items()})) from error


def _sizes_that_differ(name: str, shapes: dict[str, list[int]]) -> str:
    """What torch says of the last dimension in which two shapes do not broadcast, and what the shapes are."""
    ranks, all_of_them = max(map(len, shapes.values())), " and ".join(f"{key} {shape}" for key, shape in shapes.items())
    padded = [[1] * (ranks - len(shape)) + shape for shape in shapes.values()]
    for dim in reversed(range(ranks)):
        sizes = list(dict.fromkeys(shape[dim] for shape in padded if shape[dim] != 1))
        if len(sizes) > 1:
            return (
                f"{name}: The size of tensor a ({sizes[0]}) must match the size of tensor b ({sizes[1]}) at non-singleton dimension {dim}; "
                f"got {all_of_them}"
            )
    raise AssertionError("the shapes broadcast")


def operands(name: str, *, integers: bool = False, **arrays: Any) -> tuple[Any, tuple[jax.Array, ...]]:
    """Arrays that broadcast: the dtype they promote to, and they themselves in the dtype that it is computed in.

    Args:
      name: of the function, for messages.
      integers: whether integers alone are taken too, as float32; else they are refused.
      **arrays: by the names of the function's arguments.
    """
    given = {key: check.array(key, x) for key, x in arrays.items()}
    dtype = jnp.result_type(*[x.dtype for x in given.values()])
    if integers and not jnp.issubdtype(dtype, jnp.inexact):
        dtype = jnp.dtype(jnp.float32)
    first, x = next(iter(given.items()))
    check.floating(name, first, x.astype(dtype))
    broadcast_shape(name, **given)
    wide = check.accumulator(dtype)
    return dtype, tuple(x.astype(wide) for x in given.values())


#: ``max(0, x)`` with derivative 1 at 0 and none at NaN, as torch's clamp_min; NaN stays NaN.
hinge = with_slope(lambda x: jnp.where(x < 0, jnp.zeros((), x.dtype), x), lambda x: (x >= 0).astype(x.dtype))


def take(x: jax.Array, index: jax.Array, axis: int) -> jax.Array:
    """The entries ``index`` of ``x`` along ``axis``, as many as index has; NaN where one is out of range."""
    # Negative indices would count from the end: they are sent past it, as the others that are out of range
    size = x.shape[axis]
    index = jnp.where((index < 0) | (index >= size), jnp.asarray(size, index.dtype), index)
    return jnp.take_along_axis(x, index, axis, mode="fill", fill_value=jnp.nan)


def pick(x: jax.Array, index: jax.Array, axis: int) -> jax.Array:
    """The one entry ``index`` of ``x`` along ``axis`` at every position of the others; NaN where it is out of range."""
    return take(x, jnp.expand_dims(index, axis), axis).squeeze(axis)


def index_type(target: jax.Array) -> jax.Array:
    """The target in a dtype that can also hold the number of classes and −100 (uint8 cannot)."""
    return target if jnp.iinfo(target.dtype).bits >= 32 and jnp.issubdtype(target.dtype, jnp.signedinteger) else target.astype(jnp.int32)
