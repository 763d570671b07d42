"""The processes of a program as a grid with named axes."""

from __future__ import annotations

import math
import os
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from funnn.torch.distributed._operands import tensor_of
from funnn.torch.distributed.group import GroupMember, get_rank, get_world_size, init_process_group, is_initialized, new_group, of_group
from funnn.torch.distributed.store import HashStore

__all__ = ["DeviceMesh", "init_device_mesh"]


class DeviceMesh:
    """Processes in a grid; along each of its axes a process has a group with its neighbours.

    Args:
      device_type: a name, ``"cpu"`` or ``"cuda"``.
      mesh: the ranks, as nested lists, an array or a tensor.
      mesh_dim_names: of its axes.

    Raises:
      ValueError: a rank comes twice, or there are more or fewer names than axes.
    """

    def __init__(self, device_type: str, mesh: Any, *, mesh_dim_names: tuple[str, ...] | None = None, _groups: Any = None, **options: Any):
        self.device_type = device_type
        self._ranks = np.asarray(mesh.tolist() if hasattr(mesh, "tolist") else mesh, np.int64)
        self.mesh_dim_names = None if mesh_dim_names is None else tuple(mesh_dim_names)
        if len(set(self._ranks.reshape(-1).tolist())) != self._ranks.size:
            raise ValueError(f"DeviceMesh: expected ranks that differ, got {self._ranks.tolist()}")
        if self.mesh_dim_names is not None and len(self.mesh_dim_names) != self._ranks.ndim:
            raise ValueError(f"DeviceMesh: expected a name for each of {self._ranks.ndim} axes, got {self.mesh_dim_names}")
        if not is_initialized():
            init_process_group()
        place = np.argwhere(self._ranks == get_rank())
        self._coordinate = tuple(int(number) for number in place[0]) if len(place) else None
        self._groups = [self._make_groups(dim) for dim in range(self._ranks.ndim)] if _groups is None else _groups
        self._children: dict[tuple[str, ...], DeviceMesh] = {}
        self._flat: dict[str, tuple[tuple[str, ...], DeviceMesh]] = {}  # by its name, what was flattened of this mesh
        self._root = self  # of which this is a part

    @property
    def devices(self) -> Mesh | None:
        """JAX's mesh, where all devices are this one process's; None where places of the grid are processes."""
        return None

    def _make_groups(self, dim: int) -> Any:
        """The groups along an axis, made by all processes in the same order; this process's."""
        own = None
        for line in np.moveaxis(self._ranks, dim, -1).reshape(-1, self._ranks.shape[dim]):
            made = new_group([int(rank) for rank in line])
            if made is not GroupMember.NON_GROUP_MEMBER:
                own = made
        return own

    @property
    def mesh(self) -> Any:
        """The ranks, as a tensor."""
        return tensor_of(self._ranks.astype(np.int32))

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return tuple(self._ranks.shape)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._ranks.ndim

    def size(self, mesh_dim: int | None = None) -> int:
        """The number of processes, in all or along an axis."""
        return int(self._ranks.size if mesh_dim is None else self._ranks.shape[mesh_dim])

    def get_rank(self) -> int:
        """The number of this process."""
        return get_rank()

    def get_coordinate(self) -> tuple[int, ...] | None:
        """Where this process is, None if it isn't there."""
        return self._coordinate

    def _dim(self, mesh_dim: int | str | None) -> int:
        if isinstance(mesh_dim, str):
            if self.mesh_dim_names is None or mesh_dim not in self.mesh_dim_names:
                raise KeyError(f"Invalid mesh_dim_name {mesh_dim!r} specified; the mesh has {self.mesh_dim_names}")
            return self.mesh_dim_names.index(mesh_dim)
        if mesh_dim is None:
            if self.ndim > 1:
                raise RuntimeError(
                    f"Found the DeviceMesh have {self.ndim} dimensions. Optional kwarg `mesh_dim` needs to be specified when device_mesh.ndim > 1."
                )
            return 0
        return mesh_dim

    def get_local_rank(self, mesh_dim: int | str | None = None) -> int:
        """The place of this process along an axis."""
        if isinstance(mesh_dim, str) and mesh_dim in self._flat:
            return self._flat[mesh_dim][1].get_local_rank()
        if self._coordinate is None:
            raise RuntimeError(f"the process of rank {get_rank()} is not in {self}")
        return self._coordinate[self._dim(mesh_dim)]

    def get_group(self, mesh_dim: int | str | None = None) -> Any:
        """The group of this process and its neighbours along an axis."""
        if isinstance(mesh_dim, str) and mesh_dim in self._flat:
            return self._flat[mesh_dim][1].get_group()
        return self._groups[self._dim(mesh_dim)]

    def get_all_groups(self) -> list[Any]:
        """The groups of this process along all axes."""
        return list(self._groups)

    def _get_root_mesh(self) -> DeviceMesh:
        """The mesh of which this is a part."""
        return self._root

    def _flatten(self, mesh_dim_name: str | None = None) -> DeviceMesh:
        """The processes of this mesh along one axis, in the order of its rows; all processes of the mesh that this is a part of call it.

        Args:
          mesh_dim_name: of the axis, under which the whole mesh has it then (``mesh["x"]``); by default the names of the axes, joined by "_".

        Raises:
          RuntimeError: the axes have no names.
          ValueError: the whole mesh has another axis of that name.
        """
        if self.mesh_dim_names is None:
            raise RuntimeError("Cannot flatten a DeviceMesh without mesh_dim_names!")
        root, name = self._root, mesh_dim_name or "_".join(self.mesh_dim_names)
        if self.mesh_dim_names == (name,):
            return self
        if name in (root.mesh_dim_names or ()):
            raise ValueError(
                f"{name} already exists for submesh of the {root}. The mesh_dim_names of submesh and flattened mesh are {root.mesh_dim_names}. "
                "Please specify another valid mesh_dim_name."
            )
        if name in root._flat:
            names, found = root._flat[name]
            if names != self.mesh_dim_names:
                raise ValueError(
                    f"Flatten mesh with mesh_dim_name {name} has been created before, Please specify another valid mesh_dim_name."
                )
            return found
        found = self._flattened(name)
        found._root = root
        root._flat[name] = self.mesh_dim_names, found
        return found

    def _flattened(self, name: str) -> DeviceMesh:
        """A mesh of one axis, of this one's processes; the other parts of the whole mesh, which differ from it in the other axes, get groups, too."""
        if self.ndim == 1:
            return DeviceMesh(self.device_type, self._ranks, mesh_dim_names=(name,), _groups=self._groups)
        whole = self._root
        dims = [(whole.mesh_dim_names or ()).index(own) for own in self.mesh_dim_names or ()]
        lines = np.moveaxis(whole._ranks, dims, range(-self.ndim, 0)).reshape(-1, self._ranks.size)
        groups = {tuple(line): new_group([int(rank) for rank in line]) for line in lines}
        ranks = self._ranks.reshape(-1)
        return DeviceMesh(self.device_type, ranks, mesh_dim_names=(name,), _groups=[groups[tuple(ranks)]])

    def __getitem__(self, names: str | tuple[str, ...]) -> DeviceMesh:
        """The part of the grid along the axes of these names, in which this process is; or along one that ``_flatten`` has made."""
        chosen = (names,) if isinstance(names, str) else tuple(names)
        if len(chosen) == 1 and chosen[0] in self._flat:
            return self._flat[chosen[0]][1]
        dims = [self._dim(name) for name in chosen]
        if chosen == self.mesh_dim_names:
            return self
        if chosen not in self._children:
            others = self._coordinate or (0,) * self.ndim
            index = tuple(slice(None) if dim in dims else others[dim] for dim in range(self.ndim))
            order = np.argsort(np.argsort(dims))
            ranks = np.transpose(self._ranks[index], order)
            groups = [self._groups[dim] for dim in dims]
            self._children[chosen] = DeviceMesh(self.device_type, ranks, mesh_dim_names=chosen, _groups=groups)
            self._children[chosen]._root = self._root
        return self._children[chosen]

    def joined_with(self, other: DeviceMesh) -> DeviceMesh | None:
        """The mesh of this one's axes and then the other's, where both are parts of one with different axes; else None."""
        names = (*(self.mesh_dim_names or ()), *(other.mesh_dim_names or ()))
        is_one = self._root is other._root and len(set(names)) == self.ndim + other.ndim
        return self._root[names] if is_one else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DeviceMesh) and np.array_equal(self._ranks, other._ranks) and self.mesh_dim_names == other.mesh_dim_names

    def __hash__(self) -> int:
        return hash((self._ranks.tobytes(), self.shape, self.mesh_dim_names))

    def __repr__(self) -> str:
        names = self.mesh_dim_names
        sizes = ", ".join(str(size) if names is None else f"{names[dim]}={size}" for dim, size in enumerate(self.shape))
        strides = tuple(math.prod(self.shape[dim + 1 :]) for dim in range(self.ndim))
        return f"DeviceMesh(({sizes}{',' if names is None and self.ndim == 1 else ''}), {self.device_type!r}, stride={strides})"


