"""Sorting, and reductions that keep every partial result."""

from __future__ import annotations

from typing import Any

import numpy as np

from funnn.engine.program.interpret.writer import Rule, Step, Untranslatable, Writer

_CUMULATIVE = {"cumsum": "np.add", "cumprod": "np.multiply", "cummax": "np.maximum", "cummin": "np.minimum", "cumlogsumexp": "np.logaddexp"}


def _cumulative(writer: Writer, step: Step) -> str:
    value, axis = step.inputs[0], step.params["axis"]
    name = writer.array(value)
    dtype = np.dtype(value.dtype)
    if dtype.kind == "c" and step.primitive.name == "cumlogsumexp":
        raise Untranslatable(f"{step.primitive.name} of {dtype}")
    kept = f", dtype={writer.bind(dtype)}" if dtype.kind in "iu" else ""
    flip = f"[{':, ' * axis}::-1]" if step.params["reverse"] else ""
    text = f"{_CUMULATIVE[step.primitive.name]}.accumulate({name}{flip}, {axis}"
    if dtype == np.float32 and step.primitive.name in ("cumsum", "cumprod"):  # one by one, errors would add up
        return f"{text}, dtype=np.float64).astype(np.float32){flip}"
    return f"{text}{kept}){flip}"


def _sort(writer: Writer, step: Step) -> None:
    names, axis = writer.arrays(step), step.params["dimension"]
    results = ", ".join(result.name for result in step.outputs)
    for result in step.outputs:
        result.writable = True
    if len(names) == 1:
        writer.line(f"{results} = np.sort({names[0]}, {axis}, kind='stable')")
    else:
        writer.line(f"{results} = {writer.use(sort_together)}({axis}, {step.params['num_keys']}, {', '.join(names)})")


def sort_together(axis: int, keys: int, *arrays: Any) -> tuple[Any, ...]:
    """The arrays in the order of the first ``keys`` of them."""
    order = np.lexsort(arrays[:keys][::-1], axis) if keys > 1 else np.argsort(arrays[0], axis, kind="stable")
    return tuple([np.take_along_axis(array, order, axis) for array in arrays])


def _top_k(writer: Writer, step: Step) -> None:
    values, indices = step.outputs
    value = step.inputs[0]
    axis = step.params.get("axis", -1) % len(value.shape)
    size = writer.dim(step.params["k"])
    index = writer.bind(np.dtype(indices.dtype))
    writer.line(f"{values.name}, {indices.name} = {writer.use(top_k)}({writer.array(value)}, {size}, {axis}, {index})")


def top_k(x: Any, k: int, axis: int, index: Any) -> tuple[Any, Any]:
    """The largest along an axis, and where they are; the first of equal ones comes first."""
    backward = (slice(None),) * axis + (slice(None, None, -1),)
    order = np.argsort(x[backward], axis, kind="stable")[backward][(slice(None),) * axis + (slice(k),)]
    order = x.shape[axis] - 1 - order
    return np.take_along_axis(x, order, axis), order.astype(index)


RULES: dict[str, Rule] = {
    **{name: Rule(_cumulative) for name in _CUMULATIVE},
    "sort": Rule(_sort),
    "top_k": Rule(_top_k),
}
