"""Arithmetic on windows: what each view makes of the window that it is a view of. No values are touched."""

from __future__ import annotations

import math
import operator
from typing import Any

from funnn.engine.memory.storage import Window, contiguous_stride, is_contiguous
from funnn.engine.types.dtype import dtype


def wrap_dim(dim: int, rank: int) -> int:
    """A dimension counted from either end, as a number from 0; IndexError outside."""
    if type(dim) is not int:
        dim = whole_number(dim)
    limit = max(rank, 1)
    if not -limit <= dim < limit:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {dim})")
    return dim % limit


def whole_number(dim: Any) -> int:
    """NumPy's integers and the like as an int; no bools, of which torch's parser says so."""
    if isinstance(dim, bool):
        raise TypeError("argument 'dim' must be int, not bool")
    return operator.index(dim)


def _dims(window: Window, dims: Any) -> Window:
    """Those dimensions, in that order."""
    return window._replace(shape=tuple(window.shape[d] for d in dims), stride=tuple(window.stride[d] for d in dims))


def alias(window: Window) -> Window:
    return window


def conj(window: Window) -> Window:
    return window._replace(conj=not window.conj)


def neg(window: Window) -> Window:
    return window._replace(neg=not window.neg)


def permute(window: Window, dims: tuple[Any, ...]) -> Window:
    rank = len(window.shape)
    if len(dims) != rank:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of dimensions "
            f"i.e. input.dim() = {rank} is not equal to len(dims) = {len(dims)}"
        )
    order = [wrap_dim(dim, rank) for dim in dims]
    if len(set(order)) != rank:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return _dims(window, order)


def transpose(window: Window, dim0: int, dim1: int) -> Window:
    rank = len(window.shape)
    order = list(range(rank))
    a, b = wrap_dim(dim0, rank), wrap_dim(dim1, rank)
    if rank:
        order[a], order[b] = order[b], order[a]
    return _dims(window, order)


def select(window: Window, dim: int, index: int) -> Window:
    if not window.shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = wrap_dim(dim, len(window.shape))
    size = window.shape[dim]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    kept = [d for d in range(len(window.shape)) if d != dim]
    return _dims(window, kept)._replace(offset=window.offset + index % size * window.stride[dim])


def slice_(window: Window, dim: int, start: int | None, stop: int | None, step: int) -> Window:
    if not window.shape:
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    if step <= 0:
        raise ValueError("step must be greater than zero")
    dim = wrap_dim(dim, len(window.shape))
    span = range(*slice(start, stop, step).indices(window.shape[dim]))
    shape, stride = list(window.shape), list(window.stride)
    offset = window.offset + span.start * stride[dim]
    shape[dim], stride[dim] = len(span), stride[dim] * step
    return window._replace(shape=tuple(shape), stride=tuple(stride), offset=offset)


def unsqueeze(window: Window, dim: int) -> Window:
    shape, stride, rank = window.shape, window.stride, len(window.shape)
    dim = wrap_dim(dim, rank + 1)
    step = shape[dim] * stride[dim] if dim < rank else 1
    return window._replace(shape=(*shape[:dim], 1, *shape[dim:]), stride=(*stride[:dim], step, *stride[dim:]))


