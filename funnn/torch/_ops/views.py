"""Views: operations whose result shares memory with its input. Each is arithmetic on windows; the values follow from the window."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from funnn.torch._call import Op, call
from funnn.torch._ops.table import gather_sizes, publish
from funnn.torch._storage import Window, contiguous_stride, is_contiguous, plan_window, read_window, whole
from funnn.torch._tape import mode
from funnn.torch._tensor import Tensor

_ops: dict[str, Op] = {}


def _op(grad: str) -> Op:
    if grad not in _ops:
        _ops[grad] = Op(read_window, grad, scalars=("starts",))
    return _ops[grad]


def make_view(tensor: Tensor, change: Callable[..., Window], args: tuple, grad: str, piece: int | None = None) -> Tensor:
    """A view of ``tensor`` whose window is ``change(window, *args)``.

    The window is computed on the storage, for the memory, and on the tensor's own values, for the recorded operation. ``piece`` is the
    number of the view among several that one call returns.
    """
    window = change(tensor._view_window(), *args)
    if mode.grad and tensor.requires_grad:
        relative = window if tensor._window is None else change(whole(tensor._shape()), *args)
        plan, starts = plan_window(tensor._shape(), relative)
        view = call(_op(grad), (tensor, starts, plan), {})
        view._value, view._value_writes = view._storage.array, tensor._storage.writes
        view._storage = tensor._storage
        _move_saved(view)
    else:
        view = tensor._alias(None)
    view._window = None if window == whole(tensor._storage.array.shape) else window
    base = tensor._base if tensor._base is not None else tensor
    view._base, view._base_changes, view._tracked = base, base._changes, tensor._tracked
    if piece is not None and mode.grad:
        view._piece = f"Output {piece} of {grad.removesuffix('Backward0')} is a view"
    elif tensor._piece is not None:
        view._piece = tensor._piece
    return view


def _move_saved(view: Tensor) -> None:
    view._grad_fn.saved = []  # a window saves no values


def strided_history(base: Tensor, window: Window) -> tuple:
    """(node, output) of a view of ``base`` as it is now."""
    own = base._view_window()
    if not is_contiguous(own):
        raise NotImplementedError(
            "the history of a view whose base is not contiguous was lost by an in-place operation; clone() the base first"
        )
    relative = Window(window.shape, window.stride, window.offset - own.offset)
    plan, starts = plan_window(base._shape(), relative)
    before, mode.grad = mode.grad, True
    try:
        result = call(_op("AsStridedBackward0"), (base, starts, plan), {})
    finally:
        mode.grad = before
    _move_saved(result)
    return result._grad_fn, result._output


# -- windows


def wrap_dim(dim: int, rank: int) -> int:
    """A dimension counted from either end, as a number from 0; IndexError outside."""
    limit = max(rank, 1)
    if not -limit <= dim < limit:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {dim})")
    return dim % limit


def permute(window: Window, dims: tuple) -> Window:
    rank = len(window.shape)
    if len(dims) != rank:
        raise RuntimeError(
            f"permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of dimensions "
            f"i.e. input.dim() = {rank} is not equal to len(dims) = {len(dims)}"
        )
    order = [wrap_dim(dim, rank) for dim in dims]
    if len(set(order)) != rank:
        raise RuntimeError("permute(): duplicate dims are not allowed.")
    return Window(tuple(window.shape[d] for d in order), tuple(window.stride[d] for d in order), window.offset)


def transpose(window: Window, dim0: int, dim1: int) -> Window:
    rank = len(window.shape)
    order = list(range(rank))
    a, b = wrap_dim(dim0, rank), wrap_dim(dim1, rank)
    if rank:
        order[a], order[b] = order[b], order[a]
    return permute(window, tuple(order))


def select(window: Window, dim: int, index: int) -> Window:
    if not window.shape:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    dim = wrap_dim(dim, len(window.shape))
    size = window.shape[dim]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")
    shape, stride = window.shape, window.stride
    return Window(shape[:dim] + shape[dim + 1 :], stride[:dim] + stride[dim + 1 :], window.offset + index % size * stride[dim])


def slice_(window: Window, dim: int, start: int | None, stop: int | None, step: int) -> Window:
    if step <= 0:
        raise ValueError("step must be greater than zero")
    span = range(*slice(start, stop, step).indices(window.shape[dim]))
    shape, stride = list(window.shape), list(window.stride)
    offset = window.offset + span.start * stride[dim] if len(span) else window.offset
    shape[dim], stride[dim] = len(span), stride[dim] * step
    return Window(tuple(shape), tuple(stride), offset)


def unsqueeze(window: Window, dim: int) -> Window:
    rank = len(window.shape)
    dim = wrap_dim(dim, rank + 1)
    step = window.shape[dim] * window.stride[dim] if dim < rank else 1
    return Window(window.shape[:dim] + (1,) + window.shape[dim:], window.stride[:dim] + (step,) + window.stride[dim:], window.offset)


def squeeze(window: Window, dim: Any = None) -> Window:
    rank = len(window.shape)
    dims = range(rank) if dim is None else [wrap_dim(d, rank) for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    kept = [d for d in range(rank) if not (d in dims and window.shape[d] == 1)]
    return Window(tuple(window.shape[d] for d in kept), tuple(window.stride[d] for d in kept), window.offset)


def expand(window: Window, sizes: tuple) -> Window:
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
        if old not in (1, size):
            raise RuntimeError(
                f"The expanded size of the tensor ({size}) must match the existing size ({old}) at non-singleton dimension {position}.  "
                f"Target sizes: {list(sizes)}.  Tensor sizes: {list(window.shape)}"
            )
        shape.append(size)
        stride.append(window.stride[position - extra] if old == size and position >= extra else 0)
    return Window(tuple(shape), tuple(stride), window.offset)


def infer_sizes(sizes: tuple, count: int) -> tuple:
    """Sizes with one −1 resolved so that they hold ``count`` elements."""
    if sizes.count(-1) > 1:
        raise RuntimeError("only one dimension can be inferred")
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


def view_or_none(window: Window, sizes: tuple) -> Window | None:
    """The window of other sizes on the same memory, or None where only a copy can have them."""
    sizes = infer_sizes(tuple(sizes), math.prod(window.shape))
    if is_contiguous(window):
        return Window(sizes, contiguous_stride(sizes), window.offset)
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
    return Window(sizes, tuple(reversed(strides)), window.offset) if len(strides) == len(sizes) else None


def view(window: Window, sizes: tuple) -> Window:
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
    kept = [d for d in range(rank) if d not in (a, b)]
    return Window(
        tuple(window.shape[d] for d in kept) + (length,),
        tuple(window.stride[d] for d in kept) + (window.stride[a] + window.stride[b],),
        start,
    )


def unfold(window: Window, dimension: int, size: int, step: int) -> Window:
    dim = wrap_dim(dimension, len(window.shape))
    if size > window.shape[dim]:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {window.shape[dim]} but size is {size}")
    shape, stride = list(window.shape), list(window.stride)
    shape[dim] = (shape[dim] - size) // step + 1
    stride[dim] *= step
    return Window((*shape, size), (*stride, window.stride[dim]), window.offset)


def as_strided(window: Window, size: tuple, stride: tuple, storage_offset: int | None) -> Window:
    return Window(tuple(size), tuple(stride), window.offset if storage_offset is None else storage_offset)


# -- torch's functions


def _publish(name: str, change: Callable, grad: str | Callable, arguments: Callable, **where: Any) -> None:
    """``arguments(tensor, …)`` turns torch's arguments into those of ``change``; its signature and docstring are the function's."""

    def run(input, *args, **kwargs):
        given = arguments(input, *args, **kwargs)
        return make_view(input, change, given, grad(*given) if callable(grad) else grad)

    publish(name, run, arguments, **where)
    if name in _IN_PLACE:

        def write(self, *args, **kwargs):
            if mode.grad and self.requires_grad and self.is_leaf:
                raise RuntimeError("a leaf Variable that requires grad is being used in an in-place operation.")
            other = run(self, *args, **kwargs)
            self._window, self._value, self._value_writes = other._window, other._value, other._value_writes
            self._grad_fn, self._output = other._grad_fn, other._output
            self._changes += 1
            return self

        setattr(Tensor, f"{name}_", write)


_IN_PLACE = frozenset(("t", "transpose", "squeeze", "unsqueeze", "swapaxes", "swapdims"))


def _permute(input, *dims):
    """The dimensions in another order."""
    return (gather_sizes(dims),)


def _transpose(input, dim0, dim1):
    """Two dimensions exchanged."""
    return dim0, dim1


def _t(input):
    """The transpose of a matrix; a vector or number as it is."""
    if input.dim() > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.dim()}D")
    return (tuple(reversed(range(input.dim()))),)


def _movedim(input, source, destination):
    """Dimensions moved to other positions."""
    rank = input.dim()
    sources = [wrap_dim(d, rank) for d in (source if isinstance(source, (tuple, list)) else (source,))]
    targets = [wrap_dim(d, rank) for d in (destination if isinstance(destination, (tuple, list)) else (destination,))]
    rest = iter([d for d in range(rank) if d not in sources])
    where = dict(zip(targets, sources, strict=True))
    return (tuple(where[d] if d in where else next(rest) for d in range(rank)),)


def _select(input, dim, index):
    """Element ``index`` along ``dim``."""
    return dim, int(index)


def _narrow(input, dim, start, length):
    """``length`` elements from ``start`` along ``dim``."""
    dim = wrap_dim(dim, input.dim())
    size = input.size(dim)
    start = start + size if start < 0 else start
    if length < 0 or start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return dim, start, start + length, 1


def _unsqueeze(input, dim):
    """A new dimension of size 1 at ``dim``."""
    return (dim,)


def _squeeze(input, dim=None):
    """Without its dimensions of size 1, or without those named."""
    return (dim,)


def _expand(input, *sizes):
    """Dimensions of size 1 repeated without copying; −1 keeps a size."""
    return (gather_sizes(sizes),)


def _expand_as(input, other):
    """Expanded to the shape of ``other``."""
    return (tuple(other.shape),)


def _view(input, *shape):
    """The same memory in another shape."""
    return (gather_sizes(shape),)


def _view_as(input, other):
    """The same memory in the shape of ``other``."""
    return (tuple(other.shape),)


def _unflatten(input, dim, sizes):
    """One dimension split into several."""
    dim = wrap_dim(dim, input.dim())
    shape = tuple(input.shape)
    return (shape[:dim] + infer_sizes(tuple(sizes), shape[dim]) + shape[dim + 1 :],)


def _diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal of two dimensions, as the last one."""
    return offset, dim1, dim2


