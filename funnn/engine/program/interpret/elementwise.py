"""Elementwise primitives: one ufunc each, or a function where XLA's values differ from NumPy's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from funnn.engine.program.interpret.writer import SCALAR, Rule, Step, Thin, Untranslatable, Value, Writer, is_number

_FEW = 8192  # elements among which np.where chooses fastest


def common(values: list[Value], result: Value) -> Thin:
    """How an elementwise result of operands that are stored so is stored."""
    rank = len(result.shape)
    if not rank:
        return None
    thin = [True] * rank
    scalar = True
    for value in values:
        if not value.shape or value.thin == SCALAR:
            continue
        scalar = False
        if value.thin is None and value.shape == result.shape:
            return None
        for axis in range(rank):  # operands may have sizes of 1 where the result has others
            narrow = value.thin is not None and value.thin[axis] is True
            thin[axis] = thin[axis] and (narrow or is_number(value.shape[axis], 1)) and not is_number(result.shape[axis], 1)
    return SCALAR if scalar else tuple(thin) if any(thin) else None


def _elementwise(operator: str | None, function: str | Callable[..., Any], out: bool = True) -> Rule:
    """A rule: the operator, the NumPy function or the helper function to call, which takes an array to write into if ``out``."""

    def write(writer: Writer, step: Step) -> str:
        result, names = step.outputs[0], [value.name for value in step.inputs]
        result.thin = common(step.inputs, result)
        called = function if isinstance(function, str) else writer.use(function)
        if out:
            for value in step.inputs:
                if writer.overwritable(value, result, result.thin):
                    return f"{called}({', '.join(names)}, out={value.name})"
        if operator is not None:
            return operator.format(*names)
        return f"{called}({', '.join(names)})"

    return Rule(write, updates=out)


def _of_kinds(**rules: Rule) -> Rule:
    """A rule for each kind of dtype of the first operand; ``other`` is for the rest."""

    def write(writer: Writer, step: Step) -> str | None:
        kind = np.dtype(step.inputs[0].dtype).kind
        rule = rules.get(kind, rules.get("other"))
        if rule is None:
            raise Untranslatable(f"{step.primitive.name} of {step.inputs[0].dtype}")
        return rule.write(writer, step)

    return Rule(write, updates=any(rule.updates for rule in rules.values()))


# ---- functions whose values NumPy defines otherwise ----
def divide_integers(x: Any, y: Any) -> Any:
    """Truncates; x/0 is -1, all bits set."""
    quotient = np.floor_divide(x, y)
    if np.dtype(quotient.dtype).kind == "i":
        quotient = quotient + ((quotient * y != x) & ((x < 0) != (y < 0))).astype(quotient.dtype)
        return np.where(y == 0, quotient.dtype.type(-1), quotient)
    return np.where(y == 0, np.iinfo(quotient.dtype).max, quotient)


def remainder_integers(x: Any, y: Any) -> Any:
    """With the dividend's sign; of a division by 0, the dividend."""
    return np.where(y == 0, x, np.fmod(x, y))


def logistic(x: Any, out: Any = None) -> Any:
    """1 / (1 + exp(-x))."""
    if not isinstance(x, np.ndarray) or not x.ndim:
        return 1 / (1 + np.exp(-x))
    out = np.negative(x, out=out)
    np.exp(out, out=out)
    np.add(out, out.dtype.type(1), out=out)
    return np.reciprocal(out, out=out)


def rsqrt(x: Any, out: Any = None) -> Any:
    """1 / sqrt(x)."""
    if not isinstance(x, np.ndarray) or not x.ndim:
        return 1 / np.sqrt(x)
    out = np.sqrt(x, out=out)
    return np.reciprocal(out, out=out)


def sign_of_floats(x: Any) -> Any:
    """The sign, in which zeros keep theirs."""
    return np.where(x == 0, x, np.sign(x))


def round_away(x: Any) -> Any:
    """To the nearest integer, halves away from zero."""
    whole = np.trunc(x)
    return np.copysign(np.where(abs(x - whole) >= 0.5, abs(whole) + 1, abs(whole)), x)


