"""Inner jaxprs: calls are inlined, loops and branches become Python's."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

from funnn.engine.program.interpret.writer import Rule, Step, Untranslatable, Value, Writer, live_steps

#: The parameter that holds the jaxpr of a call.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "call": "call_jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "custom_vmap_call": "call",
    "composite": "jaxpr",
}
#: What is run for its checks alone.
_IGNORED = {"shape_assertion", "dce_sink"}
Block = tuple[list[Step], list[Value]]


def flatten(writer: Writer, jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Value]) -> Block:
    """The steps of a jaxpr, calls inlined, and its results."""
    steps: list[Step] = []
    return steps, _flatten(writer, steps, jaxpr, consts, arguments)


def _flatten(writer: Writer, steps: list[Step], jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Value]) -> list[Value]:
    known: dict[Any, Value] = {}
    for var, const in zip(jaxpr.constvars, consts, strict=True):
        known[var] = writer.constant(const, var.aval)
    known.update(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Value:
        return writer.constant(atom.val, atom.aval) if isinstance(atom, Literal) else known[atom]

    for equation in jaxpr.eqns:
        name = equation.primitive.name
        inputs = [read(atom) for atom in equation.invars]
        if name in _IGNORED:
            continue
        if name in _CALLS and _CALLS[name] in equation.params:
            inner = equation.params[_CALLS[name]]
            results = _flatten(writer, steps, getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), inputs)
        elif name == "funnn_linear_map":
            inner = _linear_map(equation)
            results = _flatten(writer, steps, inner.jaxpr, inner.consts, inputs)
        elif name == "funnn_convolution_choice":
            inner = _otherwise(equation)
            results = _flatten(writer, steps, inner.jaxpr, inner.consts, inputs)
        elif name == "platform_index":
            results = [writer.constant(_platform(equation.params["platforms"]), equation.outvars[0].aval)]
        elif name == "cond" and equation.params.get("branches_platforms") is not None:
            inner = equation.params["branches"][_platform(equation.params["branches_platforms"])]
            results = _flatten(writer, steps, inner.jaxpr, inner.consts, inputs[1:])
        else:
            if equation.effects:
                raise Untranslatable(f"{name} has an effect: {', '.join(map(str, equation.effects))}")
            results = [writer.value(var.aval) for var in equation.outvars]
            steps.append(Step(equation.primitive, equation.params, inputs, results))
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _linear_map(equation: Any) -> Any:
    """The jaxpr of funnn's linear primitive: that of its forward map."""
    shapes = tuple([atom.aval.shape for atom in equation.invars])
    # Sizes of different scopes cannot be compared, so that the scope must differ first.
    scope = next((id(size.scope) for shape in shapes for size in shape if hasattr(size, "scope")), None)
    dtypes = tuple([atom.aval.dtype for atom in equation.invars])
    return _traced(
        scope, jax.dtypes.canonicalize_dtype(np.int64) == np.int64, equation.params["count"], equation.params["map"], dtypes, shapes
    )


@functools.lru_cache(maxsize=256)
def _traced(scope: int | None, wide: bool, count: int, map: Any, dtypes: tuple[Any, ...], shapes: tuple[Any, ...]) -> Any:
    avals = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]
    return _trace(lambda *arrays: map(arrays[:count], arrays[count:]), avals)


def _otherwise(equation: Any) -> Any:
    """The jaxpr of a convolution that XLA may leave to oneDNN: what is done where it does not."""
    avals = [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in equation.invars]
    return _trace(functools.partial(equation.params["otherwise"], geometry=equation.params["geometry"]), avals)


def _trace(function: Callable[..., Any], avals: list[Any]) -> Any:
    """The jaxpr of a function for these shapes; Untranslatable where it cannot be traced without their sizes."""
    try:
        return jax.make_jaxpr(function)(*avals)
    except Exception as error:  # of which JAX has many kinds, for what asks a symbol for its size or compares two
        if not any(hasattr(size, "scope") for aval in avals for size in aval.shape):
            raise
        raise Untranslatable(f"sizes must be known: {error}") from error


