"""Scatter: windows of an array that are written, added, multiplied, or made larger or smaller, at indices that are values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from funnn.engine.program.interpret.indexing import mesh, mode_of, signed, starts_of
from funnn.engine.program.interpret.layout import is_whole
from funnn.engine.program.interpret.writer import Rule, Step, Writer

#: The ufunc that combines what is there with the update.
_UFUNCS: dict[str, Any] = {
    "scatter": None,
    "scatter-add": np.add,
    "scatter-sub": np.subtract,
    "scatter-mul": np.multiply,
    "scatter-min": np.minimum,
    "scatter-max": np.maximum,
}


def _scatter(writer: Writer, step: Step) -> str:
    value, indices, updates = step.inputs
    result = step.outputs[0]
    numbers, params = step.params["dimension_numbers"], step.params
    ufunc = writer.bind(_UFUNCS[step.primitive.name])
    index, update = writer.array(indices), writer.array(updates)
    if writer.overwritable(value, result):
        name = value.name
    else:
        name = result.name
        writer.line(f"{name} = np.array({writer.array(value)}, order='C')")
    clips = mode_of(step) == "CLIP"
    axes = tuple(numbers.scatter_dims_to_operand_dims)
    batch = len(indices.shape) - 1
    rows = len(axes) == 1 and axes == tuple(numbers.inserted_window_dims) == (0,) and not numbers.operand_batching_dims
    rows = rows and tuple(numbers.update_window_dims) == tuple(range(batch, len(updates.shape)))
    if rows and all(is_whole(a, b) for a, b in zip(updates.shape[batch:], value.shape[1:], strict=True)):
        writer.line(f"{writer.use(scatter_rows)}({name}, {index}[..., 0], {update}, {ufunc}, {clips}, {bool(params['unique_indices'])})")
    else:
        writer.line(f"{writer.use(scatter)}({name}, {index}, {update}, {writer.bind(numbers)}, {ufunc}, {clips})")
    return name


def scatter_rows(x: Any, index: Any, updates: Any, ufunc: Any, clips: bool, unique: bool) -> None:
    """Combines rows of ``x`` with the updates."""
    index = signed(index).reshape(-1)
    updates = updates.reshape((index.size,) + x.shape[1:])
    if clips:
        index = np.clip(index, 0, x.shape[0] - 1)
    else:
        inside = (index >= 0) & (index < x.shape[0])
        if not inside.all():
            index, updates = index[inside], updates[inside]
    combine(x, index, updates, ufunc, unique)


def combine(x: Any, index: Any, updates: Any, ufunc: Any, unique: bool) -> None:
    """``x[index] = ufunc(x[index], updates)``, in which an index may come more than once; its rows are ``updates``."""
    if ufunc is None:
        x[index] = updates
    elif unique:
        x[index] = ufunc(x[index], updates)
    else:
        length = x.size // max(x.shape[0], 1)
        combine_elements(x, index[:, None] * length + np.arange(length), updates, ufunc)


def combine_elements(x: Any, index: Any, updates: Any, ufunc: Any) -> None:
    """The same for single elements, counted through all dimensions of ``x``: ``ufunc.at`` is quick for these alone."""
    index, updates = index.reshape(-1), updates.reshape(-1)
    if x.flags.c_contiguous:
        ufunc.at(x.reshape(-1), index, updates)
    else:
        ufunc.at(x, np.unravel_index(index, x.shape), updates)


def scatter(x: Any, index: Any, updates: Any, numbers: Any, ufunc: Any, clips: bool) -> None:
    """XLA's scatter into ``x``: a window that does not lie inside is dropped, or moved to lie inside."""
    batch = index.ndim - 1
    dropped = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    window_axes = [axis for axis in range(x.ndim) if axis not in dropped]
    window_dims = list(numbers.update_window_dims)
    widths = dict.fromkeys(dropped, 1) | {axis: updates.shape[dim] for axis, dim in zip(window_axes, window_dims, strict=True)}
    axes = numbers.scatter_dims_to_operand_dims
    starts = starts_of(index, axes, numbers.operand_batching_dims, numbers.scatter_indices_batching_dims)
    for axis in range(x.ndim):
        if axis not in starts and (axis in dropped or widths[axis] != x.shape[axis]):
            starts[axis] = np.zeros((1,) * batch, np.intp)
    if updates.size == 0 or x.size == 0:
        return
    front, rest = sorted(starts), [axis for axis in range(x.ndim) if axis not in starts]
    batch_dims = [dim for dim in range(updates.ndim) if dim not in window_dims]
    dim_of = dict(zip(window_axes, window_dims, strict=True))
    order = batch_dims + [dim_of[axis] for axis in front if axis not in dropped] + [dim_of[axis] for axis in rest]
    updates = updates.transpose(order)
    inside: Any = None
    for axis in axes:
        last = x.shape[axis] - widths[axis]
        if clips:
            starts[axis] = np.clip(starts[axis], 0, last)
        else:
            right = (starts[axis] >= 0) & (starts[axis] <= last)
            inside = right if inside is None else inside & right
    if inside is not None and not inside.all():
        inside = np.broadcast_to(inside, index.shape[:-1])
        starts = {axis: np.broadcast_to(start, inside.shape)[inside] for axis, start in starts.items()}
        updates = updates[inside]
        batch = 1
    target = x.transpose(front + rest)
    where = mesh(starts, widths, dropped)
    if not where:  # the window is the whole array, perhaps several times
        for update in updates.reshape((-1,) + target.shape):
            target[...] = update if ufunc is None else ufunc(target, update)
    elif ufunc is None:
        target[where] = updates
    else:
        length = [math.prod(x.shape[axis + 1 :]) for axis in range(x.ndim)]
        index = sum(start * length[axis] for axis, start in zip(front, where, strict=True))
        for axis in rest:
            index = index[..., None] + np.arange(x.shape[axis]) * length[axis]
        combine_elements(x, np.broadcast_to(index, updates.shape), updates, ufunc)


RULES: dict[str, Rule] = {name: Rule(_scatter, updates=True) for name in _UFUNCS}
