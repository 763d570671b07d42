"""Tensors joined to one: along a dimension, as blocks, as combinations."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from funnn.engine.dispatch.autocast import WIDEST
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.strides import in_channels_last, suggests_channels_last
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.table import FUNCTIONS, publish, write_out
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import common


def cat(tensors, dim=0):
    """Tensors joined along an existing dimension; empty vectors are passed over."""
    arrays = common(*tensors)
    if any(array.ndim != 1 for array in arrays):
        arrays = [array for array in arrays if array.shape != (0,)]
    first = arrays[0].shape
    dim = wrap_dim(dim, len(first))
    for number, array in enumerate(arrays):
        if array.ndim != len(first) or not first:
            raise RuntimeError(f"Tensors must have same number of dimensions, and at least one: got {len(first)} and {array.ndim}")
        for axis, (expected, size) in enumerate(zip(first, array.shape, strict=True)):
            if axis != dim and expected != size:
                raise RuntimeError(
                    f"Sizes of tensors must match except in dimension {dim}. Expected size {expected} but got size {size} for tensor number "
                    f"{number} in the list."
                )
    return jnp.concatenate(arrays, axis=dim)


def stack(tensors, dim=0):
    """Tensors of one shape joined along a new dimension."""
    for number, tensor in enumerate(tensors):
        if tensor.shape != tensors[0].shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(tensors[0].shape)} at entry 0 and {list(tensor.shape)} at entry {number}"
            )
    return jnp.stack(common(*tensors), axis=wrap_dim(dim, tensors[0].ndim + 1))


def hstack(tensors):
    """Tensors joined along the second dimension; numbers and vectors along the first."""
    arrays = [jnp.atleast_1d(array) for array in tensors]
    return cat(arrays, min(arrays[0].ndim - 1, 1))


def vstack(tensors):
    """Tensors joined along the first dimension; a vector is a row."""
    return cat([jnp.atleast_2d(array) for array in tensors], 0)


def dstack(tensors):
    """Tensors joined along the third dimension; a matrix has one element there, a vector is a row of such a matrix."""
    return cat([jnp.atleast_3d(array) for array in tensors], 2)


def column_stack(tensors):
    """Tensors joined along the second dimension; a vector is a column."""
    return cat([array.reshape(array.size, 1) if array.ndim < 2 else array for array in tensors], 1)


def _of_sequence(pure: Callable, grad: str, *aliases: str, autocast: str | None = None) -> None:
    op = Op(pure, grad, autocast=autocast)

    def join(tensors, *args, out=None, **kwargs):
        if not isinstance(tensors, (tuple, list)) or not all(isinstance(tensor, Tensor) for tensor in tensors):
            given = type(tensors).__name__ if not isinstance(tensors, (tuple, list)) else [type(tensor).__name__ for tensor in tensors]
            raise TypeError(f"{pure.__name__}(): argument 'tensors' (position 1) must be tuple of Tensors, not {given}")
        if not tensors:
            error = ValueError if pure is cat else RuntimeError  # as in torch
            raise error(f"{pure.__name__}(): expected a non-empty list of Tensors: {pure.__name__} expects a non-empty TensorList")
        result = call(op, (tuple(tensors), *args), kwargs)
        if out is not None:
            return write_out(out, result, operands=tuple(tensors))
        together = all(tensor._window is not None and suggests_channels_last(tensor._window) for tensor in tensors)
        return in_channels_last(result, tensors, {}) if together else result

    publish(pure.__name__, join, pure, method=False, aliases=aliases)


_of_sequence(cat, "CatBackward0", "concat", "concatenate", autocast=WIDEST)
_of_sequence(stack, "StackBackward0", autocast=WIDEST)
_of_sequence(hstack, "CatBackward0")
_of_sequence(vstack, "CatBackward0", "row_stack")
_of_sequence(dstack, "CatBackward0")
_of_sequence(column_stack, "CatBackward0")


def _block_diag(matrices):
    for number, matrix in enumerate(matrices):
        if matrix.ndim > 2:
            raise RuntimeError(
                f"torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {number} has {matrix.ndim} dimensions"
            )
    blocks = [jnp.atleast_2d(matrix) for matrix in common(*matrices)]
    rows, columns = (sum(block.shape[axis] for block in blocks) for axis in (0, 1))
    result, row, column = jnp.zeros((rows, columns), blocks[0].dtype), 0, 0
    for block in blocks:
        result = result.at[row : row + block.shape[0], column : column + block.shape[1]].set(block)
        row, column = row + block.shape[0], column + block.shape[1]
    return result


def _cartesian_prod(vectors):
    return jnp.stack([grid.reshape(-1) for grid in jnp.meshgrid(*vectors, indexing="ij")], axis=1)


def _combinations(input, r, with_replacement):
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    return input[np.array(list(choose(range(input.size), r)), np.int64).reshape(-1, r)]


_blocks = Op(_block_diag, "BlockDiagBackward0")
_product = Op(_cartesian_prod, "StackBackward0")
_combined = Op(_combinations, "StackBackward0")


def block_diag(*tensors: Array):
    """A matrix with the given ones as blocks on the diagonal and zeros elsewhere; a vector is a row."""
    if not tensors:
        return FUNCTIONS["zeros"](1, 0)
    return call(_blocks, (tensors,), {})


def _check_vector(tensor: Tensor) -> None:
    if tensor.dim() != 1:
        raise RuntimeError(f"Expect a 1D vector, but got shape {list(tensor.shape)}")


def cartesian_prod(*tensors: Array):
    """All ways to take one element of each vector, one a row."""
    for tensor in tensors:
        _check_vector(tensor)
        if tensor.dtype is not tensors[0].dtype:
            raise RuntimeError(f"meshgrid expects all tensors to have the same dtype, got {tensors[0].dtype} and {tensor.dtype}")
    return tensors[0] if len(tensors) == 1 else call(_product, (tensors,), {})


def combinations(input, r=2, with_replacement=False):
    """All choices of ``r`` elements of a vector, one a row."""
    _check_vector(input)
    if r < 0:
        raise RuntimeError(f"Expect a non-negative number, but got {r}")
    return call(_combined, (input, r, with_replacement), {}) if r else FUNCTIONS["empty"](0, dtype=input.dtype)


for _function in (block_diag, cartesian_prod, combinations):
    publish(_function.__name__, _function, method=False)


def _chunked(tensors, dim, num_chunks):
    rows = []
    for array in common(*tensors):
        missing = -array.shape[dim] % num_chunks
        padded = jnp.pad(array, [(0, missing if axis == dim else 0) for axis in range(array.ndim)])
        rows.append(padded.reshape(*array.shape[:dim], num_chunks, -1))
    return jnp.concatenate(rows, axis=-1)


_chunk_cat_op = Op(_chunked)


def _chunk_cat(tensors: Any, dim: int, num_chunks: int, *, out: Any = None) -> Tensor:
    """Each tensor cut into so many chunks along ``dim`` (zeros at the end), the chunks flattened and joined; without gradient, as in torch."""
    if not tensors:
        raise RuntimeError("_chunk_cat expects a non-empty input tensor list")
    if num_chunks < 1:
        raise RuntimeError(f"_chunk_cat expects positive num_chunks, got {num_chunks}")
    dim = wrap_dim(dim, tensors[0].dim())
    for tensor in tensors:
        if tensor.shape[:dim] != tensors[0].shape[:dim] or not tensor.numel():
            raise RuntimeError("_chunk_cat expects same sizes of 0,...,dim-1 dimensions for all tensors, and no empty tensor")
    before = thread.grad
    try:
        thread.grad = False
        result = call(_chunk_cat_op, (tuple(tensors), dim, num_chunks), {})
    finally:
        thread.grad = before
    return result if out is None else write_out(out, result)


publish("_chunk_cat", _chunk_cat, method=False)
