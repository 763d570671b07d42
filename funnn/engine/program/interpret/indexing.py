"""Reading and writing at indices that are values: dynamic slices and gather."""

from __future__ import annotations

from typing import Any

import numpy as np

from funnn.engine.program.interpret.layout import is_whole
from funnn.engine.program.interpret.writer import Rule, Step, Untranslatable, Value, Writer


# ---- dynamic slices ----
def _window(writer: Writer, shape: Any, starts: list[Value], sizes: Any) -> str:
    """The index of a window that is moved to lie inside the array."""
    index = []
    for size, start, wanted in zip(shape, starts, sizes, strict=True):
        if is_whole(size, wanted):
            index.append(":")
            continue
        first = writer.name("i")
        writer.line(f"{first} = min(max(int({start.name}), 0), {writer.dim(size - wanted)})")
        index.append(f"{first}:{first} + {writer.dim(wanted)}")
    while index and index[-1] == ":":
        index.pop()
    return f"[{', '.join(index)}]" if index else ""


def _dynamic_slice(writer: Writer, step: Step) -> str:
    value, result = step.inputs[0], step.outputs[0]
    name = writer.array(value)
    index = _window(writer, value.shape, step.inputs[1 : 1 + len(value.shape)], result.shape)
    writer.alias(value, result)
    return name + index


def _dynamic_update_slice(writer: Writer, step: Step) -> str:
    value, update, *starts = step.inputs
    result = step.outputs[0]
    index = _window(writer, value.shape, starts, update.shape) or "[...]"
    name = value.name if writer.overwritable(value, result) else result.name
    if name != value.name:
        writer.line(f"{name} = np.array({writer.array(value)})")
    writer.line(f"{name}{index} = {update.name}")
    return name


# ---- gather ----
def _gather(writer: Writer, step: Step) -> str:
    value, indices = step.inputs
    numbers, sizes = step.params["dimension_numbers"], step.params["slice_sizes"]
    mode = mode_of(step)
    fills = mode == "FILL_OR_DROP"
    fill = "None"
    if fills:
        fill = writer.bind(_fill_value(step.params["fill_value"], np.dtype(value.dtype)))
    name, index = writer.array(value), writer.array(indices)
    mapped, batched = numbers.start_index_map, numbers.operand_batching_dims
    rows = len(mapped) == 1 and not batched and tuple(numbers.collapsed_slice_dims) == tuple(mapped)
    rows = rows and all(axis in mapped or is_whole(size, dim) for axis, (size, dim) in enumerate(zip(sizes, value.shape, strict=True)))
    if rows:
        axis, batch = mapped[0], len(indices.shape) - 1
        if tuple(numbers.offset_dims) == tuple(i for i in range(len(step.outputs[0].shape)) if not axis <= i < axis + batch):
            return f"{writer.use(take)}({name}, {index}[..., 0], {axis}, {fill})"
    whole = tuple([bool(is_whole(size, dim)) for size, dim in zip(sizes, value.shape, strict=True)])
    return f"{writer.use(gather)}({name}, {index}, {writer.bind(numbers)}, {writer.dims(sizes)}, {whole}, {fill})"


def mode_of(step: Step) -> str:
    """What becomes of indices that are outside."""
    mode = step.params["mode"]
    name: str = "FILL_OR_DROP" if mode is None else mode.name
    if name not in ("CLIP", "FILL_OR_DROP", "PROMISE_IN_BOUNDS"):
        raise Untranslatable(f"{step.primitive.name} in the mode {name}")
    return name


def _fill_value(given: Any, dtype: Any) -> Any:
    if given is not None:
        return np.asarray(given).astype(dtype)[()]
    if dtype.kind in "fc":
        return dtype.type(np.nan)
    if dtype.kind == "b":
        return np.bool_(True)
    return dtype.type(np.iinfo(dtype).min if dtype.kind == "i" else np.iinfo(dtype).max)


def signed(index: Any) -> Any:
    """The indices as signed integers that NumPy can index by."""
    if index.dtype == np.uint64:
        index = np.minimum(index, np.uint64(np.iinfo(np.int64).max))
    return index.astype(np.intp, copy=False)


