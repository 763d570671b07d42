"""How results lie in memory: those of element-wise operations as their operands do, those of convolutions, pools and the like channels last if an
operand does.

XLA orders dimensions as it likes; this decides strides, and with them what views are possible and in which order random numbers are drawn.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from funnn.engine.memory.storage import Window, contiguous_stride, is_contiguous
from funnn.engine.memory.view_geometry import unsqueeze
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


def like_operands_exchanged(result: Any, args: tuple[Any, ...], kwargs: dict[Any, Any]) -> Any:
    """As :func:`like_operands`, of an operation that torch computes with its first two operands exchanged."""
    first, second, *others = (*args, *kwargs.values())
    return like_operands(result, (second, first, *others), {})


def like_selected(result: Any, source: Any, indices: list[Any]) -> Any:
    """The fresh ``result`` of reading ``source`` at arrays of indices (None: a whole dimension), in the order of memory of the dimensions read whole."""
    window = source._window
    if window is None or is_contiguous(window) or result._window is not None:
        return result
    shape, places = result._shape(), [dim for dim, index in enumerate(indices) if index is not None]
    whole = [stride for dim, stride in enumerate(window.stride) if dim not in places]
    start = places[0] if places[-1] - places[0] == len(places) - 1 else 0
    rank = len(shape) - len(whole)
    read = (*whole[:start], *(0,) * rank, *whole[start:])
    found = contiguous_stride(shape[start : start + rank])
    stride = _result_stride(shape, ((shape, read), (shape, (*(0,) * start, *found, *(0,) * (len(whole) - start)))))
    return result if stride is None else with_stride(result, stride)


def like_first(result: Any, args: tuple[Any, ...], kwargs: dict[Any, Any]) -> Any:
    """The fresh ``result`` of an operation, or its several results, in the order of memory of the first operand where they have its dimensions."""
    first = args[0] if args else kwargs.get("input", kwargs.get("self"))
    window = getattr(first, "_window", None)
    if window is not None and not is_contiguous(window):
        for tensor in _fresh(result, args, kwargs):
            shape = tensor._shape()
            stride = _result_stride(shape, ((shape, window.stride),)) if len(shape) == len(window.shape) else None
            if stride is not None:
                with_stride(tensor, stride)
    return result


def in_channels_last(result: Any, args: tuple[Any, ...], kwargs: dict[Any, Any]) -> Any:
    """The fresh ``result`` of an operation on images or volumes, or its several results, channels last if one of the first two operands lies so."""
    operands = _images(args, kwargs)
    ranks = {len(value._shape()) for value in operands if value._window is not None and suggests_channels_last(value._window)}
    for tensor in _fresh(result, args, kwargs):
        if len(tensor._shape()) in ranks:
            with_stride(tensor, stride_in_order(tensor._shape(), CHANNELS_LAST[len(tensor._shape())]))
    return result


def batched_in_channels_last(spatial: int) -> Callable[..., Any]:
    """As :func:`in_channels_last`, of an operation that adds a batch of one where there is none, and to signals a dimension of one.

    Args:
      spatial: the number of its dimensions in space; that of signals is 1, which are images of one row.
    """

    def arrange(result: Any, args: tuple[Any, ...], kwargs: dict[Any, Any]) -> Any:
        operands = _images(args, kwargs)
        if any(value._window is not None and suggests_channels_last(_as_batch(value._window, spatial)) for value in operands):
            for tensor in _fresh(result, args, kwargs):
                batch = _as_batch(tensor._view_window(), spatial)
                last = batch._replace(stride=stride_in_order(batch.shape, CHANNELS_LAST[len(batch.shape)]))
                rank, stride = len(tensor._shape()), last.stride[-spatial - 1 :] if spatial > 1 else (last.stride[1], last.stride[3])
                with_stride(tensor, stride if rank == spatial + 1 else (last.stride[0], *stride[-spatial - 1 :]))
        return result

    return arrange


def in_columns(*outputs: int) -> dict[str, Any]:
    """What ``overridable`` takes for an operation of LAPACK: of the matrices among its results that are so numbered, column lies after column."""

    def arrange(result: Any, args: tuple[Any, ...], kwargs: dict[Any, Any]) -> Any:
        tensors = result if isinstance(result, tuple) else (result,)
        for tensor in _fresh(tuple([tensors[number] for number in outputs if number < len(tensors)]), args, kwargs, empty=True):
            shape = tensor._shape()
            if len(shape) > 1:
                turned = contiguous_stride((*shape[:-2], shape[-1], shape[-2]))
                with_stride(tensor, (*turned[:-2], turned[-1], turned[-2]))
        return result

    return {"arrange": arrange, "arrange_always": True}


def _images(args: tuple[Any, ...], kwargs: dict[Any, Any]) -> list[Any]:
    """The operands that decide."""
    return [value for value in (*args[:2], kwargs.get("input"), kwargs.get("weight")) if hasattr(value, "_window")]


def _fresh(result: Any, args: tuple[Any, ...], kwargs: dict[Any, Any], empty: bool = False) -> list[Any]:
    """The tensors of a result that are new, not empty unless ``empty`` ones count, too, and lie row after row."""
    old = {id(value) for given in (args, kwargs.values()) for value in given}
    if "out" in kwargs:
        old.update(map(id, kwargs["out"] if isinstance(kwargs["out"], tuple) else ()))
    tensors = result if isinstance(result, tuple) else (result,)
    return [t for t in tensors if getattr(t, "_window", 0) is None and (empty or 0 not in t._shape()) and id(t) not in old]


def _as_batch(window: Window, spatial: int) -> Window:
    """A batch of images or volumes, of an image or volume without one; of a signal, of one row."""
    batch = unsqueeze(window, 0) if len(window.shape) == spatial + 1 else window
    return unsqueeze(batch, -2) if spatial == 1 else batch


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
