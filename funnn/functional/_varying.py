"""Inside ``jax.shard_map``: over which axes of the mesh values vary from device to device, which is part of their type."""

from __future__ import annotations

from typing import Any

import jax
from jax import lax


def varying(x: Any) -> frozenset[Any]:
    """The mesh axes over which an array varies; none outside shard_map."""
    return varying_type(jax.typeof(x))


def varying_type(type: Any) -> frozenset[Any]:
    """The same of an array's type."""
    kind = getattr(type, "manual_axis_type", None)
    return frozenset() if kind is None else kind.varying


def vary_like(x: Any, *others: Any) -> Any:
    """A tree of arrays, each of which varies over the mesh as every array of the other trees does too.

    The first state of a loop must vary as the last one does; a derivative's own formula must not sum over the mesh what JAX sums in transposing this.
    """
    wanted = frozenset[Any]().union(*map(varying, jax.tree.leaves(others)))
    if not wanted:
        return x
    return jax.tree.map(lambda leaf: lax.pcast(leaf, tuple(wanted - varying(leaf)), to="varying") if wanted - varying(leaf) else leaf, x)


def vary_alike(*trees: Any) -> Any:
    """Trees of arrays in which each varies over the mesh as all the others do; None stays."""
    return vary_like(trees, trees)
