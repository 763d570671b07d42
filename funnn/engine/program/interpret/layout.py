"""Primitives that move elements: views where NumPy has one."""

from __future__ import annotations

from typing import Any

import numpy as np

from funnn.engine.program.interpret.writer import SCALAR, Rule, Step, Thin, Writer, is_number


def is_whole(size: Any, dim: Any) -> bool:
    """Whether two sizes are surely equal."""
    return bool(size == dim)


def normalized(thin: list[bool]) -> Thin:
    return tuple(thin) if any(thin) else None


def _broadcast_in_dim(writer: Writer, step: Step) -> str:
    value, result = step.inputs[0], step.outputs[0]
    target, axes = step.params["shape"], step.params["broadcast_dimensions"]
    if not value.shape or value.thin == SCALAR:
        result.thin = SCALAR if target else None
        writer.alias(value, result, once=False)
        return value.name
    thin = [True] * len(target)
    index = ["None"] * len(target)
    for i, axis in enumerate(axes):
        index[axis] = ":"
        narrow = value.thin is not None and value.thin[i] is True
        thin[axis] = narrow or not is_whole(value.shape[i], target[axis])
    result.thin = normalized([flag and not is_number(size, 1) for flag, size in zip(thin, target, strict=True)])
    writer.alias(value, result)
    while index and index[-1] == ":":
        index.pop()
    return f"{value.name}[{', '.join(index)}]" if "None" in index else value.name


def _reshape(writer: Writer, step: Step) -> str:
    value, result = step.inputs[0], step.outputs[0]
    if value.thin == SCALAR and result.shape:
        result.thin = SCALAR
        writer.alias(value, result)
        return value.name
    name = writer.array(value)
    writer.alias(value, result)
    if step.params.get("dimensions") is not None:
        name = f"{name}.transpose({tuple(step.params['dimensions'])})"
    return f"{name}.reshape({writer.dims(step.params['new_sizes'])})"


def _squeeze(writer: Writer, step: Step) -> str:
    value, result = step.inputs[0], step.outputs[0]
    dropped = {axis % len(value.shape) for axis in step.params["dimensions"]}
    writer.alias(value, result)
    if value.thin == SCALAR:
        result.thin = SCALAR if result.shape else None
        return value.name
    if value.thin is not None:
        result.thin = normalized([value.thin[i] is True for i in range(len(value.shape)) if i not in dropped])
    index = ["0" if i in dropped else ":" for i in range(len(value.shape))]
    while index and index[-1] == ":":
        index.pop()
    return f"{value.name}[{', '.join(index)}]" if index else value.name


def _expand_dims(writer: Writer, step: Step) -> str:
    value, result = step.inputs[0], step.outputs[0]
    name = writer.array(value)
    writer.alias(value, result)
    return f"np.expand_dims({name}, {tuple(step.params['dimensions'])})"


def _transpose(writer: Writer, step: Step) -> str:
    value, result = step.inputs[0], step.outputs[0]
    order = tuple(step.params["permutation"])
    writer.alias(value, result)
    if value.thin == SCALAR:
        result.thin = SCALAR
        return value.name
    if value.thin is not None:
        result.thin = tuple([value.thin[axis] is True for axis in order])
    if order == tuple(range(len(order))):
        return value.name
    return f"{value.name}.T" if order == (1, 0) else f"{value.name}.transpose({order})"


def _rev(writer: Writer, step: Step) -> str:
    value, result = step.inputs[0], step.outputs[0]
    reversed_axes = set(step.params["dimensions"])
    name = writer.array(value)
    writer.alias(value, result)
    return f"{name}[{', '.join('::-1' if i in reversed_axes else ':' for i in range(len(value.shape)))}]" if value.shape else name


def _concatenate(writer: Writer, step: Step) -> str:
    return f"np.concatenate(({', '.join(writer.arrays(step))},), {step.params['dimension']})"


def _stack(writer: Writer, step: Step) -> str:
    return f"np.stack(({', '.join(writer.arrays(step))},), {step.params['axis']})"


def _unstack(writer: Writer, step: Step) -> None:
    value, axis = step.inputs[0], step.params["axis"]
    name = writer.array(value)
    value.writable = False
    for number, result in enumerate(step.outputs):
        result.writable = False
        writer.line(f"{result.name} = {name}[{':, ' * axis}{number}]")


def _tile(writer: Writer, step: Step) -> str:
    return f"np.tile({writer.array(step.inputs[0])}, {writer.dims(step.params['reps'])})"


