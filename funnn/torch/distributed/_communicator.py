"""Collective operations on arrays of NumPy's: programs of XLA over a mesh that has one device of each process; of few numbers, by the group's sockets.

What only moves numbers moves their bits, as unsigned integers, so that every type goes through unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_AXIS = "process"
#: Bytes that all processes together send to all by sockets: a program of XLA takes milliseconds to start, whatever its size.
_SMALL = 1 << 20
_BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32}


def bits_of(array: np.ndarray) -> np.ndarray:
    """The numbers of an array in one row, as unsigned integers of their size; complex ones of 16 bytes as two each."""
    return np.ascontiguousarray(array).reshape(-1).view(_BITS.get(array.dtype.itemsize, np.uint64))


class Communicator:
    """The processes of a group, as devices.

    Args:
      devices: one of each process, in the group's order; none for a group of one.
      own: which is this process's.
      gather_bytes: gives the bytes of all processes, of which each has as many.
    """

    def __init__(self, devices: list[Any], own: int, gather_bytes: Callable[[np.ndarray], np.ndarray]):
        self.size, self.own, self._gather_bytes = max(1, len(devices)), own, gather_bytes
        self._programs: dict[Any, Callable[..., Any]] = {}
        if devices:
            self._device, mesh = devices[own], Mesh(np.array(devices), (_AXIS,))
            self._sharding, self._mesh = NamedSharding(mesh, PartitionSpec(_AXIS)), mesh

    def _run(self, name: Any, body: Callable[[Any], Any], array: np.ndarray) -> np.ndarray:
        """Run a function of this process's array in all processes."""
        with jax.enable_x64(True):
            program = self._programs.get(name)
            if program is None:
                spec = PartitionSpec(_AXIS)
                mapped = jax.shard_map(lambda part: body(part[0])[None], mesh=self._mesh, in_specs=spec, out_specs=spec, check_vma=False)
                program = self._programs[name] = jax.jit(mapped)
            own = jax.device_put(array[None], self._device)
            whole = jax.make_array_from_single_device_arrays((self.size, *array.shape), self._sharding, [own])
            return np.asarray(program(whole).addressable_data(0))[0]

    def _is_small(self, array: np.ndarray) -> bool:
        return 0 < self.size * array.nbytes <= _SMALL

    def gather(self, array: np.ndarray) -> np.ndarray:
        """The arrays of all processes: (n, *shape)."""
        if self.size == 1:
            return np.array(array)[None]
        if self._is_small(array):
            found = self._gather_bytes(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
            return found.reshape(-1).view(array.dtype).reshape(self.size, *array.shape)
        found = self._run("gather", lambda part: lax.all_gather(part, _AXIS), bits_of(array))
        return found.reshape(-1).view(array.dtype).reshape(self.size, *array.shape)

    def broadcast(self, array: np.ndarray, root: int) -> np.ndarray:
        """The array of one process: the sum of its bits and of zeros."""
        if self.size == 1:
            return np.array(array)
        if self._is_small(array):
            return self.gather(array)[root]
        bits = bits_of(array)
        found = self._run("sum", lambda part: lax.psum(part, _AXIS), bits if self.own == root else np.zeros_like(bits))
        return found.view(array.dtype).reshape(array.shape)

    def exchange(self, array: np.ndarray) -> np.ndarray:
        """Row i of every process goes to process i: (n, k), and the same for what has come."""
        if self.size == 1:
            return np.array(array)
        if self._is_small(array):
            return self.gather(array)[:, self.own]
        bits = bits_of(array).reshape(self.size, -1)
        found = self._run("exchange", lambda part: lax.all_to_all(part, _AXIS, 0, 0), bits)
        return found.reshape(-1).view(array.dtype).reshape(array.shape)

    def scatter(self, array: np.ndarray, root: int) -> np.ndarray:
        """Row i of the array (n, k) of one process goes to process i."""
        if self.size == 1:
            return np.array(array[0])
        if self._is_small(array):
            return self.gather(array)[root, self.own]
        bits = bits_of(array).reshape(self.size, -1)
        found = self.scatter_sum(bits if self.own == root else np.zeros_like(bits))
        return found.view(array.dtype).reshape(array.shape[1:])

    def scatter_sum(self, array: np.ndarray) -> np.ndarray:
        """The sum over processes of row i of their arrays (n, k), at process i."""
        if self.size == 1:
            return np.array(array[0])
        if self._is_small(array):
            return np.add.reduce(self.gather(array)[:, self.own], axis=0, dtype=array.dtype)
        return self._run("scatter_sum", lambda part: lax.psum_scatter(part, _AXIS), array)

    def sum(self, array: np.ndarray) -> np.ndarray:
        """The sum over processes."""
        return self._reduce("sum", lax.psum, np.add, array)

    def min(self, array: np.ndarray) -> np.ndarray:
        """The least over processes."""
        return self._reduce("min", lax.pmin, np.minimum, array)

    def max(self, array: np.ndarray) -> np.ndarray:
        """The greatest over processes."""
        return self._reduce("max", lax.pmax, np.maximum, array)

    def _reduce(self, name: str, collective: Callable[..., Any], function: np.ufunc, array: np.ndarray) -> np.ndarray:
        if self.size == 1:
            return np.array(array)
        if self._is_small(array):
            return np.asarray(function.reduce(self.gather(array), axis=0), array.dtype)
        found = self._run(name, lambda part: collective(part, _AXIS), array.reshape(-1))
        return found.astype(array.dtype, copy=False).reshape(array.shape)
