"""Operations element by element."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from funnn.torch import _dtype
from funnn.torch._call import Op, call
from funnn.torch._dtype import promoted
from funnn.torch._ops.table import FUNCTIONS, publish, row
from funnn.torch._tensor import Tensor


def _floating(function: Any) -> Any:
    """Integers become the default floating-point type first, as in torch."""

    def apply(input):
        return function(promoted(input, floating=True)[0])

    apply.__name__ = getattr(function, "__name__", "function")
    return apply


for _name, _function, _saves in (
    ("exp", jnp.exp, "result"),
    ("exp2", jnp.exp2, "result"),
    ("expm1", jnp.expm1, "result"),
    ("log", jnp.log, "input"),
    ("log2", jnp.log2, "input"),
    ("log10", jnp.log10, "input"),
    ("log1p", jnp.log1p, "input"),
    ("sqrt", jnp.sqrt, "result"),
    ("rsqrt", lax.rsqrt, "result"),
    ("sin", jnp.sin, "input"),
    ("cos", jnp.cos, "input"),
    ("tan", jnp.tan, "result"),
    ("asin", jnp.arcsin, "input"),
    ("acos", jnp.arccos, "input"),
    ("atan", jnp.arctan, "input"),
    ("sinh", jnp.sinh, "input"),
    ("cosh", jnp.cosh, "input"),
    ("tanh", jnp.tanh, "result"),
    ("sigmoid", jax.nn.sigmoid, "result"),
    ("erf", lax.erf, "input"),
    ("reciprocal", jnp.reciprocal, "result"),
):
    row(
        _name,
        _floating(_function),
        "Log1PBackward0" if _name == "log1p" else f"{_name.capitalize()}Backward0",
        saves=(_saves,),
        inplace=True,
    )


def abs(input):
    """|input|; its gradient at 0 is 0."""
    return input * lax.stop_gradient(jnp.sign(input)) if jnp.issubdtype(input.dtype, jnp.floating) else jnp.abs(input)


def neg(input):
    """−input."""
    if input.dtype == jnp.bool_:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. Use the `~` or `logical_not()` operator instead."
        )
    return -input


def relu(input):
    """max(input, 0)."""
    return jax.nn.relu(input)


row("abs", abs, "AbsBackward0", saves=("input",), inplace=True, aliases=("absolute",))
row("neg", neg, "NegBackward0", inplace=True, aliases=("negative",))
row("relu", relu, "ReluBackward0", saves=("result",), inplace=True)
for _name in ("floor", "ceil", "sign", "trunc"):
    row(_name, getattr(jnp, _name), inplace=True)
row("round", lambda input: jnp.round(input), "RoundBackward0", inplace=True)
row("isnan", jnp.isnan)
row("isinf", jnp.isinf)
row("isfinite", jnp.isfinite)


# -- two operands


def add(input, other, *, alpha=1):
    """input + alpha·other."""
    a, b = promoted(input, other)
    return a + b if isinstance(alpha, int) and alpha == 1 else a + _times(b, alpha)


def sub(input, other, *, alpha=1):
    """input − alpha·other."""
    a, b = promoted(input, other)
    if a.dtype == jnp.bool_:
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator."
        )
    return a - b if isinstance(alpha, int) and alpha == 1 else a - _times(b, alpha)


def rsub(input, other):
    """other − input."""
    a, b = promoted(input, other)
    return b - a


def _times(array, number):
    return array * jnp.asarray(number, dtype=array.dtype)


def mul(input, other):
    """input · other."""
    a, b = promoted(input, other)
    return a * b


def div(input, other, *, rounding_mode=None):
    """input / other; rounded to integers by ``rounding_mode`` 'floor' or 'trunc'."""
    if rounding_mode is None:
        a, b = promoted(input, other, floating=True)
        if b.ndim == 0 and a.ndim:  # else XLA multiplies by the reciprocal, which is rounded twice
            b = lax.optimization_barrier(jnp.broadcast_to(b, a.shape))
        return a / b
    a, b = promoted(input, other)
    if rounding_mode == "floor":
        return jnp.floor_divide(a, b)
    if rounding_mode != "trunc":
        raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")
    return jnp.trunc(a / b) if jnp.issubdtype(a.dtype, jnp.floating) else lax.div(a, b)


def floor_divide(input, other):
    """⌊input / other⌋."""
    return div(input, other, rounding_mode="floor")


def remainder(input, other):
    """input modulo other, with the sign of other."""
    a, b = promoted(input, other)
    return jnp.remainder(a, b)


def pow(input, exponent):
    """input to the power of exponent."""
    if isinstance(exponent, int) and hasattr(input, "dtype") and not hasattr(exponent, "dtype"):  # a small power that was compiled in
        (a,) = promoted(input)
        return lax.integer_pow(a, exponent)
    a, b = promoted(input, exponent)
    return jnp.power(a, b)


def maximum(input, other):
    """The larger of both, element by element."""
    return jnp.maximum(*promoted(input, other))


def minimum(input, other):
    """The smaller of both, element by element."""
    return jnp.minimum(*promoted(input, other))


def _gradient_of_pow(input, exponent):
    return "PowBackward0" if not isinstance(exponent, Tensor) else "PowBackward1" if isinstance(input, Tensor) else "PowBackward2"


def _by_other(name, tensor, number):
    return lambda input, other: f"{name}Backward{tensor if isinstance(other, Tensor) else number}"


_BINARY = ("input", "other")
row("add", add, "AddBackward0", scalars=(*_BINARY, "alpha"), inplace=True)
row("sub", sub, "SubBackward0", scalars=(*_BINARY, "alpha"), inplace=True, aliases=("subtract",))
row("rsub", rsub, _by_other("Rsub", 0, 1), scalars=_BINARY)
row("mul", mul, "MulBackward0", scalars=_BINARY, inplace=True, aliases=("multiply",))
row("div", div, "DivBackward0", scalars=_BINARY, inplace=True, aliases=("divide", "true_divide"))
row("floor_divide", floor_divide, scalars=_BINARY, inplace=True)
row("remainder", remainder, _by_other("Remainder", 1, 0), scalars=_BINARY, inplace=True)
row("maximum", maximum, "MaximumBackward0")
row("minimum", minimum, "MinimumBackward0")

_power = Op(pow, _gradient_of_pow, scalars=("input", "exponent"), saves=("input",))
_small_power = Op(pow, "PowBackward0", saves=("input",))


def _run_pow(input: Any, exponent: Any) -> Any:
    """Small integer powers are compiled in (they are products); other exponents are traced."""
    small = type(exponent) is int and 0 <= exponent <= 4 and isinstance(input, Tensor)
    return call(_small_power if small else _power, (input, exponent), {})


def square(input):
    """input · input."""
    return _run_pow(input, 2)


publish("pow", _run_pow, pow, inplace=True)
publish("square", square, inplace=True)


def _comparison(name: str, compare: Any) -> None:
    def pure(input, other):
        return compare(*promoted(input, other))

    pure.__name__ = name
    row(name, pure, scalars=_BINARY, inplace=True)


for _name, _compare in (("eq", jnp.equal), ("ne", jnp.not_equal), ("lt", jnp.less), ("le", jnp.less_equal)):
    _comparison(_name, _compare)
for _name, _compare in (("gt", jnp.greater), ("ge", jnp.greater_equal)):
    _comparison(_name, _compare)

row("logical_and", lambda input, other: jnp.logical_and(input, other), inplace=True)
row("logical_or", lambda input, other: jnp.logical_or(input, other), inplace=True)
row("logical_xor", lambda input, other: jnp.logical_xor(input, other), inplace=True)
row("logical_not", lambda input: jnp.logical_not(input), inplace=True)
row("bitwise_and", lambda input, other: jnp.bitwise_and(*promoted(input, other)), scalars=_BINARY, inplace=True)
row("bitwise_or", lambda input, other: jnp.bitwise_or(*promoted(input, other)), scalars=_BINARY, inplace=True)
row("bitwise_xor", lambda input, other: jnp.bitwise_xor(*promoted(input, other)), scalars=_BINARY, inplace=True)
row("bitwise_not", lambda input: jnp.bitwise_not(input), inplace=True)


# -- three operands


def clamp(input, min=None, max=None):
    """input kept between min and max; NaN stays."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    bounds = [bound for bound in (min, max) if bound is not None]
    a, *bounds = promoted(input, *bounds)
    low = bounds[0] if min is not None else None
    high = bounds[-1] if max is not None else None
    if low is not None:  # selections, not jnp.clip: the gradient at a bound is the input's, as in torch
        a = jnp.where(a < low, low, a)
    if high is not None:
        a = jnp.where(a > high, high, a)
    return a