def power_by_integers(x: Any, y: Any) -> Any:
    """x**y for integers y, by repeated squares as XLA computes it."""
    x, y = np.broadcast_arrays(x, y)
    negative = y < 0
    left = np.abs(y.astype(np.int64)) if y.dtype.kind == "i" else y
    result, square = np.ones_like(x), x
    while left.any():
        result = np.where(left & 1, result * square, result)
        left = left >> 1
        square = square * square
    if x.dtype.kind in "iu":  # the inverse of an integer, rounded to zero
        return np.where(negative, divide_integers(x.dtype.type(1), result), result)
    return np.where(negative, 1 / result, result)


def shift_left(x: Any, y: Any) -> Any:
    """0 from the dtype's width on."""
    return np.where(_bits(y) < _width(x), np.left_shift(x, y), x.dtype.type(0))


def shift_right_logical(x: Any, y: Any) -> Any:
    """Zeros come from the left; 0 from the dtype's width on."""
    shifted = np.right_shift(_bits(x), _bits(y))
    return np.where(_bits(y) < _width(x), shifted, shifted.dtype.type(0)).view(x.dtype)


def shift_right_arithmetic(x: Any, y: Any) -> Any:
    """The highest bit comes from the left, in unsigned integers too."""
    signed = x.view(f"i{x.dtype.itemsize}")
    return np.right_shift(signed, np.minimum(_bits(y), _width(x) - 1).astype(signed.dtype)).view(x.dtype)


def _width(x: Any) -> int:
    return int(x.dtype.itemsize) * 8


def _bits(x: Any) -> Any:
    """The integers as unsigned ones."""
    return x.view(f"u{x.dtype.itemsize}") if x.dtype.kind == "i" else x


def count_ones(x: Any) -> Any:
    """How many bits are set."""
    return np.bitwise_count(_bits(x)).astype(x.dtype)


def count_leading_zeros(x: Any) -> Any:
    """How many bits are clear above the highest that is set."""
    rest, width = _bits(x), _width(x)
    zeros = np.full(np.shape(x), width, np.int64)
    for bit in range(width):
        zeros = np.where((rest >> bit) & 1, width - 1 - bit, zeros)
    return zeros.astype(x.dtype)


def multiply_high(x: Any, y: Any) -> Any:
    """The upper half of the product's bits."""
    width = _width(x)
    if width == 64:
        product = np.asarray(x, object) * np.asarray(y, object)
        return np.asarray(product >> 64).astype(x.dtype)
    wide = np.dtype(f"{x.dtype.kind}{width // 4}")
    return (np.multiply(x, y, dtype=wide) >> width).astype(x.dtype)


def select(which: Any, *cases: Any) -> Any:
    """``cases[which]``, element by element."""
    result = cases[0]
    for number, case in enumerate(cases[1:], 1):
        result = np.where(which == number, case, result)
    return result


def one_minus_square(x: Any) -> Any:
    """1 − x², a primitive of JAX 0.12."""
    return x.dtype.type(1) - x * x


def choose(which: Any, chosen: Any, other: Any, out: Any = None) -> Any:
    """``chosen`` where ``which``, else ``other``; ``out`` is the one of the two that may be written over.

    NumPy's ``where`` branches at each element, which takes ten times longer than these operations on bits if the processor guesses wrong.
    """
    if which.size < _FEW or chosen.dtype.itemsize > 8:
        return np.where(which, chosen, other)
    kind = f"i{chosen.dtype.itemsize}"
    a, b = chosen.view(kind), other.view(kind)
    mask = np.negative(which.view("i1")).astype(kind, copy=False)
    if b.ndim == 0 and not b:
        return np.bitwise_and(a, mask, out=mask if mask.shape == a.shape else None).view(chosen.dtype)
    if out is chosen:
        np.bitwise_xor(a, b, out=a)
        np.bitwise_and(a, mask, out=a)
        np.bitwise_xor(a, b, out=a)
        return out
    bits = np.bitwise_and(a ^ b, mask)
    if out is not None:
        np.bitwise_xor(b, bits, out=b)
        return out
    return np.bitwise_xor(bits, b, out=bits).view(chosen.dtype)