def take(x: Any, index: Any, axis: int, fill: Any = None) -> Any:
    """``x`` at the indices along an axis: clipped ones, or ``fill`` at those that are outside."""
    size = x.shape[axis]
    index = signed(index)
    if size == 0:
        shape = x.shape[:axis] + index.shape + x.shape[axis + 1 :]
        return np.full(shape, 0 if fill is None else fill, x.dtype)
    result = x.take(index, axis, mode="clip")
    if fill is not None:
        outside = (index < 0) | (index >= size)
        if outside.any():
            result = np.asarray(result)
            result[(slice(None),) * axis + (outside,)] = fill
    return result


def starts_of(index: Any, axes: tuple[int, ...], batched: tuple[int, ...], index_batched: tuple[int, ...]) -> dict[int, Any]:
    """The start of each window, along each axis of the operand that is indexed."""
    batch = index.shape[:-1]
    starts = {axis: signed(index[..., k]) for k, axis in enumerate(axes)}
    for axis, of_index in zip(batched, index_batched, strict=True):
        shape = [1] * len(batch)
        shape[of_index] = batch[of_index]
        starts[axis] = np.arange(batch[of_index]).reshape(shape)
    return starts


def mesh(starts: dict[int, Any], widths: dict[int, int], dropped: set[int]) -> tuple[Any, ...]:
    """An index for each axis of ``starts``, which broadcast to the batch dimensions and then the widths of the axes that are not dropped."""
    windows = [axis for axis in sorted(starts) if axis not in dropped]
    found = []
    for axis in sorted(starts):
        start = starts[axis].reshape(starts[axis].shape + (1,) * len(windows))
        if axis not in dropped:
            after = len(windows) - 1 - windows.index(axis)
            start = start + np.arange(widths[axis]).reshape((-1,) + (1,) * after)
        found.append(start)
    return tuple(found)


def gather(x: Any, index: Any, numbers: Any, sizes: tuple[int, ...], whole: tuple[bool, ...], fill: Any) -> Any:
    """XLA's gather: windows of ``x`` that start at the rows of ``index``."""
    batch = index.ndim - 1
    dropped = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    starts = starts_of(index, numbers.start_index_map, numbers.operand_batching_dims, numbers.start_indices_batching_dims)
    for axis in range(x.ndim):  # what is neither indexed nor whole starts at 0
        if axis not in starts and not (whole[axis] and axis not in dropped):
            starts[axis] = np.zeros((1,) * batch, np.intp)
    outside: Any = None
    for axis in numbers.start_index_map:
        start, last = starts[axis], x.shape[axis] - sizes[axis]
        if fill is not None:
            wrong = (start < 0) | (start > last)
            outside = wrong if outside is None else outside | wrong
        starts[axis] = np.clip(start, 0, max(last, 0))
    front = sorted(starts)
    rest = [axis for axis in range(x.ndim) if axis not in starts]
    windows = [axis for axis in front if axis not in dropped]
    shape = index.shape[:-1] + tuple(sizes[axis] for axis in windows) + tuple(x.shape[axis] for axis in rest)
    if 0 in x.shape:
        found = np.zeros(shape, x.dtype)
    elif front:
        found = x.transpose(front + rest)[mesh(starts, dict(enumerate(sizes)), dropped)]
        found = np.broadcast_to(found, shape)
    else:
        found = np.broadcast_to(x, shape)
    if outside is not None and outside.any():
        outside = np.broadcast_to(outside, index.shape[:-1])
        found = np.where(outside.reshape(outside.shape + (1,) * (found.ndim - batch)), fill, found)
    order = [0] * found.ndim
    offsets = list(numbers.offset_dims)
    for number, axis in enumerate([axis for axis in range(x.ndim) if axis not in dropped]):
        order[offsets[number]] = batch + (windows + rest).index(axis)
    batches = iter(range(batch))
    for place in range(found.ndim):
        if place not in offsets:
            order[place] = next(batches)
    result = found.transpose(order)
    return result if result.flags.owndata or result.flags.writeable else result.copy()


RULES: dict[str, Rule] = {
    "dynamic_slice": Rule(_dynamic_slice),
    "dynamic_update_slice": Rule(_dynamic_update_slice, updates=True),
    "gather": Rule(_gather),
}
