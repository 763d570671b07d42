"""Views: operations whose result shares memory with its input. Each is arithmetic on windows; the values follow from the window.

A view's name with ``_copy`` gives the same values in memory of their own, with ``_scatter`` the input with other values in the view's place.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from jax import Array

from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.inplace import check_writable
from funnn.engine.dispatch.op import Op
from funnn.engine.memory import view_geometry as windows
from funnn.engine.memory.storage import Window, plan_window, read_through, read_window, whole, write_window
from funnn.engine.memory.strides import like_first
from funnn.engine.memory.view_geometry import infer_sizes, wrap_dim
from funnn.engine.ops.kit.deprecated import deprecated
from funnn.engine.ops.kit.table import add_method, add_property, gather_sizes, publish, write_out
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype

_ops: dict[tuple, Op] = {}


def _op(pure: Callable, grad: str, *scalars: str) -> Op:
    if (pure, grad) not in _ops:
        _ops[pure, grad] = Op(pure, grad, scalars=scalars)
    return _ops[pure, grad]


def read_view(tensor: Tensor, change: Callable[..., Window], args: tuple, grad: str) -> Tensor:
    """The values of a view as an operation on the tensor's values, so that it can be recorded."""
    if change is windows.as_strided and tensor._window is not None:
        return _read_memory(tensor, change(tensor._view_window(), *args), grad)
    plan, starts = _planned(change, tensor._shape(), args, tensor.dtype.numpy)
    return call(_op(read_window, grad, "starts"), (tensor, starts, plan), {})


def _read_memory(tensor: Tensor, window: Window, grad: str) -> Tensor:
    """The values of a window of the memory that ``tensor`` sees a part of; gradients flow to that part."""
    memory = tensor._storage.value
    own, read = (plan_window(memory.shape, item, memory.dtype)[::-1] for item in (tensor._view_window(), window))
    return call(_op(read_through, grad, "own", "read"), (tensor, memory, own, read), {})


@functools.lru_cache(maxsize=8192)
def _planned(change: Callable[..., Window], shape: tuple[int, ...], args: tuple, dtype: Any) -> tuple[Any, Any]:
    """How to read a view of a whole array."""
    return plan_window(shape, change(whole(shape), *args), dtype)


@functools.lru_cache(maxsize=8192)
def _changed(change: Callable[..., Window], window: Window, args: tuple) -> Window:
    return change(window, *args)


def make_view(tensor: Tensor, change: Callable[..., Window], args: tuple, grad: str, piece: int | None = None) -> Tensor:
    """A view of ``tensor`` whose window is ``change(window, *args)``.

    The window is computed on the storage, for the memory, and on the tensor's own values, for the recorded operation. ``piece`` is the
    number of the view among several that one call returns.
    """
    window = _changed(change, tensor._view_window(), args)
    storage = tensor._storage
    if window.dtype is not None and window.dtype is _dtype.dtype.of(storage.dtype):
        window = window._replace(dtype=None)
    if thread.grad and tensor.requires_grad:
        view = read_view(tensor, change, args, grad)
        view._value, view._value_writes = view._storage.value, storage.writes
        view._storage = storage
        if view._grad_fn is not None:
            view._grad_fn.view = change, args
        _saves_nothing(view)
    else:
        view = tensor._alias(None)
    view._window = None if window == whole(storage.shape) else window
    view._tracked = tensor._tracked
    view._become_view(tensor, piece)
    return view


def _saves_nothing(view: Tensor) -> None:
    if view._grad_fn is not None:
        view._grad_fn.saved = []  # a window saves no values


def strided_history(base: Tensor, window: Window) -> tuple:
    """(node, output) of a view of ``base`` as it is now."""
    before = thread.grad
    name = "ConjBackward0" if window == windows.conj(base._view_window()) else "AsStridedBackward0"
    try:
        thread.grad = True
        if base._window is None:
            plan, starts = plan_window(base._shape(), window, base.dtype.numpy)
            result = call(_op(read_window, name, "starts"), (base, starts, plan), {})
        else:
            result = _read_memory(base, window, name)
    finally:
        thread.grad = before
    _saves_nothing(result)
    return result._grad_fn, result._output


Tensor._history_of_view = staticmethod(strided_history)


