"""How results lie in memory: those of element-wise operations as their operands do, those of convolutions, pools and the like channels last if an
operand does.

XLA orders dimensions as it likes; this decides strides, and with them what views are possible and in which order random numbers are drawn.
"""

from __future__ import annotations

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from funnn.engine.memory.storage import Window, contiguous_stride, is_contiguous
from funnn.engine.program.form import Form
from funnn.engine.program.graph import run
from funnn.engine.program.value import Value
from funnn.engine.types.layout import channels_last, channels_last_3d, stride_in_order


def like_operands(result: Any, args: tuple[Any, ...], kwargs: dict[Any, Any]) -> Any:
    """The fresh ``result`` of an element-wise operation, rearranged if torch's would lie in memory otherwise than row by row."""
    given = (*args, *kwargs.values())
    if not hasattr(result, "_window") or result._window is not None or any(result is value for value in given):
        return result
    windows = [value._view_window() for value in given if hasattr(value, "_window")]
    stride = _result_stride(result._shape(), tuple((window.shape, window.stride) for window in windows))
    return result if stride is None else with_stride(result, stride)


def in_channels_last(result: Any, args: tuple[Any, ...], kwargs: dict[Any, Any]) -> Any:
    """The fresh ``result`` of an operation on images or volumes, or its several results, channels last if one of the first two operands lies so."""
    operands = [value for value in (*args[:2], kwargs.get("input"), kwargs.get("weight")) if hasattr(value, "_window")]
    ranks = {len(value._shape()) for value in operands if value._window is not None and suggests_channels_last(value._window)}
    for tensor in result if isinstance(result, tuple) else (result,):
        fresh = hasattr(tensor, "_window") and tensor._window is None and not any(tensor is value for value in operands)
        if fresh and len(tensor._shape()) in ranks and 0 not in tensor._shape():
            with_stride(tensor, stride_in_order(tensor._shape(), CHANNELS_LAST[len(tensor._shape())]))
    return result


#: The dimensions of channels-last memory by their number, the outermost first.
CHANNELS_LAST = {len(format.order): format.order for format in (channels_last, channels_last_3d) if format.order is not None}


@functools.lru_cache(maxsize=4096)
def suggests_channels_last(window: Window) -> bool:
    """Whether torch takes a tensor for one in channels-last memory, by its strides alone."""
    shape, stride, order = window.shape, window.stride, CHANNELS_LAST.get(len(window.shape))
    if order is None or stride[1] == 0:
        return False
    least = 0
    for dim in reversed(order):
        if shape[dim] == 0 or stride[dim] < least or (dim == 0 and least == stride[1]):
            return False
        least = stride[dim] * max(shape[dim], 1)
    return True


def like_leaf(gradient: Any, leaf: Any) -> Any:
    """The first gradient of a leaf, with the leaf's strides if its elements fill a stretch of memory."""
    window = leaf._window
    if gradient._window is not None or window is None or is_contiguous(window) or not is_dense(window.shape, window.stride):
        return gradient
    return with_stride(gradient, window.stride)


def with_stride(tensor: Any, stride: tuple[int, ...]) -> Any:
    """A fresh tensor, put into memory with dense strides of another order of its dimensions; its storage, which a node may know, stays."""
    value, shape, storage = tensor._operand(), tensor._shape(), tensor._storage
    order = tuple(sorted(range(len(shape)), key=lambda dim: (-stride[dim], -shape[dim], dim)))
    if not value.traced and type(value.array) is np.ndarray:
        storage.value = Value(np.ascontiguousarray(value.array.transpose(order)))
    else:
        storage.value = run(_transposing(order), [value])
    tensor._window = Window(shape, stride, 0)
    tensor._value, tensor._value_writes = value, storage.writes
    saved = getattr(tensor._grad_fn, "saved", None)
    if saved:
        tensor._grad_fn.saved = [(*item[:4], tensor._window) if item[0] is storage else item for item in saved]
    return tensor


@functools.cache
def _transposing(order: tuple[int, ...]) -> Form:
    return Form(lambda array: ((jnp.transpose(array, order),), None))


@functools.lru_cache(maxsize=4096)
def _result_stride(shape: tuple[int, ...], operands: tuple[Any, ...]) -> tuple[int, ...] | None:
    """The strides that torch's result has; None for those of rows after rows."""
    if len(shape) < 2 or 0 in shape:
        return None
    if all(is_contiguous(Window(shape, stride, 0)) for shape, stride in operands):
        return None
    first = operands[0][1]
    if all(operand == (shape, first) for operand in operands) and is_dense(shape, first):
        return first
    order = _from_the_innermost(shape, [_spread(shape, *operand) for operand in operands])
    return None if order == list(reversed(range(len(shape)))) else stride_in_order(shape, tuple(reversed(order)))


def preserved_stride(shape: tuple[int, ...], stride: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a new tensor like one with these: the same where its elements fill a stretch of memory, else in the same order."""
    return stride if is_dense(shape, stride) else _result_stride(shape, ((shape, stride),)) or contiguous_stride(shape)


def is_dense(shape: tuple[int, ...], stride: tuple[int, ...]) -> bool:
    """Whether the elements fill a stretch of memory, each once."""
    step = 1
    for dim in sorted((dim for dim in range(len(shape)) if shape[dim] != 1), key=lambda dim: stride[dim]):
        if stride[dim] != step:
            return False
        step *= shape[dim]
    return True


def _spread(shape: tuple[int, ...], own: tuple[int, ...], stride: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an operand in the shape of the result: 0 where it is repeated."""
    missing = len(shape) - len(own)
    return (0,) * missing + tuple(0 if size == 1 and shape[missing + dim] != 1 else stride[dim] for dim, size in enumerate(own))


def _from_the_innermost(shape: tuple[int, ...], strides: list[tuple[int, ...]]) -> list[int]:
    """The dimensions from the smallest stride to the largest; an operand has no say on a dimension in which it is repeated."""
    order = list(reversed(range(len(shape))))
    for position in range(1, len(order)):
        late = position
        for early in reversed(range(position)):
            comes = _compare(shape, strides, order[early], order[late])
            if comes < 0:
                break
            if comes > 0:
                order[early], order[late] = order[late], order[early]
                late = early
    return order


def _compare(shape: tuple[int, ...], strides: list[tuple[int, ...]], a: int, b: int) -> int:
    """Whether dimension a lies inside b (−1), around it (1), or no operand says."""
    for stride in strides:
        if 0 in (stride[a], stride[b]):
            continue
        if stride[a] != stride[b]:
            return -1 if stride[a] < stride[b] else 1
        if shape[a] > shape[b]:
            return 1
    return 0
