"""A module whose batches are spread over the devices of this process.

The module's arrays are laid out, and the program stays the same: XLA computes each device's part of the batch there, and adds gradients up over devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from funnn.engine.memory.storage import Storage
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.tree import map_items
from funnn.torch.autograd.function import Function
from funnn.torch.nn.modules.module import Module

__all__ = ["DataParallel", "data_parallel"]

_AXIS = "batch"


class _LaidOut(Function):
    """The same numbers on other devices."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, where: NamedSharding) -> Tensor:
        with jax.enable_x64(True):
            return Tensor._wrap(jax.device_put(tensor._operand().known(), where))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return gradient, None


def _devices(device_ids: Sequence[Any] | None) -> list[Any]:
    """The devices of this process with these numbers: all by default, and on a CPU, whose devices PyTorch does not number.

    Raises:
      ValueError: there is no such one.
    """
    found = jax.local_devices()
    if device_ids is None or found[0].platform == "cpu":
        return found
    numbers = [getattr(one, "index", one) for one in device_ids]
    for number in numbers:
        if not isinstance(number, int) or not 0 <= number < len(found):
            raise ValueError(
                f"device_ids: expected numbers from 0 to {len(found) - 1}, those of the devices that JAX sees, got {list(device_ids)}"
            )
    return [found[number] for number in numbers]


def _lay_out(module: Module, mesh: Mesh) -> None:
    """Put a module's parameters and buffers on all devices of a mesh; their numbers stay the same."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    with jax.enable_x64(True):
        for tensor in (*module.parameters(), *module.buffers()):
            storage = tensor._storage
            if type(storage) is Storage and getattr(storage.array, "sharding", None) != everywhere:  # else it is NumPy's memory, too
                storage.array = jax.device_put(storage.array, everywhere)


def _spread(value: Any, mesh: Mesh, dim: int) -> Any:
    """A tensor split over a mesh along a dimension, or where that is not divisible, whole on all its devices; all else as it is."""
    if not isinstance(value, Tensor):
        return value
    shape = value.shape
    axis = dim % len(shape) if -len(shape) <= dim < len(shape) else None
    is_split = axis is not None and shape[axis] and shape[axis] % mesh.size == 0
    return _LaidOut.apply(value, NamedSharding(mesh, PartitionSpec(*[None] * axis, _AXIS) if is_split else PartitionSpec()))


def _call(module: Module, inputs: tuple, kwargs: dict, mesh: Mesh | None, dim: int) -> Any:
    if mesh is not None and thread.tracing is None:  # within a function that JAX transforms there are no arrays yet
        _lay_out(module, mesh)
        inputs, kwargs = map_items(lambda value: _spread(value, mesh, dim), (inputs, kwargs))
    return module(*inputs, **kwargs)


def _mesh(device_ids: Sequence[Any] | None) -> Mesh | None:
    devices = _devices(device_ids)
    return Mesh(np.array(devices), (_AXIS,)) if len(devices) > 1 else None


class DataParallel(Module):
    """Calls ``module`` with its inputs split over the devices that JAX sees in this process; with one device there is nothing to split.

    The numbers are those of one device: batch statistics are those of the whole batch, where PyTorch's replicas take each its own. Parameters and buffers
    are on all devices from the first call on, and outputs stay split, where PyTorch gathers them on one.

    Args:
      module: the module; its parameters stay the same objects.
      device_ids: numbers of devices; all by default, and on a CPU always. A CPU has as many as ``XLA_FLAGS=--xla_force_host_platform_device_count=8`` says.
      output_device: accepted and not needed.
      dim: the dimension of the inputs that is split. An input whose size there is not divisible by the number of devices is whole on all of them.

    Raises:
      ValueError: there is no device of such a number.

    Source: torch.nn.DataParallel.
    """

    def __init__(self, module: Module, device_ids: Sequence[Any] | None = None, output_device: Any = None, dim: int = 0):
        super().__init__()
        self.module, self.device_ids, self.output_device, self.dim = module, [], output_device, dim
        self._device_ids, self._mesh = device_ids, _mesh(device_ids)

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return _call(self.module, inputs, kwargs, self._mesh, self.dim)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mesh": None}  # devices are those of the process that reads it

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_mesh": _mesh(state["_device_ids"])})


def data_parallel(
    module: Module,
    inputs: Any,
    device_ids: Sequence[Any] | None = None,
    output_device: Any = None,
    dim: int = 0,
    module_kwargs: dict | None = None,
) -> Any:
    """``module(*inputs, **module_kwargs)`` as :class:`DataParallel` calls it; an input that is no tuple is the only one."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    return _call(module, inputs, module_kwargs or {}, _mesh(device_ids), dim)
