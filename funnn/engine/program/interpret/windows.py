"""Reductions over windows, and what gradients of pooling need."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from funnn.engine.program.interpret.layout import pad
from funnn.engine.program.interpret.reductions import MONOIDS, monoid_of, neutral
from funnn.engine.program.interpret.writer import Rule, Step, Untranslatable, Writer

_WIDE = 32  # a window that is wider is reduced as a view, not element after element


def _geometry(writer: Writer, params: dict[str, Any]) -> str:
    ones = (1,) * len(params["window_dimensions"])
    padding = "(" + "".join(f"{writer.dims(pair)}, " for pair in params["padding"]) + ")"
    parts = [
        params["window_dimensions"],
        params["window_strides"],
        params.get("base_dilation") or ones,
        params.get("window_dilation") or ones,
    ]
    return f"{', '.join(map(writer.dims, parts))}, {padding}"


def _monoid(monoid: str) -> Rule:
    def write(writer: Writer, step: Step) -> str:
        value = step.inputs[0]
        start = writer.bind(neutral(monoid, value.dtype))
        ufunc = writer.bind(MONOIDS[monoid])
        return f"{writer.use(reduce_windows)}({writer.array(value)}, {ufunc}, {start}, {_geometry(writer, step.params)})"

    return Rule(write)


def _general(writer: Writer, step: Step) -> None:
    if len(step.inputs) != 2:
        raise Untranslatable(f"{step.primitive.name} of several arrays")
    value, start = step.inputs
    monoid = monoid_of(step.params["jaxpr"], step.primitive.name)
    ufunc, fill = writer.bind(MONOIDS[monoid]), writer.bind(neutral(monoid, value.dtype))
    geometry = _geometry(writer, step.params)
    name = writer.array(value)
    # The start comes once a window; XLA leaves the padding out.
    writer.line(f"{step.outputs[0].name} = {ufunc}({writer.use(reduce_windows)}({name}, {ufunc}, {fill}, {geometry}), {start.name})")


def padded(x: Any, fill: Any, base: tuple[int, ...], padding: tuple[tuple[int, int], ...]) -> Any:
    """``x`` with holes between and padding around its elements."""
    if all(d == 1 for d in base) and not any(low or high for low, high in padding):
        return x
    return pad(x, fill, tuple([(low, high, d - 1) for (low, high), d in zip(padding, base, strict=True)]))


def reduce_windows(
    x: Any,
    ufunc: Any,
    fill: Any,
    window: tuple[int, ...],
    strides: tuple[int, ...],
    base: tuple[int, ...],
    dilation: tuple[int, ...],
    padding: tuple[tuple[int, int], ...],
) -> Any:
    """Reduces each window, axis after axis."""
    x = padded(x, fill, base, padding)
    for axis, (k, stride, d) in enumerate(zip(window, strides, dilation, strict=True)):
        if k == 1 and stride == 1:
            continue
        before = (slice(None),) * axis
        count = max(0, (x.shape[axis] - (k - 1) * d - 1) // stride + 1)
        if not count or k == 0:
            shape = x.shape[:axis] + (count,) + x.shape[axis + 1 :]
            x = np.full(shape, fill, x.dtype)
        elif k > _WIDE:
            views = np.lib.stride_tricks.sliding_window_view(x, (k - 1) * d + 1, axis)[(*before, slice(None, None, stride))]
            x = ufunc.reduce(views[..., ::d], -1, dtype=x.dtype)
        else:
            span = (count - 1) * stride + 1
            parts = [x[(*before, slice(i * d, i * d + span, stride))] for i in range(k)]
            if k == 1:
                x = parts[0]
                continue
            result = ufunc(parts[0], parts[1])
            for part in parts[2:]:
                ufunc(result, part, out=result)
            x = result
    return x


# ---- the element of each window that is largest or smallest ----
def _selects(params: dict[str, Any], primitive: Any) -> str:
    name = getattr(params["select_prim"], "name", str(params["select_prim"]))
    if name not in ("ge", "le"):
        raise Untranslatable(f"{primitive} that selects by {name}")
    return "np.greater_equal" if name == "ge" else "np.less_equal"


def _select_and_scatter_add(writer: Writer, step: Step) -> str:
    source, operand = writer.arrays(step)
    chosen = _selects(step.params, step.primitive.name)
    return f"{writer.use(select_and_scatter_add)}({source}, {operand}, {chosen}, {_geometry(writer, step.params)})"


def _select_and_gather_add(writer: Writer, step: Step) -> str:
    tangents, operand = writer.arrays(step)
    chosen = _selects(step.params, step.primitive.name)
    return f"{writer.use(select_and_gather_add)}({tangents}, {operand}, {chosen}, {_geometry(writer, step.params)})"


Selected = Iterator[tuple[Any, Any, tuple[slice, ...]]]


def _walk(operand: Any, window: tuple[int, ...], strides: tuple[int, ...], base: Any, dilation: Any, padding: Any) -> Selected:
    """For each place in a window: the elements of all windows there, whether they lie inside the operand, and their index in the padded one."""
    wide = padded(operand, operand.dtype.type(0), base, padding)
    inside = padded(np.broadcast_to(np.bool_(True), operand.shape), np.bool_(False), base, padding)
    counts = [max(0, (n - (k - 1) * d - 1) // s + 1) for n, k, s, d in zip(wide.shape, window, strides, dilation, strict=True)]
    for place in np.ndindex(*window):
        index = tuple(
            [slice(i * d, i * d + (n - 1) * s + 1 if n else i * d, s) for i, d, n, s in zip(place, dilation, counts, strides, strict=True)]
        )
        yield wide[index], inside[index], index


def select_and_scatter_add(source: Any, operand: Any, keeps: Any, window: Any, strides: Any, base: Any, dilation: Any, padding: Any) -> Any:
    """Adds each element of ``source`` where its window has the selected element."""
    best: Any = None
    chosen = np.full(source.shape, -1, np.int32)
    walked = list(_walk(operand, window, strides, base, dilation, padding))
    for number, (here, inside, _) in enumerate(walked):
        better = inside if best is None else inside & ((chosen < 0) | ~keeps(best, here))
        best = here.copy() if best is None else np.where(better, here, best)
        chosen[better] = number
    result = padded(np.zeros(operand.shape, source.dtype), source.dtype.type(0), base, padding)
    for number, (_, _, index) in enumerate(walked):
        result[index] += np.where(chosen == number, source, source.dtype.type(0))
    index = tuple([slice(low, low + (n - 1) * d + 1, d) for (low, _), n, d in zip(padding, operand.shape, base, strict=True)])
    return result[index]


def select_and_gather_add(
    tangents: Any, operand: Any, keeps: Any, window: Any, strides: Any, base: Any, dilation: Any, padding: Any
) -> Any:
    """The tangent of the selected element of each window."""
    wide = padded(tangents, tangents.dtype.type(0), base, padding)
    best: Any = None
    result: Any = None
    found: Any = None
    for here, inside, index in _walk(operand, window, strides, base, dilation, padding):
        if best is None:
            best, result, found = here.copy(), np.where(inside, wide[index], wide.dtype.type(0)), np.array(inside)
            continue
        better = inside & (~found | ~keeps(best, here))
        best, result, found = np.where(better, here, best), np.where(better, wide[index], result), found | inside
    return result


RULES: dict[str, Rule] = {
    "reduce_window_sum": _monoid("add"),
    "reduce_window_max": _monoid("max"),
    "reduce_window_min": _monoid("min"),
    "reduce_window": Rule(_general),
    "select_and_scatter_add": Rule(_select_and_scatter_add),
    "select_and_gather_add": Rule(_select_and_gather_add),
}
