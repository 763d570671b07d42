"""How values between layers are split."""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import AxisType, PartitionSpec

from funnn.functional._dispatch import public
from funnn.sharding._rules import axes_of


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
