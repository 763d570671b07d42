"""Gradients that are added up over parts of a batch within one step, and over devices once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec

from funnn.errors import KeyRequiredError
from funnn.layers import Buffer, Layer
from funnn.layers._entries import present
from funnn.layers._sizing import with_size_one


class Split(NamedTuple):
    """How a batch is split over devices that all hold the whole state.

    Attributes:
      mesh: of the devices; axes: those that the batch's first dimension is split over; devices: how many parts that makes.
    """

    mesh: Any
    axes: tuple[str, ...]
    devices: int


def split_of(state_shardings: list[Any], batch: Any) -> Split | None:
    """How the batch is split, if all of it is in the same way and no array of the state is."""
    shardings = [getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(batch)]
    first = shardings[0] if shardings else None
    if not isinstance(first, NamedSharding) or not len(first.spec) or first.spec[0] is None:
        return None
    axes = first.spec[0] if isinstance(first.spec[0], tuple) else (first.spec[0],)
    alike = all(
        isinstance(s, NamedSharding) and s.mesh == first.mesh and s.spec[:1] == first.spec[:1] and not any(s.spec[1:]) for s in shardings
    )
    whole = all(sharding is not None and sharding.is_fully_replicated for sharding in state_shardings)
    count = math.prod(first.mesh.shape[axis] for axis in axes)
    return Split(first.mesh, axes, count) if alike and whole and count > 1 else None


def parts_of(batch: Any, count: int) -> Any:
    """The batch in parts, along a new first axis: part i has the examples i, i + count, …, so that each device's stay where they are.

    Raises:
      ValueError: an array can't be divided so.
    """

    def divide(leaf: Any) -> Any:
        if not getattr(leaf, "ndim", 0) or leaf.shape[0] % count:
            raise ValueError(
                f"train_step: accumulate={count} divides the batch's first dimension, but got an array of shape {jnp.shape(leaf)}"
            )
        return jnp.moveaxis(jnp.reshape(leaf, (leaf.shape[0] // count, count, *leaf.shape[1:])), 1, 0)

    return jax.tree.map(divide, batch)


def mean_over_parts(function: Callable[[Any, Any], Any], state: Any, parts: Any, count: int) -> tuple[Any, Any]:
    """``function(state, (part, number)) -> (what is averaged, state)`` for all parts in turn: the mean, and the last state."""
    shapes, _ = jax.eval_shape(lambda: function(state, (jax.tree.map(lambda leaf: leaf[0], parts), jnp.int32(0))))

    def add(carry: Any, part: Any) -> tuple[Any, None]:
        total, state = carry
        found, state = function(state, part)
        return (jax.tree.map(lambda a, b: a + b.astype(a.dtype), total, found), state), None

    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.promote_types(leaf.dtype, jnp.float32)), shapes)
    (total, state), _ = lax.scan(add, (zeros, state), (parts, jnp.arange(count)))
    return jax.tree.map(
        lambda a, leaf: (a / count).astype(leaf.dtype) if jnp.issubdtype(leaf.dtype, jnp.inexact) else a / count, total, shapes
    ), state


def copies(params: Any, split: Split) -> Any:
    """The parameters once for each part of the batch, along a new first axis that is split as the batch is: each device keeps its own."""

    def copy(leaf: Any) -> Any:
        where = NamedSharding(split.mesh, PartitionSpec(split.axes))
        return lax.with_sharding_constraint(jnp.broadcast_to(leaf, (split.devices, *jnp.shape(leaf))), where)

    return jax.tree.map(copy, params)


def apply_alone(layer: Layer, params: Any, inputs: Any) -> Any:
    """The output of a layer, which has no buffers, for one device's examples.

    Raises:
      ValueError: it draws random numbers.
    """
    try:
        return layer.apply(params, {}, *inputs.args, train=True, **inputs.kwargs)[0]
    except KeyRequiredError as error:
        raise ValueError("train_step: one_reduction=True, but the layer draws random numbers for the whole batch; leave it out") from error


def check_buffers(layer: Layer) -> None:
    """Raise a ValueError for a layer with buffers."""
    for path, inner in layer.named_layers():
        if names := [name for name, entry in with_size_one(inner).spec().items() if isinstance(entry, Buffer) and present(entry)]:
            where = f" at {path!r}" if path else ""
            raise ValueError(f"train_step: one_reduction=True, but {type(inner).__name__}{where} has the buffers {names}; leave it out")


def apply_apart(apply: Callable[[Any, Any], Any], params: Any, inputs: Any, split: Split) -> Any:
    """``apply(params, inputs)`` with a copy of the parameters for each part of the inputs: their gradients are then of one device's examples each."""

    def cut(leaf: Any) -> Any:
        return jnp.reshape(leaf, (split.devices, leaf.shape[0] // split.devices, *leaf.shape[1:]))

    outputs = jax.vmap(apply)(params, jax.tree.map(cut, inputs))
    return jax.tree.map(lambda leaf: jnp.reshape(leaf, (leaf.shape[0] * leaf.shape[1], *leaf.shape[2:])), outputs)
