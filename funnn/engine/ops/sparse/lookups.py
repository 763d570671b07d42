"""What is looked up with a sparse gradient: ``embedding(sparse=True)``, ``embedding_bag(sparse=True)``, ``gather(sparse_grad=True)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from funnn import functional as F
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.ops.sparse.elements import linked, make, tracked
from funnn.engine.ops.sparse.handlers import handles
from funnn.engine.ops.sparse.kernels import take
from funnn.engine.ops.sparse.pattern import Pattern, constant, numbers
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype


def look_up_sparsely(function: Callable, op: Op, given: dict[str, Any]) -> Tensor:
    """``function``, F.embedding or F.embedding_bag, which is ``op``, on arguments by name: a gradient of the table has the rows looked up alone."""
    weight, input = given["weight"], given["input"]
    if not tracked(weight):
        return call(op, (), given)
    padding = given.get("padding_idx")
    padding = padding % weight.size(0) if padding is not None and weight.size(0) else None
    by_frequency = bool(given.get("scale_grad_by_freq"))
    if function is F.embedding:
        return _rows(weight, input, padding, call(op, (), {**given, "weight": weight.detach()}), by_frequency)
    if weight.dim() != 2 or input.dim() not in (1, 2) or given.get("mode") == "max":
        return call(op, (), given)  # which raises
    index = input.reshape(-1)
    rows = _rows(weight, index, padding, take(weight.detach(), index), by_frequency)
    numbered = FUNCTIONS["arange"](index.size(0))
    rest = {name: value for name, value in given.items() if name not in ("weight", "input", "padding_idx", "sparse", "scale_grad_by_freq")}
    if padding is not None:  # a row of its own stands for those that do not count
        numbered = numbered.masked_fill(index == padding, index.size(0))
        rows = FUNCTIONS["cat"]([rows, rows.new_zeros(1, rows.size(1))])
        rest["padding_idx"] = index.size(0)
    return call(op, (), {**rest, "input": numbered.reshape(input.shape), "weight": rows})


@handles("gather")
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False, out: Any = None) -> Any:
    if isinstance(input, SparseTensor) or isinstance(index, SparseTensor) or out is not None:
        return NotImplemented
    shape, at = input._shape(), Tensor._wrap(index._operand())
    dim = wrap_dim(dim, max(len(shape), 1))

    def rule(gradient: Tensor) -> tuple[Tensor]:
        rows = [constant(axis.reshape(-1)) for axis in np.indices(at._shape(), np.int64)]
        rows[dim] = at.reshape(-1).to(_dtype.int64)
        return (make(Pattern.coo(FUNCTIONS["stack"](rows), shape), gradient.reshape(-1), shape),)

    return linked(FUNCTIONS["gather"](input.detach(), dim, index), "GatherBackward0", (input._edge(),), rule)


def _rows(weight: Tensor, input: Tensor, padding: int | None, rows: Tensor, by_frequency: bool) -> Tensor:
    """``rows``, the table's at ``input``, with a history whose gradient is sparse."""
    shape, index = weight._shape(), Tensor._wrap(input._operand()).reshape(-1)

    def rule(gradient: Tensor) -> tuple[Tensor]:
        if by_frequency:
            raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse gradients")
        elements, places = gradient.reshape(-1, shape[1]), index
        if padding is not None:
            counts = np.flatnonzero(numbers(index) != padding)
            if counts.size < index.numel():
                elements, places = take(elements, constant(counts)), take(index, constant(counts))
        return (make(Pattern.coo(places.to(_dtype.int64).reshape(1, -1), shape[:1]), elements, shape),)

    return linked(rows, "EmbeddingBackward0", (weight._edge(),), rule)
