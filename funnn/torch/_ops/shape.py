"""Operations that arrange elements anew, in memory of their own."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from funnn.torch._call import Op, call
from funnn.torch._dtype import common
from funnn.torch._ops.indexing import set_at
from funnn.torch._ops.reductions import Pair
from funnn.torch._ops.table import FUNCTIONS, publish, row, write_out
from funnn.torch._ops.views import wrap_dim
from funnn.torch._tensor import Tensor


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


def _of_sequence(pure: Any, grad: str, *aliases: str) -> None:
    op = Op(pure, grad)

    def run(tensors, dim=0, *, out=None):
        if not tensors:
            error = ValueError if pure is cat else RuntimeError  # as in torch
            raise error(f"{pure.__name__}(): expected a non-empty list of Tensors: a non-empty TensorList")
        result = call(op, (tuple(tensors), dim), {})
        return result if out is None else write_out(out, result)

    publish(pure.__name__, run, pure, method=False, aliases=aliases)


_of_sequence(cat, "CatBackward0", "concat", "concatenate")
_of_sequence(stack, "StackBackward0")


def repeat(input, sizes):
    """The tensor repeated sizes[i] times along each dimension."""
    if len(sizes) < input.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    return jnp.tile(input, sizes)


row("repeat", repeat, "RepeatBackward0", function=False, sizes=1)
row("tile", lambda input, dims: jnp.tile(input, dims), "RepeatBackward0", sizes=1)
row("flip", lambda input, dims: jnp.flip(input, dims), "FlipBackward0", sizes=1)
row("roll", lambda input, shifts, dims=None: jnp.roll(input, shifts, dims), "RollBackward0")
row("tril", lambda input, diagonal=0: jnp.tril(input, diagonal), "TrilBackward0", inplace=True)
row("triu", lambda input, diagonal=0: jnp.triu(input, diagonal), "TriuBackward0", inplace=True)


def repeat_interleave(input, repeats, dim=None):
    """Each element (of the flattened tensor by default) repeated."""
    return jnp.repeat(input.reshape(-1) if dim is None else input, repeats, axis=0 if dim is None else dim)


row("repeat_interleave", repeat_interleave, "ViewBackward0")


def gather(input, dim, index):
    """input[index[i, j, …], j, …] (for dim = 0): picks along ``dim`` by an index of its own for every element."""
    return input[_grid(input, dim, index)]


def _grid(input, dim, index):
    """The index arrays of gather and scatter."""
    if not jnp.issubdtype(index.dtype, jnp.integer):
        raise RuntimeError(f"gather(), scatter(): Expected dtype int32/int64 for index, got {index.dtype}")
    grid = list(jnp.meshgrid(*(jnp.arange(size) for size in index.shape), indexing="ij", sparse=True))
    grid[wrap_dim(dim, input.ndim)] = index
    return tuple(grid)


def scatter(input, dim, index, src):
    """input with src written where ``gather`` would read; ``src`` may be a number."""
    values = src[tuple(slice(size) for size in index.shape)] if getattr(src, "ndim", 0) else jnp.asarray(src, dtype=input.dtype)
    return set_at(input, values, _grid(input, dim, index))


def index_select(input, dim, index):
    """The slices along ``dim`` named by a vector of indices."""
    return jnp.take(input, index, axis=dim)


row("gather", gather, "GatherBackward0")


def _gradient_of_scatter(input, dim, index, src):
    return f"ScatterBackward{int(not isinstance(src, Tensor))}"


row("scatter", scatter, _gradient_of_scatter, scalars=("src",), inplace=True)
row("index_select", index_select, "IndexSelectBackward0")


def sort(input, dim=-1, descending=False, stable=False):
    """Sorted values along ``dim`` and where they came from; equal values keep their order."""
    order = jnp.argsort(input, axis=dim, stable=True, descending=descending)
    return Pair["sort"](jnp.take_along_axis(input, order, axis=dim), order.astype(jnp.int64))


def argsort(input, dim=-1, descending=False, stable=False):
    """Where the sorted values along ``dim`` come from."""
    return jnp.argsort(input, axis=dim, stable=True, descending=descending).astype(jnp.int64)


def topk(input, k, dim=-1, largest=True, sorted=True):
    """The k largest (or smallest) values along ``dim`` and where they are."""
    dim = wrap_dim(dim, input.ndim)
    if k > (input.shape[dim] if input.ndim else 1):
        raise RuntimeError(f"selected index k out of range: k = {k}, dimension {dim} of shape {list(input.shape)}")
    order = jnp.argsort(input, axis=dim, stable=True, descending=largest)
    order = jnp.take(order, jnp.arange(k), axis=dim)
    return Pair["topk"](jnp.take_along_axis(input, order, axis=dim), order.astype(jnp.int64))


row("sort", sort, "SortBackward0")
row("argsort", argsort)
row("topk", topk, "TopkBackward0")


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the non-zero elements, one row each."""
    values = input._host().nonzero()
    columns = tuple(FUNCTIONS["tensor"](column) for column in values)
    return columns if as_tuple else FUNCTIONS["stack"](columns, dim=1)


publish("nonzero", nonzero)