def squeeze(window: Window, dim: Any = None) -> Window:
    rank = len(window.shape)
    dims = range(rank) if dim is None else [wrap_dim(d, rank) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    if len(set(dims)) != len(dims):
        raise RuntimeError(f"squeeze(): dim {list(dim)} names a dimension more than once")
    return _dims(window, [d for d in range(rank) if not (d in dims and window.shape[d] == 1)])


def expand(window: Window, sizes: tuple[Any, ...]) -> Window:
    extra = len(sizes) - len(window.shape)
    if extra < 0:
        raise RuntimeError(
            f"expand(torch.FloatTensor{{{list(window.shape)}}}, size={list(sizes)}): the number of sizes provided ({len(sizes)}) must be greater "
            f"or equal to the number of dimensions in the tensor ({len(window.shape)})"
        )
    shape, stride = [], []
    for position, size in enumerate(sizes):
        old = window.shape[position - extra] if position >= extra else 1
        if size == -1 and position >= extra:
            size = old
        if old not in (1, size) or size < 0:
            raise RuntimeError(
                f"The expanded size of the tensor ({size}) must match the existing size ({old}) at non-singleton dimension {position}.  "
                f"Target sizes: {list(sizes)}.  Tensor sizes: {list(window.shape)}"
            )
        shape.append(size)
        stride.append(window.stride[position - extra] if old == size and position >= extra else 0)
    return window._replace(shape=tuple(shape), stride=tuple(stride))


def infer_sizes(sizes: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    """Sizes with one −1 resolved so that they hold ``count`` elements."""
    if sizes.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if any(size < -1 for size in sizes):
        raise RuntimeError(f"invalid shape dimension {min(sizes)} in {list(sizes)}: sizes are 0 or more, and −1 is inferred")
    known = math.prod(size for size in sizes if size != -1)
    if -1 in sizes and known and count % known == 0:
        return tuple(count // known if size == -1 else size for size in sizes)
    if -1 in sizes and known == 0 and count == 0:
        raise RuntimeError(
            f"cannot reshape tensor of 0 elements into shape {list(sizes)} because the unspecified dimension size -1 can be any value and is ambiguous"
        )
    if -1 in sizes or known != count:
        raise RuntimeError(f"shape '{list(sizes)}' is invalid for input of size {count}")
    return sizes


def view_or_none(window: Window, sizes: tuple[Any, ...]) -> Window | None:
    """The window of other sizes on the same memory, or None where only a copy can have them."""
    sizes = infer_sizes(tuple(sizes), math.prod(window.shape))
    if is_contiguous(window):
        return window._replace(shape=sizes, stride=contiguous_stride(sizes))
    strides: list[int] = []
    step, elements, placed = window.stride[-1], 1, 1  # of the present run of dimensions that lie in memory as one
    for axis in reversed(range(len(window.shape))):
        elements *= window.shape[axis]
        if axis and (window.shape[axis - 1] == 1 or window.stride[axis - 1] == elements * step):
            continue
        while len(strides) < len(sizes) and (placed < elements or sizes[-1 - len(strides)] == 1):
            strides.append(placed * step)
            placed *= sizes[-len(strides)]
        if placed != elements:
            return None
        step, elements, placed = window.stride[axis - 1], 1, 1
    return window._replace(shape=sizes, stride=tuple(reversed(strides))) if len(strides) == len(sizes) else None


def view(window: Window, sizes: tuple[Any, ...]) -> Window:
    result = view_or_none(window, sizes)
    if result is None:
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces). "
            "Use .reshape(...) instead."
        )
    return result


def diagonal(window: Window, offset: int, dim1: int, dim2: int) -> Window:
    rank = len(window.shape)
    a, b = wrap_dim(dim1, rank), wrap_dim(dim2, rank)
    if a == b:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    rows, columns = window.shape[a], window.shape[b]
    length = max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)
    start = window.offset + (offset * window.stride[b] if offset >= 0 else -offset * window.stride[a]) * (length > 0)
    rest = _dims(window, [d for d in range(rank) if d not in (a, b)])
    return rest._replace(shape=(*rest.shape, length), stride=(*rest.stride, window.stride[a] + window.stride[b]), offset=start)


def unfold(window: Window, dimension: int, size: int, step: int) -> Window:
    dim = wrap_dim(dimension, len(window.shape))
    old, old_stride = (window.shape, window.stride) if window.shape else ((1,), (1,))
    if size < 0 or step <= 0:
        raise RuntimeError(f"unfold: expected size >= 0 and step > 0, but got size {size} and step {step}")
    if size > old[dim]:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {old[dim]} but size is {size}")
    if not window.shape:
        return window._replace(shape=(size,), stride=(1,))
    shape, stride = list(old), list(old_stride)
    shape[dim] = (shape[dim] - size) // step + 1
    stride[dim] *= step
    return window._replace(shape=(*shape, size), stride=(*stride, old_stride[dim]))


