"""The same elements in other sizes: as a view where the memory allows it, else as a copy."""

from __future__ import annotations

import functools
import math

from jax import Array

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory import view_geometry as windows
from funnn.engine.memory.storage import Window
from funnn.engine.memory.view_geometry import infer_sizes, view_or_none, wrap_dim
from funnn.engine.ops.kit.table import gather_sizes, publish
from funnn.engine.ops.views.views import make_view
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.layout import contiguous_format


def view(input, *size, dtype=None, **named):
    """The same memory in another shape, or (without a gradient) as numbers of another type."""
    if len(size) == 1 and isinstance(size[0], _dtype.dtype):
        dtype = size[0]
    if dtype is not None:
        if named:
            raise TypeError(f"view() takes a shape or a dtype: got dtype={dtype} and {', '.join(named)}")
        return make_view(input.detach(), windows.view_dtype, (input.dtype, dtype), "ViewBackward0")
    return make_view(input, windows.view, (gather_sizes(size, named),), "ViewBackward0")


def contiguous(input, memory_format=None):
    """The tensor itself if its values lie in row-major order (or that of ``memory_format``), else a copy in which they do."""
    return input if input.is_contiguous(memory_format) else input.clone(memory_format=memory_format or contiguous_format)


_reshape_copy = Op(lambda input, sizes: input.reshape(sizes), "UnsafeViewBackward0")


@functools.lru_cache(maxsize=8192)
def _is_view(window: Window, sizes: tuple[int, ...]) -> bool:
    """Whether other sizes need no copy of the memory."""
    return view_or_none(window, sizes) is not None


def reshape(input, *shape, **named):
    """Another shape: a view where the memory allows it, else a copy."""
    sizes = gather_sizes(shape, named, "shape")
    if _is_view(input._view_window(), sizes):
        return make_view(input, windows.view, (sizes,), "ViewBackward0" if input.is_contiguous() else "ReshapeAliasBackward0")
    return call(_reshape_copy, (input.clone(memory_format=contiguous_format), infer_sizes(sizes, input.numel())), {})


def reshape_as(input, other: Array):
    """In the shape of ``other``."""
    return reshape(input, tuple(other.shape))


def flatten(input, start_dim=0, end_dim=-1):
    """The dimensions from start_dim to end_dim merged into one."""
    rank = input.dim()
    if rank == 0:
        return reshape(input, (1,))
    start, end = wrap_dim(start_dim, rank), wrap_dim(end_dim, rank)
    if start > end:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    if start == end:
        return input
    shape = tuple(input.shape)
    return reshape(input, shape[:start] + (math.prod(shape[start : end + 1]),) + shape[end + 1 :])


def ravel(input):
    """All elements in one dimension; a copy where they do not lie one after the other."""
    return view(contiguous(input), (-1,))


for _function in (contiguous, reshape, flatten, ravel):
    publish(_function.__name__, _function)
publish("view", view, function=False)
publish("reshape_as", reshape_as, function=False)
