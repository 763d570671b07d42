"""Collective operations on arrays of NumPy's, of which what came with the headings, or programs of XLA, are the parts.

What only moves numbers moves their bits, as unsigned integers, so that every type goes through unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jax import lax

from funnn.torch.distributed._programs import Programs

_BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32}


def bits_of(array: np.ndarray) -> np.ndarray:
    """The numbers of an array in one row, as unsigned integers of their size; complex ones of 16 bytes as two each."""
    return np.ascontiguousarray(array).reshape(-1).view(_BITS.get(array.dtype.itemsize, np.uint64))


class Communicator:
    """The processes of a group within one operation.

    Args:
      programs: of the group.
      sent: the numbers of all processes, in one row each, where few came with the headings; the methods then take the array that this process sent so.
        Rows may be longer.
    """

    def __init__(self, programs: Programs, sent: list[np.ndarray] | None = None):
        self.size, self.own, self._programs, self._sent = programs.size, programs.own, programs, sent

    def gather(self, array: np.ndarray) -> np.ndarray:
        """The arrays of all processes: (n, *shape)."""
        if self.size == 1:
            return np.array(array)[None]
        if self._sent is not None:
            return np.stack([row[: array.size] for row in self._sent]).reshape(self.size, *array.shape)
        found = self._programs.run(lax.all_gather, bits_of(array))
        return found.reshape(-1).view(array.dtype).reshape(self.size, *array.shape)

    def gather_sizes(self, array: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
        """The arrays of all processes, in one row each, of sizes that differ."""
        if self._sent is not None:
            return [row[:size] for row, size in zip(self._sent, sizes, strict=True)]
        padded = np.zeros(max(sizes), array.dtype)
        padded[: array.size] = array.reshape(-1)
        return [row[:size] for row, size in zip(self.gather(padded), sizes, strict=True)]

    def broadcast(self, array: np.ndarray, root: int) -> np.ndarray:
        """The array of one process: the sum of its bits and of zeros."""
        if self.size == 1:
            return np.array(array)
        if self._sent is not None:
            return self._sent[root][: array.size].reshape(array.shape)
        bits = bits_of(array)
        found = self._programs.run(lax.psum, bits if self.own == root else np.zeros_like(bits))
        return found.view(array.dtype).reshape(array.shape)

    def exchange(self, array: np.ndarray) -> np.ndarray:
        """Row i of every process goes to process i: (n, k), and the same for what has come."""
        if self.size == 1:
            return np.array(array)
        if self._sent is not None:
            return self.gather(array)[:, self.own]
        found = self._programs.run(lax.all_to_all, bits_of(array).reshape(self.size, -1), 0, 0)
        return found.reshape(-1).view(array.dtype).reshape(array.shape)

    def exchange_sizes(self, array: np.ndarray, sizes: list[tuple[int, ...]]) -> list[np.ndarray]:
        """Of an array in one row, the parts of these sizes (of process j to i: ``sizes[j][i]``) go to the processes; what has come from each."""
        own = self.own
        if self._sent is not None:
            starts = [sum(parts[:own]) for parts in sizes]
            return [row[start : start + parts[own]] for row, start, parts in zip(self._sent, starts, sizes, strict=True)]
        rows = np.zeros((self.size, max(map(max, sizes))), array.dtype)
        for row, part in zip(rows, np.split(array, np.cumsum(sizes[own])[:-1]), strict=True):
            row[: part.size] = part
        return [row[: parts[own]] for row, parts in zip(self.exchange(rows), sizes, strict=True)]

    def scatter(self, array: np.ndarray, root: int) -> np.ndarray:
        """Row i of the array (n, k) of one process goes to process i."""
        if self.size == 1:
            return np.array(array[0])
        if self._sent is not None:
            return self.gather(array)[root, self.own]
        bits = bits_of(array).reshape(self.size, -1)
        found = self.scatter_sum(bits if self.own == root else np.zeros_like(bits))
        return found.view(array.dtype).reshape(array.shape[1:])

    def scatter_sum(self, array: np.ndarray) -> np.ndarray:
        """The sum over processes of row i of their arrays (n, k), at process i."""
        if self.size == 1:
            return np.array(array[0])
        if self._sent is not None:
            return np.add.reduce(self.gather(array)[:, self.own], axis=0, dtype=array.dtype)
        return self._programs.run(lax.psum_scatter, array)

    def sum(self, array: np.ndarray) -> np.ndarray:
        """The sum over processes."""
        return self._reduce(lax.psum, np.add, array)

    def min(self, array: np.ndarray) -> np.ndarray:
        """The least over processes."""
        return self._reduce(lax.pmin, np.minimum, array)

    def max(self, array: np.ndarray) -> np.ndarray:
        """The greatest over processes."""
        return self._reduce(lax.pmax, np.maximum, array)

    def _reduce(self, collective: Callable[..., Any], function: np.ufunc, array: np.ndarray) -> np.ndarray:
        if self.size == 1:
            return np.array(array)
        if self._sent is not None:
            return np.asarray(function.reduce(self.gather(array), axis=0), array.dtype)
        found = self._programs.run(collective, array.reshape(-1))
        return found.astype(array.dtype, copy=False).reshape(array.shape)
