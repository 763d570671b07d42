"""DTensors as JAX's arrays over the devices of all processes, or of this one, and back: placements are a NamedSharding, so nothing is sent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from funnn.engine.tensor.tensor import Tensor
from funnn.torch.distributed.device_mesh import DeviceMesh, axis_names
from funnn.torch.distributed.group import get_world_size
from funnn.torch.distributed.tensor.placement_types import Placement, Replicate, Shard


def jax_mesh(mesh: DeviceMesh) -> Mesh:
    """The first device of each process of a mesh, with the names of its axes, or ``dim_0``, ``dim_1``, …

    Raises:
      RuntimeError: JAX sees other processes than torch.distributed.
    """
    if mesh.devices is not None:
        return mesh.devices
    if jax.process_count() != get_world_size():
        raise RuntimeError(
            f"a DTensor is a jax.Array only where JAX sees the devices of all {get_world_size()} processes, but it sees those of {jax.process_count()}; "
            "call funnn.distributed.initialize() before anything is computed, or take to_local() or full_tensor()"
        )
    first: dict[int, Any] = {}
    for device in jax.devices():
        first.setdefault(device.process_index, device)
    devices = np.empty(mesh.shape, object)
    for place in np.ndindex(mesh.shape):
        devices[place] = first[int(mesh._ranks[place])]
    return Mesh(devices, axis_names(mesh))


def _split(mesh: DeviceMesh, placements: Sequence[Placement], rank: int) -> list[tuple[str, ...]]:
    """The axes of a mesh that split each dimension."""
    entries: list[tuple[str, ...]] = [()] * rank
    for name, placement in zip(axis_names(mesh), placements, strict=True):
        if isinstance(placement, Shard):
            entries[placement.dim] += (name,)
    return entries


def named_sharding(mesh: DeviceMesh, placements: Sequence[Placement], shape: Sequence[int]) -> NamedSharding:
    """Placements of a tensor of a shape, for JAX.

    Raises:
      ValueError: it is in summands, or the mesh does not divide a dimension that it splits, which JAX's arrays can't have.
    """
    grid = jax_mesh(mesh)
    if not all(isinstance(placement, (Shard, Replicate)) for placement in placements):
        raise ValueError(f"a DTensor with placements {placements} has no NamedSharding; redistribute it to Replicate or Shard")
    entries = _split(mesh, placements, len(shape))
    for dim, names in enumerate(entries):
        count = math.prod(grid.shape[name] for name in names)
        if shape[dim] % count:
            raise ValueError(
                f"a jax.Array has parts of one size, but dimension {dim} of {tuple(shape)} is not divisible by {count}; redistribute the DTensor to "
                "Replicate, or take to_local()"
            )
    return NamedSharding(grid, PartitionSpec(*[names[0] if len(names) == 1 else names or None for names in entries]))


def array_of_parts(part: Any, mesh: DeviceMesh, placements: Sequence[Placement], shape: Sequence[int]) -> jax.Array:
    """The whole as an array of JAX's, of which this process has a part.

    Args:
      part: this process's, an array of JAX's; the whole on a mesh of its own devices.
      mesh, placements, shape: how the whole lies.
    """
    sharding = named_sharding(mesh, placements, shape)
    if mesh.devices is not None:
        return jax.device_put(part, sharding)
    (device,) = sharding.addressable_devices
    return jax.make_array_from_single_device_arrays(tuple(shape), sharding, [jax.device_put(part, device)])


def put_on_devices(whole: Tensor, mesh: DeviceMesh, placements: Sequence[Placement]) -> Tensor:
    """A tensor as an array over this process's own devices; where these do not divide a dimension, that is not split."""
    grid = jax_mesh(mesh)
    entries = _split(mesh, placements, whole.dim())
    even = [
        names if size % math.prod(grid.shape[name] for name in names) == 0 else () for size, names in zip(whole.shape, entries, strict=True)
    ]
    sharding = NamedSharding(grid, PartitionSpec(*[names or None for names in even]))
    return Tensor._wrap(jax.device_put(whole.detach().__jax_array__(), sharding))


def parts_of_array(array: jax.Array, mesh: DeviceMesh) -> tuple[Tensor, tuple[Placement, ...]]:
    """This process's part of an array of JAX's, and how it lies on a mesh.

    Raises:
      TypeError: it is no array with a NamedSharding.
      ValueError: it lies on other devices, or as no placements say.
    """
    sharding = getattr(array, "sharding", None)
    if not isinstance(sharding, NamedSharding):
        raise TypeError(
            f"expected a jax.Array with a NamedSharding, got {type(array).__name__} with {sharding}; jax.device_put gives it one"
        )
    names, placements = axis_names(mesh), list[Placement]([Replicate()] * mesh.ndim)
    if mesh.devices is None:  # whose axes are matched by their order
        names = sharding.mesh.axis_names
    grid = jax_mesh(mesh)
    if sharding.mesh.devices.tolist() != grid.devices.tolist():
        raise ValueError(f"the array lies on {sharding.mesh}, whose devices are not those of {mesh}, the first ones of its processes")
    for dim, entry in enumerate(sharding.spec):
        entries = entry if isinstance(entry, tuple) else () if entry is None else (entry,)
        if unknown := set(entries).difference(names):
            raise ValueError(f"dimension {dim} is split over {sorted(unknown)}, which {mesh} has not")
        axes = [names.index(name) for name in entries]
        if axes != sorted(axes):
            raise ValueError(f"dimension {dim} is split over {entry}, but placements split over the axes of a mesh in their order, {names}")
        for axis in axes:
            placements[axis] = Shard(dim)
    part = array if mesh.devices is not None else array.addressable_shards[0].data
    return Tensor._wrap(part), tuple(placements)