def _unfold(input, dimension, size, step):
    """All slices of ``size`` elements, ``step`` apart, as a new last dimension."""
    return dimension, size, step


def _as_strided(input, size, stride, storage_offset=None):
    """An arbitrary window on the same memory."""
    return tuple(size), tuple(stride), storage_offset


_publish("permute", permute, "PermuteBackward0", _permute)
_publish("transpose", transpose, "TransposeBackward0", _transpose, aliases=("swapaxes", "swapdims"))
_publish("t", permute, "TBackward0", _t)
_publish("movedim", permute, "PermuteBackward0", _movedim, aliases=("moveaxis",))
_publish("select", select, "SelectBackward0", _select)
_publish("narrow", slice_, "SliceBackward0", _narrow)
_publish("unsqueeze", unsqueeze, "UnsqueezeBackward0", _unsqueeze)
_publish("squeeze", squeeze, lambda dim: f"SqueezeBackward{0 if dim is None else 1 if isinstance(dim, int) else 2}", _squeeze)
_publish("expand", expand, "ExpandBackward0", _expand, function=False)
_publish("expand_as", expand, "ExpandBackward0", _expand_as, function=False)
_publish("broadcast_to", expand, "ExpandBackward0", _expand)
_publish("view", view, "ViewBackward0", _view, function=False)
_publish("view_as", view, "ViewBackward0", _view_as, function=False)
_publish("unflatten", view, "ViewBackward0", _unflatten)
_publish("diagonal", diagonal, "DiagonalBackward0", _diagonal)
_publish("unfold", unfold, "UnfoldBackward0", _unfold, function=False)
_publish("as_strided", as_strided, "AsStridedBackward0", _as_strided)