def _publish(
    name: str,
    change: Callable,
    grad: str | Callable,
    arguments: Callable,
    *,
    copy: bool | str = False,
    write: bool | str | Callable = False,
    **where: Any,
) -> None:
    """``arguments(tensor, …)`` turns torch's arguments into those of ``change``; its signature and docstring are the function's.

    ``copy``: whether there is ``name_copy``; "exact", with an ``out`` of the result's own type. ``write``: whether
    there is ``name_``, which turns the tensor itself into the view; or torch's name of its grad_fn, if that is another.
    """

    def make(grad: str | Callable) -> Callable:
        def view_of(input, *args, **kwargs):
            given = arguments(input, *args, **kwargs)
            return make_view(input, change, given, grad(*given) if callable(grad) else grad)

        return view_of

    run = make(grad)

    publish(name, run, arguments, **where)
    if copy:
        publish_copy(f"{name}_copy", change, grad, arguments, exact_out=copy == "exact")
    if write:
        for alias in (name, *where.get("aliases", ())):
            add_method(f"{alias}_", _becoming(run if write is True else make(write), alias))


def publish_copy(name: str, change: Callable, grad: str | Callable, arguments: Callable, suffix: str = "_copy", **policies: Any) -> None:
    """The values of a view in memory of their own."""

    def copy_of_view(input, *args, out=None, **kwargs):
        given = arguments(input, *args, **kwargs)
        result = read_view(input, change, given, f"{grad(*given) if callable(grad) else grad}{suffix}")
        return result if out is None else write_out(out, result)

    publish(name, copy_of_view, arguments, **{"method": False, **policies})


def _publish_scatter(name: str, change: Callable, arguments: Callable, **policies: Any) -> None:
    """The input with ``src`` in the place that a view shows; the input itself stays as it is."""
    op = Op(write_window, f"{name.title().replace('_', '')}Backward0", scalars=("starts",))

    def scatter_into_view(input, src: Array, *args, out=None, **kwargs):
        window = change(whole(input._shape()), *arguments(input, *args, **kwargs))
        if src._shape() != window.shape:
            raise RuntimeError(
                f"expected src to have a size equal to the slice of self. src size = {list(src._shape())}, slice size = {list(window.shape)}"
            )
        plan, starts = plan_window(input._shape(), window, input.dtype.numpy)
        result = call(op, (input, src.to(input.dtype), starts, plan), {})
        return result if out is None else write_out(out, result)

    scatter_into_view.__doc__ = _publish_scatter.__doc__
    publish(name, scatter_into_view, arrange=like_first, **policies)


def _becoming(run: Callable, name: str) -> Callable:
    def write(self: Array, *args, **kwargs):
        check_writable(self, f"{name}_", overlapping=True)
        other = run(self, *args, **kwargs)
        storage = self._storage
        if self._tracked:
            storage.version += 1
        storage.writes += 1  # the values stay, but what saved the tensor must look at the version
        self._window, self._value = other._window, other._value
        self._value_writes = storage.writes if other._value_writes == storage.writes - 1 else other._value_writes
        if thread.grad:
            self._set_history(other._grad_fn, other._output)
            self._base_version = storage.version
        return self

    write.__name__ = write.__qualname__ = f"{name}_"
    write.__doc__ = f"Turn this tensor itself into the view that ``{name}`` gives of it, and return it."
    return write


def _permute(input, *dims, **named):
    """The dimensions in another order."""
    return (gather_sizes(dims, named, "dims"),)


def _transpose(input, dim0, dim1):
    """Two dimensions exchanged."""
    return int(dim0), int(dim1)


def _t(input):
    """The transpose of a matrix; a vector or number as it is."""
    if input.dim() > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.dim()}D")
    return (tuple(reversed(range(input.dim()))),)


def _movedim(input, source, destination):
    """Dimensions moved to other positions."""
    rank = input.dim()
    lists = [list(dims) if isinstance(dims, (tuple, list)) else [dims] for dims in (source, destination)]
    sources, targets = ([wrap_dim(d, rank) for d in dims] for dims in lists)
    if len(sources) != len(targets):
        raise RuntimeError(
            f"movedim: Invalid source or destination dims: source ({lists[0]} dims) should contain the same number of dims as destination "
            f"({lists[1]} dims)"
        )
    for name, given, dims in (("source", lists[0], sources), ("destination", lists[1], targets)):
        if len(set(dims)) != len(dims):
            raise RuntimeError(f"movedim: repeated dim in `{name}` ({given})")
    rest = iter([d for d in range(rank) if d not in sources])
    where = dict(zip(targets, sources, strict=True))
    return (tuple(where[d] if d in where else next(rest) for d in range(rank)),)


