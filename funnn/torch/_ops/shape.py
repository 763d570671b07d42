"""Operations that arrange elements anew, in memory of their own."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from funnn.torch._call import Op, call
from funnn.torch._dtype import promoted
from funnn.torch._ops.reductions import Pair
from funnn.torch._ops.table import FUNCTIONS, publish, row, write_out
from funnn.torch._tensor import Tensor


def cat(tensors, dim=0):
    """Tensors joined along an existing dimension; empty vectors are passed over."""
    arrays = promoted(*tensors)
    if any(array.ndim != 1 for array in arrays):
        arrays = [array for array in arrays if array.shape != (0,)]
    return jnp.concatenate(arrays, axis=dim)


def stack(tensors, dim=0):
    """Tensors of one shape joined along a new dimension."""
    return jnp.stack(promoted(*tensors), axis=dim)


def _of_sequence(pure: Any, grad: str, *aliases: str) -> None:
    op = Op(pure, grad)

    def run(tensors, dim=0, *, out=None):
        if not tensors:
            raise RuntimeError(f"{pure.__name__}(): expected a non-empty list of Tensors")
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


row("repeat_interleave", repeat_interleave, "RepeatInterleaveBackward0")


def gather(input, dim, index):
    """input[index[i, j, …], j, …] (for dim = 0): picks along ``dim`` by an index of its own for every element."""
    grid = list(jnp.meshgrid(*(jnp.arange(size) for size in index.shape), indexing="ij", sparse=True))
    grid[dim] = index
    return input[tuple(grid)]


def scatter(input, dim, index, src):
    """input with src written where ``gather`` would read; ``src`` may be a number."""
    grid = list(jnp.meshgrid(*(jnp.arange(size) for size in index.shape), indexing="ij", sparse=True))
    grid[dim] = index
    values = src[tuple(slice(size) for size in index.shape)] if getattr(src, "ndim", 0) else jnp.asarray(src, dtype=input.dtype)
    return input.at[tuple(grid)].set(values)


def index_select(input, dim, index):
    """The slices along ``dim`` named by a vector of indices."""
    return jnp.take(input, index, axis=dim)


row("gather", gather, "GatherBackward0")
row("scatter", scatter, "ScatterBackward0", scalars=("src",), inplace=True)
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