class _DevicesMesh(DeviceMesh):
    """The devices of this one process in a grid. A tensor on it is whole in the process, as one array of JAX's that lies on all of them.

    Args:
      grid: of all devices. A part of the axes is a mesh, too, on which tensors are replicated over the others.
      names: of the axes that this mesh has, all by default.
    """

    def __init__(self, device_type: str, grid: Mesh, mesh_dim_names: tuple[str, ...] | None, names: tuple[str, ...] | None = None):
        shape = tuple(grid.shape[name] for name in names or grid.axis_names)
        ranks = np.arange(math.prod(shape)).reshape(shape)
        super().__init__(device_type, ranks, mesh_dim_names=names or mesh_dim_names, _groups=[of_group(None)] * len(shape))
        self._grid = grid

    @property
    def devices(self) -> Mesh:
        return self._grid

    def _flatten(self, mesh_dim_name: str | None = None) -> DeviceMesh:
        raise NotImplementedError(
            "_flatten of a mesh of the devices of one process is not there; make it with init_device_mesh(device_type, (n,))"
        )

    def __getitem__(self, names: str | tuple[str, ...]) -> DeviceMesh:
        chosen = (names,) if isinstance(names, str) else tuple(names)
        for name in chosen:
            self._dim(name)
        made = _DevicesMesh(self.device_type, self._grid, None, chosen)
        made._root = self._root
        return made


