"""Memory as torch has it: a Storage that tensors share, and windows (shape, stride, offset) through which each tensor sees it.

A Storage holds one immutable array, in the shape of the tensor that made it; writing replaces the array. A window is read and written
by one of two plans: a slice with a permutation of axes when the window is one of the array, else a gather by flat index.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from funnn.engine.program.form import forms_of
from funnn.engine.program.graph import run
from funnn.engine.program.value import Value
from funnn.engine.state import thread
from funnn.engine.types import dtype as _dtype


class Storage:
    """One value that several tensors may see.

    Attributes:
      value: the value, which may be pending.
      version: how many in-place operations autograd has seen; a value saved for backward is stale when this has moved.
      writes: how many times the value was replaced, by whatever way.
      inference: whether it was made in inference mode.
      level: the number of torch.func's transformation in which it was made, 0 outside of all.
      foreign: set, and true, where the memory is one that another library made, which does not grow.
      moved: a weak reference to the tensor that was on it until its ``.data`` became another one, if there is such a tensor.
    """

    __slots__ = ("__weakref__", "foreign", "inference", "level", "moved", "value", "version", "writes")

    foreign: bool
    moved: Any

    def __init__(self, array: Any):
        self.value: Value = array if isinstance(array, Value) else Value(array)
        self.version = self.writes = 0
        self.inference, self.level = thread.inference, thread.level
        if thread.tracing is not None:
            thread.tracing.created(self)

    @property
    def array(self) -> Any:
        """The numbers: a jax.Array, a tracer inside a transformation, or a NumPy array where NumPy computed them."""
        array = self.value.array
        return self.value.known() if array is None else array

    @array.setter
    def array(self, array: Any) -> None:
        self.value = array if isinstance(array, Value) else Value(array)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype:
        """Of the array."""
        return self.value.dtype

    def replace(self, array: Any, tracked: bool = True) -> None:
        """Write: the whole array is replaced."""
        if thread.tracing is not None:
            thread.tracing.read(self)
        self.value = array if isinstance(array, Value) else Value(array)
        self.writes += 1
        self.version += tracked

    def read(self, window: Window) -> Value:
        """The numbers of a window, which may be pending."""
        value = self.value
        plan, starts = plan_window(value.shape, window, value.dtype)
        found: Value = run(reading(plan), [value, *starts])
        return found

    def write(self, window: Window, values: Value, tracked: bool) -> None:
        """Write the numbers of a window, to whose shape they broadcast."""
        value = self.value
        plan, starts = plan_window(value.shape, window, value.dtype)
        self.value = run(writing(plan), [value, values, *starts])
        self.writes += 1
        self.version += tracked

    def snapshot(self) -> Value:
        """The value as it is now, whatever is written later."""
        return self.value

    def first_read(self) -> Value:
        """What a transformation remembers of a storage from outside: a snapshot, but of large memory that others write the value that reads it later."""
        return self.value


class Window(NamedTuple):
    """What a tensor sees of a storage: element (i, j, …) is at offset + i·stride[0] + j·stride[1] + …

    ``dtype`` is set where the memory is read as numbers of another type than the array's; stride and offset then count those.
    Of the numbers there, ``conj`` sees the conjugates, and ``neg`` the negatives; what is written through the window is turned likewise.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    dtype: _dtype.dtype | None = None  # not NumPy's, which equals None where it is float64
    conj: bool = False
    neg: bool = False

    @property
    def turned(self) -> bool:
        """Whether it shows other numbers than those that lie in memory."""
        return self.conj or self.neg


