"""Reductions over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from funnn.engine.program.interpret.writer import Rule, Step, Untranslatable, Writer

#: The ufunc that a reduction repeats.
MONOIDS: dict[str, Any] = {
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
}


def neutral(monoid: str, dtype: Any) -> Any:
    """What a reduction gives of no elements."""
    dtype = np.dtype(dtype)
    if monoid in ("max", "min"):
        if dtype.kind == "b":
            return np.bool_(monoid == "min")
        if dtype.kind in "fc":
            return dtype.type(-np.inf if monoid == "max" else np.inf)
        return dtype.type(np.iinfo(dtype).min if monoid == "max" else np.iinfo(dtype).max)
    if monoid == "and":
        return dtype.type(True) if dtype.kind == "b" else np.invert(dtype.type(0))
    return dtype.type(1 if monoid == "mul" else 0)


def _reduce(monoid: str) -> Rule:
    def write(writer: Writer, step: Step) -> str:
        value = step.inputs[0]
        axes = tuple(step.params["axes"])
        name = writer.array(value)
        if not axes:
            writer.alias(value, step.outputs[0])
            return name
        dtype = np.dtype(value.dtype)
        text = f"np.{MONOIDS[monoid].__name__}.reduce({name}, {axes[0] if len(axes) == 1 else axes}"
        if monoid in ("add", "mul"):
            kept = f", dtype={writer.bind(dtype)}" if dtype.kind in "iub" else ""
            return f"{text}{kept})"
        sizes = [value.shape[axis] for axis in axes]
        empty = not all(isinstance(size, int) and size > 0 for size in sizes)
        start = f", initial={writer.bind(neutral(monoid, dtype))}" if empty or monoid == "xor" else ""
        return f"{text}{start})"

    return Rule(write)


def _arg(name: str) -> Rule:
    def write(writer: Writer, step: Step) -> str:
        axes = step.params["axes"]
        if len(axes) != 1:
            raise Untranslatable(f"{step.primitive.name} over axes {axes}")
        return f"np.{name}({writer.array(step.inputs[0])}, {axes[0]}).astype({writer.bind(np.dtype(step.params['index_dtype']))})"

    return Rule(write)


def monoid_of(closed: Any, primitive: Any) -> str:
    """The one operation of two scalars that the jaxpr of a general reduction is."""
    jaxpr = getattr(closed, "jaxpr", closed)
    if len(jaxpr.eqns) == 1:
        equation = jaxpr.eqns[0]
        name: str = equation.primitive.name
        if name in MONOIDS and set(equation.invars) == set(jaxpr.invars) and list(jaxpr.outvars) == list(equation.outvars):
            return name
    raise Untranslatable(f"{primitive} with a function that is no single operation of its two arguments")


def _general(writer: Writer, step: Step) -> None:
    if len(step.inputs) != 2:
        raise Untranslatable(f"{step.primitive.name} of several arrays")
    ufunc = writer.bind(MONOIDS[monoid_of(step.params["jaxpr"], step.primitive.name)])
    value, start = step.inputs
    axes = tuple(step.params["dimensions"])
    dtype = writer.bind(np.dtype(value.dtype))
    writer.line(f"{step.outputs[0].name} = {ufunc}.reduce({writer.array(value)}, {axes}, initial={start.name}, dtype={dtype})")


RULES: dict[str, Rule] = {
    "reduce_sum": _reduce("add"),
    "reduce_prod": _reduce("mul"),
    "reduce_max": _reduce("max"),
    "reduce_min": _reduce("min"),
    "reduce_and": _reduce("and"),
    "reduce_or": _reduce("or"),
    "reduce_xor": _reduce("xor"),
    "argmax": _arg("argmax"),
    "argmin": _arg("argmin"),
    "reduce": Rule(_general),
}
