"""How values between layers are split."""

from __future__ import annotations

from typing import Any, TypeVar

import jax
from jax.sharding import AxisType, PartitionSpec

from funnn.functional._dispatch import public
from funnn.layers import Layer
from funnn.sharding._rules import axes_of

L = TypeVar("L", bound=Layer)


@public
def constrain(x: Any, *entries: Any) -> Any:
    """Split a value inside a program over the axes of the mesh that is set: ``constrain(x, "data", None, "model")``.

    Args:
      x: an array.
      *entries: for each dimension from the first on the name of a mesh axis, a tuple of names, or None, which is not split. Dimensions without an
        entry are not split. Names that the mesh lacks count as None, so one layer serves several meshes.

    Returns:
      The same numbers. Where no mesh is set (``with jax.set_mesh(mesh):`` sets one, and calls of a step inside it see it), nothing happens.

    Raises:
      ValueError: there are more entries than dimensions.

    Source: jax.lax.with_sharding_constraint; over Explicit axes jax.sharding.reshard.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from funnn.sharding import make_mesh
      >>> with jax.set_mesh(make_mesh({"data": -1})):
      ...     constrain(jnp.ones((8, 2)), "data").sharding.spec
      P('data',)
    """
    if len(entries) > x.ndim:
        raise ValueError(f"constrain: {len(entries)} entries for an array of {x.ndim} dimensions; give one a dimension at most")
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return x
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))

    def known(entry: Any) -> Any:
        names = tuple(name for name in axes_of(entry) if kinds.get(name, AxisType.Manual) != AxisType.Manual)
        return names[0] if len(names) == 1 else names or None

    spec = PartitionSpec(*map(known, entries))
    named = [kinds[name] for entry in spec for name in axes_of(entry)] or list(kinds.values())
    if AxisType.Auto not in named:
        return jax.sharding.reshard(x, spec)
    return jax.lax.with_sharding_constraint(x, spec)


class _Constrained:
    """``constrain`` of all arrays of an output, as a function that equals another of the same entries."""

    def __init__(self, entries: tuple[Any, ...]):
        self._entries = entries

    def __call__(self, output: Any) -> Any:
        return jax.tree.map(lambda x: constrain(x, *self._entries[: x.ndim]) if hasattr(x, "ndim") else x, output)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Constrained) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(self._entries)

    def __repr__(self) -> str:
        return f"constrain{self._entries!r}"


def constrain_outputs(layer: L, *entries: Any, type: Any = None, path: str | None = None) -> L:
    """The network with the outputs of some layers inside constrained, as ``constrain(output, *entries)`` in their ``forward`` would.

    Where parameters are split over two axes of a mesh, by ``fsdp`` with ``tensor_parallel`` as its base, XLA may split values between layers over both and move
    them to and fro; it does not where the outputs of the blocks are constrained to the axis of the batch. Names of parameters stay as they are.

    Args:
      layer: the network.
      *entries: for each dimension of an output from the first on the name of a mesh axis, a tuple of names, or None; an array of fewer dimensions takes the
        first of them.
      type: the class of those layers, or a tuple of classes.
      path: their paths, a pattern such as ``"h.*"``; see ``Layer.at``.

    Raises:
      AttributeError, ValueError: there is no such layer; see ``Layer.at``.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from funnn.layers import Linear, Sequential
      >>> from funnn.sharding import make_mesh
      >>> net = constrain_outputs(Sequential(Linear(2, 4), Linear(4, 2)), "data", type=Linear)
      >>> with jax.set_mesh(make_mesh({"data": -1})):
      ...     y, _ = net.apply(*net.init(jax.random.key(0)), jnp.ones((8, 2)))
      >>> y.sharding.spec
      P('data',)
    """
    return layer.at(path, type=type).apply(lambda one: one.with_output(_Constrained(entries)))