def _platform(platforms: Any) -> int:
    """Which branch is for the CPU: the last, without a name, is for every platform."""
    for number, names in enumerate(platforms):
        if names is None or "cpu" in names:
            return number
    raise Untranslatable(f"a branch for each of {platforms}, none of which is for the CPU")


# ---- blocks ----
def _begin(writer: Writer, jaxpr: Any, outside: Sequence[Value], own: Sequence[Value]) -> Block:
    """The block of a loop's or branch's jaxpr, whose arguments are values from outside and then its own."""
    return flatten(writer, jaxpr.jaxpr, jaxpr.consts, [*outside, *own])


def _hoist(writer: Writer, block: Block) -> Block:
    """Writes the steps that are the same at every turn of a loop, one level out; the others are left."""
    steps, results = block
    inside, before = [], []
    for step in live_steps(steps, results):
        if step.primitive.name in _BLOCKS or any(value.depth == writer.depth + 1 for value in step.inputs):
            inside.append(step)
            continue
        before.append(step)
        for value in step.outputs:
            value.depth = writer.depth
            value.kept = True
    writer.steps(before, [value for step in before for value in step.outputs])
    return inside, results


def _own(writer: Writer, value: Value, steps: Sequence[Step], new: Value) -> bool:
    """Whether it pays that the loop owns a carried array: a step updates it, and the new one is made by such a step too."""
    if not value.shape:
        return False
    made = [step for step in steps if new in step.outputs]
    used = [step for step in steps if value in step.inputs]
    return bool(made and used and writer.rule(made[0]).updates and writer.rule(used[-1]).updates)


def _carry(writer: Writer, values: Sequence[Value], carried: Sequence[Value], owned: Sequence[bool]) -> None:
    """Assigns the carried values, those that the loop owns as copies if others might reach their memory."""
    names = [writer.array(value) for value in values]
    for number, (value, own) in enumerate(zip(values, owned, strict=True)):
        if own and not (value.writable and writer.inside(value) and not value.kept and list(values).count(value) == 1):
            names[number] = f"np.array({names[number]})"
    targets = [value.name for value in carried]
    if names and names != targets:
        writer.line(f"{', '.join(targets)} = {', '.join(names)}")


def _start(writer: Writer, values: Sequence[Value], names: Sequence[str], carried: Sequence[Value], owned: Sequence[bool]) -> None:
    """Assigns the first carried values."""
    texts = []
    for value, name, own in zip(values, names, owned, strict=True):
        free = value.writable and writer.ends(value) and list(values).count(value) == 1
        texts.append(f"np.array({name})" if own and not free else name)
        value.writable = value.writable and own and free
    if texts:
        writer.line(f"{', '.join(value.name for value in carried)} = {', '.join(texts)}")


def _inner_values(writer: Writer, avals: Sequence[Any]) -> list[Value]:
    """Values of the block that begins."""
    writer.depth += 1
    values = [writer.value(aval) for aval in avals]
    writer.depth -= 1
    return values


def _deeper(writer: Writer, make: Callable[[], Block]) -> Block:
    writer.depth += 1
    block = make()
    writer.depth -= 1
    return block


# ---- loops ----
def _scan_counts(params: dict[str, Any]) -> tuple[int, int]:
    """How many constants and carried values a scan has; JAX 0.12 says it by trees."""
    if "num_consts" in params:
        return params["num_consts"], params["num_carry"]
    parts = [len(list(part.vals)) for part in params["ft_in"].unpack()]
    if sum(parts) != len(params["jaxpr"].invars):
        raise Untranslatable("scan with parameters that this version of JAX names otherwise")
    return parts[0], parts[1]


