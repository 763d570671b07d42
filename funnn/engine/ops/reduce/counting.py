"""Counting: distinct values, how often integers occur, histograms. The shapes of some results depend on values, which must be known."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.indexing.sorting import places_in
from funnn.engine.ops.kit.return_types import return_type
from funnn.engine.ops.kit.table import FUNCTIONS, publish, write_out
from funnn.engine.tensor.tensor import Tensor

# -- distinct values


def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements, or slices along ``dim``, in order; with ``return_inverse`` where each element is among them, and their counts.

    ``sorted`` is without effect: they always are.
    """
    values = input._host()
    if dim is not None:
        dim = wrap_dim(dim, input.dim())
        _check_slices("unique", values, dim)
        values = np.moveaxis(values, dim, 0)
    found, inverse, counts = _distinct(values if dim is not None else values.reshape(-1))
    if dim is None:
        inverse = inverse.reshape(values.shape)
    return _results(found, dim, (return_inverse, inverse), (return_counts, counts))


def _distinct(values: np.ndarray) -> tuple:
    """The distinct slices along the first axis in lexicographic order, the inverse and the counts. NaN is equal to nothing."""
    rows = _rows(values)
    order = np.lexsort(rows.T[::-1]) if rows.shape[1] else np.arange(rows.shape[0])
    starts = _starts(rows[order])
    inverse = np.empty(len(order), np.int64)
    inverse[order] = np.cumsum(starts) - 1
    return values[order[starts]], inverse, np.diff(np.append(np.flatnonzero(starts), len(order)))


def _rows(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), math.prod(values.shape[1:]))


def _starts(rows: np.ndarray) -> np.ndarray:
    """Where a run of equal rows starts."""
    starts = np.ones(len(rows), bool)
    starts[1:] = (rows[1:] != rows[:-1]).any(1)
    return starts


def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The first element, or slice along ``dim``, of every run of equal ones; with ``return_inverse`` the run of each, and the runs' lengths."""
    values = input._host()
    if dim is not None:
        dim = wrap_dim(dim, input.dim())
        _check_slices("unique_consecutive", values, dim)
    flat = values.reshape(-1) if dim is None else np.moveaxis(values, dim, 0)
    starts = _starts(_rows(flat))
    inverse = np.cumsum(starts) - 1
    counts = np.diff(np.append(np.flatnonzero(starts), len(starts)))
    return _results(flat[starts], dim, (return_inverse, inverse.reshape(values.shape) if dim is None else inverse), (return_counts, counts))


def _check_slices(name: str, values: np.ndarray, dim: int) -> None:
    if values.size == 0 and values.shape[dim]:
        raise RuntimeError(
            f"{name}: there are 0 sized dimensions, and they aren't selected, so unique cannot be applied: shape {list(values.shape)}, dim {dim}"
        )


def _results(found: np.ndarray, dim: int | None, *extras: tuple) -> Any:
    make = FUNCTIONS["tensor"]
    results = (
        make(found if dim is None else np.moveaxis(found, 0, dim)),
        *(make(values.astype(np.int64)) for wanted, values in extras if wanted),
    )
    return results if len(results) > 1 else results[0]


publish("unique", unique)
publish("unique_consecutive", unique_consecutive)