def where(condition, input, other):
    """input where the condition holds, else other."""
    a, b = promoted(input, other)
    return jnp.where(condition, a, b)


def masked_fill(input, mask, value):
    """input with ``value`` where the mask is True."""
    return jnp.where(mask, jnp.asarray(value, dtype=input.dtype), input)


def lerp(input, end, weight):
    """input + weight·(end − input)."""
    return input + weight * (end - input)


def addcmul(input, tensor1, tensor2, *, value=1):
    """input + value·tensor1·tensor2."""
    a, b, c = promoted(input, tensor1, tensor2)
    return a + _times(b * c, value)


def addcdiv(input, tensor1, tensor2, *, value=1):
    """input + value·tensor1/tensor2."""
    a, b, c = promoted(input, tensor1, tensor2)
    return a + _times(b / c, value)


def _gradient_of_clamp(input, min=None, max=None):
    return f"ClampBackward{0 if isinstance(min, Tensor) or isinstance(max, Tensor) else 1}"


row("clamp", clamp, _gradient_of_clamp, saves=("input",), scalars=("min", "max"), inplace=True, aliases=("clip",))
row("masked_fill", masked_fill, "MaskedFillBackward0", scalars=("value",), inplace=True)
row("lerp", lerp, lambda input, end, weight: f"LerpBackward{int(isinstance(weight, Tensor))}", scalars=("weight",), inplace=True)
row("addcmul", addcmul, "AddcmulBackward0", scalars=("value",), inplace=True)
row("addcdiv", addcdiv, "AddcdivBackward0", scalars=("value",), inplace=True)
row("where", where, "WhereBackward0", scalars=("input", "other"), method=False)


