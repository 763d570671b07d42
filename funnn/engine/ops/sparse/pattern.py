"""Where the elements of a sparse tensor are."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import numpy as np

from funnn.engine.ops.sparse.kernels import flat
from funnn.engine.program.value import from_host
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import layout as _layout


class Grouping(NamedTuple):
    """Elements by their place: the number of each one's group (n,), and of each group, in order, its first element (g,) and indices (s, g)."""

    group: np.ndarray
    first: np.ndarray
    indices: np.ndarray
    unique: bool  # whether no place comes twice
    sorted: bool  # whether, besides, they are in order


def constant(array: np.ndarray) -> Tensor:
    """An array as a tensor."""
    return Tensor._wrap(from_host(np.ascontiguousarray(array)))


def numbers(tensor: Tensor) -> np.ndarray:
    """The values as a NumPy array, without a look at what is being compiled where they are known."""
    array = None if tensor._window is not None else tensor._storage.value.array
    return tensor._host() if array is None or isinstance(array, jax.core.Tracer) else np.asarray(array)


def group(keys: np.ndarray, sizes: tuple[int, ...]) -> Grouping:
    """Elements whose places have these numbers in an array of ``sizes``."""
    if keys.size < 2 or bool((keys[1:] > keys[:-1]).all()):
        count = np.arange(keys.size)
        return Grouping(count, count, _unravel(keys, sizes), True, True)
    places, first, groups = np.unique(keys, return_index=True, return_inverse=True)
    return Grouping(groups.reshape(-1), first, _unravel(places, sizes), places.size == keys.size, False)


def _unravel(keys: np.ndarray, sizes: tuple[int, ...]) -> np.ndarray:
    if not sizes or not keys.size:
        return np.zeros((len(sizes), keys.size), np.int64)
    return np.stack(np.unravel_index(keys, sizes)).astype(np.int64)


class Pattern:
    """Where the elements are of a tensor whose first dimensions, of ``sizes``, are sparse.

    Args:
      layout: ``torch.sparse_coo``, or of a matrix ``torch.sparse_csr`` or ``torch.sparse_csc``.
      parts: the indices (s, n); of a compressed layout, where the elements of each row (column) begin (r + 1,), and their columns (rows) (n,).
    """

    def __init__(self, layout: Any, parts: tuple[Tensor, ...], sizes: tuple[int, ...]):
        self.layout, self.sizes = layout, tuple(sizes)
        self.parts = tuple([part.detach() for part in parts])
        self._known: dict[str, Any] = {}
        self._writes: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Pattern, (self.layout, self.parts, self.sizes)

    @classmethod
    def coo(cls, indices: Any, sizes: tuple[int, ...]) -> Pattern:
        """One of indices (s, n), a tensor or an array."""
        return cls(_layout.sparse_coo, (indices if isinstance(indices, Tensor) else constant(indices),), sizes)

    @property
    def count(self) -> int:
        """How many elements there are."""
        return self.parts[-1]._shape()[-1]

    def named_parts(self) -> list[tuple[str, Tensor]]:
        """The parts by their names in print."""
        names = {_layout.sparse_coo: ("indices",), _layout.sparse_csr: ("crow_indices", "col_indices")}
        return list(zip(names.get(self.layout, ("ccol_indices", "row_indices")), self.parts, strict=True))

    def _once(self, name: str, make: Any) -> Any:
        """What ``make()`` gives, made again when the parts have been written."""
        if (writes := self.writes()) != self._writes:
            self._known, self._writes = {}, writes
        if name not in self._known:
            self._known[name] = make()
        return self._known[name]

    def writes(self) -> tuple[int, ...]:
        """How often each part has been written."""
        return tuple([part._storage.writes for part in self.parts])

    def indices(self) -> Tensor:
        """The indices (s, n), whatever the layout."""
        if self.layout is _layout.sparse_coo:
            return self.parts[0]
        return self._once("indices", lambda: constant(self._expanded()))

    def _expanded(self) -> np.ndarray:
        starts, plain = numbers(self.parts[0]).astype(np.int64), numbers(self.parts[1]).astype(np.int64)
        compressed = np.repeat(np.arange(starts.size - 1), np.diff(starts))
        return np.stack([compressed, plain] if self.layout is _layout.sparse_csr else [plain, compressed])

    def index(self, dim: int) -> Tensor:
        """The indices of all elements in one sparse dimension (n,)."""
        return self._once(f"index{dim}", lambda: self.indices()[dim])

    def flat(self) -> Tensor:
        """The numbers of the elements' places (n,), in row-major order of the sparse dimensions."""
        if len(self.sizes) == 1:
            return self.index(0)
        return flat(self.indices(), self.sizes)

    def keys(self) -> np.ndarray:
        """The same as known numbers."""
        return self._once("keys", self._keys)

    def _keys(self) -> np.ndarray:
        indices, keys = numbers(self.indices()), np.zeros(self.count, np.int64)
        for index, size in zip(indices, self.sizes, strict=True):
            keys = keys * size + index
        return keys

    def grouping(self) -> Grouping:
        """The elements by their place."""
        return self._once("grouping", lambda: group(self.keys(), self.sizes))

    def space(self) -> int:
        """How many places there are in the sparse dimensions."""
        return math.prod(self.sizes)

    def same(self, other: Pattern) -> bool:
        """Whether both say the same of the same dimensions, as far as is known without a comparison of indices: they see the same memory."""
        if self is other:
            return True
        pairs = zip(self.parts, other.parts, strict=False)
        shared = all(a._storage is b._storage and a._view_window() == b._view_window() for a, b in pairs)
        return shared and self.layout is other.layout and self.sizes == other.sizes