def complex_of(real: Any, imaginary: Any) -> Any:
    """The complex numbers of two parts, neither of which disturbs the other's infinities or signs."""
    result = np.empty(np.broadcast_shapes(np.shape(real), np.shape(imaginary)), np.result_type(real, np.complex64))
    result.real, result.imag = real, imaginary
    return result


def total_order(x: Any) -> Any:
    """Integers in the order that sorting has: NaN last, both zeros alike."""
    if x.dtype.kind != "f":
        return x
    width = x.dtype.itemsize
    x = np.where(x == 0, x.dtype.type(0), x)
    x = np.where(np.isnan(x), x.dtype.type(np.nan), x)
    bits = x.view(f"i{width}")
    return np.where(bits < 0, np.iinfo(bits.dtype).max ^ bits, bits)


def less_in_order(x: Any, y: Any) -> Any:
    """x < y in the total order."""
    return total_order(x) < total_order(y)


def less_or_alike_in_order(x: Any, y: Any) -> Any:
    """x <= y in the total order."""
    return total_order(x) <= total_order(y)


def alike_in_order(x: Any, y: Any) -> Any:
    """x == y in the total order."""
    return total_order(x) == total_order(y)


# ---- rules that look at parameters ----
def _round(writer: Writer, step: Step) -> str | None:
    rule = _elementwise(None, round_away, out=False) if int(step.params["rounding_method"]) == 0 else _elementwise(None, "np.rint")
    return rule.write(writer, step)


def _integer_pow(writer: Writer, step: Step) -> str | None:
    y = step.params["y"]
    if y == 2:
        return _elementwise(None, "np.square").write(writer, step)
    result, name = step.outputs[0], step.inputs[0].name
    result.thin = common(step.inputs, result)
    if abs(y) > 64:
        return f"{writer.use(power_by_integers)}({name}, {writer.bind(np.int64(y))})"
    terms: list[str] = []
    square, left = name, abs(y)
    while left:
        if left & 1:
            terms.append(square)
        left >>= 1
        if left:
            next_square = writer.name()
            writer.line(f"{next_square} = {square} * {square}")
            square = next_square
    product = " * ".join(terms) or f"np.ones_like({name})"
    return f"1 / ({product})" if y < 0 else (f"+{product}" if len(terms) == 1 else product)


def _pow(writer: Writer, step: Step) -> str | None:
    x, y = step.inputs
    if x.dtype == y.dtype and np.dtype(x.dtype).kind in "fc":
        return _elementwise(None, "np.power").write(writer, step)
    return _elementwise(None, power_by_integers, out=False).write(writer, step)


def _clamp(writer: Writer, step: Step) -> str:
    low, x, high = step.inputs
    result = step.outputs[0]
    result.thin = common(step.inputs, result)
    out = f", out={x.name}" if writer.overwritable(x, result, result.thin) else ""
    return f"np.minimum(np.maximum({x.name}, {low.name}{out}), {high.name}{out})"


def _select_n(writer: Writer, step: Step) -> str:
    which, *cases = step.inputs
    result = step.outputs[0]
    if len(cases) == 1:
        result.thin = cases[0].thin
        writer.alias(cases[0], result)
        return cases[0].name
    if len(cases) != 2 or np.dtype(which.dtype).kind != "b":
        result.thin = common(step.inputs, result)
        return f"{writer.use(select)}({', '.join(value.name for value in step.inputs)})"
    if not which.shape:
        if result.shape:
            chosen = [writer.array(case) for case in cases]
            for case in cases:
                case.writable = False
            result.writable = False
        else:
            chosen = [case.name for case in cases]
        return f"{chosen[1]} if {which.name} else {chosen[0]}"
    result.thin = common(step.inputs, result)
    free = next((case for case in cases if writer.overwritable(case, result, result.thin)), None)
    out = "" if free is None else f", out={free.name}"
    return f"{writer.use(choose)}({which.name}, {cases[1].name}, {cases[0].name}{out})"


def _identity(writer: Writer, step: Step) -> str | None:
    for value, result in zip(step.inputs, step.outputs, strict=True):
        result.thin = value.thin
        writer.alias(value, result)
    if len(step.outputs) == 1:
        return step.inputs[0].name
    for value, result in zip(step.inputs, step.outputs, strict=True):
        writer.line(f"{result.name} = {value.name}")
    return None