def _slice(writer: Writer, step: Step) -> str:
    value, result = step.inputs[0], step.outputs[0]
    if value.thin == SCALAR:
        result.thin = SCALAR
        writer.alias(value, result)
        return value.name
    name = writer.array(value)
    starts, limits = step.params["start_indices"], step.params["limit_indices"]
    strides = step.params["strides"] or (1,) * len(starts)
    index = [_range(writer, *part) for part in zip(starts, limits, strides, value.shape, strict=True)]
    # Rows are as good to write into as the whole; parts of rows are slower than a new array.
    writer.alias(value, result, once=set(index[1:]) <= {":"})
    while index and index[-1] == ":":
        index.pop()
    return f"{name}[{', '.join(index)}]" if index else name


def _range(writer: Writer, start: Any, limit: Any, stride: Any, size: Any) -> str:
    first = "" if is_number(start, 0) else writer.dim(start)
    last = "" if is_whole(limit, size) else writer.dim(limit)
    return f"{first}:{last}" + ("" if is_number(stride, 1) else f":{writer.dim(stride)}")


def _split(writer: Writer, step: Step) -> None:
    value, axis, start = step.inputs[0], step.params["axis"], 0
    name = writer.array(value)
    owned = value.writable and writer.ends(value) and not axis
    value.writable = False
    for result, size in zip(step.outputs, step.params["sizes"], strict=True):
        result.writable = owned and bool(result.shape)
        writer.line(f"{result.name} = {name}[{':, ' * axis}{writer.dim(start)}:{writer.dim(start + size)}]")
        start = start + size


def _pad(writer: Writer, step: Step) -> str:
    value, fill = step.inputs
    config = [tuple(part) for part in step.params["padding_config"]]
    name = writer.array(value)
    if all(is_number(part, 0) for axis in config for part in axis):
        writer.alias(value, step.outputs[0])
        return name
    padding = "(" + "".join(f"{writer.dims(axis)}, " for axis in config) + ")"
    return f"{writer.use(pad)}({name}, {fill.name}, {padding})"


def pad(x: Any, fill: Any, padding: tuple[tuple[int, int, int], ...]) -> Any:
    """``x`` between elements ``fill``: (before, after, between) for each axis; what negative padding cuts off is left out."""
    shape = [
        max(0, low + high + (size - 1) * (inner + 1) + 1 if size else low + high)
        for size, (low, high, inner) in zip(x.shape, padding, strict=True)
    ]
    result = np.empty(shape, x.dtype)
    result[...] = fill
    to, source = [], []
    for size, wide, (low, _, interior) in zip(x.shape, shape, padding, strict=True):
        step = interior + 1
        first = max(0, -(low // step))  # the first element of x that is not cut off
        stop = min(size, (wide - low + step - 1) // step)
        if stop <= first:
            return result
        source.append(slice(first, stop))
        to.append(slice(low + first * step, low + (stop - 1) * step + 1, step))
    result[tuple(to)] = x[tuple(source)]
    return result


def _iota(writer: Writer, step: Step) -> str:
    shape, axis = step.params["shape"], step.params["dimension"]
    result = step.outputs[0]
    dtype = np.dtype(step.params["dtype"])
    whole = dtype if dtype.kind in "iu" and dtype.itemsize >= 4 else np.dtype(np.int64)  # narrow ones wrap
    text = f"np.arange({writer.dim(shape[axis])}, dtype={writer.bind(whole)})"
    if whole != dtype:
        text += f".astype({writer.bind(dtype)})"
    result.thin = normalized([i != axis and not is_number(size, 1) for i, size in enumerate(shape)])
    return text + (f"[{', '.join(':' if i == axis else 'None' for i in range(len(shape)))}]" if len(shape) > 1 else "")


def _dim_as_value(writer: Writer, step: Step) -> str:
    return f"{writer.bind(np.dtype(step.outputs[0].dtype).type)}({writer.dim(step.params['dim'])})"


def _empty(writer: Writer, step: Step) -> str:
    return f"np.zeros({writer.dims(step.outputs[0].shape)}, {writer.bind(np.dtype(step.outputs[0].dtype))})"


RULES: dict[str, Rule] = {
    "broadcast_in_dim": Rule(_broadcast_in_dim),
    "reshape": Rule(_reshape),
    "squeeze": Rule(_squeeze),
    "expand_dims": Rule(_expand_dims),
    "transpose": Rule(_transpose),
    "rev": Rule(_rev),
    "concatenate": Rule(_concatenate),
    "stack": Rule(_stack),
    "unstack": Rule(_unstack),
    "tile": Rule(_tile),
    "slice": Rule(_slice),
    "split": Rule(_split),
    "pad": Rule(_pad),
    "iota": Rule(_iota),
    "dim_as_value": Rule(_dim_as_value),
    "empty": Rule(_empty),
    "empty2": Rule(_empty),
}