Tensor.T = property(lambda self: make_view(self, permute, (tuple(reversed(range(self.dim()))),), "PermuteBackward0"))
Tensor.mT = property(lambda self: self.transpose(-2, -1))


def contiguous(input, memory_format=None):
    """The tensor itself if its values lie in row-major order, else a copy in which they do."""
    return input if input.is_contiguous() else input.clone()


_reshape_copy = Op(lambda input, sizes: input.reshape(sizes), "UnsafeViewBackward0")


def reshape(input, *shape):
    """Another shape: a view where the memory allows it, else a copy."""
    sizes = gather_sizes(shape)
    window = view_or_none(input._view_window(), sizes)
    if window is not None:
        return make_view(input, view, (sizes,), "ViewBackward0" if input.is_contiguous() else "ReshapeAliasBackward0")
    return call(_reshape_copy, (input.clone(), infer_sizes(sizes, input.numel())), {})


def reshape_as(input, other):
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
    """All elements in one dimension."""
    return reshape(input, (-1,))


def split(input, split_size_or_sections, dim=0):
    """Views of consecutive pieces along ``dim``: of one size (the last may be smaller) or of the given sizes."""
    dim = wrap_dim(dim, input.dim())
    size = input.size(dim)
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        grad = "SplitBackward0"
        sections = [step] * (size // step) + ([size % step] if size % step else []) or [0]
    else:
        grad = "SplitWithSizesBackward0"
        sections = list(split_size_or_sections)
        if math.fsum(sections) != size:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {dim}), "
                f"but got split_sizes={sections}"
            )
    pieces, start = [], 0
    for length in sections:
        pieces.append(make_view(input, slice_, (dim, start, start + length, 1), grad, len(pieces)))
        start += length
    return tuple(pieces)


def chunk(input, chunks, dim=0):
    """At most ``chunks`` views of equal pieces along ``dim``."""
    return split(input, max(-(-input.size(dim) // chunks), 1), dim)


def unbind(input, dim=0):
    """The elements along ``dim``, as views."""
    return tuple(make_view(input, select, (dim, index), "UnbindBackward0", index) for index in range(input.size(dim)))


for _function in (contiguous, reshape, flatten, ravel, split, chunk, unbind):
    publish(_function.__name__, _function)
publish("reshape_as", reshape_as, function=False)


def _iterate(self: Tensor) -> Any:
    if not self._shape():
        raise TypeError("iteration over a 0-d tensor")
    return iter(unbind(self))


Tensor.__iter__ = _iterate
Tensor.__contains__ = lambda self, item: bool((self == item).any())
