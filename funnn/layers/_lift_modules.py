"""The lifted transformations on Modules of funnn.torch: plain Python."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from funnn.functional._dispatch import public
from funnn.layers._layer import Layer


def is_module(layer: Any) -> bool:
    """Whether the layers are Modules, on which forward runs as it is."""
    return any(not isinstance(leaf, Layer) and hasattr(leaf, "named_parameters") for leaf in jax.tree.leaves(layer))


@public
def _stack(*items: Any, axis: int = 0) -> Any:
    return jnp.stack(items, axis)


def loop(function: Callable[..., Any], layer: Any, carry: Any, xs: Any, length: int | None, reverse: bool) -> tuple[Any, Any]:
    """A scan as a loop."""
    leaves, structure = jax.tree.flatten(xs)
    size = length if length is not None else len(leaves[0])
    ys: list[Any] = []
    for number in reversed(range(size)) if reverse else range(size):
        carry, y = function(layer, carry, jax.tree.unflatten(structure, [leaf[number] for leaf in leaves]))
        ys.append(y)
    return carry, jax.tree.map(lambda *items: _stack(*items), *(reversed(ys) if reverse else ys))


def members(function: Callable[..., Any], layer: Any, in_axes: Any, out_axes: Any, args: tuple[Any, ...]) -> Any:
    """A vmap as a loop, over leading axes."""
    axes = tuple(in_axes) if isinstance(in_axes, (tuple, list)) else (in_axes,) * len(args)
    if any(axis not in (0, None) for axis in axes) or out_axes != 0:
        raise NotImplementedError("lift.vmap on a Module maps over leading axes alone: in_axes of 0 and None, out_axes=0")
    size = next(len(jax.tree.leaves(arg)[0]) for arg, axis in zip(args, axes, strict=True) if axis == 0)
    outputs = [
        function(
            layer, *[arg if axis is None else jax.tree.map(lambda leaf, n=n: leaf[n], arg) for arg, axis in zip(args, axes, strict=True)]
        )
        for n in range(size)
    ]
    return jax.tree.map(lambda *items: _stack(*items), *outputs)