def _select(input, dim, index):
    """Element ``index`` along ``dim``."""
    if input.dim() and not -(size := input.size(dim)) <= int(index) < size:
        raise IndexError(f"select(): index {int(index)} out of range for tensor of size {list(input.shape)} at dimension {dim}")
    return dim, int(index)


def _narrow(input, dim, start, length):
    """``length`` elements from ``start`` along ``dim``."""
    if input.dim() == 0:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    if isinstance(start, Tensor) and (start.dim() or start.dtype.category != 1):
        raise RuntimeError(f"start must be an 0-dim integral Tensor, got {start.dim()} dimensions of {start.dtype}.")
    dim, start = wrap_dim(dim, input.dim()), int(start)
    size = input.size(dim)
    if not -size <= start <= size:
        raise IndexError(f"start out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start = start + size if start < 0 else start
    if length < 0:
        raise RuntimeError(f"narrow(): length must be non-negative, got {length}")
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return dim, start, start + length, 1


def _narrow_copy(input, dim, start, length):
    """A copy of ``length`` elements from ``start`` along ``dim``."""
    if dim >= input.dim():
        raise RuntimeError(f"narrow_copy(): Expected dim < {input.dim()}, the tensor's number of dimensions, but got dim={dim}")
    return _narrow(input, dim, start, length)


def _slice(input, dim=0, start=None, end=None, step=1):
    """Every ``step``-th element from ``start`` up to ``end`` along ``dim``."""
    return dim, start, end, step


def _unsqueeze(input, dim):
    """A new dimension of size 1 at ``dim``."""
    return (dim,)


def _squeeze(input, dim=None):
    """Without its dimensions of size 1, or without those named."""
    return (tuple(dim) if isinstance(dim, list) else dim,)


def _expand(input, *size, implicit=False, **named):
    """Dimensions of size 1 repeated without copying; −1 keeps a size."""
    return (gather_sizes(size, named),)


def _expand_as(input, other: Array):
    """Expanded to the shape of ``other``."""
    return (tuple(other.shape),)


def _sizes(input, *size, **named):
    """The same memory in another shape."""
    return (gather_sizes(size, named),)


def _sizes_or_dtype(input, *size, dtype=None, **named):
    """The same memory in another shape, or as numbers of another type."""
    dtype = size[0] if size and isinstance(size[0], _dtype.dtype) else dtype
    return (gather_sizes(size, named),) if dtype is None else (input.dtype, dtype)


def _view_window(window: Window, *arguments: Any) -> Window:
    return (windows.view if len(arguments) == 1 else windows.view_dtype)(window, *arguments)


def _view_as(input, other: Array):
    """The same memory in the shape of ``other``."""
    return (tuple(other.shape),)


def _unflatten(input, dim, sizes):
    """One dimension split into several."""
    dim = wrap_dim(dim, input.dim())
    shape = tuple(input.shape)
    if sizes is None or not len(sizes):
        raise RuntimeError("unflatten: sizes must be non-empty")
    try:
        inferred = infer_sizes(tuple(sizes), shape[dim])
    except RuntimeError:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({shape[dim]}) in the input tensor"
        ) from None
    return (shape[:dim] + inferred + shape[dim + 1 :],)


def _diagonal(input, offset=0, dim1=0, dim2=1):
    """The diagonal of two dimensions, as the last one."""
    return offset, dim1, dim2


def _unfold(input, dimension, size, step):
    """All slices of ``size`` elements, ``step`` apart, as a new last dimension."""
    return dimension, size, step


def _as_strided(input, size, stride, storage_offset=None):
    """An arbitrary window on the same memory."""
    window = windows.as_strided(input._view_window(), tuple(size), tuple(stride), storage_offset)
    last = window.offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    item, memory = input.dtype.itemsize, input._storage.value
    if 0 not in size and (last + 1) * item > memory.size * memory.dtype.itemsize:
        raise RuntimeError(
            f"setStorage: sizes {list(size)}, strides {list(stride)}, storage offset {window.offset}, and itemsize {item} requiring a storage "
            f"size of {(last + 1) * item} are out of bounds for storage of size {memory.size * memory.dtype.itemsize}"
        )
    return tuple(size), tuple(stride), storage_offset


def _alias(input):
    """A view of the whole tensor (for ``alias_copy``, a copy)."""
    return ()


def _squeeze_grad(dim, first=0):
    return f"SqueezeBackward{first + (0 if dim is None else 1 if isinstance(dim, int) else 2)}"


