"""Views that come several from one call: pieces along a dimension, and tensors expanded together."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from jax import Array

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.memory import view_geometry as windows
from funnn.engine.memory.storage import plan_window, read_window, whole
from funnn.engine.memory.view_geometry import wrap_dim
from funnn.engine.ops.kit.deprecated import deprecated
from funnn.engine.ops.kit.table import publish, write_out
from funnn.engine.ops.views.views import make_view
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype

_SEVERAL = (tuple, list)


def _views(input: Tensor, change: Callable, pieces: list, grad: str) -> tuple:
    return tuple(make_view(input, change, args, grad, number) for number, args in enumerate(pieces))


def _copies(grad: str) -> Callable:
    """As ``_views``, with memory of their own: one operation with several results."""
    op = Op(_read_windows, grad, scalars=("starts",))

    def copies(input: Tensor, change: Callable, pieces: list) -> tuple:
        plans = [plan_window(input._shape(), change(whole(input._shape()), *args), input.dtype.numpy) for args in pieces]
        return call(op, (input, tuple(starts for _, starts in plans), tuple(plan for plan, _ in plans)), {})

    return copies


def _read_windows(input: Any, starts: tuple, plans: tuple) -> tuple:
    return tuple(read_window(input, start, plan) for start, plan in zip(starts, plans, strict=True))


# -- pieces: how a dimension is cut, as the arguments of a slice


def _spans(dim: int, cuts: list) -> list:
    return [(dim, start, max(start, stop), 1) for start, stop in itertools.pairwise(cuts)]


def _cut_evenly(input: Tensor, step: int, dim: int) -> list:
    """Pieces of ``step`` elements; the last may be smaller."""
    if input.dim() == 0:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = wrap_dim(dim, input.dim())
    size = input.size(dim)
    if step < 0:
        raise RuntimeError(f"split expects split_size be non-negative, but got split_size={step}")
    if step == 0 and size:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {size}")
    count = max(-(-size // step), 1) if step else 1
    return _spans(dim, [min(number * step, size) for number in range(count)] + [size])


def _cut_by_sizes(input: Tensor, sizes: Any, dim: int) -> list:
    if input.dim() == 0:
        raise RuntimeError("split_with_sizes expects at least a 1-dimensional tensor")
    dim = wrap_dim(dim, input.dim())
    size, sizes = input.size(dim), [int(length) for length in sizes]
    if any(length < 0 for length in sizes):
        raise RuntimeError(f"split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes={sizes}")
    if sum(sizes) != size:
        raise RuntimeError(
            f"split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {dim}), "
            f"but got split_sizes={sizes}"
        )
    return _spans(dim, [sum(sizes[:number]) for number in range(len(sizes) + 1)])


def _cut(input: Tensor, size_or_sections: Any, dim: int) -> list:
    for size in size_or_sections if isinstance(size_or_sections, _SEVERAL) else (size_or_sections,):
        if not isinstance(size, Tensor) and (isinstance(size, bool) or not hasattr(size, "__index__")):
            raise TypeError(f"split(): argument 'split_size_or_sections' must be int or tuple of ints, but got {size_or_sections!r}")
    cut = _cut_by_sizes if isinstance(size_or_sections, _SEVERAL) else _cut_evenly
    return cut(input, size_or_sections, dim)


def _chunk_size(input: Tensor, chunks: int, dim: int) -> int:
    if input.dim() == 0:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    if chunks <= 0:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    return max(-(-input.size(dim) // chunks), 1)


def split(input, split_size_or_sections, dim=0):
    """Views of consecutive pieces along ``dim``: of one size (the last may be smaller) or of the given sizes."""
    grad = "SplitWithSizesBackward0" if isinstance(split_size_or_sections, _SEVERAL) else "SplitBackward0"
    return _views(input, windows.slice_, _cut(input, split_size_or_sections, dim), grad)


def split_with_sizes(input, split_sizes, dim=0):
    """Views of consecutive pieces of the given sizes along ``dim``."""
    return _views(input, windows.slice_, _cut_by_sizes(input, split_sizes, dim), "SplitWithSizesBackward0")


def chunk(input, chunks, dim=0):
    """At most ``chunks`` views of equal pieces along ``dim``."""
    return split(input, _chunk_size(input, chunks, dim), dim)


def unbind(input, dim=0):
    """The elements along ``dim``, as views."""
    return _views(input, windows.select, _elements(input, dim), "UnbindBackward0")


def _elements(input: Tensor, dim: int) -> list:
    if input.dim() == 0:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return [(dim, index) for index in range(input.size(dim))]


for _function in (split, split_with_sizes, chunk, unbind):
    publish(_function.__name__, _function)


def _publish_copies(name: str, change: Callable, pieces: Callable, grad: str, **policies: Any) -> None:
    copies = _copies(grad)

    def copy_pieces(input, *args, out=None, **kwargs):
        result = copies(input, change, pieces(input, *args, **kwargs))
        if out is None:
            return result
        write_out(out, result)
        return None  # as in torch

    copy_pieces.__doc__ = f"As torch.{name.removesuffix('_copy')}, each piece in memory of its own."
    publish(name, copy_pieces, method=False, **policies)


def _publish_unsafe(name: str, pieces: Callable, grad: str) -> None:
    """Pieces that share memory with the input but not its history: writing to one and differentiating is the caller's risk."""
    copies = _copies(grad)

    def split_unsafely(input, *args, **kwargs):
        cuts = pieces(input, *args, **kwargs)
        results = copies(input, windows.slice_, cuts)
        for result, cut in zip(results, cuts, strict=True):
            result._set_storage(make_view(input.detach(), windows.slice_, cut, ""))
        return results

    split_unsafely.__doc__ = _publish_unsafe.__doc__
    publish(name, split_unsafely)