def axis_names(mesh: DeviceMesh) -> tuple[str, ...]:
    """The names of a mesh's axes for JAX: its own, or ``dim_0``, ``dim_1``, …"""
    return mesh.mesh_dim_names or tuple(f"dim_{axis}" for axis in range(mesh.ndim))


def init_device_mesh(
    device_type: str, mesh_shape: tuple[int, ...], *, mesh_dim_names: tuple[str, ...] | None = None, **options: Any
) -> DeviceMesh:
    """All processes as a grid, the last axis being that of neighbouring ranks; or in a program of one process all devices that JAX sees.

    On devices of one process a DTensor is one array of JAX's, its operations are those of the whole, which XLA splits, and ``to_local`` is the part on the
    first device. PyTorch has no such mesh.

    Args:
      device_type: a name, ``"cpu"`` or ``"cuda"``.
      mesh_shape: the size of each axis; their product is the number of processes, or that of devices.
      mesh_dim_names: of the axes.

    Raises:
      RuntimeError: there are more or fewer processes, or a name comes twice.
    """
    if mesh_dim_names is not None:
        if len(set(mesh_dim_names)) != len(mesh_dim_names):
            raise RuntimeError(f"Each mesh_dim_name must be unique. Found repeated mesh_dim_name in mesh_dim_names {mesh_dim_names}")
        if len(mesh_dim_names) != len(mesh_shape):
            raise RuntimeError(
                f"mesh_shape and mesh_dim_names should have same length! Found len(mesh_dim_names): {len(mesh_dim_names)} and len(mesh_shape):{len(mesh_shape)}"
            )
    count = math.prod(mesh_shape)
    if not is_initialized():
        if "WORLD_SIZE" in os.environ or count == 1:
            init_process_group()
        else:
            init_process_group(store=HashStore(), rank=0, world_size=1)
    if get_world_size() == 1 < count == jax.device_count():
        names = mesh_dim_names or tuple(f"dim_{axis}" for axis in range(len(mesh_shape)))
        return _DevicesMesh(device_type, Mesh(np.array(jax.devices()).reshape(mesh_shape), names), mesh_dim_names)
    if count != get_world_size():
        devices = f", and as one process has devices, {jax.device_count()}" if get_world_size() == 1 else ""
        raise RuntimeError(
            f"init_device_mesh: expected mesh_shape {tuple(mesh_shape)} to have as many places as there are processes, {get_world_size()}{devices}, got {count}"
        )
    return DeviceMesh(device_type, np.arange(count).reshape(mesh_shape), mesh_dim_names=mesh_dim_names)
