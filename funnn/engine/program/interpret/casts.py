"""Conversions of dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from funnn.engine.program.interpret.writer import Rule, Step, Untranslatable, Writer

_DIGITS = {np.dtype(np.float32): (8, 23), np.dtype(np.float64): (11, 52)}


def _convert(writer: Writer, step: Step) -> str:
    value, result = step.inputs[0], step.outputs[0]
    source, target = np.dtype(value.dtype), np.dtype(result.dtype)
    result.thin = value.thin
    if source == target:
        writer.alias(value, result)
        return value.name
    if source.kind == "c" and target.kind != "c":
        value_text = f"{value.name}.real"
        source = np.dtype(f"f{source.itemsize // 2}")
        if source == target:
            return f"{value_text}.copy()"
    else:
        value_text = value.name
    if source.kind == "f" and target.kind in "iu":
        return f"{writer.use(to_integers)}({value_text}, {writer.bind(target)})"
    return f"{value_text}.astype({writer.bind(target)})"


def to_integers(x: Any, dtype: Any) -> Any:
    """Rounded to zero; what is out of range becomes the nearest integer of the dtype, and NaN becomes 0."""
    limits = np.iinfo(dtype)
    low, high = x.dtype.type(limits.min), x.dtype.type(2.0**limits.bits if limits.min == 0 else 2.0 ** (limits.bits - 1))
    inside = (x >= low) & (x < high)
    if np.all(inside):
        return x.astype(dtype)
    result = np.where(inside, x, x.dtype.type(0)).astype(dtype)
    return np.where(x >= high, limits.max, np.where(x < low, limits.min, result)).astype(dtype)


def _bitcast(writer: Writer, step: Step) -> str:
    value, result = step.inputs[0], step.outputs[0]
    source, target = np.dtype(value.dtype), np.dtype(result.dtype)
    if "b" in (source.kind, target.kind) and source != target and source.itemsize != target.itemsize:
        raise Untranslatable(f"{step.primitive.name} from {source} to {target}")
    name = writer.array(value)
    writer.alias(value, result)
    result.writable = False
    if source.itemsize == target.itemsize:
        return f"{name}.view({writer.bind(target)})"
    if source.itemsize > target.itemsize:
        return f"np.ascontiguousarray({name})[..., None].view({writer.bind(target)})"
    return f"np.ascontiguousarray({name}).view({writer.bind(target)})[..., 0]"


def _reduce_precision(writer: Writer, step: Step) -> str:
    value, result = step.inputs[0], step.outputs[0]
    digits = _DIGITS.get(np.dtype(value.dtype))
    if digits is None:
        raise Untranslatable(f"{step.primitive.name} of {value.dtype}")
    exponent, mantissa = step.params["exponent_bits"], step.params["mantissa_bits"]
    result.thin = value.thin
    if exponent >= digits[0] and mantissa >= digits[1]:
        writer.alias(value, result)
        return value.name
    return f"{writer.use(reduce_precision)}({value.name}, {exponent}, {mantissa})"


def reduce_precision(x: Any, exponent_bits: int, mantissa_bits: int) -> Any:
    """Rounds to floats of fewer bits, half to even; what is too large becomes infinite, what is too small zero."""
    x = np.asarray(x)
    source_exponent, source_mantissa = _DIGITS[x.dtype]
    kind = np.dtype(f"u{x.dtype.itemsize}").type
    bits = x.view(kind)
    sign = bits & kind(1 << (8 * x.dtype.itemsize - 1))
    exponents = kind(((1 << source_exponent) - 1) << source_mantissa)
    if mantissa_bits < source_mantissa:
        shift = source_mantissa - mantissa_bits
        last = kind(1 << shift)
        bits = bits + (((bits >> kind(shift)) & kind(1)) + kind((1 << (shift - 1)) - 1))
        bits = bits & ~(last - kind(1))
    if exponent_bits < source_exponent:
        bias, reduced = (1 << (source_exponent - 1)) - 1, (1 << (exponent_bits - 1)) - 1
        exponent = bits & exponents
        bits = np.where(exponent > kind((bias + reduced) << source_mantissa), sign | exponents, bits)
        bits = np.where(exponent <= kind((bias - reduced) << source_mantissa), sign, bits)
    return np.where(np.isnan(x), x, bits.view(x.dtype))


RULES: dict[str, Rule] = {
    "convert_element_type": Rule(_convert),
    "bitcast_convert_type": Rule(_bitcast),
    "reduce_precision": Rule(_reduce_precision),
}