_publish("permute", windows.permute, "PermuteBackward0", _permute, copy="exact")
_publish(
    "transpose",
    windows.transpose,
    "TransposeBackward0",
    _transpose,
    copy="exact",
    write="TransposeBackward1",
    aliases=("swapaxes", "swapdims"),
)
_publish("t", windows.permute, "TBackward0", _t, copy="exact", write="TBackward1")
_publish("movedim", windows.permute, "PermuteBackward0", _movedim, aliases=("moveaxis",))
_publish("select", windows.select, "SelectBackward0", _select, copy=True)
_publish("narrow", windows.slice_, "SliceBackward0", _narrow)
_publish("unsqueeze", windows.unsqueeze, "UnsqueezeBackward0", _unsqueeze, copy="exact", write="UnsqueezeBackward1")
_publish("squeeze", windows.squeeze, _squeeze_grad, _squeeze, copy="exact", write=lambda *dims: _squeeze_grad(*dims, first=3))
_publish("expand", windows.expand, "ExpandBackward0", _expand, copy="exact", function=False)
_publish("expand_as", windows.expand, "ExpandBackward0", _expand_as, function=False)
_publish("broadcast_to", windows.expand, "ExpandBackward0", _expand)
_publish("view_as", windows.view, "ViewBackward0", _view_as, function=False)
_publish("unflatten", windows.view, "ViewBackward0", _unflatten)
_publish("diagonal", windows.diagonal, "DiagonalBackward0", _diagonal, copy="exact")
_publish("unfold", windows.unfold, "UnfoldBackward0", _unfold, copy="exact", function=False)
_publish("as_strided", windows.as_strided, "AsStridedBackward0", _as_strided, copy="exact", write="AsStridedBackward1")
publish_copy("alias_copy", windows.alias, "AliasBackward0", _alias, exact_out=True)
publish_copy("slice_copy", windows.slice_, "SliceBackward0", _slice)
publish_copy("narrow_copy", windows.slice_, "NarrowCopyBackward0", _narrow_copy, suffix="", method=True, exact_out=True)
publish_copy("view_copy", _view_window, "ViewBackward0", _sizes_or_dtype, exact_out=True)
_publish_scatter("diagonal_scatter", windows.diagonal, _diagonal)
_publish_scatter("select_scatter", windows.select, _select)
_publish_scatter("slice_scatter", windows.slice_, _slice, exact_out=True)
_publish_scatter("as_strided_scatter", windows.as_strided, _as_strided)

add_property(
    "T",
    lambda self: _reversed(self),
    doc="A view with the dimensions in reverse order: of a matrix, its transpose.",
)
add_property(
    "mT",
    lambda self: _matrix(self, "mT").transpose(-2, -1) if self.dim() else _matrix(self, "mT"),
    doc="A view with the last two dimensions exchanged: each matrix transposed.",
)


def _reversed(tensor: Tensor) -> Tensor:
    dim = tensor.dim()
    if dim != 2:
        deprecated("T" if dim else "T of a number")
    return make_view(tensor, windows.permute, (tuple(reversed(range(dim))),), "PermuteBackward0")


def _matrix(tensor: Tensor, name: str) -> Tensor:
    if tensor.dim() == 0:
        deprecated(f"{name.removesuffix('()')} of a number")
    if tensor.dim() == 1:
        raise RuntimeError(f"tensor.{name} is only supported on matrices or batches of matrices. Got {tensor.dim()}-D tensor.")
    return tensor


def _adjoint(tensor: Tensor) -> Tensor:
    turned = tensor.transpose(-2, -1) if tensor.dim() else tensor
    return turned.conj() if tensor.is_complex() else turned


def _hermitian(self: Tensor) -> Tensor:
    if self.dim() not in (0, 2):
        raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.dim()}-D tensor.")
    if self.dim() == 0:
        deprecated("H of a number")
    return _adjoint(self)


def adjoint(input):
    """The last two dimensions exchanged, and the complex conjugate."""
    return _adjoint(_matrix(input, "adjoint()"))


add_property(
    "mH",
    lambda self: _adjoint(_matrix(self, "mH")),
    doc="The last two dimensions exchanged, and the complex conjugate: each matrix's adjoint.",
)
add_property("H", _hermitian, doc="The transpose of a matrix, and the complex conjugate; of a number, its conjugate.")
publish("adjoint", adjoint)
