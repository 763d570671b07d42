"""Operations on one tensor, element by element: elementary functions, rounding, signs, and questions of single numbers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from funnn import functional as F
from funnn.engine.dispatch import small_arrays as small
from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.ops.kit.elementwise import floating, named, require, wide_type, widened
from funnn.engine.ops.kit.return_types import return_type
from funnn.engine.ops.kit.table import FUNCTIONS, publish, row
from funnn.functional import _slope
from funnn.functional._slope import magnitude, with_slopes

# -- elementary functions


def _elementary(name: str, function: Callable, doc: str, **policies: Any) -> None:
    """A row of a function of one number whose results are floating-point numbers."""
    node = "Log1PBackward0" if name == "log1p" else f"{name.capitalize()}Backward0"
    row(name, floating(function, name, doc), node, inplace=True, elementwise=True, **policies)


_elementary(
    "exp",
    jnp.exp,
    "e to the power of each number.",
    autocast={"cuda": FLOAT32},
    small=small.elementwise(np.exp, "fd", rounded=True),
)
_elementary("exp2", widened(jnp.exp2), "2 to the power of each number.")
_elementary("expm1", jnp.expm1, "e^x − 1, exact where x is near 0.", autocast={"cuda": FLOAT32})
_elementary(
    "log",
    jnp.log,
    "The natural logarithm; NaN of negative numbers, −∞ of 0.",
    autocast={"cuda": FLOAT32},
    small=small.elementwise(np.log, "fd", rounded=True),
)
_elementary("log2", jnp.log2, "The logarithm to base 2; NaN of negative numbers, −∞ of 0.", autocast={"cuda": FLOAT32})
_elementary("log10", jnp.log10, "The logarithm to base 10; NaN of negative numbers, −∞ of 0.", autocast={"cuda": FLOAT32})
_elementary("log1p", jnp.log1p, "log(1 + x), exact where x is near 0; NaN below −1, −∞ at −1.", autocast={"cuda": FLOAT32})
_elementary("sqrt", jnp.sqrt, "The square root √x; NaN of negative numbers.", small=small.elementwise(np.sqrt, "fd"))
_elementary(
    "rsqrt",
    with_slopes(lax.rsqrt, lambda t, result, x: t * (-0.5 * result**3)),
    "1/√x; NaN of negative numbers, ∞ of 0.",
    autocast={"cuda": FLOAT32},
)
_elementary("sin", jnp.sin, "The sine of angles in radians.", small=small.elementwise(np.sin, "fd", rounded=True))
_elementary("cos", jnp.cos, "The cosine of angles in radians.", small=small.elementwise(np.cos, "fd", rounded=True))
_elementary("tan", jnp.tan, "The tangent of angles in radians.", autocast={"cuda": FLOAT32})
_elementary(
    "asin",
    jnp.arcsin,
    "The angle in [−π/2, π/2] whose sine is x; NaN where |x| > 1.",
    aliases=("arcsin",),
    autocast={"cuda": FLOAT32},
)
_elementary(
    "acos",
    jnp.arccos,
    "The angle in [0, π] whose cosine is x; NaN where |x| > 1.",
    aliases=("arccos",),
    autocast={"cuda": FLOAT32},
)
_elementary("atan", jnp.arctan, "The angle in (−π/2, π/2) whose tangent is x.", aliases=("arctan",))
_elementary("sinh", jnp.sinh, "The hyperbolic sine (e^x − e^−x)/2.", autocast={"cuda": FLOAT32})
_elementary("cosh", jnp.cosh, "The hyperbolic cosine (e^x + e^−x)/2.", autocast={"cuda": FLOAT32})
_elementary(
    "tanh",
    jnp.tanh,
    "The hyperbolic tangent (e^x − e^−x)/(e^x + e^−x), in (−1, 1).",
    small=small.elementwise(np.tanh, "fd", rounded=True),
)
_elementary(
    "asinh", jnp.arcsinh, "The number whose hyperbolic sine is x, log(x + √(x² + 1)).", aliases=("arcsinh",), node_in_place="AsinhBackward1"
)
_elementary(
    "acosh",
    jnp.arccosh,
    "The number ≥ 0 whose hyperbolic cosine is x, log(x + √(x² − 1)); NaN where x < 1.",
    aliases=("arccosh",),
    node_in_place="AcoshBackward1",
)
_elementary(
    "atanh",
    jnp.arctanh,
    "The number whose hyperbolic tangent is x, ½·log((1 + x)/(1 − x)); NaN where |x| > 1.",
    aliases=("arctanh",),
    node_in_place="AtanhBackward1",
)
_elementary("sigmoid", jax.nn.sigmoid, "The logistic function 1/(1 + e^−x), in (0, 1).")
_elementary("erf", lax.erf, "The error function 2/√π · ∫₀ˣ e^(−t²) dt.")
_elementary("reciprocal", jnp.reciprocal, "1/x; ∞ of 0.", autocast={"cuda": FLOAT32})


def deg2rad(input):
    """Degrees as radians."""
    return input * (math.pi / 180)


def rad2deg(input):
    """Radians as degrees."""
    return input * (180 / math.pi)


row("deg2rad", floating(deg2rad), "Deg2RadBackward0", inplace=True, elementwise=True)
row("rad2deg", floating(rad2deg), "Rad2DegBackward0", inplace=True, elementwise=True)


# -- signs


def abs(input):
    """|input|; its gradient at 0 is 0."""
    require("abs", input, "ifc")
    return magnitude(input) if jnp.issubdtype(input.dtype, jnp.floating) else jnp.abs(input)


def neg(input):
    """−input."""
    if input.dtype == jnp.bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. Use the `~` or `logical_not()` operator instead."
        )
    return -input


def relu(input):
    """max(input, 0)."""
    require("relu", input, "if")
    return F.relu(input)


def sign(input):
    """−1, 0 or 1."""
    if jnp.iscomplexobj(input):
        raise RuntimeError("Unlike NumPy, torch.sign doesn't allow complex inputs. Use torch.sgn instead.")
    if not jnp.issubdtype(input.dtype, jnp.floating):
        return input if input.dtype == jnp.bool_ else jnp.sign(input)
    return _slope.sign(input)


def sgn(input):
    """input/|input|, and 0 at 0."""
    if not jnp.iscomplexobj(input):
        return sign(input)
    zero = input == 0
    safe = jnp.where(zero, 1, input)
    return jnp.where(zero, 0, safe / jnp.abs(safe))


def signbit(input):
    """Whether the sign is set: of negative numbers, also −0."""
    if input.dtype == jnp.bool_:
        return jnp.zeros(input.shape, bool)
    return jnp.signbit(input) if jnp.issubdtype(input.dtype, jnp.floating) else input < 0


def square(input):
    """input · input."""
    return lax.integer_pow(input.astype(jnp.int64) if input.dtype == jnp.bool_ else input, 2)


row(
    "abs",
    abs,
    "AbsBackward0",
    inplace=True,
    aliases=("absolute",),
    exact_out=True,
    elementwise=True,
    small=small.elementwise(np.absolute),
)
row("neg", neg, "NegBackward0", inplace=True, aliases=("negative",), exact_out=True, elementwise=True, small=small.elementwise(np.negative))
row("relu", relu, "ReluBackward0", inplace=True, elementwise=True, small=small.relu)
row("sign", sign, inplace=True, exact_out=True, elementwise=True)
row("sgn", sgn, inplace=True, exact_out=True, elementwise=True)
row("signbit", signbit, exact_out=True, elementwise=True)
row("square", square, "PowBackward0", inplace=True, elementwise=True, small=small.elementwise(np.square))


def _inplace_abs(plain):
    @functools.wraps(plain)
    def abs_(self):
        if self.is_complex():
            raise RuntimeError("In-place abs is not supported for complex tensors: |x| is real; use the result of abs()")
        return plain(self)

    return abs_


for _name in ("abs_", "absolute_"):
    publish(_name, _inplace_abs(FUNCTIONS[_name]), FUNCTIONS[_name])


def positive(input):
    """The tensor itself."""
    if input.dtype.name == "bool":
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


publish("positive", positive, elementwise=True)


# -- rounding


def _rounding(function, doc):
    def apply(input):
        require(function.__name__, input, "if")
        return function(input) if jnp.issubdtype(input.dtype, jnp.floating) else input

    return named(apply, function.__name__, doc)


def round(input, *, decimals=0):
    """The nearest integer, or multiple of 10^−decimals; halves go to the even one."""
    require("round", input, "if")
    if not jnp.issubdtype(input.dtype, jnp.floating):
        if decimals:
            raise NotImplementedError('"round_vml_cpu" not implemented for integers with decimals; convert the tensor with .float()')
        return input
    return jnp.round(input) if decimals == 0 else _round_to(input, decimals)


@widened
def _round_to(input, decimals):
    scale = jnp.asarray(10.0 ** np.abs(decimals), input.dtype)
    return lax.stop_gradient(jnp.round(input * scale) / scale if decimals > 0 else jnp.round(input / scale) * scale)


def frac(input):
    """input without its integer part; the gradient is that of the input."""
    require("frac", input, "f")
    return input - lax.stop_gradient(jnp.trunc(input))


row("floor", _rounding(jnp.floor, "The largest integer ≤ x."), inplace=True, exact_out=True, elementwise=True)
row("ceil", _rounding(jnp.ceil, "The smallest integer ≥ x."), inplace=True, exact_out=True, elementwise=True)
row(
    "trunc",
    _rounding(jnp.trunc, "x without its fraction: the next integer towards 0."),
    inplace=True,
    aliases=("fix",),
    exact_out=True,
    elementwise=True,
)
row("round", round, lambda input, **decimals: f"RoundBackward{len(decimals)}", inplace=True, exact_out=True, elementwise=True)
row("frac", frac, inplace=True, exact_out=True, elementwise=True)


# -- questions


def isnan(input):
    """Whether each number is NaN."""
    return jnp.isnan(input)


def isinf(input):
    """Whether each number is infinite."""
    return jnp.isinf(input)


def isfinite(input):
    """Whether each number is neither infinite nor NaN."""
    return jnp.isfinite(input)


def isreal(input):
    """Whether the imaginary part is 0."""
    return jnp.isreal(input)


def _is_infinity(name, infinity, doc):
    def apply(input):
        if jnp.iscomplexobj(input):
            raise RuntimeError(f"{name} does not support complex inputs.")
        return input == infinity if jnp.issubdtype(input.dtype, jnp.floating) else jnp.zeros(input.shape, bool)

    row(name, named(apply, name, doc), exact_out=True, elementwise=True)


for _function in (isnan, isinf, isfinite, isreal):
    row(_function.__name__, _function, elementwise=True)
_is_infinity("isposinf", math.inf, "Whether each number is +∞.")
_is_infinity("isneginf", -math.inf, "Whether each number is −∞.")


def nan_to_num(input, nan=None, posinf=None, neginf=None):
    """Other numbers for NaN (0 by default) and the infinities (the largest numbers of the type)."""
    if jnp.iscomplexobj(input):
        return lax.complex(*(nan_to_num(part, nan, posinf, neginf) for part in (input.real, input.imag)))
    if not jnp.issubdtype(input.dtype, jnp.floating):
        return input
    limits = jnp.finfo(input.dtype)
    values = (0 if nan is None else nan, limits.max if posinf is None else posinf, limits.min if neginf is None else neginf)
    for found, value in zip((jnp.isnan(input), input == jnp.inf, input == -jnp.inf), values, strict=True):
        input = jnp.where(found, jnp.asarray(value, input.dtype), input)
    return input


row("nan_to_num", nan_to_num, inplace=True, exact_out=True, elementwise=True)


_Frexp = return_type("frexp", "mantissa", "exponent")


def frexp(input):
    """(m, e) with input = m·2^e and 0.5 ≤ |m| < 1."""
    require("frexp", input, "f")
    exponent = jnp.frexp(lax.stop_gradient(input.astype(wide_type(input.dtype))))[1].astype(jnp.int32)
    half = exponent // 2  # two steps, because 2^−exponent itself may overflow
    mantissa = input * jnp.exp2(-half.astype(input.dtype)) * jnp.exp2((half - exponent).astype(input.dtype))
    return _Frexp(mantissa, exponent)


row("frexp", frexp, exact_out=True)
