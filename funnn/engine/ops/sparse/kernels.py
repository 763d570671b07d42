"""What sparse operations compute, as pure functions of index and element arrays, and the Ops that run them."""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp

from funnn.engine.dispatch.autocast import LOWER
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.ops.kit.index_kernels import add_at, read_at
from funnn.engine.tensor.tensor import Tensor


def _flat(indices, sizes):
    """The numbers of places given by indices (s, n) in an array of ``sizes``, in row-major order."""
    flat = jnp.zeros(indices.shape[1:], jnp.int64)
    for index, size in zip(indices, sizes, strict=True):
        flat = flat * size + index
    return flat


def _take(elements, index):
    return read_at(elements, (index,))


def _scatter(elements, index, count):
    """Sums of elements (n, …) by their place: (count, …)."""
    return add_at(jnp.zeros((count, *elements.shape[1:]), elements.dtype), elements, (index,))


def _product(rows, columns, elements, dense, count, name):
    """The product of a sparse matrix of ``count`` rows and a dense one."""
    return _scatter(elements[:, None] * read_at(dense, (columns,)), rows, count)


def _product_with_vector(rows, columns, elements, dense, count, name):
    return _scatter(elements * read_at(dense, (columns,)), rows, count)


def _sampled(rows, columns, x, y):
    """The elements of the matrix product of x and y at places."""
    return (read_at(x, (rows,)) * read_at(y.T, (columns,))).sum(-1)


_flat_op = Op(_flat)
_take_op = Op(_take, "IndexSelectBackward0")
_scatter_op = Op(_scatter, "IndexAddBackward0")


@functools.cache
def _product_op(vector: bool, saves: tuple[int, ...]) -> Op:
    return Op(_product_with_vector if vector else _product, lambda *args: args[-1], saves=saves, autocast=LOWER)


_sampled_op = Op(_sampled, "SparseSampledAddmmBackward0")


def flat(indices: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The numbers of places, in row-major order, from their indices (s, n)."""
    return call(_flat_op, (indices, sizes), {})


def take(elements: Tensor, index: Tensor) -> Tensor:
    """The elements that a vector of indices names."""
    return call(_take_op, (elements, index), {})


def scatter(elements: Tensor, index: Tensor, count: int) -> Tensor:
    """Sums of the elements (n, …) with the same index: (count, …)."""
    return call(_scatter_op, (elements, index, count), {})


def product(rows: Tensor, columns: Tensor, elements: Tensor, dense: Tensor, count: int, name: str) -> Tensor:
    """A sparse matrix of ``count`` rows times a dense matrix or vector; ``name`` is torch's of the grad_fn."""
    saves = (2,) * dense.requires_grad + (3,) * elements.requires_grad  # each is what the derivative in the other reads
    return call(_product_op(dense.dim() == 1, saves), (rows, columns, elements, dense, count, name), {})


def sampled(rows: Tensor, columns: Tensor, x: Tensor, y: Tensor) -> Any:
    """The elements of the matrix product of x and y at places."""
    return call(_sampled_op, (rows, columns, x, y), {})
