"""Sums, norms and softmax of sparse tensors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.ops.sparse.construct import compressed
from funnn.engine.ops.sparse.elements import coalesced, elements_of, linked, make, renamed, tracked, uncompressed
from funnn.engine.ops.sparse.handlers import handles
from funnn.engine.ops.sparse.kernels import scatter, take
from funnn.engine.ops.sparse.pattern import Pattern, constant, group, numbers
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types import layout as _layout


def _dims(dim: Any, rank: int) -> list[int]:
    dims = [dim] if isinstance(dim, int) else list(range(rank)) if dim is None or not len(dim) else list(dim)
    found = [wrap_dim(item, rank) for item in dims]
    if len(set(found)) < len(found):
        raise RuntimeError(f"dim {next(item for item in found if found.count(item) > 1)} appears multiple times in the list of dims")
    return found


def _sum(tensor: SparseTensor, dims: list[int], keepdim: bool, name: str) -> Tensor:
    """Sums over dimensions: dense where no sparse one is left."""
    coo, layout = uncompressed(tensor), tensor.layout
    sparse = len(coo._pattern.sizes)
    elements, inner = elements_of(coo), [dim - sparse + 1 for dim in dims if dim >= sparse]
    if inner:
        elements = elements.sum(inner, keepdim=keepdim)
    left = [dim for dim in range(sparse) if dim not in dims]
    size = [1 if dim in dims else n for dim, n in enumerate(tensor._size) if keepdim or dim not in dims]
    if not left:
        return renamed(elements.sum(0).reshape(size), name)
    sizes = tuple(coo._pattern.sizes[dim] for dim in left)
    keys = np.zeros(coo._pattern.count, np.int64)
    for dim, length in zip(left, sizes, strict=True):
        keys = keys * length + numbers(coo._pattern.indices())[dim]
    groups = group(keys, sizes)
    if not groups.sorted:
        elements = scatter(elements, constant(groups.group), groups.first.size)
    indices = groups.indices
    if keepdim:
        zeros = np.zeros(groups.first.size, np.int64)
        rows = iter(indices)
        indices = np.stack([zeros if dim in dims else next(rows) for dim in range(sparse)])
    kept = tuple(size[: len(indices)])
    if layout is _layout.sparse_coo:
        return make(Pattern.coo(indices, kept), elements, size, True, name)
    return make(compressed(layout, indices, kept), elements, size, True, name)


def sparse_sum(input: Tensor, dim: Any = None, dtype: Any = None) -> Tensor:
    """The sum over dimensions (all): a sparse tensor, or a dense one where no sparse dimension is left. The gradient has the elements of the input."""
    if dtype is not None:
        input = input.to(_dtype.as_dtype(dtype))
    if not isinstance(input, SparseTensor) or input.layout is not _layout.sparse_coo:
        return input.sum() if dim is None else input._indices()  # which raises
    if dim is None:
        return _sum(coalesced(input), _dims(None, input.dim()), False, "SumBackward0")
    return _sum(input, _dims(dim, input.dim()), False, "SparseSumBackward0")


@handles("sum")
def sum_(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    if out is not None:
        return NotImplemented
    kind = _dtype.as_dtype(dtype) if dtype is not None else None if input.dtype.category > 1 else _dtype.int64
    tensor = input if kind is None else input.to(kind)
    if isinstance(dim, (tuple, list)) and not dim:
        return tensor.clone()  # as torch has it
    if dim is None:
        if tracked(tensor) and tensor.is_leaf:  # whose gradient is dense
            total, shape = tensor._elements.sum(), tensor._size
            return linked(total, "SumBackward0", (tensor._edge(),), lambda gradient: (gradient.expand(shape),))
        return renamed(elements_of(tensor).sum(), "SumBackward0")
    if input.layout is not _layout.sparse_coo and not keepdim:
        raise RuntimeError("reduction operations on CSR tensors with keepdim=False is unsupported")
    return _sum(tensor, _dims(dim, tensor.dim()), keepdim, "SumBackward1")


@handles("norm")
def norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Any = None, dtype: Any = None) -> Any:
    if dim is not None or keepdim or out is not None or dtype is not None or input.layout is not _layout.sparse_coo:
        return NotImplemented
    return renamed(elements_of(coalesced(input)).reshape(-1).norm(2 if p in ("fro", None) else p), "NormBackward1")


@handles("any")
def any_(input: Any, *args: Any, **kwargs: Any) -> Any:
    return NotImplemented if args or kwargs else elements_of(input).any()


@handles("dist")
def dist(input: Any, other: Any, p: Any = 2) -> Any:
    return norm(input - other, p)


# -- softmax, in which what is not there counts as −∞


def _softmax(input: Tensor, dim: int, dtype: Any, logarithm: bool) -> SparseTensor:
    if not isinstance(input, SparseTensor) or input.layout is not _layout.sparse_coo:
        return input._indices()  # which raises
    dim = wrap_dim(dim, input.dim())
    tensor = coalesced(input if dtype is None else input.to(_dtype.as_dtype(dtype)))
    pattern, values = tensor._pattern, elements_of(tensor)
    name = "SparseLogSoftmaxBackward0" if logarithm else "SparseSoftmaxBackward0"
    sparse = len(pattern.sizes)
    if dim >= sparse:
        result = FUNCTIONS["log_softmax" if logarithm else "softmax"](values, dim - sparse + 1)
        return make(pattern, result, tensor._size, True, name)
    sizes = tuple(size for axis, size in enumerate(pattern.sizes) if axis != dim)
    keys = np.zeros(pattern.count, np.int64)
    for axis, index in enumerate(numbers(pattern.indices())):
        keys = keys if axis == dim else keys * pattern.sizes[axis] + index
    groups = group(keys, sizes)
    index, count = constant(groups.group), groups.first.size
    plain = values.detach()
    places = index.reshape(-1, *[1] * (plain.dim() - 1)).expand(plain._shape())
    largest = plain.new_full((count, *plain._shape()[1:]), -math.inf).scatter_reduce(0, places, plain, "amax")
    shifted = values - take(largest, index)
    exponentials = shifted.exp()
    sums = take(scatter(exponentials, index, count), index)
    return make(pattern, shifted - sums.log() if logarithm else exponentials / sums, tensor._size, True, name)


def sparse_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """softmax along a dimension over the elements that are there; zeros that are not stay zero."""
    return _softmax(input, dim, dtype, False)


def sparse_log_softmax(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """The logarithm of softmax along a dimension over the elements that are there."""
    return _softmax(input, dim, dtype, True)


FUNCTIONS.update({"sparse.sum": sparse_sum, "sparse.softmax": sparse_softmax, "sparse.log_softmax": sparse_log_softmax})