def bincount(input, weights: Array | None = None, minlength=0):
    """How often each integer from 0 occurs, or the sum of its ``weights``."""
    values = input._host()
    if values.ndim != 1 or (values.size and values.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if values.dtype.kind not in "iu":
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{input.dtype.legacy}'; convert the tensor with .long()")
    if minlength < 0:
        raise RuntimeError(f"minlength should be >= 0, got {minlength}")
    if weights is not None and tuple(weights.shape) != values.shape:
        raise RuntimeError(
            f"weights should be 1-d and have the same length as input: got {list(weights.shape)}, input has {list(values.shape)}"
        )
    if weights is None:
        return FUNCTIONS["tensor"](np.bincount(values, minlength=minlength).astype(np.int64))
    size = max(minlength, int(values.max()) + 1 if values.size else 0)
    kind = weights.dtype.numpy if weights.dtype.name == "float32" else np.float64
    total = np.zeros(size, kind)
    np.add.at(total, values, weights.detach()._host().astype(kind))
    return FUNCTIONS["tensor"](total)


publish("bincount", bincount)


# -- histograms


def _linspace(low, high, count, kind):
    """``count`` places from low to high, rounded as torch rounds them: from both ends to the middle."""
    index = jnp.arange(count)
    step = (high - low) / max(count - 1, 1)
    return jnp.where(index < count // 2, low + step * index.astype(kind), high - step * (count - 1 - index).astype(kind)).astype(kind)


def _ends(values, limits, widen):
    """The ends of the bins: as given, or those of the data; moved apart by ``widen`` to either side if they are equal."""
    low, high = (jnp.asarray(limit, values.dtype) for limit in (limits or (0, 0)))
    if limits is None and values.size:
        low, high = jnp.min(values), jnp.max(values)
    return jnp.where(low == high, low - widen, low), jnp.where(low == high, high + widen, high)


def _bins(values, edges):
    """The bin of each value, and whether there is one; the last bin has both its ends."""
    count = edges.shape[0] - 1
    bins = jnp.where(values == edges[-1], count - 1, places_in(edges, values, right=True) - 1)
    return jnp.clip(bins, 0, count - 1), (values >= edges[0]) & (values <= edges[-1])


def _histc(input, bins, limits):
    values = input.reshape(-1)
    low, high = _ends(values, limits, 1)
    place = ((values - low) * bins / (high - low)).astype(jnp.int64)
    inside = (values >= low) & (values <= high)
    return jnp.zeros(bins, input.dtype).at[jnp.clip(place, 0, bins - 1)].add(inside.astype(input.dtype))


def _histogram(points, bins, limits, weight, density):
    """The counts of points (M, N) in a grid of bins, and the grid's edges."""
    edges = []
    for axis, given in enumerate(bins):
        if isinstance(given, int):
            ends = _ends(points[:, axis], limits and limits[axis], 0.5)
            given = _linspace(*ends, given + 1, points.dtype)
        edges.append(given)
    inside = jnp.ones(points.shape[0], bool)
    place = []
    for axis, edge in enumerate(edges):
        bin, within = _bins(points[:, axis], edge)
        place.append(bin)
        inside &= within
    amounts = jnp.ones(points.shape[0], points.dtype) if weight is None else weight
    shape = tuple(edge.shape[0] - 1 for edge in edges)
    counts = jnp.zeros(shape, points.dtype).at[tuple(place)].add(jnp.where(inside, amounts, 0))
    if density:
        counts = counts / jnp.sum(counts)
        for axis, edge in enumerate(edges):
            width = edge[1:] - edge[:-1]
            counts = counts / width.reshape([-1 if axis == other else 1 for other in range(len(edges))])
    return (counts, *edges)


_histc_op, _histogram_op = Op(_histc), Op(_histogram)


def _check(name: str, input: Tensor, bins: Any, limits: Any) -> None:
    """Raise unless the type is a float, the numbers of bins are positive, and the ends of the bins are finite and in order."""
    if not input.is_floating_point():
        raise NotImplementedError(f"\"{name}\" not implemented for '{input.dtype.legacy}'; convert the tensor with .float()")
    for count in bins:
        if isinstance(count, int) and count <= 0:
            raise RuntimeError(f"{name}(): bins {count} must be > 0")
    if limits is None and input.numel() and not input._operand().traced and any(isinstance(count, int) for count in bins):
        values = input.detach()._host()
        limits = ((values.min(), values.max()),)
    for low, high in limits or ():
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RuntimeError(f"{name}(): range of [{low}, {high}] is not finite")
        if low > high:
            raise RuntimeError(f"{name}(): max must be larger than min, got [{low}, {high}]")


def histc(input, bins=100, min=0, max=0, *, out=None):
    """How many elements lie in each of ``bins`` equal intervals from min to max, by default those of the elements."""
    limits = None if min == max else (min, max)
    if input.is_meta:
        result = FUNCTIONS["empty"](bins, dtype=input.dtype, device="meta")
        return result if out is None else write_out(out, result)
    _check("torch.histc", input, (bins,), limits and (limits,))
    result = call(_histc_op, (input.detach(), bins, limits), {})
    return result if out is None else write_out(out, result)


_Histogram, _HistogramOfPoints = (return_type(name, "hist", "bin_edges") for name in ("histogram", "histogramdd"))


def histogram(input, bins=100, *, range=None, weight: Array | None = None, density=False, out=None):
    """How many elements lie in each bin, or their weights' sum, and the bins' edges.

    ``bins`` is a number of equal bins over ``range``, by default that of the elements, or the edges. ``density`` divides by the total and
    the widths.
    """
    if range is not None and len(range) != 2:
        raise RuntimeError(f"torch.histogramdd: for a 1-dimensional histogram range should have 2 elements, but got {len(range)}")
    counts, edges = _run("torch.histogram", input.detach().reshape(-1, 1), (bins,), range and (tuple(range),), weight, density)
    result = _Histogram(counts, edges)
    return result if out is None else write_out(out, result)


def histogramdd(input, bins, range=None, weight: Array | None = None, density=False):
    """As :func:`histogram`, of points: the last dimension of ``input`` is that of a point, ``bins`` and ``range`` are for each."""
    size = input.size(-1) if input.dim() > 1 else 0
    if not size:
        raise RuntimeError(f"torch.histogramdd: input tensor should have at least 2 dimensions, but got {input.dim()}")
    bins = (bins,) * size if isinstance(bins, int) else tuple(bins)
    if len(bins) != size:
        raise RuntimeError(
            f"histogramdd: expected {size} sequences of bin edges for a tensor with inner dimension {size} but got {len(bins)}"
        )
    limits = None
    if range is not None:
        if len(range) != 2 * size:
            raise RuntimeError(
                f"torch.histogramdd: for a {size}-dimensional histogram range should have {2 * size} elements, but got {len(range)}"
            )
        limits = tuple(zip(range[::2], range[1::2], strict=True))
    counts, *edges = _run("torch.histogramdd", input.detach().reshape(-1, size), bins, limits, weight, density)
    return _HistogramOfPoints(counts, tuple(edges))


def _run(name: str, points: Tensor, bins: tuple, limits: Any, weight: Any, density: bool) -> tuple:
    _check(name, points, bins, limits)
    if weight is not None:
        if weight.dtype is not points.dtype:
            raise RuntimeError(
                f"{name}: if weight tensor is provided, input tensor and weight tensor should have the same dtype, "
                f"but got input {points.dtype}, and weight {weight.dtype}"
            )
        weight = weight.detach().reshape(-1)
    return call(_histogram_op, (points, bins, limits, weight, density), {})


publish("histc", histc, exact_out=True)
publish("histogram", histogram, exact_out=True)
publish("histogramdd", histogramdd, method=False)
