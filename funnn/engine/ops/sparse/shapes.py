"""Dimensions of sparse tensors: order, joining, selection, types."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.table import FUNCTIONS, add_method, gather_sizes
from funnn.engine.ops.sparse.construct import zeros
from funnn.engine.ops.sparse.conversions import to_sparse, type_name
from funnn.engine.ops.sparse.elements import coalesced, elements_at, elements_of, like, make, renamed, uncompressed
from funnn.engine.ops.sparse.handlers import handles
from funnn.engine.ops.sparse.kernels import take
from funnn.engine.ops.sparse.pattern import Pattern, constant, numbers
from funnn.engine.tensor.sparse import SparseTensor, refuse, refuse_meta
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types import layout as _layout

# -- order of dimensions

_TURNED = {_layout.sparse_csr: _layout.sparse_csc, _layout.sparse_csc: _layout.sparse_csr}


def _permuted(tensor: SparseTensor, order: list[int], name: str) -> SparseTensor:
    """The dimensions in another order, in which the sparse ones stay in front."""
    pattern, sparse = tensor._pattern, len(tensor._pattern.sizes)
    size = tuple(tensor._size[dim] for dim in order)
    if order == sorted(order):
        return like(tensor, elements_of(tensor), name)
    if tensor.layout is not _layout.sparse_coo:
        return make(Pattern(_TURNED[tensor.layout], pattern.parts, size), elements_of(tensor), size, True, name)
    front, rest = order[:sparse], [dim - sparse + 1 for dim in order[sparse:]]
    elements = elements_of(tensor)
    if rest != sorted(rest):
        elements = elements.permute(0, *rest)
    indices = pattern.indices().index_select(0, constant(np.array(front, np.int64)))
    return make(Pattern.coo(indices, size[:sparse]), elements, size, False, name)


@handles("t")
def t(input: Any) -> Any:
    sparse = len(input._pattern.sizes)
    if sparse > 2 or sparse < input.dim():
        raise RuntimeError(
            f"t() expects a tensor with <= 2 sparse and 0 dense dimensions, but got {sparse} sparse and {input.dim() - sparse} dense dimensions"
        )
    return _permuted(input, list(reversed(range(input.dim()))), "TBackward0")


@handles("transpose", "swapaxes", "swapdims")
def transpose(input: Any, dim0: Any = None, dim1: Any = None, **axes: Any) -> Any:
    first, second = (dim0, dim1) if dim0 is not None else axes.values()
    first, second, sparse = wrap_dim(first, input.dim()), wrap_dim(second, input.dim()), len(input._pattern.sizes)
    if first != second and max(first, second) >= sparse:
        raise RuntimeError(f"sparse transpose: transposed dimensions must be sparse Got sparse_dim: {sparse}, d0: {first}, d1: {second}")
    order = list(range(input.dim()))
    order[first], order[second] = second, first
    return _permuted(input, order, "TransposeBackward0")


@handles("permute")
def permute(input: Any, *dims: Any, **named: Any) -> Any:
    order = [wrap_dim(dim, input.dim()) for dim in gather_sizes(dims, named, "dims")]
    if sorted(order) != list(range(input.dim())):
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the desired ordering of dimensions"
        )
    sparse = len(input._pattern.sizes)
    if sorted(order[:sparse]) != list(range(sparse)):
        raise RuntimeError("permute(sparse_coo): transpositions between sparse and dense dimensions are not allowed.")
    return _permuted(input, order, "PermuteBackward0")


@handles("movedim", "moveaxis")
def movedim(input: Any, source: Any, destination: Any) -> Any:
    sources, places = ([value] if isinstance(value, int) else list(value) for value in (source, destination))
    sources, places = ([wrap_dim(dim, input.dim()) for dim in dims] for dims in (sources, places))
    order = [dim for dim in range(input.dim()) if dim not in sources]
    for place, dim in sorted(zip(places, sources, strict=True)):
        order.insert(place, dim)
    return _permuted(input, order, "PermuteBackward0")


@handles("T")
def reversed_(self: SparseTensor) -> SparseTensor:
    return _permuted(self, list(reversed(range(self.dim()))), "PermuteBackward0")


@handles("mT", "adjoint", "H", "mH")
def adjoint(self: SparseTensor) -> SparseTensor:
    turned = transpose(self, -2, -1)
    return turned.conj() if self.dtype.is_complex else turned


@handles("unsqueeze")
def unsqueeze(input: Any, dim: Any) -> Any:
    if input.layout is not _layout.sparse_coo:
        return NotImplemented
    dim, sparse = wrap_dim(dim, input.dim() + 1), len(input._pattern.sizes)
    size = (*input._size[:dim], 1, *input._size[dim:])
    elements = elements_of(input)
    if dim > sparse:
        return make(input._pattern, elements.unsqueeze(dim - sparse + 1), size, False, "UnsqueezeBackward0")
    indices = input._pattern.indices()
    rows = [
        *indices[:dim],
        FUNCTIONS["zeros_like"](indices[0]) if sparse else constant(np.zeros(input._pattern.count, np.int64)),
        *indices[dim:],
    ]
    return make(Pattern.coo(FUNCTIONS["stack"](rows), size[: sparse + 1]), elements, size, False, "UnsqueezeBackward0")


@handles("reshape", "flatten", "reshape_as")
def reshape(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("reshape is not implemented for sparse tensors; use to_dense()")


@handles("expand", "expand_as")
def expand(*args: Any, **kwargs: Any) -> Any:
    raise RuntimeError("expand is unsupported for Sparse tensors; use to_dense()")


# -- joining


def _joined(tensors: Any, dim: int, name: str) -> Any:
    for position, tensor in enumerate(tensors):
        if not isinstance(tensor, SparseTensor):
            raise RuntimeError(f"Concatenating sparse tensors, but a dense tensor was found at position {position}.")
        if tensor.layout is not _layout.sparse_coo:
            refuse("cat", "SparseCsrCPU")
    first = tensors[0]
    sparse, rank = len(first._pattern.sizes), first.dim()
    dim = wrap_dim(dim, rank)
    for position, tensor in enumerate(tensors):
        if len(tensor._pattern.sizes) != sparse or tensor.dim() != rank:
            raise RuntimeError(
                f"All tensors must have the same shape and the same number of sparse dimensions: {list(first.shape)} and {list(tensor.shape)} at "
                f"position {position}"
            )
        if any(a != b for axis, (a, b) in enumerate(zip(first._size, tensor._size, strict=True)) if axis != dim):
            raise RuntimeError(
                f"All tensors must have the same shape: {list(first.shape)} (except in the concatenating dimension), but found shape: "
                f"{list(tensor.shape)} at position {position}"
            )
    size, start, indices, elements = list(first._size), 0, [], []
    size[dim] = sum(tensor._size[dim] for tensor in tensors)
    for tensor in tensors:
        own, values = tensor._pattern.indices(), elements_of(tensor)
        if dim < sparse:
            own = own + constant(np.eye(sparse, dtype=np.int64)[:, dim : dim + 1] * start)
        else:
            after = size[dim] - start - tensor._size[dim]
            shape = list(values.shape)
            parts = []
            for length in (start, after):
                shape[dim - sparse + 1] = length
                parts.append(values.new_zeros(shape))
            values = FUNCTIONS["cat"]([parts[0], values, parts[1]], dim - sparse + 1)
        start += tensor._size[dim]
        indices.append(own)
        elements.append(values)
    return make(Pattern.coo(FUNCTIONS["cat"](indices, 1), tuple(size[:sparse])), FUNCTIONS["cat"](elements), size, False, name)


@handles("cat", "concat", "concatenate")
def cat(tensors: Any, dim: Any = 0, *, out: Any = None, **axis: Any) -> Any:
    return _joined(list(tensors), axis.get("axis", dim), "CatBackward0") if out is None else NotImplemented


@handles("stack")
def stack(tensors: Any, dim: Any = 0, *, out: Any = None) -> Any:
    tensors = list(tensors)
    if out is not None or not all(isinstance(tensor, SparseTensor) for tensor in tensors):
        return NotImplemented
    return _joined([unsqueeze(tensor, dim) for tensor in tensors], dim, "StackBackward0")


@handles("vstack", "row_stack")
def vstack(tensors: Any, *, out: Any = None) -> Any:
    return cat([tensor if tensor.dim() > 1 else tensor.unsqueeze(0) for tensor in tensors], out=out)


@handles("hstack")
def hstack(tensors: Any, *, out: Any = None) -> Any:
    return cat(tensors, min(tensors[0].dim() - 1, 1), out=out)


# -- selection


def _chosen(
    tensor: SparseTensor, elements: Tensor, where: np.ndarray, indices: np.ndarray, size: tuple[int, ...], name: str
) -> SparseTensor:
    return make(Pattern.coo(indices, size[: len(indices)]), take(elements, constant(where)), size, False, name)


@handles("select")
def select(input: Any, dim: Any, index: Any) -> Any:
    coo = uncompressed(input)
    dim, sparse = wrap_dim(dim, input.dim()), len(coo._pattern.sizes)
    length = input._size[dim]
    if not -length <= index < length:
        raise IndexError(f"select(): index {index} out of range for tensor of size {list(input.shape)} at dimension {dim}")
    index, size = int(index) % length, (*input._size[:dim], *input._size[dim + 1 :])
    if dim >= sparse:
        return make(coo._pattern, elements_of(coo).select(dim - sparse + 1, index), size, coo._coalesced, "SelectBackward0")
    if sparse == 1:
        at = Pattern.coo(np.array([[index]]), coo._pattern.sizes)
        return renamed(elements_at(coo, at)[0], "SelectBackward0")
    places = numbers(coo._pattern.indices())
    where = np.flatnonzero(places[dim] == index)
    return _chosen(coo, elements_of(coo), where, np.delete(places, dim, 0)[:, where], size, "SelectBackward0")


@handles("index_select")
def index_select(input: Any, dim: Any, index: Any, *, out: Any = None) -> Any:
    if out is not None or input.layout is not _layout.sparse_coo:
        return NotImplemented
    dim, sparse, wanted = wrap_dim(dim, input.dim()), len(input._pattern.sizes), np.atleast_1d(numbers(index))
    if wanted.size and not (-input._size[dim] <= wanted.min() and wanted.max() < input._size[dim]):
        raise IndexError(f"index_select(): index out of range for dimension {dim} of size {input._size[dim]}")
    wanted = np.where(wanted < 0, wanted + input._size[dim], wanted)
    size = (*input._size[:dim], wanted.size, *input._size[dim + 1 :])
    if dim >= sparse:
        return make(
            input._pattern, elements_of(input).index_select(dim - sparse + 1, constant(wanted)), size, False, "IndexSelectBackward0"
        )
    places = numbers(input._pattern.indices())
    order = np.argsort(places[dim], kind="stable")
    starts, ends = (np.searchsorted(places[dim][order], wanted, side) for side in ("left", "right"))
    counts = ends - starts
    where = order[np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts, counts)]
    indices = places[:, where]
    indices[dim] = np.repeat(np.arange(wanted.size), counts)
    return _chosen(input, elements_of(input), where, indices, size, "IndexSelectBackward0")


@handles("narrow_copy")
def narrow_copy(input: Any, dim: Any, start: Any, length: Any, *, out: Any = None) -> Any:
    if out is not None or input.layout is not _layout.sparse_coo:
        return NotImplemented
    dim, sparse = wrap_dim(dim, input.dim()), len(input._pattern.sizes)
    start = start % input._size[dim] if start < 0 else start
    if not 0 <= length <= input._size[dim] - start:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({input._size[dim]}).")
    size = (*input._size[:dim], length, *input._size[dim + 1 :])
    if dim >= sparse:
        return make(input._pattern, elements_of(input).narrow(dim - sparse + 1, start, length), size)
    places = numbers(input._pattern.indices())
    where = np.flatnonzero((places[dim] >= start) & (places[dim] < start + length))
    indices = places[:, where]
    indices[dim] -= start
    return _chosen(input, elements_of(input), where, indices, size, "NarrowCopyBackward0")


@handles("tensor")
def tensor_of(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False) -> Any:
    made = data.detach().clone()
    made = made if dtype is None else made.to(_dtype.as_dtype(dtype))
    return made._set_requires_grad() if requires_grad else made


@handles("__getitem__")
def getitem(self: SparseTensor, key: Any) -> Tensor:
    """Numbers, None and an ellipsis; whole slices."""
    items = list(key) if isinstance(key, tuple) else [key]
    if any(item is Ellipsis for item in items):
        place = next(number for number, item in enumerate(items) if item is Ellipsis)
        rest = self.dim() - sum(item is not None and item is not Ellipsis for item in items)
        items[place : place + 1] = [slice(None)] * rest
    result: Tensor = self
    dim = 0
    for item in items:
        if item is None:
            result, dim = result.unsqueeze(dim), dim + 1
        elif isinstance(item, (int, np.integer)) and not isinstance(item, bool):
            if dim >= result.dim():
                raise IndexError(f"too many indices for tensor of dimension {self.dim()}")
            result = result.select(dim, int(item))
        elif isinstance(item, slice) and item == slice(None):
            dim += 1
        else:
            refuse("as_strided" if isinstance(item, slice) else "index.Tensor", "SparseCPU")
    return result if result is not self else self._alias()


@handles("unbind")
def unbind(input: Any, dim: Any = 0) -> Any:
    return tuple([select(input, dim, index) for index in range(input.size(dim))])


# -- types, places, and tensors like another


def _converted(self: SparseTensor, kind: Any) -> SparseTensor:
    return self if kind is self.dtype else like(self, elements_of(self).to(kind), "ToCopyBackward0")


@handles("to")
def to(self: SparseTensor, *args: Any, **kwargs: Any) -> SparseTensor:
    """The tensor in another dtype, on another device or like another tensor; itself where nothing changes."""
    like_it = [item.dtype if isinstance(item, SparseTensor) else item for item in args]
    probe = self._elements.detach().to(*like_it, **{name: value for name, value in kwargs.items() if name != "copy"})
    if probe.is_meta:
        refuse_meta()
    flags = [arg for arg in args if isinstance(arg, bool)]
    result = _converted(self, probe.dtype)
    return result.clone() if result is self and kwargs.get("copy", len(flags) > 1 and flags[1]) else result


@handles("type")
def as_type(self: SparseTensor, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The legacy name of the type, or the tensor converted to a type."""
    return type_name(self) if dtype is None else _converted(self, self._elements.detach().type(dtype).dtype)