def _unsafe_split(input, split_size, dim=0):
    return _cut_evenly(input, split_size, dim)


def _unsafe_chunk(input, chunks, dim=0):
    return _cut_evenly(input, _chunk_size(input, chunks, dim), dim)


def _with_sizes(input, split_sizes, dim=0):
    return _cut_by_sizes(input, split_sizes, dim)


_publish_copies("split_copy", windows.slice_, _unsafe_split, "SplitBackward0_copy")
_publish_copies("split_with_sizes_copy", windows.slice_, _with_sizes, "SplitWithSizesBackward0_copy", exact_out=True)
_publish_copies("unbind_copy", windows.select, lambda input, dim=0: _elements(input, dim), "UnbindBackward0_copy")
_publish_unsafe("unsafe_split", _unsafe_split, "UnsafeSplitBackward0")
_publish_unsafe("unsafe_chunk", _unsafe_chunk, "UnsafeSplitBackward0")
_publish_unsafe("unsafe_split_with_sizes", _with_sizes, "UnsafeSplitWithSizesBackward0")


def tensor_split(input, indices_or_sections=None, dim=0, *, indices: Array | None = None, sections=None):
    """Views of pieces along ``dim``: so many, as equal as can be, or cut before the given indices."""
    cuts = next((given for given in (indices_or_sections, indices, sections) if given is not None), None)
    if isinstance(cuts, Tensor):
        if cuts.dtype is not _dtype.int64 or cuts.dim() > 1:
            raise RuntimeError(
                "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor with long dtype, but got "
                f"{cuts.dim()} dimensions and dtype {cuts.dtype}"
            )
        cuts = cuts.tolist()
    if input.dim() == 0:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = wrap_dim(dim, input.dim())
    size = input.size(dim)
    if isinstance(cuts, int):
        if cuts <= 0:
            raise RuntimeError(f"number of sections must be larger than 0, got {cuts}")
        least, larger = divmod(size, cuts)
        bounds = [number * least + min(number, larger) for number in range(cuts + 1)]
        pieces = _spans(dim, bounds)
    else:
        starts = [0, *cuts]
        pieces = [(dim, start, stop, 1) for start, stop in zip(starts, [*cuts, size], strict=True)]
    return tuple(make_view(input, windows.slice_, args, "SliceBackward0") for args in pieces)


def _split_along(name: str, axis: int, least: int) -> None:
    def split_along(input, *args, indices: Array | None = None, sections=None):
        given = args[0] if args else indices if indices is not None else sections
        if input.dim() < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor with {input.dim()} dimensions!"
            )
        dim = 0 if input.dim() == 1 else axis
        if isinstance(given, int) and (given <= 0 or input.size(dim) % given):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {dim}, but the size of the dimension {input.size(dim)} is not divisible by the "
                f"split_size {given}!"
            )
        return tensor_split(input, given, dim)

    split_along.__doc__ = f"Views of pieces along dimension {axis}: so many of equal size, or cut before the given indices."
    publish(name, split_along)


publish("tensor_split", tensor_split)
_split_along("hsplit", 1, 1)
_split_along("vsplit", 0, 2)
_split_along("dsplit", 2, 3)


# -- expanded together


