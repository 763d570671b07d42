"""Products of sparse matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from funnn.engine.ops.kit.table import FUNCTIONS
from funnn.engine.ops.sparse.construct import compressed
from funnn.engine.ops.sparse.elements import coalesced, elements_of, linked, make, renamed, tracked, uncompressed
from funnn.engine.ops.sparse.handlers import handles
from funnn.engine.ops.sparse.kernels import product, sampled, scatter, take
from funnn.engine.ops.sparse.pattern import Pattern, constant, group, numbers
from funnn.engine.state import thread
from funnn.engine.tensor.sparse import SparseTensor
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import layout as _layout


def _multiply(sparse: SparseTensor, other: Tensor, name: str, masked: bool) -> Tensor:
    """A sparse matrix times a dense matrix or vector.

    masked: whether the gradient of a sparse leaf has its elements alone, as that of torch.sparse.mm; else it is dense, as that of torch.mm.
    """
    _check_types(sparse, other)
    pattern, count = sparse._pattern, sparse._size[0]
    whole = tracked(sparse) and sparse.is_leaf and not masked
    elements = sparse._elements if whole else elements_of(sparse)
    result = product(pattern.index(0), pattern.index(1), elements, other, count, name)
    if not whole:
        return result
    edges = (sparse._edge(), result._edge() if result.requires_grad else None)
    kept = Tensor._wrap(other._operand(), *(other._edge() if other.requires_grad else ()))

    def rule(gradient: Tensor) -> tuple[Tensor, Tensor]:
        own = gradient.to(kept.dtype)  # of another type under autocast
        of_sparse = own.outer(kept.conj()) if kept.dim() == 1 else own @ kept.mH
        return of_sparse, gradient

    return linked(result._bare(), name, edges, rule, kept=(other,))


def _sparse_product(a: SparseTensor, b: SparseTensor, name: str, masked: bool) -> SparseTensor:
    """The product of two sparse matrices: the pairs of elements (i, k) and (k, j), added by (i, j); ``masked`` as in :func:`_multiply`."""
    _check_types(a, b)
    if not masked and (tracked(a) or tracked(b)):
        first, second = a, b
        plain = _sparse_product(a._bare(), b._bare(), name, True)
        edges = (a._edge() if tracked(a) else None, b._edge() if tracked(b) else None)
        return linked(plain, name, edges, lambda gradient: (gradient @ second.mH, first.mH @ gradient), kept=(a, b))
    layout, kept = a.layout, (a,) * tracked(b) + (b,) * tracked(a)
    a, b = coalesced(uncompressed(a)), coalesced(uncompressed(b))
    (rows, inner), (_, columns) = numbers(a._pattern.indices()), numbers(b._pattern.indices())
    starts = np.searchsorted(numbers(b._pattern.indices())[0], np.arange(b._size[0] + 1))
    counts = np.diff(starts)[inner]
    left = np.repeat(np.arange(inner.size), counts)
    right = np.arange(left.size) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts[inner], counts)
    size = (a._size[0], b._size[1])
    groups = group(rows[left] * size[1] + columns[right], size)
    products = take(elements_of(a), constant(left)) * take(elements_of(b), constant(right))
    elements = scatter(products, constant(groups.group), groups.first.size)
    if layout is _layout.sparse_coo:
        return make(Pattern.coo(groups.indices, size), elements, size, True, name, kept)
    return make(compressed(_layout.sparse_csr, groups.indices, size), elements, size, True, name, kept)


def _check_types(a: Tensor, b: Tensor) -> None:
    casts = thread.autocast is not None and a.is_floating_point() and b.is_floating_point()
    if a.dtype is not b.dtype and not casts:
        raise RuntimeError(f"expected scalar type {a.dtype.legacy} but found {b.dtype.legacy}; convert one with .to(dtype)")


def _check_sizes(a: Tensor, b: Tensor) -> None:
    for number, matrix in enumerate((a, b), 1):
        if matrix.dim() != 2:
            raise RuntimeError(f"mm: Expected argument #{number} to be 2-D, got a tensor of {matrix.dim()} dimensions")
    if a.size(1) != b.size(0):
        raise RuntimeError(f"addmm: Argument #3 (dense): Expected dim 0 size {a.size(1)}, got {b.size(0)}")


def _mm(a: Tensor, b: Tensor, name: str, masked: bool) -> Tensor:
    _check_sizes(a, b)
    if isinstance(a, SparseTensor):
        if a._pattern.sizes != a._size:
            raise RuntimeError("mm: the dimensions of a sparse matrix must be sparse; got dense ones")
        if not isinstance(b, SparseTensor):
            return _multiply(a, b, name, masked)
        return _sparse_product(a, b, "SparseSparseMatmulBackward0" if masked and a.layout is _layout.sparse_coo else name, masked)
    if tracked(b) and b.is_leaf and not masked:
        return _multiply_leaf(a, b, name)
    return renamed(_multiply(b.t(), a.t(), name, masked).t(), "TransposeBackward0" if masked else name)


def _multiply_leaf(a: Tensor, b: SparseTensor, name: str) -> Tensor:
    """A dense matrix times a sparse leaf, whose gradient is dense."""
    plain = b._bare()
    result = product(plain._pattern.index(1), plain._pattern.index(0), plain._elements, a.t(), b._size[1], name).t()
    edges = (b._edge(), result._edge() if result.requires_grad else None)
    kept = Tensor._wrap(a._operand(), *(a._edge() if a.requires_grad else ()))
    return linked(result._bare(), name, edges, lambda gradient: (kept.mH @ gradient, gradient), kept=(a,))


@handles("mm")
def mm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    return _mm(input, mat2, "MmBackward0", False) if out is None else NotImplemented


@handles("mv")
def mv(input: Any, vec: Any, *, out: Any = None) -> Any:
    if not isinstance(input, SparseTensor) or isinstance(vec, SparseTensor) or out is not None:
        return NotImplemented
    if input.dim() != 2 or vec.dim() != 1 or input.size(-1) != vec.size(-1):
        raise RuntimeError("mv: expected self.size(-1) == vec.size(-1)")
    return _multiply(input, vec, "MvBackward0", False)


@handles("matmul")
def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    if input.dim() == 2 and other.dim() == 2:
        return mm(input, other, out=out)
    if input.dim() == 2 and other.dim() == 1:
        return mv(input, other, out=out)
    if input.dim() == 1 and other.dim() == 2 and not isinstance(input, SparseTensor):
        return mm(input.unsqueeze(0), other, out=out).squeeze(0)
    if input.dim() == other.dim() == 3:
        return bmm(input, other)
    return NotImplemented


@handles("bmm")
def bmm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    if isinstance(mat2, SparseTensor):
        raise RuntimeError("bmm_sparse: Tensor 'mat2' must be dense; transpose both, or use mat2.to_dense()")
    if input.dim() != 3 or mat2.dim() != 3 or input.size(0) != mat2.size(0) or input.size(2) != mat2.size(1):
        raise RuntimeError(f"bmm_sparse: expected (b, n, m) and (b, m, p), got {list(input.shape)} and {list(mat2.shape)}")
    if out is not None or input._pattern.sizes != input._size:
        return NotImplemented
    batch, n, m = input._size
    pattern, p = input._pattern, mat2.size(2)
    whole = tracked(input) and input.is_leaf
    elements = input._elements if whole else elements_of(input)
    rows, columns = pattern.index(0) * n + pattern.index(1), pattern.index(0) * m + pattern.index(2)
    result = product(rows, columns, elements, mat2.reshape(batch * m, p), batch * n, "BmmBackward0").reshape(batch, n, p)
    if not whole:
        return result
    edges = (input._edge(), result._edge() if result.requires_grad else None)
    kept = Tensor._wrap(mat2._operand(), *(mat2._edge() if mat2.requires_grad else ()))
    return linked(result._bare(), "BmmBackward0", edges, lambda gradient: (gradient @ kept.mH, gradient), kept=(mat2,))


def _addmm(input: Tensor, a: Tensor, b: Tensor, beta: Any, alpha: Any, name: str, masked: bool) -> Tensor:
    result = _mm(a, b, name, masked)
    result = result if alpha == 1 else result * alpha
    scaled = input if beta == 1 else input * beta
    total = scaled + result if isinstance(result, SparseTensor) or not isinstance(input, SparseTensor) else result + scaled
    return renamed(total, name)


@handles("addmm")
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    return _addmm(input, mat1, mat2, beta, alpha, "AddmmBackward0", False) if out is None else NotImplemented


@handles("linear")
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    if isinstance(weight, SparseTensor) and not isinstance(input, SparseTensor):
        rows = input.reshape(-1, input.size(-1))
        result = _mm(weight, rows.t(), "MmBackward0", False).t().reshape(*input._shape()[:-1], weight._size[0])
        return result if bias is None else result + bias
    return mm(input, weight.t()) if bias is None else addmm(bias, input, weight.t())


# -- torch.sparse


def sparse_mm(mat1: Tensor, mat2: Tensor, reduce: Any = None) -> Tensor:
    """The matrix product of two matrices, one of them sparse: dense, or sparse where both are. The gradient of a sparse one has its elements alone.

    ``reduce``, of a CSR matrix and a dense one: 'sum', 'mean', 'amax' or 'amin' of the products of each row.
    """
    if reduce is not None:
        return _reduced_product(mat1, mat2, reduce)
    if not isinstance(mat1, SparseTensor) and not isinstance(mat2, SparseTensor):
        return mat1 @ mat2
    if isinstance(mat1, SparseTensor) and mat2.dim() != 2:
        raise IndexError(f"Dimension out of range: torch.sparse.mm wants two matrices, got {mat2.dim()} dimensions; use A @ v for a vector")
    return _mm(mat1, mat2, "SparseAddmmBackward0", True)


def _reduced_product(matrix: Tensor, dense: Tensor, reduce: str) -> Tensor:
    """As the product, with another reduction than the sum over the elements of a row; rows without any give 0."""
    if not matrix.is_sparse_csr or isinstance(dense, SparseTensor):
        raise RuntimeError("sparse_mm_reduce: expected a CSR matrix and a dense one")
    reduce = {"max": "amax", "min": "amin"}.get(reduce, reduce)  # torch takes these too, without saying so
    if reduce == "prod":
        raise RuntimeError("sparse_mm_reduce: reduce type of prod has not been enabled.")
    if reduce not in ("sum", "mean", "amax", "amin"):
        raise RuntimeError(f"reduce argument must be either sum, mean, amax or amin, got {reduce}")
    _check_sizes(matrix, dense)
    _check_types(matrix, dense)
    pattern = matrix._pattern
    terms = elements_of(matrix).unsqueeze(1) * take(dense, pattern.index(1))
    rows = pattern.index(0).unsqueeze(1).expand(terms._shape())
    result = terms.new_zeros((matrix._size[0], dense._shape()[1])).scatter_reduce(0, rows, terms, reduce, include_self=False)
    return renamed(result, "SparseMmReduceImplBackward0", (dense,))


def sparse_addmm(mat: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1, alpha: Any = 1) -> Tensor:
    """beta·mat + alpha·(mat1 @ mat2) of a sparse mat1. Its gradient has its elements alone."""
    return _addmm(mat, mat1, mat2, beta, alpha, "SparseAddmmBackward0", True)


def sampled_addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: Any = 1.0, alpha: Any = 1.0, out: Any = None) -> Tensor:
    """alpha·(mat1 @ mat2) at the places of ``input`` (``torch.sparse_csr``), and beta times its elements: a matrix of its layout."""
    if input.layout is not _layout.sparse_csr:
        raise RuntimeError(f"Expected input to have sparse csr layout, but got {input.layout}")
    if out is not None:
        raise NotImplementedError("sampled_addmm with out is not supported; use what it returns")
    if mat1.dim() != 2 or mat2.dim() != 2 or (mat1.size(0), mat2.size(1)) != input._size or mat1.size(1) != mat2.size(0):
        raise RuntimeError(f"sampled_addmm: shapes do not fit: {list(input.shape)}, {list(mat1.shape)}, {list(mat2.shape)}")
    pattern = input._pattern
    elements = sampled(pattern.index(0), pattern.index(1), mat1, mat2) * alpha + elements_of(input) * beta
    return make(pattern, elements, input._size, True, "SparseSampledAddmmBackward0")


def smm(input: Tensor, mat: Tensor) -> Tensor:
    """The product of a sparse and a dense matrix, as a sparse one."""
    return hspmm(input, mat).to_dense().to_sparse()


def hspmm(mat1: Tensor, mat2: Tensor) -> Tensor:
    """The product of a sparse and a dense matrix as a sparse one of whole rows: those in which mat1 has elements."""
    rows = np.unique(numbers(mat1._pattern.index(0)))
    whole = mm(mat1, mat2)
    return make(Pattern.coo(rows[None], (mat1._size[0],)), take(whole, constant(rows)), whole._shape(), True)


FUNCTIONS.update(
    {
        "smm": smm,
        "hspmm": hspmm,
        "sparse.mm": sparse_mm,
        "sparse.addmm": sparse_addmm,
        "sparse.sampled_addmm": sampled_addmm,
    }
)
