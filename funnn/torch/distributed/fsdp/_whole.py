"""Whole parameters that are there only while they are used: for a module's forward pass, and again for its backward pass.

What the pass keeps of them (the tape keeps its operands, and derivatives keep weights) are Values. When forward has run, the arrays of those that are
whole parameters, or copies of one, are let go, and the Values wait as those of a pending graph do: whoever reads one has the parts gathered again.
"""

from __future__ import annotations

import itertools
import math
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from funnn.engine.program.graph import flush
from funnn.engine.program.value import Value, from_host
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.torch.distributed.collectives import gathered
from funnn.torch.distributed.tensor._layout import chunk_bounds


def cut(array: np.ndarray, dim: int, count: int) -> list[np.ndarray]:
    """The parts of an array that the processes have along a dimension, each in one row."""
    rows = np.moveaxis(array, dim, 0)
    return [rows[slice(*chunk_bounds(len(rows), count, number))].reshape(-1) for number in range(count)]


def join(parts: Sequence[np.ndarray], starts: list[int], shape: Sequence[int], dim: int, count: int, numbers: Sequence[int]) -> np.ndarray:
    """What ``cut`` made parts of, again, or some of it.

    Args:
      parts: the row of each process in ``numbers``, of which the array's begins at its entry of ``starts``; those move behind it.
      shape, dim: of the array, and along which it is cut.
      count: how many processes it is cut for.
      numbers: those whose parts are put behind each other.
    """
    rest, found = [size for axis, size in enumerate(shape) if axis != dim], []
    for place, number in enumerate(numbers):
        start, end = chunk_bounds(shape[dim], count, number)
        length = (end - start) * math.prod(rest)
        found.append(parts[place][starts[place] : starts[place] + length].reshape(end - start, *rest))
        starts[place] += length
    return np.ascontiguousarray(np.moveaxis(np.concatenate(found), 0, dim))


class Whole:
    """The whole parameters of one dtype of a module, for one forward pass and the backward passes through it.

    Args:
      group: the processes that have parts.
      shapes, dims: of the parameters, and the dimension along which each is cut.
      parts: this process's part of each, in the type in which they are gathered.

    Attributes:
      is_free: whether the arrays were let go.
    """

    def __init__(self, group: Any, shapes: list[tuple[int, ...]], dims: list[int], parts: Sequence[Tensor]):
        self.group, self.shapes, self.dims = group, shapes, dims
        self._parts = [part._operand() for part in parts]  # as they are now, whatever is written later
        self._values: list[Any] = []  # weak references: nothing is gathered for what nobody needs
        self._copies: list[Any] = []
        self.is_free = False
        self.node: Any = None

    def gather(self) -> list[np.ndarray]:
        """The arrays, of the parts of all processes."""
        own = [np.moveaxis(np.asarray(part.known()), dim, 0).reshape(-1) for part, dim in zip(self._parts, self.dims, strict=True)]
        rows = gathered(self.group, np.concatenate(own), "the parts of parameters")
        starts, everybody = [0] * len(rows), range(len(rows))
        return [join(rows, starts, shape, dim, len(rows), everybody) for shape, dim in zip(self.shapes, self.dims, strict=True)]

    def own_parts(self, row: np.ndarray) -> list[np.ndarray]:
        """This process's part of each parameter, of a row of them, such as that of their gradients."""
        starts, group = [0], self.group
        return [join([row], starts, shape, dim, group.size(), [group.rank()]) for shape, dim in zip(self.shapes, self.dims, strict=True)]

    def watch(self, tensors: Sequence[Tensor]) -> None:
        """Take note of the tensors that have what was gathered."""
        self._values = [weakref.ref(tensor._storage.value) for tensor in tensors]
        self.node = tensors[0]._grad_fn

    def values(self) -> list[Value]:
        """Those of the parameters that somebody still needs."""
        return [value for reference in self._values if (value := reference()) is not None]

    def fill(self) -> None:
        """Gather the arrays, if they were let go. All processes do it or none does, whatever is still needed in each."""
        if self.is_free:
            self.flush()

    def flush(self) -> None:
        """Gather the arrays: what a Value that waits for them calls."""
        self.is_free = False
        for reference, array in zip(self._values, self.gather(), strict=True):
            value = reference()
            if value is not None and value.array is None:
                value.numbers, value.array = None, from_host(array)
                value.graph = None

    def free(self) -> None:
        """Let the arrays go. Copies that are still to be read have their own from now on."""
        if not self.is_free:
            flush()
            for reference in self._copies:
                copy = reference()
                if copy is not None:
                    copy.known()
            self._let_go()

    def _let_go(self) -> None:
        self.is_free = True
        for value in self.values():
            value.array = value.numbers = None
            value.graph = self

    def free_with_copies(self, kept: Iterable[Any]) -> None:
        """Let the arrays go, and those that have the same numbers among the Values to which there are weak references in ``kept``."""
        flush()
        whole = [(value, np.asarray(value.known())) for value in self.values()]
        for reference in kept:
            copy = reference()
            if copy is None or copy.array is None or any(copy is value for value, _ in whole):
                continue
            for value, array in whole:
                order = _order_of(array, copy)
                if order is not None:
                    copy.array = copy.numbers = None
                    copy.graph = _Copy(value, order, copy)
                    self._copies.append(reference)
                    break
        del whole
        self._let_go()

    def tensors(self) -> list[Tensor]:
        """The parameters as tensors with the history of those that were gathered first; their numbers come when they are read."""
        found = []
        for number, shape in enumerate(self.shapes):
            value = self._values[number]()
            if value is None:
                value = Value(np.empty(0, self._parts[number].dtype))
                value.shape, value.array, value.graph = tuple(shape), None, self
                self._values[number] = weakref.ref(value)
            tensor = Tensor._wrap(value)
            if self.node is not None:
                tensor._grad_fn, tensor._output = self.node, number
            found.append(tensor)
        return found