@functools.lru_cache(maxsize=4096)
def contiguous_stride(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Row-major strides, as torch counts them (a dimension of size 0 counts as 1)."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


@functools.lru_cache(maxsize=4096)
def whole(shape: tuple[int, ...]) -> Window:
    """The window that sees all of an array."""
    return Window(shape, contiguous_stride(shape), 0)


def is_contiguous(window: Window) -> bool:
    if 0 in window.shape:
        return True
    expected = contiguous_stride(window.shape)
    return all(size == 1 or a == b for size, a, b in zip(window.shape, window.stride, expected, strict=True))


@functools.lru_cache(maxsize=4096)
def covers(outer: Window, inner: Window) -> bool:
    """Whether every element that ``inner`` sees is one that ``outer`` sees; both count numbers of the same size."""

    def places(window: Window) -> np.ndarray:
        steps = (np.arange(size) * stride for size, stride in zip(window.shape, window.stride, strict=True))
        return np.unique(functools.reduce(np.add.outer, steps, np.asarray(window.offset)))

    return bool(np.isin(places(inner), places(outer)).all())


class Plan(NamedTuple):
    """How to reach a window of an array of a given shape; the starts are traced, so that x[0], x[1], … share one program.

    kind 'reshape': the window is the whole array in another shape. 'slice': take ``lengths`` elements ``steps`` apart from the starts on each
    axis of the array (reshaped to ``axes``, if those are set), keep the axes ``kept`` in that order, and broadcast to ``shape``. 'gather': flat
    indices from ``stride``. All of the array as it is seen in ``dtype``, if that is set, and of the values what ``conj`` and ``neg`` say.
    """

    kind: str
    shape: tuple[int, ...]
    lengths: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()
    kept: tuple[int | None, ...] = ()
    stride: tuple[int, ...] = ()
    dtype: _dtype.dtype | None = None
    axes: tuple[int, ...] = ()
    conj: bool = False
    neg: bool = False


@functools.lru_cache(maxsize=4096)
def plan_window(shape: tuple[int, ...], window: Window, dtype: np.dtype) -> tuple[Plan, tuple[int, ...]]:
    """The plan to reach ``window`` in a row-major array of that shape and dtype, and the starts."""
    if window.turned:
        plan, starts = plan_window(shape, window._replace(conj=False, neg=False), dtype)
        return plan._replace(conj=window.conj, neg=window.neg), starts
    if window.dtype is not None:
        shape = _seen_shape(shape, dtype, window.dtype.numpy)
        plan, starts = plan_window(shape, window._replace(dtype=None), dtype)
        return plan._replace(dtype=window.dtype), starts
    size = math.prod(shape)
    if math.prod(window.shape) == size and window.offset == 0 and is_contiguous(window):
        return Plan("reshape", window.shape), ()
    finer = _axes_for(size, window)
    for axes in (shape,) if finer is None else (shape, finer):
        found = _plan_slice(axes, window)
        if found is not None:
            return (found[0] if axes is shape else found[0]._replace(axes=axes)), found[1]
    return Plan("gather", window.shape, stride=window.stride), (window.offset,)


def _axes_for(size: int, window: Window) -> tuple[int, ...] | None:
    """The shape of an array of so many elements in which each stride of the window is a step along an axis of its own, if there is one."""
    strides = sorted(
        {stride for length, stride in zip(window.shape, window.stride, strict=True) if length > 1 and stride > 0}, reverse=True
    )
    axes, above = [], size
    for stride in strides:
        if above % stride:
            return None
        axes.append(above // stride)
        above = stride
    return (*axes, above)


def _plan_slice(shape: tuple[int, ...], window: Window) -> tuple[Plan, tuple[int, ...]] | None:
    """The plan of kind 'slice' for an array of that shape, if there is one."""
    steps_of = contiguous_stride(shape)
    begins: list[int] = []
    rest = window.offset
    for step, length in zip(steps_of, shape, strict=True):
        begins.append(rest // step if length else 0)
        rest %= step
    lengths, steps = [1] * len(shape), [1] * len(shape)
    kept: list[int | None] = []
    for length, stride in zip(window.shape, window.stride, strict=True):
        if length == 1 or stride == 0:
            kept.append(None)
            continue
        axis = _axis(shape, steps_of, begins, lengths, length, stride)
        if axis is None or length == 0:
            return None
        lengths[axis], steps[axis] = length, stride // steps_of[axis]
        kept.append(axis)
    return Plan("slice", window.shape, tuple(lengths), tuple(steps), tuple(kept)), tuple(begins)


def _axis(shape: tuple[Any, ...], steps_of: tuple[Any, ...], starts: list[Any], lengths: list[Any], length: int, stride: int) -> int | None:
    """The axis of the array along which ``length`` elements ``stride`` apart lie, if there is one that is still free."""
    for axis in range(len(shape)):
        step = steps_of[axis]
        if lengths[axis] == 1 and shape[axis] > 1 and stride % step == 0 and starts[axis] + (length - 1) * (stride // step) < shape[axis]:
            return axis
    return None


def _indices(plan: Plan, offset: Any) -> jax.Array:
    index = jnp.asarray(offset)
    for axis, (length, stride) in enumerate(zip(plan.shape, plan.stride, strict=True)):
        index = index + lax.broadcasted_iota(index.dtype, plan.shape, axis) * stride if length else jnp.zeros(plan.shape, index.dtype)
    return index


def _seen_shape(shape: tuple[int, ...], dtype: np.dtype, other: np.dtype) -> tuple[int, ...]:
    have, want = dtype.itemsize, other.itemsize
    if have == want:
        return shape
    if have > want:
        return (*shape, have // want)
    times = want // have
    if shape and shape[-1] == times:
        return shape[:-1]
    if math.prod(shape) % times:
        raise NotImplementedError(
            f"a view of {math.prod(shape)} numbers of type {dtype} as {other} is not supported, because that is no whole number of elements of "
            f"{want} bytes; clone() the part to be viewed first"
        )
    return (math.prod(shape) // times,)


def seen_as(array: jax.Array, dtype: np.dtype) -> jax.Array:
    """The same memory as numbers of another type: a wider number is a last axis of narrower ones, and the other way round."""
    if array.dtype == dtype:
        return array
    shape = _seen_shape(array.shape, array.dtype, dtype)
    if jnp.iscomplexobj(array):
        array = jnp.stack([array.real, array.imag], axis=-1)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8)
    if array.dtype == dtype:
        return array.reshape(shape)
    if dtype == np.bool_:
        return seen_as(array, np.dtype(np.uint8)).astype(bool)
    if dtype.kind == "c":
        half = seen_as(array, np.dtype(f"f{dtype.itemsize // 2}")).reshape(-1, 2)
        return lax.complex(half[:, 0], half[:, 1]).reshape(shape)
    times = dtype.itemsize // array.dtype.itemsize
    return lax.bitcast_convert_type(array.reshape(-1, times) if times > 1 else array, dtype).reshape(shape)


def _turned(values: jax.Array, plan: Plan) -> jax.Array:
    """The numbers that a window shows for those in memory, and the other way round."""
    values = jnp.conj(values) if plan.conj else values
    return -values if plan.neg else values


def read_window(array: jax.Array, starts: tuple[Any, ...], plan: Plan) -> jax.Array:
    """The values of a window; pure, differentiable in ``array``."""
    if plan.conj or plan.neg:
        return _turned(read_window(array, starts, plan._replace(conj=False, neg=False)), plan)
    if plan.dtype is not None:
        array = seen_as(array, plan.dtype.numpy)
    if plan.kind == "reshape":
        return array.reshape(plan.shape)
    if plan.kind == "gather":
        return array.reshape(-1)[_indices(plan, starts[0])]
    if plan.axes:
        array = array.reshape(plan.axes)
    spans = tuple((length - 1) * step + 1 for length, step in zip(plan.lengths, plan.steps, strict=True))
    part = lax.dynamic_slice(array, starts, spans) if array.ndim else array
    if any(step != 1 for step in plan.steps):
        part = lax.slice(part, (0,) * part.ndim, spans, plan.steps)
    axes = [axis for axis in plan.kept if axis is not None]
    order = axes + [axis for axis in range(array.ndim) if axis not in axes]
    part = lax.transpose(part, order).reshape([1 if axis is None else plan.lengths[axis] for axis in plan.kept])
    return jnp.broadcast_to(part, plan.shape)


def write_window(array: jax.Array, values: jax.Array, starts: tuple[Any, ...], plan: Plan) -> jax.Array:
    """``array`` with the window's values replaced; pure, differentiable in both."""
    if plan.conj or plan.neg:
        return write_window(array, _turned(values, plan), starts, plan._replace(conj=False, neg=False))
    if plan.dtype is not None:
        seen = write_window(seen_as(array, plan.dtype.numpy), values, starts, plan._replace(dtype=None))
        return seen_as(seen, np.dtype(array.dtype)).reshape(array.shape)
    if plan.kind == "reshape":
        return values.reshape(array.shape)
    if plan.kind == "gather":
        flat = array.reshape(-1).at[_indices(plan, starts[0])].set(values, unique_indices=0 not in plan.stride)
        return flat.reshape(array.shape)
    if plan.axes:
        return write_window(array.reshape(plan.axes), values, starts, plan._replace(axes=())).reshape(array.shape)
    axes = [axis for axis in plan.kept if axis is not None]
    for position, axis in enumerate(plan.kept):  # of an expanded axis, all elements are one: the last write stays
        if axis is None and plan.shape[position] != 1:
            values = lax.slice_in_dim(values, plan.shape[position] - 1, plan.shape[position], axis=position)
    values = values.reshape([plan.lengths[axis] for axis in axes])
    values = lax.transpose(values, np.argsort(axes).tolist()).reshape(plan.lengths) if axes else values.reshape(plan.lengths)
    if array.ndim == 0:
        return values
    if all(step == 1 for step in plan.steps):
        return lax.dynamic_update_slice(array, values, starts)
    slices = tuple(
        start + step * jnp.arange(length).reshape([-1 if i == axis else 1 for i in range(array.ndim)])
        for axis, (start, step, length) in enumerate(zip(starts, plan.steps, plan.lengths, strict=True))
    )
    return array.at[slices].set(values, unique_indices=True)


def read_through(values: jax.Array, memory: jax.Array, own: tuple[Any, ...], read: tuple[Any, ...]) -> jax.Array:
    """A window ``read`` of the memory in which ``values`` lie at the window ``own``; pure, differentiable in ``values``."""
    return read_window(write_window(memory, values, *own), *read)


def write_through(values: jax.Array, written: jax.Array, memory: jax.Array, own: tuple[Any, ...], at: tuple[Any, ...]) -> jax.Array:
    """``values``, which lie at ``own``, after the window ``at`` of the same memory was written; pure, differentiable in both."""
    return read_window(write_window(write_window(memory, values, *own), written, *at), *own)


def _reading(plan: Plan) -> Callable[..., tuple[tuple[jax.Array], None]]:
    return lambda array, *starts: ((read_window(array, starts, plan),), None)


def _writing(plan: Plan) -> Callable[..., tuple[tuple[jax.Array], None]]:
    return lambda array, values, *starts: ((write_window(array, jnp.broadcast_to(values, plan.shape), starts, plan),), None)


#: What reads a window of an array, by its plan: (array, *starts) -> values.
reading = forms_of(_reading)
#: What writes a window of an array, by its plan: (array, values, *starts) -> array.
writing = forms_of(_writing)
