"""Order along a dimension: sorting, the k-th and the largest elements, the median, the mode, and looking up places in a sorted sequence.

NaN counts as larger than every number, as in torch. Where elements are equal, their order is kept.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.strides import like_first
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.elementwise import named, require
from funnn.engine.ops.kit.return_types import return_type
from funnn.engine.ops.kit.table import publish, row, write_out
from funnn.engine.ops.reduce.reductions import as_vector
from funnn.engine.types.dtype import common, dtype


def order_of(input, dim, descending=False):
    """Where the sorted values along ``dim`` come from."""
    if jnp.iscomplexobj(input):
        raise RuntimeError("Sort does not support complex dtypes on CPU: complex numbers have no order; sort abs() or real")
    return jnp.argsort(lax.stop_gradient(input), axis=dim, stable=True, descending=bool(descending)).astype(jnp.int64)


def _picked(result, input, order, dim, keepdim=True):
    """A pair of the elements that ``order`` names and their places."""
    values = jnp.take_along_axis(input, order, dim)
    if not keepdim:
        values, order = jnp.squeeze(values, dim), jnp.squeeze(order, dim)
    return result(values, order)


_Sort, _Topk, _Kth, _Mode = (return_type(name, "values", "indices") for name in ("sort", "topk", "kthvalue", "mode"))


@as_vector
def sort(input, dim=-1, descending=False, stable=False):
    """Sorted values along ``dim`` and where they came from."""
    dim = wrap_dim(dim, input.ndim)
    return _picked(_Sort, input, order_of(input, dim, descending), dim)


@as_vector
def argsort(input, dim=-1, descending=False, stable=False):
    """Where the sorted values along ``dim`` come from."""
    return order_of(input, wrap_dim(dim, input.ndim), descending)


def _gradient_of_sort(input, dim=-1, descending=False, **stable):
    return f"SortBackward{len(stable)}"


def msort(input):
    """Sorted along the first dimension."""
    return sort(input, 0).values


@as_vector
def topk(input, k, dim=-1, largest=True, sorted=True):
    """The k largest (or smallest) values along ``dim`` and where they are."""
    dim = wrap_dim(dim, input.ndim)
    if not 0 <= k <= input.shape[dim]:
        raise RuntimeError(f"selected index k out of range: k = {k}, dimension {dim} of shape {list(input.shape)}")
    return _picked(_Topk, input, lax.slice_in_dim(order_of(input, dim, largest), 0, k, axis=dim), dim)


@as_vector
def kthvalue(input, k, dim=-1, keepdim=False):
    """The k-th smallest value along ``dim``, counted from 1, and where it is."""
    require("kthvalue_cpu", input, "if")
    dim = wrap_dim(dim, input.ndim)
    if input.shape[dim] == 0:
        raise IndexError(f"kthvalue(): Expected reduction dim {dim} to have non-zero size.")
    if not 1 <= k <= input.shape[dim]:
        raise RuntimeError(f"kthvalue(): selected number k out of range for dimension {dim}: k = {k}, shape {list(input.shape)}")
    return _picked(_Kth, input, lax.slice_in_dim(order_of(input, dim), k - 1, k, axis=dim), dim, keepdim)


@as_vector
def mode(input, dim=-1, keepdim=False):
    """The most frequent value along ``dim``, of several the smallest, and the last place where it is; NaN where no number is there twice."""
    require("mode_cpu", input, "bif")
    dim = wrap_dim(dim, input.ndim)
    if input.shape[dim] == 0:
        raise IndexError(f"mode(): Expected reduction dim {dim} to have non-zero size.")
    order = order_of(input, dim)
    values = jnp.take_along_axis(lax.stop_gradient(input), order, dim)
    place = lax.broadcasted_iota(jnp.int64, values.shape, dim)
    size = values.shape[dim]
    differs = lax.slice_in_dim(values, 1, size, axis=dim) != lax.slice_in_dim(values, 0, size - 1, axis=dim)
    edge = jnp.ones((*values.shape[:dim], 1, *values.shape[dim + 1 :]), bool)
    start = lax.cummax(jnp.where(jnp.concatenate([edge, differs], dim), place, 0), axis=dim)
    length = jnp.where(jnp.concatenate([differs, edge], dim), place - start + 1, 0)
    rank = 2 * length + (values != values)  # each NaN is one alone, and comes before the numbers in torch
    last = jnp.take_along_axis(order, jnp.argmax(rank, dim, keepdims=True), dim)
    return _picked(_Mode, input, last, dim, keepdim)


row("sort", sort, _gradient_of_sort, exact_out=True, arrange=like_first)
row("argsort", argsort, arrange=like_first)
row("msort", msort, "SortBackward0", exact_out=True, arrange=like_first)
row("topk", topk, "TopkBackward0", exact_out=True)
row("kthvalue", kthvalue, exact_out=True)
row("mode", mode, exact_out=True)


# -- medians


@jax.custom_jvp
def _shared(input, value):
    """``value``, a number that is found in ``input``; the elements equal to it share its gradient."""
    return value


@_shared.defjvp
def _shared_jvp(primals, tangents):
    input, value = primals
    found = input == value
    if jnp.issubdtype(input.dtype, jnp.floating):
        found |= jnp.isnan(input) & jnp.isnan(value)
    return value, jnp.sum(jnp.where(found, tangents[0], 0)) / jnp.sum(found).astype(value.dtype)


def _median(name: str, ignore_nan: bool) -> None:
    result = return_type(name, "values", "indices")

    @as_vector
    def along(input, dim, keepdim=False):
        dim = wrap_dim(dim, input.ndim)
        size = input.shape[dim]
        if size == 0:
            raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")
        order = order_of(input, dim)
        missing = jnp.sum(jnp.isnan(input), dim, keepdims=True) if jnp.issubdtype(input.dtype, jnp.floating) else 0
        known = size - missing
        middle = jnp.maximum((known - 1) // 2, 0) if ignore_nan else jnp.where(missing > 0, known, (size - 1) // 2)
        shape = tuple(1 if axis == dim else length for axis, length in enumerate(input.shape))
        return _picked(result, input, jnp.take_along_axis(order, jnp.broadcast_to(middle, shape), dim), dim, keepdim)

    def of_all(input):
        flat = input.reshape(-1)
        if not flat.size:
            if not jnp.issubdtype(input.dtype, jnp.floating):
                raise RuntimeError(
                    f"{name}() operation does not have an identity for an empty input of type {dtype.of(input.dtype).legacy}"
                )
            return jnp.full((), jnp.nan, input.dtype)
        return _shared(flat, lax.stop_gradient(along(flat, 0).values))

    reduce_all = Op(named(of_all, name), f"{name.capitalize()}Backward0")
    reduce_dim = Op(named(along, name), f"{name.capitalize()}Backward1")

    def median_of(input, dim=None, keepdim=False, *, out=None):
        given = call(reduce_all, (input,), {}) if dim is None else call(reduce_dim, (input, dim, keepdim), {})
        return given if out is None else write_out(out, given)

    kept = "of what is not NaN" if ignore_nan else "NaN where there is one"
    median_of.__doc__ = f"The median of all elements, or with ``dim`` a pair (values, indices): the lower of two in the middle, {kept}."
    publish(name, median_of)


_median("median", ignore_nan=False)
_median("nanmedian", ignore_nan=True)


# -- places in a sorted sequence


def places_in(sequence, values, right):
    """For each value how many elements of its row of the sequence are less (or, with ``right``, not larger)."""
    side = "right" if right else "left"
    if sequence.ndim == 1:
        return jnp.searchsorted(sequence, values, side=side)
    if not values.size:
        return jnp.zeros(values.shape, jnp.int64)
    rows = sequence.reshape(math.prod(sequence.shape[:-1]), sequence.shape[-1])
    found = jax.vmap(lambda row, queries: jnp.searchsorted(row, queries, side=side))(rows, values.reshape(rows.shape[0], -1))
    return found.reshape(values.shape)


def searchsorted(sorted_sequence: Array, input: Any, *, out_int32=False, right=False, side=None, sorter=None):
    """Where each element of ``input`` would go in its row of ``sorted_sequence``: before equal ones, or after them with ``right``."""
    require("searchsorted_out_cpu", jnp.asarray(input), "bif")
    if side not in (None, "left", "right"):
        raise RuntimeError(f"torch.searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError("torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True")
    if sorter is not None:
        if sorter.shape != sorted_sequence.shape:
            raise RuntimeError(
                "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
                f"{list(sorted_sequence.shape)} and got sorter tensor {list(sorter.shape)}"
            )
        sorted_sequence = jnp.take_along_axis(sorted_sequence, sorter, -1)
    if hasattr(input, "weak_type") and input.weak_type:  # a Python number
        input = input.astype(sorted_sequence.dtype)
    sorted_sequence, input = common(sorted_sequence, input)
    if sorted_sequence.ndim != 1 and sorted_sequence.shape[:-1] != input.shape[:-1]:
        raise RuntimeError(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value "
            f"tensor must match, but we got boundaries tensor {list(sorted_sequence.shape)} and input value tensor {list(input.shape)}"
        )
    return places_in(sorted_sequence, input, right or side == "right").astype(jnp.int32 if out_int32 else jnp.int64)


def bucketize(input: Any, boundaries: Array, *, out_int32=False, right=False):
    """The bucket of each element: how many boundaries are less (or, with ``right``, not larger)."""
    if boundaries.ndim != 1:
        raise RuntimeError(f"bucketize(): boundaries tensor must be 1 dimension, but got dim({boundaries.ndim})")
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


row("searchsorted", searchsorted, scalars=("input",), method=False, exact_out=True)
row("bucketize", bucketize, scalars=("input",), method=False, exact_out=True)
