"""torch.segment_reduce: reductions of runs of neighbours along a dimension."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.indexing.scatter import _scatter
from funnn.engine.ops.kit.index_kernels import known
from funnn.engine.ops.kit.table import publish, write_out

#: Reduction -> (that of scatter_reduce, what an empty segment gives).
_HOW = {"sum": ("sum", 0.0), "mean": ("sum", 0.0), "prod": ("prod", 1.0), "max": ("amax", -math.inf), "min": ("amin", math.inf)}


def _segment_reduce(data, lengths, reduce, axis, initial):
    """data (B…, n, E…) and lengths (B…, s) of segments along ``axis`` give (B…, s, E…)."""
    batch, length, count = data.shape[:axis], data.shape[axis], lengths.shape[-1]
    ends = jnp.cumsum(lengths, -1).reshape(-1, count)
    number = jax.vmap(lambda ends: jnp.searchsorted(ends, jnp.arange(length), side="right"))(ends)  # of the segment of each element
    how, start = _HOW[reduce]
    flat = data.reshape(math.prod(batch), length, -1)
    start = jnp.full(
        (flat.shape[0], count + 1, flat.shape[2]), start if initial is None else initial, data.dtype
    )  # the last is for the rest
    result = _scatter(start, 1, jnp.broadcast_to(jnp.minimum(number, count)[..., None], flat.shape), flat, how)[:, :count]
    if reduce == "mean":
        sizes = lengths.reshape(-1, count, 1)
        result = jnp.where(sizes > 0, result / jnp.maximum(sizes, 1).astype(data.dtype), math.nan if initial is None else result)
    return result.reshape(*batch, count, *data.shape[axis + 1 :])


_segment_op = Op(_segment_reduce, "SegmentReduceBackward0")


def segment_reduce(
    data, reduce, *, lengths=None, indices: Array | None = None, offsets: Array | None = None, axis=0, unsafe=False, initial=None, out=None
):
    """Each run of ``lengths[…, i]`` elements of data along ``axis`` reduced to one: 'sum', 'mean', 'prod', 'max' or 'min'.

    ``offsets`` (…, s + 1), where runs begin and the last one ends, can stand for lengths. An empty run gives ``initial``; without one 0, NaN,
    1, −∞ or ∞. Unless ``unsafe``, the lengths must be non-negative and add up to the size of ``axis``.
    """
    if reduce not in _HOW:
        raise RuntimeError(f"unsupported reduction given! expected one of {', '.join(_HOW)}, got {reduce!r}")
    axis = wrap_dim(axis, data.dim())
    if lengths is None:
        if offsets is None:
            raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
        lengths = offsets.diff(dim=-1)
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if data.numel() == 0:
        raise RuntimeError("segment_reduce(): data must have elements")
    if axis != lengths.dim() - 1:
        raise RuntimeError(f"segment_reduce(): Expected axis to be the last dimension of lengths or offsets but got {axis}.")
    sizes = None if unsafe else known(lengths)
    if sizes is not None and (sizes.min(initial=0) < 0 or (sizes.sum(-1) != data.shape[axis]).any()):
        raise RuntimeError(
            f"segment_reduce(): Expected non-negative lengths that sum to data.size({axis}) = {data.shape[axis]}, got {sizes.tolist()}; pass "
            "unsafe=True to leave out the check"
        )
    result = call(_segment_op, (data, lengths, reduce, axis, initial), {})
    return result if out is None else write_out(out, result)


publish("segment_reduce", segment_reduce, method=False)