def _part(template: str) -> Rule:
    """The rule of a part of complex numbers, which is a view."""

    def write(writer: Writer, step: Step) -> str:
        result, value = step.outputs[0], step.inputs[0]
        result.thin = value.thin
        writer.alias(value, result)
        result.writable = False
        return template.format(value.name)

    return Rule(write)


_LOGIC = {"and": ("{} & {}", "np.bitwise_and"), "or": ("{} | {}", "np.bitwise_or"), "xor": ("{} ^ {}", "np.bitwise_xor")}
_COMPARED = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_UFUNCS = {
    "exp": "exp",
    "exp2": "exp2",
    "expm1": "expm1",
    "log": "log",
    "log1p": "log1p",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "atan2": "arctan2",
    "sqrt": "sqrt",
    "cbrt": "cbrt",
    "floor": "floor",
    "ceil": "ceil",
    "square": "square",
    "max": "maximum",
    "min": "minimum",
    "nextafter": "nextafter",
    "conj": "conj",
}
_DIVIDED = _elementwise(None, divide_integers, out=False)
_REMAINDER = _elementwise(None, remainder_integers, out=False)

RULES: dict[str, Rule] = {
    **{name: _elementwise(None, f"np.{ufunc}") for name, ufunc in _UFUNCS.items()},
    **{name: _elementwise(operator, ufunc) for name, (operator, ufunc) in _LOGIC.items()},
    **{name: _elementwise(f"{{}} {operator} {{}}", "", out=False) for name, operator in _COMPARED.items()},
    "add": _elementwise("{} + {}", "np.add"),
    "add_any": _elementwise("{} + {}", "np.add"),
    "sub": _elementwise("{} - {}", "np.subtract"),
    "mul": _elementwise("{} * {}", "np.multiply"),
    "neg": _elementwise("-{}", "np.negative"),
    "not": _elementwise("~{}", "np.invert"),
    "div": _of_kinds(i=_DIVIDED, u=_DIVIDED, other=_elementwise("{} / {}", "np.divide")),
    "rem": _of_kinds(i=_REMAINDER, u=_REMAINDER, f=_elementwise(None, "np.fmod")),
    "sign": _of_kinds(f=_elementwise(None, sign_of_floats, out=False), other=_elementwise(None, "np.sign")),
    "abs": _of_kinds(c=_elementwise(None, "np.abs", out=False), other=_elementwise(None, "np.abs")),
    "logistic": _elementwise(None, logistic),
    "rsqrt": _elementwise(None, rsqrt),
    "is_finite": _elementwise(None, "np.isfinite", out=False),
    "round": Rule(_round, updates=True),
    "one_minus_square": _elementwise(None, one_minus_square, out=False),
    "integer_pow": Rule(_integer_pow),
    "pow": Rule(_pow, updates=True),
    "clamp": Rule(_clamp, updates=True),
    "select_n": Rule(_select_n, updates=True),
    "shift_left": _elementwise(None, shift_left, out=False),
    "shift_right_logical": _elementwise(None, shift_right_logical, out=False),
    "shift_right_arithmetic": _elementwise(None, shift_right_arithmetic, out=False),
    "population_count": _elementwise(None, count_ones, out=False),
    "clz": _elementwise(None, count_leading_zeros, out=False),
    "mulhi": _elementwise(None, multiply_high, out=False),
    "complex": _elementwise(None, complex_of, out=False),
    "real": _part("{}.real"),
    "imag": _part("{}.imag"),
    "lt_to": _elementwise(None, less_in_order, out=False),
    "le_to": _elementwise(None, less_or_alike_in_order, out=False),
    "eq_to": _elementwise(None, alike_in_order, out=False),
    **{
        name: Rule(_identity)
        for name in (
            "copy",
            "copy_p",
            "optimization_barrier",
            "name",
            "stop_gradient",
            "sharding_constraint",
            "device_put",
            "pvary",
            "reshard",
            "stage",
        )
    },
}