def _sizes_of(shape: Any) -> tuple[int, ...]:
    """A shape that is given as one size, a sequence or None, for no sizes."""
    if isinstance(shape, str):
        raise TypeError(f"broadcast_shapes takes ints and sequences of them, got {shape!r}")
    if shape is not None and not isinstance(shape, (int, tuple, list)):
        raise RuntimeError(f"Input shapes should be of type ints, a tuple of ints, or a list of ints, got {shape}")
    sizes = () if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
    for place, size in enumerate(sizes):
        if not hasattr(size, "__index__"):
            raise TypeError(f"torch.Size() takes an iterable of 'int' (item {place} is '{type(size).__name__}')")
    return sizes


def broadcast_shapes(*shapes):
    """The shape to which tensors of these shapes broadcast."""
    shapes = [_sizes_of(shape) for shape in shapes]
    rank = max(map(len, shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, rank - len(shape)):
            if size < 0:
                raise RuntimeError(f"Trying to create tensor with negative dimension ({size}): ({size})")
            if size != 1 and result[axis] not in (1, size):
                raise RuntimeError(
                    f"Shape mismatch: objects cannot be broadcast to a single shape; size {size} of {shape} meets {result[axis]} at dimension {axis}"
                )
            result[axis] = result[axis] if size == 1 else size
    return _dtype.Size(result)


def _given(tensors: tuple) -> tuple:
    return tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], _SEVERAL) else tensors


def broadcast_tensors(*tensors: Array):
    """The tensors expanded to their common shape."""
    tensors = _given(tensors)
    _dtype.check_broadcast(*(tensor._operand() for tensor in tensors))
    shape = tuple(broadcast_shapes(*(tensor._shape() for tensor in tensors)))
    return tuple(make_view(tensor, windows.expand, (shape,), "ExpandBackward0") for tensor in tensors)


def meshgrid(*tensors: Array, indexing=None):
    """The coordinates of a grid: tensor k repeated along all dimensions but its own ('xy' exchanges the first two)."""
    tensors = _given(tensors)
    if not tensors:
        raise ValueError("meshgrid expects a non-empty TensorList")
    if indexing is None:
        deprecated("meshgrid")
    elif not isinstance(indexing, str):
        raise TypeError(f"meshgrid(): argument 'indexing' must be str, not {type(indexing).__name__}")
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    for tensor in tensors:
        if tensor.dim() > 1:
            raise RuntimeError(f"torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {tensor.dim()}-D")
        if tensor.dtype is not tensors[0].dtype:
            raise RuntimeError(f"torch.meshgrid expects all tensors to have the same dtype, got {tensors[0].dtype} and {tensor.dtype}")
    shape = tuple(tensor.numel() for tensor in tensors)
    order = (1, 0, *range(2, len(shape))) if indexing == "xy" and len(shape) > 1 else tuple(range(len(shape)))
    grids = []
    for axis, tensor in enumerate(tensors):
        column = tensor.view(*(shape[axis] if other == axis else 1 for other in range(len(shape))))
        if order != tuple(range(len(shape))):
            column = column.transpose(0, 1)
        grids.append(column.expand(tuple(shape[other] for other in order)))
    return tuple(grids)


def _at_least(tensor: Tensor, rank: int) -> Tensor:
    if tensor.dim() >= rank:
        return tensor
    if tensor.dim() == 0:
        return tensor.view((1,) * rank)
    tensor = tensor.unsqueeze(0) if tensor.dim() == 1 and rank > 1 else tensor
    return tensor.unsqueeze(-1) if rank == 3 else tensor


def _publish_at_least(rank: int) -> None:
    def with_dimensions(*tensors: Array):
        if len(tensors) == 1 and isinstance(tensors[0], Tensor):
            return _at_least(tensors[0], rank)
        return tuple(_at_least(tensor, rank) for tensor in _given(tensors))

    with_dimensions.__doc__ = f"A view with at least {rank} dimensions: of one tensor, or of each of several."
    publish(f"atleast_{rank}d", with_dimensions, method=False)


for _rank in (1, 2, 3):
    _publish_at_least(_rank)
for _function in (broadcast_shapes, broadcast_tensors, meshgrid):
    publish(_function.__name__, _function, method=False)


def _iterate(self: Tensor) -> Any:
    if not self._shape():
        raise TypeError("iteration over a 0-d tensor")
    return iter(unbind(self))


Tensor.__iter__ = _iterate


def _contains(self: Tensor, item: Any) -> bool:
    """Whether some element equals ``item``."""
    if not isinstance(item, (Tensor, int, float, complex)):
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(item)}.")
    return bool((self == item).any())


Tensor.__contains__ = _contains