def as_strided(window: Window, size: tuple[Any, ...], stride: tuple[Any, ...], storage_offset: int | None) -> Window:
    if len(size) != len(stride):
        raise RuntimeError(f"mismatch in length of strides and shape: got {len(size)} sizes and {len(stride)} strides")
    if any(number < 0 for number in (*size, *stride, storage_offset or 0)):
        raise RuntimeError(
            f"as_strided: Negative strides are not supported at the moment, got strides: {list(stride)}, sizes {list(size)} and offset "
            f"{storage_offset}; all must be 0 or more"
        )
    return window._replace(shape=size, stride=stride, offset=window.offset if storage_offset is None else storage_offset)


# -- the same memory as numbers of another type


def _scaled(window: Window, times: int, kind: dtype) -> Window:
    """Counted in elements that are ``times`` smaller."""
    return window._replace(stride=tuple(s * times for s in window.stride), offset=window.offset * times, dtype=kind)


def view_dtype(window: Window, have: dtype, want: dtype) -> Window:
    """The numbers' bits as numbers of another type; the last dimension grows or shrinks with their size."""
    if window.turned:
        kind = "conjugate view tensors" if window.conj else "tensors with negative bit set"
        raise RuntimeError(
            f"torch.Tensor.view is not supported for {kind} when converting to a different dtype. Take the view of "
            f"tensor.resolve_{'conj' if window.conj else 'neg'}(), which has memory of its own."
        )
    if have.itemsize == want.itemsize:
        return window._replace(dtype=want)
    what = f"to view {have} as {want} (different element sizes)"
    if not window.shape:
        raise RuntimeError(f"self.dim() cannot be 0 {what}")
    if window.stride[-1] != 1:
        raise RuntimeError(f"self.stride(-1) must be 1 {what}, but got {window.stride[-1]}")
    size, times = window.shape[-1], have.itemsize // want.itemsize
    if times:
        finer = _scaled(window, times, want)
        return finer._replace(shape=(*window.shape[:-1], size * times), stride=(*finer.stride[:-1], 1))
    times = want.itemsize // have.itemsize
    for name, numbers in (("size(-1)", (size,)), ("storage_offset()", (window.offset,)), ("stride", window.stride[:-1])):
        if any(number % times for number in numbers):
            raise RuntimeError(f"self.{name} must be divisible by {times} {what}, but got {', '.join(map(str, numbers))}")
    stride = (*(s // times for s in window.stride[:-1]), 1)
    return window._replace(shape=(*window.shape[:-1], size // times), stride=stride, offset=window.offset // times, dtype=want)


def view_as_real(window: Window, kind: dtype) -> Window:
    """Complex numbers as pairs of real ones, in a new last dimension."""
    if window.conj:
        raise RuntimeError(
            "view_as_real doesn't work on unresolved conjugated tensors.  To resolve the conjugate tensor so you can view it as real, use "
            "self.resolve_conj(); however, be warned that the resulting tensor will NOT alias the original."
        )
    finer = _scaled(window, 2, kind)
    return finer._replace(shape=(*window.shape, 2), stride=(*finer.stride, 1))


def view_as_complex(window: Window, kind: dtype) -> Window:
    """Pairs of real numbers in the last dimension as complex ones."""
    if not window.shape or window.shape[-1] != 2:
        raise RuntimeError(f"Tensor must have a last dimension of size 2, but its shape is {list(window.shape)}")
    if window.stride[-1] != 1:
        raise RuntimeError(f"Tensor must have a last dimension with stride 1, but its strides are {list(window.stride)}")
    if any(stride % 2 for stride in window.stride[:-1]):
        raise RuntimeError(
            f"Tensor must have a stride divisible by 2 for all but last dimension, but its strides are {list(window.stride)}"
        )
    if window.offset % 2:
        raise RuntimeError(f"Tensor must have a storage_offset divisible by 2, but it is {window.offset}")
    stride = tuple(stride // 2 for stride in window.stride[:-1])
    return window._replace(shape=window.shape[:-1], stride=stride, offset=window.offset // 2, dtype=kind)
