"""Arithmetic of two and three operands, element by element; conversion between types; Python's operators."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from funnn.engine.dispatch import small_arrays as small
from funnn.engine.dispatch.autocast import FLOAT32, WIDEST
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.inplace import assign
from funnn.engine.dispatch.op import Op
from funnn.engine.memory.shared import SharedStorage
from funnn.engine.memory.strides import like_operands, like_operands_exchanged
from funnn.engine.ops.kit.elementwise import by_operand, factor, require, widened
from funnn.engine.ops.kit.index_kernels import known
from funnn.engine.ops.kit.table import publish, row, write_out
from funnn.engine.ops.kit.tensor_arguments import Operand
from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types import dtype as _dtype
from funnn.engine.types.casts import cast
from funnn.engine.types.dtype import check_broadcast, common, promoted
from funnn.functional._slope import times_unless, with_slopes

# -- two operands


def add(input: Any, other, *, alpha=1):
    """input + alpha·other."""
    a, b = promoted(input, other)
    return a + b if type(alpha) is int and alpha == 1 else a + _times(b, _alpha(alpha, a))


def sub(input: Any, other, *, alpha=1):
    """input − alpha·other."""
    a, b = promoted(input, other)
    _check_no_truth_values(input, other)
    return a - b if type(alpha) is int and alpha == 1 else a - _times(b, _alpha(alpha, a))


def _alpha(alpha: Any, result: Any) -> Any:
    """The factor of a sum, which must be of no higher kind than the result."""
    given, kind = _dtype.dtype.of(jnp.result_type(alpha)), _dtype.dtype.of(result.dtype)
    if given is _dtype.bool_ and kind is not _dtype.bool_:
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if given.category == 2 and kind.category < 2:
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    if given.is_complex and not kind.is_complex:
        raise RuntimeError("For non-complex input tensors, argument alpha must not be a complex number.")
    return alpha


def _check_no_truth_values(*operands: Any) -> None:
    truth = [isinstance(operand, bool) or getattr(operand, "dtype", None) == jnp.bool_ for operand in operands]
    if all(truth):
        raise RuntimeError(
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator."
        )
    if any(truth):
        raise RuntimeError(
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the `~` or "
            "`logical_not()` operator instead."
        )


def rsub(input, other, *, alpha=1):
    """other − alpha·input."""
    a, b = promoted(input, other)
    _check_no_truth_values(input, other)
    return b - a if type(alpha) is int and alpha == 1 else b - _times(a, _alpha(alpha, a))


def _times(array, number):
    return array * factor(number, array.dtype)


def mul(input: Any, other):
    """input · other."""
    a, b = promoted(input, other)
    if jnp.bool_ in (getattr(input, "dtype", None), getattr(other, "dtype", None)):  # else XLA selects, and NaN · False would be 0
        a, b = lax.optimization_barrier((a, b))
    return a * b


def div(input: Any, other, *, rounding_mode=None):
    """input / other; rounded to integers by ``rounding_mode`` 'floor' or 'trunc'."""
    if rounding_mode is None:
        a, b = promoted(input, other, floating=True)
        if jnp.ndim(other) == 0 and a.ndim:  # else XLA multiplies by the reciprocal, which is rounded twice
            b = lax.optimization_barrier(jnp.broadcast_to(b, a.shape))
        return a / b
    if rounding_mode not in ("floor", "trunc"):
        raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{rounding_mode}'")
    a, b = promoted(input, other)
    require(f"div_{rounding_mode}_cpu", a, "if")
    return (_floored if rounding_mode == "floor" else _truncated)(a, b)


_floored = widened(jnp.floor_divide)


@widened
def _truncated(a, b):
    return jnp.trunc(a / b) if jnp.issubdtype(a.dtype, jnp.floating) else lax.div(*jnp.broadcast_arrays(a, b))


def floor_divide(input: Any, other):
    """⌊input / other⌋."""
    return div(input, other, rounding_mode="floor")


def remainder(input: Operand, other: Operand):
    """input modulo other, with the sign of other."""
    return _remainder(*promoted(input, other))


_remainder = widened(
    with_slopes(
        jnp.remainder, lambda t, result, a, b: jnp.broadcast_to(t, result.shape), lambda t, result, a, b: -t * jnp.floor_divide(a, b)
    )
)


def pow(input: Operand, exponent: Operand):
    """input to the power of exponent."""
    compiled_in = isinstance(exponent, (int, float)) and hasattr(input, "dtype") and not hasattr(exponent, "dtype")
    if compiled_in:  # a small power
        a = promoted(input, exponent)[0]
        return jnp.sqrt(a) if exponent == 0.5 else lax.integer_pow(a, exponent)
    a, b = promoted(input, exponent)
    if a.dtype == bool:
        raise NotImplementedError("\"pow\" not implemented for 'Bool'; convert one of the tensors, e.g. with .int()")
    return _power(a, b) if jnp.issubdtype(a.dtype, jnp.inexact) else _whole_power(a, b)


def _slope_of_base(tangent, result, a, b):
    return times_unless(b == 0, tangent, b * _power(a, jnp.where(b == 0, 0, b - 1)))


def _slope_of_exponent(tangent, result, a, b):
    zero = (a == 0) & (b.real >= 0)
    return times_unless(zero, tangent, result * jnp.log(jnp.where(zero, 1, a)))


#: aᵇ; its derivatives at 0 are 0 where b = 0 and, in b, where b ≥ 0.
_power = with_slopes(jnp.power, _slope_of_base, _slope_of_exponent)


def _whole_power(a, b):
    """A power of integers; a negative one is 0, but of 1 and −1."""
    of_one = jnp.where(a == 1, 1, jnp.where(a == -1, 1 - 2 * (b & 1), 0)).astype(a.dtype)
    return jnp.where(b < 0, of_one, jnp.power(a, jnp.maximum(b, 0)))


def fmod(input, other):
    """What is left of input after division by other, with the sign of input."""
    a, b = promoted(input, other)
    return lax.rem(*jnp.broadcast_arrays(a, b))


def float_power(input: Operand, exponent: Operand):
    """input to the power of exponent, in float64 (or complex128)."""
    kind = jnp.complex128 if any(map(jnp.iscomplexobj, (input, exponent))) else jnp.float64
    check_broadcast(input, exponent)
    return _power(*(array.astype(kind) for array in common(input, exponent)))


def atan2(input, other: Array):
    """The angle of the point (other, input)."""
    return _angle(*promoted(input, other, floating=True))


def _slope_of_angle(tangent, y, x, along):
    square = x * x + y * y
    return times_unless(square == 0, tangent, along / jnp.where(square == 0, 1, square))


#: The angle of (x, y), which has no gradient where both are 0.
_angle = with_slopes(jnp.arctan2, lambda t, result, y, x: _slope_of_angle(t, y, x, x), lambda t, result, y, x: _slope_of_angle(t, y, x, -y))


def hypot(input, other: Array):
    """√(input² + other²); its gradient is NaN where both are 0."""
    a, b = promoted(input, other)
    require("hypot", a, "f")
    return _hypotenuse(a, b)


_hypotenuse = with_slopes(jnp.hypot, lambda t, result, a, b: t * (a / result), lambda t, result, a, b: t * (b / result))


def copysign(input, other):
    """|input| with the sign of other; it has no gradient where input is 0."""
    return _with_sign(*promoted(input, other, floating=True))


def _slope_of_signed(tangent, result, a, b):
    return times_unless(a == 0, tangent, result / jnp.where(a == 0, 1, a))


_with_sign = with_slopes(
    lambda a, b: jnp.where(jnp.signbit(a) == jnp.signbit(b), a, -a), _slope_of_signed, lambda t, result, a, b: jnp.zeros_like(t)
)


def ldexp(input, other: Array):
    """input·2^other."""
    (power,) = promoted(other, floating=True)
    a, b = promoted(input, widened(jnp.exp2)(power))
    return a * b


def logaddexp(input, other: Array):
    """log(exp(input) + exp(other))."""
    a, b = promoted(input, other)
    require("logaddexp", a, "fc")
    return log_sum(a, b)


def log_sum(a, b):
    """log(exp(a) + exp(b)); of complex numbers as a multiple of i around that of the one with the larger real part, as torch has it."""
    if not jnp.iscomplexobj(a):
        return _log_sum(a, b)
    first = (a.real >= b.real) | jnp.isnan(a)
    high, low = jnp.where(first, a, b), jnp.where(first, b, a)
    infinite = jnp.isinf(high.real)
    difference = jnp.where(infinite, 0, low - high)
    return jnp.where(infinite, high, high + jnp.log1p(jnp.exp(difference)))


_log_sum = with_slopes(jnp.logaddexp, lambda t, result, a, b: t / (1 + jnp.exp(b - a)), lambda t, result, a, b: t / (1 + jnp.exp(a - b)))
_log2_sum = with_slopes(
    jnp.logaddexp2, lambda t, result, a, b: t / (1 + jnp.exp2(b - a)), lambda t, result, a, b: t / (1 + jnp.exp2(a - b))
)


def logaddexp2(input, other: Array):
    """log2(2^input + 2^other)."""
    a, b = promoted(input, other)
    require("logaddexp2", a, "f")
    return _log2_sum(a, b)


@jax.custom_jvp
def _nextafter(a, b):
    return jnp.nextafter(a, b)


@_nextafter.defjvp
def _nextafter_jvp(primals, tangents):
    return _nextafter(*primals), jnp.where(primals[0] == primals[1], 0, tangents[0])


def nextafter(input, other: Array):
    """The number of the type that follows input on the way to other."""
    return _nextafter(*promoted(input, other))


def _gradient_of_pow(input, exponent):
    return "PowBackward0" if not isinstance(exponent, Tensor) else "PowBackward1" if isinstance(input, Tensor) else "PowBackward2"


_BINARY = ("input", "other")
row("add", add, "AddBackward0", scalars=(*_BINARY, "alpha"), factors=("alpha",), inplace=True, elementwise=True, small=small.binary(np.add))
row(
    "sub",
    sub,
    "SubBackward0",
    scalars=(*_BINARY, "alpha"),
    factors=("alpha",),
    inplace=True,
    aliases=("subtract",),
    elementwise=True,
    small=small.binary(np.subtract, converted="l"),
)
row("rsub", rsub, by_operand("Rsub"), scalars=(*_BINARY, "alpha"), factors=("alpha",), elementwise=True, arrange=like_operands_exchanged)
row("mul", mul, "MulBackward0", scalars=_BINARY, inplace=True, aliases=("multiply",), elementwise=True, small=small.binary(np.multiply))


def _check_divisor(input: Any, other: Any) -> None:
    """Integers are not divided by 0; the divisors are looked at, where they are known."""
    if all(type(item) is int or (isinstance(item, Tensor) and item.dtype.category < 2) for item in (input, other)):
        values = known(other) if isinstance(other, Tensor) else other
        if values is not None and not np.all(values):
            raise RuntimeError("ZeroDivisionError: division of integers by 0; divide x.float(), or replace the zeros with torch.where")


def _divided(name: str, pure: Any, grad: Any) -> None:
    """A division whose result is whole, or its remainder."""
    op = Op(pure, grad, scalars=_BINARY)

    def check_and_divide(input, other, *, out=None):
        _check_divisor(input, other)
        result = call(op, (input, other), {})
        return result if out is None else write_out(out, result)

    publish(name, check_and_divide, pure, inplace=True, elementwise=True)


_divided("floor_divide", floor_divide, None)
_divided("remainder", remainder, by_operand("Remainder", 1, 0))
_divided("fmod", fmod, by_operand("Fmod", 1, 0))
row("atan2", atan2, inplace=True, aliases=("arctan2",), elementwise=True, autocast={"cuda": WIDEST})
row("hypot", hypot, inplace=True, elementwise=True)
row("copysign", copysign, by_operand("Copysign"), scalars=_BINARY, inplace=True, elementwise=True)
row("ldexp", ldexp, inplace=True, elementwise=True)
row("logaddexp", logaddexp, elementwise=True)
row("logaddexp2", logaddexp2, elementwise=True)
row("nextafter", nextafter, inplace=True, elementwise=True)

_quotient, _rounded_quotient = (Op(div, f"DivBackward{number}", scalars=_BINARY) for number in (0, 2))


def _run_div(input, other, *, rounding_mode=None, out=None):
    op = _quotient if rounding_mode is None else _rounded_quotient
    if rounding_mode is not None:
        _check_divisor(input, other)
    result = call(op, (input, other), {"rounding_mode": rounding_mode} if rounding_mode is not None else {})
    return result if out is None else write_out(out, result)


publish("div", _run_div, div, inplace=True, aliases=("divide", "true_divide"), elementwise=True, small=small.binary(np.true_divide, "fd"))

_power_op = Op(pow, _gradient_of_pow, scalars=("input", "exponent"), autocast={"cuda": FLOAT32})
_small_power_op = Op(pow, "PowBackward0", autocast={"cuda": FLOAT32})


def _run_pow(input: Any, exponent: Any, *, out: Any = None) -> Any:
    """Small integer powers (they are products) and square roots are compiled in; other exponents are traced."""
    if type(exponent) is int and exponent < 0 and isinstance(input, Tensor) and input.dtype.category < 2:
        raise RuntimeError("Integers to negative integer powers are not allowed; convert the base with .float()")
    small = isinstance(input, Tensor) and (0 <= exponent <= 4 if type(exponent) is int else type(exponent) is float and exponent == 0.5)
    result = call(_small_power_op if small else _power_op, (input, exponent), {})
    return result if out is None else write_out(out, result)


publish("pow", _run_pow, pow, inplace=True, elementwise=True, small=small.power)
row("float_power", float_power, _gradient_of_pow, scalars=("input", "exponent"), exact_out=True, elementwise=True)


def float_power_(self, exponent):
    """In-place version of float_power, of a tensor that is float64 (or complex128) already."""
    result = self.float_power(exponent)
    if result.dtype is not self.dtype:
        raise RuntimeError(
            f"the base given to float_power_ has dtype {self.dtype.legacy} but the operation's result requires dtype {result.dtype.legacy}; "
            "use float_power()"
        )
    return assign(self, result, "float_power_")


Tensor.float_power_ = float_power_


# -- three operands


def _masked_fill(input, mask, value):
    if mask.dtype != bool:
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype}")
    if jnp.ndim(value):
        raise RuntimeError(f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {jnp.ndim(value)} dimension(s).")
    if jnp.iscomplexobj(value) and not jnp.iscomplexobj(input):
        raise RuntimeError(f"value cannot be converted to type {input.dtype} without overflow: it is complex")
    return jnp.where(mask, jnp.asarray(value, dtype=input.dtype), input)


def _gradient_of_masked_fill(input, mask, value):
    return f"MaskedFillBackward{int(isinstance(value, Tensor))}"


def lerp(input, end: Array, weight):
    """input + weight·(end − input)."""
    for name, other in (("end", end), ("weight", weight)):
        if hasattr(other, "dtype") and (name == "end" or jnp.ndim(other)) and other.dtype != input.dtype:
            raise RuntimeError(f"expected dtype {input.dtype} for `{name}` but got dtype {other.dtype}; convert it with .to(dtype)")
    return _lerp(*promoted(input, end, factor(weight, input.dtype)))


def _between(start, end, weight):
    return jnp.where(jnp.abs(weight) < 0.5, start + weight * (end - start), end - (end - start) * (1 - weight))


_lerp = widened(
    with_slopes(
        _between,
        lambda t, result, start, end, weight: t * (1 - weight),
        lambda t, result, start, end, weight: t * weight,
        lambda t, result, start, end, weight: t * (end - start),
    )
)


def addcmul(input, tensor1: Array, tensor2: Array, *, value=1):
    """input + value·tensor1·tensor2."""
    return _addcmul(*promoted(input, tensor1, tensor2), value)


@widened
def _addcmul(a, b, c, value):
    return a + _times(b, value) * c


def addcdiv(input, tensor1: Array, tensor2: Array, *, value=1):
    """input + value·tensor1/tensor2."""
    arrays = promoted(input, tensor1, tensor2)
    if not jnp.issubdtype(arrays[0].dtype, jnp.inexact):
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported; convert the tensors with .float(), or use torch.div with rounding_mode"
        )
    return _addcdiv(*arrays, value)


@widened
def _addcdiv(a, b, c, value):
    return a + _times(b, value) / c


_masked_filled = Op(_masked_fill, _gradient_of_masked_fill, scalars=("value",))


def masked_fill(input, mask: Array, value):
    """input with ``value`` where the mask is True."""
    if not isinstance(value, Tensor):
        value = _dtype.number_for(value, input.dtype)
    return call(_masked_filled, (input, mask, value), {})


row(
    "lerp",
    lerp,
    lambda input, end, weight: f"LerpBackward{int(isinstance(weight, Tensor))}",
    scalars=("weight",),
    inplace=True,
    exact_out=True,
    elementwise=True,
)
for _name, _function, _node in (("addcmul", addcmul, "AddcmulBackward0"), ("addcdiv", addcdiv, "AddcdivBackward0")):
    row(
        _name,
        _function,
        _node,
        scalars=("value",),
        factors=("value",),
        wide_factors=True,
        inplace=True,
        elementwise=True,
        autocast={"cuda": WIDEST},
    )
publish("masked_fill", masked_fill, inplace=True)


# -- types


def to_dtype(input, kind):
    """input as numbers of another type."""
    return cast(input, kind)


_to_dtype = Op(to_dtype, "ToCopyBackward0")


def convert(tensor: Tensor, kind: _dtype.dtype) -> Tensor:
    """``tensor`` itself if it has that dtype, else a converted copy."""
    if tensor.dtype is kind:
        return tensor
    result = _convert_memory(tensor, kind) if type(tensor._storage) is SharedStorage else None
    return like_operands(call(_to_dtype, (tensor, kind.numpy), {}) if result is None else result, (tensor,), {})


def _convert_memory(tensor: Tensor, kind: _dtype.dtype) -> Tensor | None:
    """The numbers of memory that NumPy shares in another type, without a copy of them as they are; None where it is recorded, or NumPy's is another."""
    given = tensor.dtype
    if (thread.grad and tensor.requires_grad) or thread.region is not None or thread.autocast is not None:
        return None
    if (
        not given.numpy.isbuiltin == kind.numpy.isbuiltin == 1
        or given.category > 2
        or kind.category not in (1, 2)
        or given.category > kind.category
    ):
        return None
    numbers = tensor._storage.live(tensor._window)
    if numbers is None:
        return None
    with np.errstate(all="ignore"):
        return Tensor._wrap(numbers.astype(kind.numpy, order="C"))


def clone(input, *, memory_format=None):
    """A copy with its own memory; gradients flow through."""
    return input


row("clone", clone, "CloneBackward0")