handles("type_as")(lambda self, other: _converted(self, other.dtype))
for _name, _kind in {
    **{"half": _dtype.float16, "bfloat16": _dtype.bfloat16, "float": _dtype.float32, "double": _dtype.float64, "bool": _dtype.bool_},
    **{"byte": _dtype.uint8, "char": _dtype.int8, "short": _dtype.int16, "int": _dtype.int32, "long": _dtype.int64},
    **{"cfloat": _dtype.complex64, "cdouble": _dtype.complex128},
}.items():
    handles(_name)(functools.partial(lambda kind, self, memory_format=None: _converted(self, kind), _kind))


@handles("zeros_like", "empty_like")
def zeros_like(input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False, **rest: Any) -> Any:
    kind = input.dtype if dtype is None else _dtype.as_dtype(dtype)
    if layout is _layout.strided:
        made: Tensor = FUNCTIONS["zeros"](input._size, dtype=kind)
    else:
        same = layout in (None, input.layout)
        made = zeros(input._size, kind, layout or input.layout, len(input._pattern.sizes) if same else None)
    return made._set_requires_grad() if requires_grad else made


@handles("new_zeros", "new_empty")
def new_zeros(self: SparseTensor, *size: Any, dtype: Any = None, layout: Any = None, **rest: Any) -> Any:
    """A sparse tensor of zeros."""
    return zeros(gather_sizes(size), self.dtype if dtype is None else _dtype.as_dtype(dtype), layout or self.layout)


