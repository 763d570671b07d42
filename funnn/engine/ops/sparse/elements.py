"""Between a sparse tensor and its elements, with gradients both ways."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.ops.sparse.kernels import scatter, take
from funnn.engine.ops.sparse.pattern import Pattern, constant
from funnn.engine.state import thread
from funnn.engine.tape.node import SECOND_TIME, Node, node_type, overwritten
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor, as_tensor
from funnn.engine.types import layout as _layout

MADE = "SparseCooTensorWithDimsAndTensorsBackward0"  # torch's name of the step from elements to a tensor


class SparseNode(Node):
    """A step whose gradients are computed with operations on Tensors: ``rule(gradient)`` gives one for each edge."""

    __slots__ = ("kept", "rule", "saves")

    takes_sparse = True

    def __init__(self, edges: tuple[Any, ...], rule: Callable[[Tensor], Iterable[Any]], saves: bool, kept: Iterable[Tensor]):
        super().__init__(edges)
        self.rule: Callable[[Tensor], Iterable[Any]] | None = rule
        self.saves = saves
        self.kept = [(_memory(tensor), _memory(tensor).version, _what(tensor)) for tensor in kept]

    def pull(self, gradients: list[Any], create_graph: bool) -> Iterable[Any]:
        if self.rule is None:
            raise RuntimeError(SECOND_TIME)
        for storage, version, what in self.kept:
            if storage.version != version:
                raise overwritten(what, storage.version, version)
        return self.rule(as_tensor(gradients[0]))

    def release(self) -> None:
        if self.saves:
            self.rule = None


def _memory(tensor: Tensor) -> Any:
    return tensor._elements._storage if isinstance(tensor, SparseTensor) else tensor._storage


def _what(tensor: Tensor) -> str:
    return f"[torch.{'sparse.' if isinstance(tensor, SparseTensor) else ''}{tensor.dtype.legacy}Tensor {list(tensor.shape)}]"


def linked(
    result: Any,
    name: str,
    edges: tuple[Any, ...],
    rule: Callable[[Tensor], Iterable[Any]],
    saves: bool = False,
    kept: Iterable[Tensor] = (),
) -> Any:
    """``result``, which has no history, as made by a step that torch calls ``name``.

    saves: whether a backward pass frees what it needs. kept: what must not be written in place before that.
    """
    result._grad_fn = node_type(name, SparseNode)(edges, rule, saves, kept)
    return result


def tracked(tensor: Tensor) -> bool:
    """Whether what is computed from the tensor is recorded."""
    return thread.grad and tensor.requires_grad


def elements_of(tensor: SparseTensor) -> Tensor:
    """The elements with the tensor's history: their gradient is a sparse one of the tensor."""
    elements = tensor._elements._bare()
    if not tracked(tensor):
        return elements
    pattern, size, coalesced = tensor._pattern, tensor._size, tensor._coalesced

    def rule(gradient: Tensor) -> tuple[Any, ...]:
        if coalesced or pattern.layout is not _layout.sparse_coo or pattern.grouping().unique:
            return (make(pattern, gradient, size, coalesced),)
        groups = pattern.grouping()  # a place that comes several times has one gradient
        return (make(Pattern.coo(groups.indices, pattern.sizes), take(gradient, constant(groups.first)), size, True),)

    return linked(elements, "ValuesBackward0", (tensor._edge(),), rule)


def make(
    pattern: Pattern, elements: Tensor, size: Iterable[int], coalesced: bool = False, name: str = "", kept: Iterable[Tensor] = ()
) -> SparseTensor:
    """The sparse tensor of elements (n, …) at the places of a pattern; ``name`` is torch's of the step that makes it, ``kept`` as in :func:`linked`."""
    made = SparseTensor._of(pattern, elements, tuple(size), coalesced)
    if tracked(elements):
        linked(
            made,
            name or MADE,
            (elements._edge(),),
            lambda gradient: (elements_at(gradient, pattern),),
            saves=name in ("", MADE),
            kept=kept,
        )
    return made


def like(tensor: SparseTensor, elements: Tensor, name: str = "", kept: Iterable[Tensor] = ()) -> SparseTensor:
    """Other elements at the places of a tensor."""
    return make(tensor._pattern, elements, (*tensor._pattern.sizes, *elements._shape()[1:]), tensor._coalesced, name, kept)


def elements_at(tensor: Tensor, pattern: Pattern) -> Tensor:
    """What a dense or sparse tensor has at the places of a pattern."""
    if isinstance(tensor, SparseTensor):
        return elements_of(tensor) if tensor._pattern.same(pattern) else _found(tensor, pattern)
    rest = tensor._shape()[len(pattern.sizes) :]
    return take(tensor.reshape(pattern.space(), *rest), pattern.flat())


def _found(tensor: SparseTensor, pattern: Pattern) -> Tensor:
    """What a sparse tensor has at the places of another pattern, zero where it has nothing."""
    tensor = coalesced(uncompressed(tensor))
    keys, wanted, elements = tensor._pattern.keys(), pattern.keys(), elements_of(tensor)
    at = np.searchsorted(keys, wanted)
    there = at < keys.size
    there[there] = keys[at[there]] == wanted[there]
    padded = FUNCTIONS["cat"]([elements, elements.new_zeros((1, *elements._shape()[1:]))])
    return take(padded, constant(np.where(there, at, keys.size)))


def dense(tensor: SparseTensor) -> Tensor:
    """All elements, the zeros too."""
    pattern = tensor._pattern
    return renamed(scatter(elements_of(tensor), pattern.flat(), pattern.space()).reshape(tensor._size), "ToDenseBackward0")


def renamed(result: Tensor, name: str, kept: Iterable[Tensor] = ()) -> Tensor:
    """A dense result of several steps, which torch makes in one; ``kept`` as in :func:`linked`."""
    if not result.requires_grad or isinstance(result, SparseTensor):
        return result
    return linked(result._bare(), name, (result._edge(),), lambda gradient: (gradient,), kept=kept)


def coalesced(tensor: SparseTensor) -> SparseTensor:
    """The same tensor with each place once, in order: elements of the same place are added."""
    if tensor._coalesced:
        return tensor
    groups, elements = tensor._pattern.grouping(), elements_of(tensor)
    if groups.sorted:
        elements = elements.clone()
    elif groups.unique:
        elements = take(elements, constant(groups.first))
    else:
        elements = scatter(elements, constant(groups.group), groups.first.size)
    pattern = Pattern.coo(groups.indices, tensor._pattern.sizes)
    return make(pattern, elements, tensor._size, True, "CoalesceBackward0")


def uncompressed(tensor: SparseTensor, name: str = "ToSparseBackward1") -> SparseTensor:
    """The same tensor as ``torch.sparse_coo``."""
    if tensor.layout is _layout.sparse_coo:
        return tensor
    pattern = Pattern.coo(tensor._pattern.indices(), tensor._pattern.sizes)
    if tensor.layout is _layout.sparse_csr:
        return make(pattern, elements_of(tensor), tensor._size, True, name)
    return coalesced(make(pattern, elements_of(tensor), tensor._size, False, name))