# -- types


def to_dtype(input, kind):
    """input as numbers of another type."""
    return input.astype(kind)


_to_dtype = Op(to_dtype, "ToCopyBackward0")


def convert(tensor: Tensor, kind: _dtype.dtype) -> Tensor:
    """``tensor`` itself if it has that dtype, else a converted copy."""
    return tensor if tensor.dtype is kind else call(_to_dtype, (tensor, kind.numpy), {})


def clone(input, *, memory_format=None):
    """A copy with its own memory; gradients flow through."""
    return input


row("clone", clone, "CloneBackward0")


# -- Python's operators


def _operator(name: str, function: Any, reverse: Any = None, inplace: Any = None) -> None:
    def forward(self, other):
        return function(self, other) if _operand(other) else NotImplemented

    setattr(Tensor, f"__{name}__", forward)
    if reverse is not None:
        setattr(Tensor, f"__r{name}__", lambda self, other: reverse(self, other) if _operand(other) else NotImplemented)
    if inplace is not None:
        setattr(Tensor, f"__i{name}__", lambda self, other: inplace(self, other) if _operand(other) else NotImplemented)


def _operand(other: Any) -> bool:
    return isinstance(other, (Tensor, int, float, complex)) or hasattr(other, "__array__")


def _swapped(function: Any) -> Any:
    return lambda self, other: function(other, self)


def _install_operators(f: dict) -> None:
    _operator("add", f["add"], f["add"], Tensor.add_)
    _operator("sub", f["sub"], f["rsub"], Tensor.sub_)
    _operator("mul", f["mul"], f["mul"], Tensor.mul_)
    _operator("truediv", f["div"], lambda self, other: f["mul"](f["reciprocal"](self), other), Tensor.div_)
    _operator("floordiv", f["floor_divide"], _swapped(f["floor_divide"]), Tensor.floor_divide_)
    _operator("mod", f["remainder"], _swapped(f["remainder"]), Tensor.remainder_)
    _operator("pow", f["pow"], _swapped(f["pow"]), Tensor.pow_)
    for name in ("and", "or", "xor"):
        bitwise = f[f"bitwise_{name}"]
        _operator(name, bitwise, bitwise, getattr(Tensor, f"bitwise_{name}_"))
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        _operator(name, f[name])
    Tensor.__neg__ = f["neg"]
    Tensor.__pos__ = lambda self: self
    Tensor.__abs__ = f["abs"]
    Tensor.__invert__ = f["bitwise_not"]
    Tensor.__array_priority__ = 1000
    Tensor.where = lambda self, condition, other: f["where"](condition, self, other)


_install_operators(FUNCTIONS)
