"""Programs of XLA over a mesh that has one device of each process of a group.

The first program of every operation is the same one: it gathers a block of bytes of each process, which has what the process calls and, where there is
room, its numbers. So processes that call different operations run the same program, which tells them so, and an operation on few numbers is one program.
A process that waits for another waits in a program; when that other one ends, its connection closes and the program fails.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from funnn.torch.distributed._operands import ALIGNMENT, aligned_copy

_AXIS = "process"
#: Seconds that XLA lets a program wait for other processes.
LONGEST_WAIT = 1800.0
_PREFIX = 4  # bytes of a block before the heading: its length, and whether the numbers are there
_BLOCK, _BLOCKS = 1 << 16, 1 << 18  # bytes of the largest block, and of those of all processes together
#: Bytes of a block for a heading: of itself, and for each process, whose part of an operation may have a size of its own.
_HEADING, _HEADING_PART = 512, 24


def _block_size(processes: int) -> int:
    size = max(min(_BLOCK, _BLOCKS // processes), _PREFIX + _HEADING + _HEADING_PART * processes)
    return -(-size // ALIGNMENT) * ALIGNMENT


class Programs:
    """What the processes of a group compute together.

    Args:
      devices: one of each process, in the group's order; none for a group of one.
      own: which is this process's.
      lock: held by an operation; groups that share devices share it.
    """

    def __init__(self, devices: list[Any], own: int, lock: threading.Lock):
        self.size, self.own, self.lock = max(1, len(devices)), own, lock
        self._compiled: dict[Any, Callable[[Any], Any]] = {}
        if devices:
            self._device, self._mesh = devices[own], Mesh(np.array(devices), (_AXIS,))
            self._sharding = NamedSharding(self._mesh, PartitionSpec(_AXIS))
            self._block = aligned_copy(np.zeros(_block_size(self.size), np.uint8))

    def run(self, collective: Callable[..., Any], array: np.ndarray, *args: Any) -> np.ndarray:
        """Compute ``collective(array, axis, *args)``, a function of ``jax.lax``, in all processes."""
        with jax.enable_x64(True) if array.dtype.itemsize >= 8 else contextlib.nullcontext():
            shape = (self.size, *array.shape)
            key = (collective, args, shape, array.dtype)
            program = self._compiled.get(key)
            if program is None:
                program = self._compiled[key] = self._compile(
                    collective, args, jax.ShapeDtypeStruct(shape, array.dtype, sharding=self._sharding)
                )
            own = jax.device_put(array[None], self._device)
        whole = jax.make_array_from_single_device_arrays(shape, self._sharding, [own])
        return np.asarray(program(whole).addressable_data(0))[0]

    def _compile(self, collective: Callable[..., Any], args: tuple[Any, ...], operand: jax.ShapeDtypeStruct) -> Callable[[Any], Any]:
        spec = PartitionSpec(_AXIS)
        mapped = jax.shard_map(
            lambda part: collective(part[0], _AXIS, *args)[None], mesh=self._mesh, in_specs=spec, out_specs=spec, check_vma=False
        )
        return jax.jit(mapped).lower(operand).compile()

    def gather_blocks(self, heading: bytes, array: np.ndarray | None) -> tuple[list[bytes], list[np.ndarray] | None]:
        """The headings of all processes, and their numbers in one row each, where all of them had room in their block.

        Args:
          heading: of this process.
          array: its numbers; None where there are none.

        Raises:
          ValueError: the heading is too long.
        """
        dtype = np.dtype(np.uint8) if array is None else array.dtype
        sent = np.zeros(0, dtype) if array is None else array.reshape(-1)
        start, size = _start_of_numbers(len(heading)), self._block.size
        if start > size:
            raise ValueError(f"{heading.decode()}: too many dimensions or sizes for one operation")
        fits = start + sent.nbytes <= size
        self._block[:_PREFIX] = np.frombuffer(len(heading).to_bytes(_PREFIX - 1, "big") + bytes([fits]), np.uint8)
        self._block[_PREFIX : _PREFIX + len(heading)] = np.frombuffer(heading, np.uint8)
        if fits:
            self._block[start : start + sent.nbytes] = sent.view(np.uint8)
        rows = self.run(_to_all, self._block, self.size)
        lengths = [int.from_bytes(row[: _PREFIX - 1].tobytes(), "big") for row in rows]
        headings = [row[_PREFIX : _PREFIX + length].tobytes() for row, length in zip(rows, lengths, strict=True)]
        if not rows[:, _PREFIX - 1].all():
            return headings, None
        starts = [_start_of_numbers(length) for length in lengths]
        return headings, [row[start:].view(dtype) for row, start in zip(rows, starts, strict=True)]


def _to_all(part: jax.Array, axis: str, size: int) -> jax.Array:
    """The parts of all processes. Each sends its own to each at once, which takes few bytes half the time of a gather, whose parts go from one to the next."""
    return lax.all_to_all(jnp.broadcast_to(part, (size, *part.shape)), axis, 0, 0)


def _start_of_numbers(length: int) -> int:
    """Where numbers are in a block behind a heading of so many bytes."""
    return -(-(_PREFIX + length) // ALIGNMENT) * ALIGNMENT