# -- sparse tensors from others


def sparse_mask(self: Tensor, mask: Tensor) -> Tensor:
    """The values at the places of ``mask``, a sparse tensor of the same shape."""
    if not isinstance(mask, SparseTensor):
        raise RuntimeError("sparse_mask(): mask must be sparse")
    if mask._size != self._shape():
        raise RuntimeError(
            f"sparse_mask(): operands have incompatible sizes; self has size {list(self.shape)} but mask has size {list(mask.shape)}"
        )
    if isinstance(self, SparseTensor) and self.layout is not mask.layout:
        raise RuntimeError(f"sparse_mask(): self and mask have different layouts, {self.layout} and {mask.layout}")
    return make(mask._pattern, elements_at(self, mask._pattern), mask._size, mask._coalesced, "SparseMaskBackward0")


add_method("sparse_mask", sparse_mask)


def spdiags(diagonals: Tensor, offsets: Tensor, shape: Any, layout: Any = None) -> Tensor:
    """A matrix of ``shape`` with rows of ``diagonals`` on the diagonals that ``offsets`` names: element [i, j] is diagonals[k, j] where j − i = offsets[k]."""
    lines, numbers_ = diagonals if diagonals.dim() == 2 else diagonals.reshape(1, -1), np.atleast_1d(numbers(offsets))
    if len(shape) != 2:
        raise RuntimeError("Output shape must be 2d")
    if lines.dim() > 2 or numbers_.ndim > 1:
        raise RuntimeError("Diagonals must be vector or matrix, and offsets scalar or vector")
    if lines.size(0) != numbers_.size:
        raise RuntimeError(f"Number of diagonals ({lines.size(0)}) does not match the number of offsets ({numbers_.size})")
    if np.unique(numbers_).size != numbers_.size:
        raise RuntimeError("Offset tensor contains duplicate values")
    if layout not in (None, _layout.sparse_coo, _layout.sparse_csr, _layout.sparse_csc):
        raise RuntimeError(f"Only output layouts (Sparse, SparseCsc, SparseCsr) are supported, got {layout}")
    rows, columns, source, width = [], [], [], lines.size(1)
    for number, offset in enumerate(numbers_.tolist()):
        first, last = max(0, offset), min(width, shape[1], shape[0] + offset)
        places = np.arange(first, max(first, last))
        rows.append(places - offset)
        columns.append(places)
        source.append(number * width + places)
    indices = np.stack([np.concatenate(rows), np.concatenate(columns)]).astype(np.int64)
    elements = take(lines.reshape(-1), constant(np.concatenate(source).astype(np.int64)))
    made = make(Pattern.coo(indices, tuple(shape)), elements, shape)
    return made if layout in (None, _layout.sparse_coo) else to_sparse(coalesced(made), layout=layout)


FUNCTIONS["sparse.spdiags"] = spdiags
