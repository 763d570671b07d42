"""DTensors as JAX's arrays over the devices of all processes, and back: no number moves between processes, for placements are a NamedSharding."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from funnn.engine.tensor.tensor import Tensor
from funnn.torch.distributed.device_mesh import DeviceMesh
from funnn.torch.distributed.group import get_world_size
from funnn.torch.distributed.tensor._layout import Layout
from funnn.torch.distributed.tensor.placement_types import Placement, Replicate, Shard


def jax_mesh(mesh: DeviceMesh) -> Mesh:
    """The first device of each process of a mesh, with the names of its axes, or ``dim_0``, ``dim_1``, …

    Raises:
      RuntimeError: JAX sees other processes than torch.distributed.
    """
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
    return Mesh(devices, mesh.mesh_dim_names or tuple(f"dim_{axis}" for axis in range(mesh.ndim)))


def named_sharding(layout: Layout) -> NamedSharding:
    """How the whole tensor of a layout lies, for JAX.

    Raises:
      ValueError: it is in summands, or the mesh does not divide a dimension that it splits, which JAX's arrays can't have.
    """
    mesh = jax_mesh(layout.mesh)
    entries: list[tuple[str, ...]] = [()] * len(layout.shape)
    for name, placement in zip(mesh.axis_names, layout.placements, strict=True):
        if isinstance(placement, Shard):
            entries[placement.dim] += (name,)
        elif not isinstance(placement, Replicate):
            raise ValueError(f"a DTensor with placements {layout.placements} has no NamedSharding; redistribute it to Replicate or Shard")
    for dim, names in enumerate(entries):
        count = int(np.prod([mesh.shape[name] for name in names]))
        if layout.shape[dim] % count:
            raise ValueError(
                f"a jax.Array has parts of one size, but dimension {dim} of {layout.shape} is not divisible by {count} processes; redistribute the DTensor "
                "to Replicate, or take to_local()"
            )
    return NamedSharding(mesh, PartitionSpec(*[names[0] if len(names) == 1 else names or None for names in entries]))


def array_of_parts(part: Any, layout: Layout) -> jax.Array:
    """The whole as an array of JAX's, of which this process has a part.

    Args:
      part: this process's, an array of JAX's.
    """
    sharding = named_sharding(layout)
    (device,) = sharding.addressable_devices
    return jax.make_array_from_single_device_arrays(layout.shape, sharding, [jax.device_put(part, device)])


def parts_of_array(array: jax.Array, mesh: DeviceMesh) -> tuple[Tensor, Layout]:
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
    names, placements = sharding.mesh.axis_names, list[Placement]([Replicate()] * mesh.ndim)
    if sharding.mesh.devices.tolist() != jax_mesh(mesh).devices.tolist():
        raise ValueError(f"the array lies on {sharding.mesh}, whose devices are not the first ones of the processes of {mesh}")
    for dim, entry in enumerate(sharding.spec):
        axes = [names.index(name) for name in (entry if isinstance(entry, tuple) else () if entry is None else (entry,))]
        if axes != sorted(axes):
            raise ValueError(f"dimension {dim} is split over {entry}, but placements split over the axes of a mesh in their order, {names}")
        for axis in axes:
            placements[axis] = Shard(dim)
    (shard,) = array.addressable_shards
    return Tensor._wrap(shard.data), Layout(mesh, tuple(placements), tuple(array.shape))