def _scan(writer: Writer, step: Step) -> None:
    params = step.params
    constants, carries = _scan_counts(params)
    names = writer.arrays(step)
    outside = [_whole(value, name) for value, name in zip(step.inputs[:constants], names, strict=False)]
    first, scanned = step.inputs[constants : constants + carries], names[constants + carries :]
    inner = params["jaxpr"]
    own = _inner_values(writer, [var.aval for var in inner.jaxpr.invars[constants:]])
    carried, elements = own[:carries], own[carries:]
    block = _deeper(writer, lambda: _begin(writer, inner, outside, own))
    steps, results = _hoist(writer, block)
    for value in step.inputs[carries + constants :]:
        value.writable = False
    owned = [_own(writer, value, steps, new) for value, new in zip(carried, results, strict=False)]
    _start(writer, first, names[constants : constants + carries], carried, owned)
    stacked = step.outputs[carries:]
    for value in stacked:
        writer.line(f"{value.name} = np.empty({writer.dims(value.shape)}, {writer.bind(np.dtype(value.dtype))})")
    turn, length = writer.name("t"), writer.dim(params["length"])
    turns = f"range({length})" if not params["reverse"] else f"range({length} - 1, -1, -1)"
    writer.line(f"for {turn} in {turns}:")
    writer.depth += 1
    used = {value for step in steps for value in step.inputs} | set(results)
    for value, name in zip(elements, scanned, strict=True):
        if value in used:
            writer.line(f"{value.name} = {name}[{turn}]")
    for value, own_memory in zip(carried, owned, strict=True):
        value.writable = own_memory
    writer.steps(steps, results)
    for value, result in zip(stacked, results[carries:], strict=True):
        writer.line(f"{value.name}[{turn}] = {result.name}")
    _carry(writer, results[:carries], carried, owned)
    writer.line("pass")
    writer.depth -= 1
    _finish(writer, step.outputs[:carries], carried, owned)
    for value in stacked:
        value.writable = True


def _finish(writer: Writer, results: Sequence[Value], carried: Sequence[Value], owned: Sequence[bool]) -> None:
    for result, value, own in zip(results, carried, owned, strict=True):
        writer.line(f"{result.name} = {value.name}")
        result.writable = own


def _whole(value: Value, name: str) -> Value:
    """The value by the name of its full array, kept for a loop or branch."""
    other = Value(name, value.shape, value.dtype, value.depth, kept=True)
    value.writable = False
    return other


def _while(writer: Writer, step: Step) -> None:
    params = step.params
    of_test, of_body = params["cond_nconsts"], params["body_nconsts"]
    names = writer.arrays(step)
    whole = [_whole(value, name) for value, name in zip(step.inputs[: of_test + of_body], names, strict=False)]
    test, body = params["cond_jaxpr"], params["body_jaxpr"]
    carried = _inner_values(writer, [var.aval for var in body.jaxpr.invars[of_body:]])
    first = step.inputs[of_test + of_body :]
    asked = _hoist(writer, _deeper(writer, lambda: _begin(writer, test, whole[:of_test], carried)))
    steps, results = _hoist(writer, _deeper(writer, lambda: _begin(writer, body, whole[of_test:], carried)))
    touched = {value for step in asked[0] for value in step.inputs} | set(asked[1])
    owned = [value not in touched and _own(writer, value, steps, new) for value, new in zip(carried, results, strict=True)]
    _start(writer, first, names[of_test + of_body :], carried, owned)
    writer.line("while True:")
    writer.depth += 1
    kept = [value.kept for value in carried]
    for value in carried:
        value.kept = True
    writer.steps(*asked)
    for value, before, own in zip(carried, kept, owned, strict=True):
        value.kept, value.writable = before, own
    writer.line(f"if not {asked[1][0].name}:")
    writer.line("    break")
    writer.steps(steps, results)
    _carry(writer, results, carried, owned)
    writer.depth -= 1
    _finish(writer, step.outputs, carried, owned)


def _cond(writer: Writer, step: Step) -> None:
    branches = step.params["branches"]
    index = step.inputs[0]
    names = writer.arrays(step)
    operands = [_whole(value, name) for value, name in zip(step.inputs[1:], names[1:], strict=True)]
    for number, branch in enumerate(branches):
        if number == len(branches) - 1:
            writer.line("else:" if number else "if True:")
        else:
            writer.line(f"{'el' if number else ''}if {index.name} <= {number}:")
        writer.depth += 1
        steps, results = _begin(writer, branch, operands, ())
        writer.steps(steps, results)
        for value, result in zip(step.outputs, results, strict=True):
            writer.line(f"{value.name} = {writer.array(result)}")
            value.writable = False
        writer.line("pass")
        writer.depth -= 1


_BLOCKS = {"scan", "while", "cond"}
RULES: dict[str, Rule] = {"scan": Rule(_scan), "while": Rule(_while), "cond": Rule(_cond)}
