"""Tensors of several processes made the same: all of one dtype in one operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funnn.engine.tensor.tensor import Tensor
from funnn.torch.distributed._operands import array_of, write
from funnn.torch.distributed.process_group import Heading, ProcessGroup


def by_dtype(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """The tensors of each dtype."""
    found: dict[Any, list[Tensor]] = {}
    for tensor in tensors:
        found.setdefault(tensor.dtype, []).append(tensor)
    return list(found.values())


def joined_arrays(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of one dtype behind each other, in one row."""
    return np.concatenate([array.reshape(-1) for array in arrays])


def split_like(flat: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """The parts of a row, of these sizes."""
    return np.split(flat.reshape(-1), np.cumsum(sizes)[:-1])


def broadcast_all(group: ProcessGroup, tensors: Sequence[Tensor], root: int, name: str) -> None:
    """Replace tensors by those of one process, its number in the group being ``root``."""
    for alike in by_dtype(tensors):
        flat = joined_arrays([array_of(tensor) for tensor in alike])

        def finish(found: np.ndarray, alike: list[Tensor] = alike) -> list[Any]:
            parts = split_like(found, [tensor.numel() for tensor in alike])
            return [write(tensor, part) for tensor, part in zip(alike, parts, strict=True)]

        heading = Heading(name, f"src={root}", str(flat.dtype), flat.shape)
        group.settle(group.start(heading, flat, lambda communicator, _, flat=flat: communicator.broadcast(flat, root), finish))


class GradBucket:
    """The gradients of parameters of one dtype, in one row, as a hook of DistributedDataParallel gets them.

    Args:
      index: its number.
      is_last: whether it is the last one.
      parameters: whose gradients they are.
      buffer: the row.
    """

    def __init__(self, index: int, is_last: bool, parameters: Sequence[Tensor], buffer: Tensor):
        self._index, self._is_last, self._parameters, self._buffer = index, is_last, list(parameters), buffer

    def index(self) -> int:
        """Its number among those of a backward pass."""
        return self._index

    def is_last(self) -> bool:
        """Whether it is the last one of a backward pass."""
        return self._is_last

    def parameters(self) -> list[Tensor]:
        """Whose gradients they are."""
        return self._parameters

    def buffer(self) -> Tensor:
        """The gradients, in one row."""
        return self._buffer

    def set_buffer(self, buffer: Tensor) -> None:
        """Put another row in its place."""
        self._buffer = buffer

    def gradients(self) -> list[Tensor]:
        """The gradients in the shapes of their parameters; they share memory with the row."""
        sizes = [parameter.numel() for parameter in self._parameters]
        return [part.view(parameter.shape) for part, parameter in zip(self._buffer.split(sizes), self._parameters, strict=True)]
