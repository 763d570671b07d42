"""Conversions between layouts, and what a sparse tensor is made of."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from funnn.engine.ops.kit.table import add_method
from funnn.engine.ops.sparse.construct import compressed
from funnn.engine.ops.sparse.elements import coalesced, dense, elements_of, linked, make, tracked, uncompressed
from funnn.engine.ops.sparse.kernels import take
from funnn.engine.ops.sparse.pattern import Pattern, constant
from funnn.engine.tensor.sparse import SparseTensor, layout_name, refuse
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import layout as _layout

_KINDS = {
    "coo": ("sparse coordinate", (_layout.sparse_coo,)),
    "csr": ("sparse row compressed", (_layout.sparse_csr,)),
    "csc": ("sparse column compressed", (_layout.sparse_csc,)),
    "any": ("sparse", (_layout.sparse_coo, _layout.sparse_csr, _layout.sparse_csc)),
}


def _expect(tensor: Tensor, name: str, kind: str) -> None:
    words, layouts = _KINDS[kind]
    if tensor.layout not in layouts:
        raise RuntimeError(f"{name} expected {words} tensor layout but got {layout_name(tensor)}")


def _refuse_dense(tensor: Tensor, name: str, coo: bool = False) -> None:
    if not isinstance(tensor, SparseTensor):
        refuse(name, "CPU")
    if coo and tensor.layout is not _layout.sparse_coo:
        refuse(name, "SparseCsrCPU")


# -- parts


def indices(self: Tensor) -> Tensor:
    """Where the elements of a coalesced tensor are: (sparse dimensions, elements)."""
    _expect(self, "indices", "coo")
    if not self._coalesced:
        raise RuntimeError("Cannot get indices on an uncoalesced tensor, please call .coalesce() first")
    return self._pattern.indices().detach()


def values(self: Tensor) -> Tensor:
    """The elements of a coalesced tensor, in the order of its indices."""
    _expect(self, "values", "any")
    if not self._coalesced:
        raise RuntimeError("Cannot get values on an uncoalesced tensor, please call .coalesce() first")
    return elements_of(self)


def _indices(self: Tensor) -> Tensor:
    """Where the elements are, coalesced or not."""
    _refuse_dense(self, "_indices", coo=True)
    return self._pattern.indices().detach()


def _values(self: Tensor) -> Tensor:
    """The elements, coalesced or not, without history; writing to them changes the tensor."""
    _refuse_dense(self, "_values", coo=True)
    return self._elements.detach()


def _nnz(self: Tensor) -> int:
    """How many elements there are."""
    _refuse_dense(self, "_nnz")
    return self._pattern.count


def is_coalesced(self: Tensor) -> bool:
    """Whether each place comes once, in order."""
    _expect(self, "is_coalesced", "coo")
    return self._coalesced


def coalesce(self: Tensor) -> Tensor:
    """The same tensor with each place once, in order: elements of the same place are added."""
    _expect(self, "coalesce", "coo")
    return coalesced(self)


def _coalesced_(self: Tensor, coalesced: bool) -> Tensor:
    """Say that each place comes once, in order, or that this is not known."""
    _expect(self, "_coalesced_", "coo")
    self._coalesced = bool(coalesced)
    return self


def _part(name: str, kind: str, number: int, doc: str) -> Any:
    def part(self: Tensor) -> Tensor:
        _expect(self, name, kind)
        return self._pattern.parts[number].detach()

    part.__name__ = part.__qualname__ = name
    part.__doc__ = doc
    return part


def sparse_dim(self: Tensor) -> int:
    """How many dimensions are sparse: 0 of a dense tensor."""
    return len(self._pattern.sizes) if isinstance(self, SparseTensor) else 0


def dense_dim(self: Tensor) -> int:
    """How many dimensions an element has: all of a dense tensor."""
    return self.dim() - sparse_dim(self)


# -- conversions


def to_dense(self: Tensor, dtype: Any = None, *, masked_grad: bool | None = None) -> Tensor:
    """All elements, the zeros too; of a dense tensor itself. With ``masked_grad=False`` the gradient is that of all elements."""
    if not isinstance(self, SparseTensor):
        return self if dtype is None else self.to(dtype)
    if dtype is not None:
        raise RuntimeError("dtype argument is not supported by sparse_to_dense; convert the result")
    if masked_grad is False and tracked(self):
        sparse = sparse_dim(self)
        return linked(dense(self._bare()), "ToDenseBackward0", (self._edge(),), lambda gradient: (to_sparse(gradient, sparse),))
    return dense(self)


def to_sparse(self: Tensor, sparse_dim: Any = None, *, layout: Any = None, blocksize: Any = None, dense_dim: int | None = None) -> Tensor:
    """The elements that are not zero, with their places; the first ``sparse_dim`` dimensions (all) are sparse. ``layout``: a compressed one."""
    if isinstance(sparse_dim, _layout.layout):
        sparse_dim, layout = None, sparse_dim
    if blocksize is not None or layout in (_layout.sparse_bsr, _layout.sparse_bsc):
        _no_blocks()
    if layout in (_layout.sparse_csr, _layout.sparse_csc):
        return _to_compressed(self, layout, dense_dim)
    if isinstance(self, SparseTensor):
        if sparse_dim is not None and sparse_dim != len(self._pattern.sizes):
            raise RuntimeError("to_sparse: conversion from Sparse to Sparse with sparse_dim argument !=self.sparse_dim() is not supported")
        return uncompressed(self)
    sparse = self.dim() if sparse_dim is None else sparse_dim
    if self.dim() and not 0 < sparse <= self.dim():
        raise RuntimeError(f"sparse_dim {sparse} out of range: expected 1 to {self.dim()}, the dimensions of the tensor")
    found = self.detach()._host() != 0
    places = np.stack(np.nonzero(found.any(tuple(range(sparse, self.dim()))))) if self.dim() else np.zeros((0, int(found)), np.int64)
    pattern = Pattern.coo(places, self._shape()[:sparse])
    return make(
        pattern, take(self.reshape(pattern.space(), *self._shape()[sparse:]), pattern.flat()), self._shape(), True, "ToSparseBackward1"
    )


def _no_blocks() -> NoReturn:
    raise NotImplementedError(
        "layouts torch.sparse_bsr and torch.sparse_bsc are not supported; blocks are elements of torch.sparse_coo with dense dimensions, "
        "x.reshape(r, b, c, d).transpose(1, 2).to_sparse(2)"
    )


def to_sparse_coo(self: Tensor) -> Tensor:
    """The tensor as ``torch.sparse_coo``."""
    return to_sparse(self)


def to_sparse_csr(self: Tensor, dense_dim: int | None = None) -> Tensor:
    """A matrix row by row, as ``torch.sparse_csr``."""
    return _to_compressed(self, _layout.sparse_csr, dense_dim)


def to_sparse_csc(self: Tensor, dense_dim: int | None = None) -> Tensor:
    """A matrix column by column, as ``torch.sparse_csc``."""
    return _to_compressed(self, _layout.sparse_csc, dense_dim)


def to_sparse_bsr(self: Tensor, blocksize: Any, dense_dim: int | None = None) -> Tensor:
    """Raises NotImplementedError: there are no blocks."""
    _no_blocks()


def to_sparse_bsc(self: Tensor, blocksize: Any, dense_dim: int | None = None) -> Tensor:
    """Raises NotImplementedError: there are no blocks."""
    _no_blocks()


def _to_compressed(self: Tensor, layout: Any, dense_dim: int | None = None) -> Tensor:
    if self.layout is layout:
        return self
    if self.dim() < 2:
        raise RuntimeError(f"sparse compressed tensors have at least two dimensions, got {self.dim()}")
    if self.dim() > 2 or dense_dim:
        raise NotImplementedError(f"batches and dense dimensions of layout {layout} are not supported; use torch.sparse_coo")
    coo = coalesced(uncompressed(self) if isinstance(self, SparseTensor) else to_sparse(self))
    elements, places = elements_of(coo), coo._pattern.grouping().indices
    if layout is _layout.sparse_csc:
        order = np.lexsort(places)
        elements, places = take(elements, constant(order)), places[:, order]
    name = "ToSparseCsrBackward0" if layout is _layout.sparse_csr else "ToSparseCscBackward0"
    return make(compressed(layout, places, self._shape()), elements, self._shape(), True, name)


def sparse_resize_(self: Tensor, size: Any, sparse_dim: int, dense_dim: int) -> Tensor:
    """Raises NotImplementedError."""
    raise NotImplementedError("sparse_resize_ is not supported; make a new one with torch.sparse_coo_tensor(indices, values, size)")


def type_name(self: SparseTensor) -> str:
    """The legacy name of the tensor's type."""
    if self.layout is not _layout.sparse_coo:
        raise RuntimeError(f"Unimplemented backend {layout_name(self)}CPU")
    return f"torch.sparse.{self.dtype.legacy}Tensor"


for _function in (
    *(indices, values, _indices, _values, _nnz, is_coalesced, coalesce, _coalesced_, sparse_dim, dense_dim, to_dense, to_sparse),
    *(to_sparse_coo, to_sparse_csr, to_sparse_csc, to_sparse_bsr, to_sparse_bsc, sparse_resize_),
    _part("crow_indices", "csr", 0, "Where the elements of each row begin, and the last ones end."),
    _part("col_indices", "csr", 1, "The column of each element."),
    _part("ccol_indices", "csc", 0, "Where the elements of each column begin, and the last ones end."),
    _part("row_indices", "csc", 1, "The row of each element."),
):
    add_method(_function.__name__, _function)
Tensor._dimI, Tensor._dimV = Tensor.sparse_dim, Tensor.dense_dim
Tensor.is_sparse_csr = False