class _Copy:
    """What a copy of a whole parameter waits for, in the place of a graph."""

    __slots__ = ("_copy", "_order", "_value")

    def __init__(self, value: Value, order: tuple[int, ...], copy: Value):
        self._value, self._order, self._copy = value, order, weakref.ref(copy)

    def flush(self) -> None:
        """Take it from the parameter."""
        copy = self._copy()
        if copy is not None:
            copy.numbers, copy.array = None, from_host(np.array(np.asarray(self._value.known()).transpose(self._order), order="C"))
            copy.graph = None


def _order_of(array: np.ndarray, copy: Value) -> tuple[int, ...] | None:
    """The order of axes in which an array has the bits of a copy, if it is one. Arrays of one number are not taken for copies, being too alike."""
    if copy.dtype != array.dtype or copy.size != array.size or copy.ndim != array.ndim:
        return None
    for order in itertools.permutations(range(array.ndim)):
        turned = array.transpose(order)
        if turned.shape != copy.shape:
            continue
        numbers = np.asarray(copy.array)
        corner = (0,) * array.ndim
        if array.size and turned[corner].tobytes() == numbers[corner].tobytes() and _same_bits(turned, numbers):
            return None if bool((numbers == numbers[corner]).all()) else order
    return None


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(*[np.ascontiguousarray(one).reshape(-1).view(np.uint8) for one in (a, b)])


class Keeping:
    """A context in which what derivatives keep is taken note of, for a module's forward pass.

    There is none inside hooks of others (``save_on_cpu``, activation checkpoints), which say themselves what becomes of it.
    """

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self._is_on = False

    def _take(self, tensor: Tensor) -> Tensor:
        self.kept.append(weakref.ref(tensor._storage.value))
        return tensor

    def begin(self) -> None:
        """Enter it."""
        hooks: tuple[Any, ...] = thread.saved_hooks
        is_own = not hooks or isinstance(getattr(hooks[-1][0], "__self__", None), Keeping)
        if thread.grad and is_own and thread.saved_hooks_refused is None and thread.tracing is None:
            self._is_on = True
            thread.saved_hooks = (*hooks, (self._take, _as_it_is))

    def end(self) -> None:
        """Leave it."""
        if self._is_on:
            self._is_on = False
            thread.saved_hooks = thread.saved_hooks[:-1]


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor
