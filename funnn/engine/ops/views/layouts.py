"""Tensors by how they lie in memory: copies in an order of dimensions, empty ones with given strides, other sizes for the same memory."""

from __future__ import annotations

import math
from typing import Any

import jax
from jax import Array

from funnn.engine.memory.grown import grow, lengthened, whole_memory
from funnn.engine.memory.shared import SharedStorage
from funnn.engine.memory.storage import Window, whole
from funnn.engine.memory.strides import like_operands, with_stride
from funnn.engine.ops.elementwise.pointwise import clone
from funnn.engine.ops.kit.table import FUNCTIONS, gather_sizes, publish
from funnn.engine.program.outline import outlined
from funnn.engine.program.value import filled
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.device import check_pinned, wants_outline
from funnn.engine.types.dtype import as_dtype, complex32, get_default_dtype
from funnn.engine.types.layout import contiguous_format, order_of, preserve_format, stride_in_order

_clone = FUNCTIONS["clone"]


def in_format(tensor: Tensor, format: Any, fresh: bool) -> Tensor:
    """The tensor in a memory format: itself, rearranged if it is the ``fresh`` result of an operation, or a copy."""
    order = tuple(range(tensor.dim())) if format is contiguous_format else order_of(format, tensor.dim())
    if order is None or tensor.is_contiguous(format):
        return tensor
    result = tensor if fresh else _clone(tensor)
    return with_stride(result, stride_in_order(result._shape(), order))


def _clone_in_format(input, *, memory_format=None):
    result = _clone(input)
    if memory_format is None or memory_format is preserve_format:
        return like_operands(result, (input,), {})
    return in_format(result, memory_format, fresh=True)


publish("clone", _clone_in_format, clone)


def empty_strided(
    size: Any,
    stride: Any,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of unspecified values (zeros, here) with those strides."""
    check_pinned(pin_memory)
    size, stride = gather_sizes((size,)), gather_sizes((stride,))
    if len(size) != len(stride):
        raise RuntimeError(f"dimensionality of sizes ({len(size)}) must match dimensionality of strides ({len(stride)})")
    if any(number < 0 for number in (*size, *stride)):
        raise RuntimeError(f"empty_strided: sizes and strides must be 0 or more, got sizes={list(size)} and strides={list(stride)}")
    count = 0 if 0 in size else 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    kind = get_default_dtype() if dtype is None else as_dtype(dtype)
    result = Tensor._wrap(outlined((count,), kind.numpy) if wants_outline(device) else filled((count,), 0, kind.numpy))
    result._window = Window(size, stride, 0)
    return result._set_requires_grad(requires_grad)


def empty_permuted(size: Any, physical_layout: Any, **options: Any) -> Tensor:
    """A tensor of unspecified values (zeros, here) whose dimensions lie in memory in that order, the outermost first."""
    size, order = gather_sizes((size,)), gather_sizes((physical_layout,))
    if len(size) != len(order):
        raise RuntimeError(
            f"Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = {len(size)} is not equal to "
            f"len(physical_layout) = {len(order)}"
        )
    if any(not 0 <= dim < len(size) for dim in order):
        raise RuntimeError(f"Dimension out of range (expected to be between 0 and {len(size) - 1}, but got {list(order)})")
    if len(set(order)) != len(order):
        raise RuntimeError(f"Duplicate dim not allowed: {list(order)}")
    return empty_strided(size, stride_in_order(size, order), **options)


def _new_empty_strided(self: Tensor, size: Any, stride: Any, *, dtype: Any = None, **options: Any) -> Tensor:
    """As torch.empty_strided, in this tensor's dtype."""
    return empty_strided(size, stride, dtype=self.dtype if dtype is None else dtype, **options)


publish("empty_strided", empty_strided, method=False)
publish("empty_permuted", empty_permuted, method=False)
publish("new_empty_strided", _new_empty_strided, function=False)


def resize_(self: Array, *size, memory_format=None, **named):
    """Another size for the same memory, in place; where that is too small, it grows (by zeros, here), for all tensors that see it."""
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad; resize tensor.detach(), or make a new tensor")
    shape = gather_sizes(size, named)
    if any(size < 0 for size in shape):
        raise RuntimeError(f"resize_(): sizes must be 0 or more, got {list(shape)}")
    if shape == self._shape():
        return self
    self._storage.version += self._tracked
    window, have = self._view_window(), self.dtype.itemsize
    storage, _ = whole_memory(self._storage, window)
    each = storage.dtype.itemsize
    needed = -(-(window.offset + math.prod(shape)) * have // each) if math.prod(shape) else 0
    if needed > math.prod(storage.shape):
        if type(storage) is SharedStorage or getattr(storage, "foreign", False):
            raise RuntimeError("Trying to resize storage that is not resizable")
        with jax.enable_x64(True):
            storage = (grow if thread.tracing is None else lengthened)(storage, needed)
    order = order_of(memory_format, len(shape)) or tuple(range(len(shape)))
    window = window._replace(shape=shape, stride=stride_in_order(shape, order))
    self._storage, self._window = storage, None if window == whole(storage.shape) else window
    self._value, self._value_writes = None, -1
    return self


def resize_as_(self: Array, the_template: Array, *, memory_format=None):
    """The size of another tensor for the same memory, in place."""
    return resize_(self, tuple(the_template.shape), memory_format=memory_format)


publish("resize_", resize_, function=False)
publish("resize_as_", resize_as_)


def _chalf(self: Tensor, *, memory_format: Any = None) -> Tensor:
    """Raises NotImplementedError: there are no complex numbers of two halves."""
    return self.to(complex32, memory_format=memory_format)  # which says the way round


Tensor.chalf = _chalf
