"""Comparing and choosing, element by element: equality and order, the larger and the smaller, bounds, membership."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from funnn.engine.dispatch import small_arrays as small
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.ops.kit.deprecated import deprecated
from funnn.engine.ops.kit.elementwise import named, require
from funnn.engine.ops.kit.table import add_method, publish, row, write_out
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import bool_, check_broadcast, check_fits, common, dtype, get_default_dtype, number_for, promoted
from funnn.functional._slope import with_slopes

_BOTH = ("input", "other")


# -- equality and order


def _compare(name, function, quick, doc, *aliases):
    def pure(input, other):
        a, b = promoted(input, other)
        if name not in ("eq", "ne"):
            require(f"{name}_cpu", a, "bif")
        return function(a, b)

    row(
        name,
        named(pure, name, doc),
        scalars=_BOTH,
        inplace=True,
        aliases=aliases,
        elementwise=True,
        small=small.binary(quick, numbers="second"),
    )


_compare("eq", jnp.equal, np.equal, "Whether input = other, element by element; NaN equals nothing.")
_compare("ne", jnp.not_equal, np.not_equal, "Whether input ≠ other, element by element; NaN differs from everything.", "not_equal")
_compare("lt", jnp.less, np.less, "Whether input < other, element by element; False of NaN.", "less")
_compare("le", jnp.less_equal, np.less_equal, "Whether input ≤ other, element by element; False of NaN.", "less_equal")
_compare("gt", jnp.greater, np.greater, "Whether input > other, element by element; False of NaN.", "greater")
_compare("ge", jnp.greater_equal, np.greater_equal, "Whether input ≥ other, element by element; False of NaN.", "greater_equal")


def _same_type(name, input, other):
    if input.dtype != other.dtype:
        a, b = (dtype.of(array.dtype).legacy for array in (input, other))
        raise RuntimeError(f"{name} expects both tensors to have the same dtype, but got: {a} and {b}; convert one with .to(dtype)")


def isclose(input, other: Array, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether |input − other| ≤ atol + rtol·|other|, or both are the same infinity (or, with ``equal_nan``, NaN)."""
    _same_type("isclose()", input, other)
    if rtol < 0 or atol < 0:
        name, value = ("rtol", rtol) if rtol < 0 else ("atol", atol)
        raise RuntimeError(f"{name} must be greater than or equal to zero, but got {value}")
    close = input == other
    if equal_nan and jnp.issubdtype(input.dtype, jnp.inexact):
        close = close | (jnp.isnan(input) & jnp.isnan(other))
    if not jnp.issubdtype(input.dtype, jnp.inexact):
        input, other = (array.astype(get_default_dtype().numpy) for array in (input, other))
    distance = jnp.abs(input - other)
    return close | (jnp.isfinite(distance) & (distance <= atol + jnp.abs(rtol * other)))


def allclose(input, other: Array, rtol=1e-05, atol=1e-08, equal_nan=False):
    """Whether |input − other| ≤ atol + rtol·|other| everywhere."""
    return jnp.all(isclose(input, other, rtol, atol, equal_nan))


def equal(input, other: Array):
    """Whether both have the same shape and values, whatever their types."""
    return jnp.array_equal(*common(input, other))


def _truth(pure):
    """The single result of a question as Python's bool."""
    op = Op(pure)

    def truth_of(*args, **kwargs):
        return bool(call(op, args, kwargs))

    publish(pure.__name__, truth_of, pure)


row("isclose", isclose, elementwise=True)
_truth(allclose)
_truth(equal)


def isin(elements, test_elements, *, assume_unique=False, invert=False):
    """Whether each of ``elements`` is among ``test_elements``; ``invert`` asks for the opposite."""
    a, b = common(elements, test_elements)
    for operand in (elements, test_elements):
        kind = dtype.of(jnp.result_type(operand))
        if kind.category in (0, 3):
            raise RuntimeError(f"Unsupported input type encountered for isin(): {kind.legacy}; convert it with .to(dtype)")
    return jnp.isin(a, b, invert=invert)


row("isin", isin, scalars=("elements", "test_elements"), method=False, exact_out=True)


# -- the larger and the smaller


def _larger(a, b):
    return (a >= b) | jnp.isnan(b)


def _smaller(a, b):
    return (a <= b) | jnp.isnan(b)


def _ordered(name, a):
    if jnp.iscomplexobj(a):
        raise NotImplementedError(f"{name} does not support complex inputs: they have no order; compare abs() or real")


def _half_at_ties(function, less):
    """The larger or smaller of both: what is ``less`` has no gradient, equal ones share it, and beside NaN each has all of it."""

    def slope(tangent, this, other):
        return jnp.where(less(this, other), 0, jnp.where(this == other, tangent / 2, tangent))

    return with_slopes(function, lambda t, result, a, b: slope(t, a, b), lambda t, result, a, b: slope(t, b, a))


_maximum, _minimum = _half_at_ties(jnp.maximum, jnp.less), _half_at_ties(jnp.minimum, jnp.greater)


def maximum(input, other: Array):
    """The larger of both; NaN if either is NaN."""
    a, b = promoted(input, other)
    _ordered("maximum", a)
    return _maximum(a, b)


def minimum(input, other: Array):
    """The smaller of both; NaN if either is NaN."""
    a, b = promoted(input, other)
    _ordered("minimum", a)
    return _minimum(a, b)


def fmax(input, other: Array):
    """The larger of both, or the one that is not NaN. Where they are equal, the gradient is ``input``'s."""
    a, b = promoted(input, other)
    _ordered("fmax", a)
    return jnp.where(_larger(a, b), a, b)


def fmin(input, other: Array):
    """The smaller of both, or the one that is not NaN. Where they are equal, the gradient is ``input``'s."""
    a, b = promoted(input, other)
    _ordered("fmin", a)
    return jnp.where(_smaller(a, b), a, b)


row("maximum", maximum, elementwise=True, small=small.binary(np.maximum, numbers="neither"))
row("minimum", minimum, elementwise=True, small=small.binary(np.minimum, numbers="neither"))
row("fmax", fmax, elementwise=True)
row("fmin", fmin, elementwise=True)


# -- bounds: selections, not jnp.clip, because the gradient at a bound is the input's, as in torch


_at_least = with_slopes(
    lambda a, low: jnp.where((a < low) | _not_a_number(low), low, a),
    lambda t, result, a, low: jnp.where(a >= low, t, 0),
    lambda t, result, a, low: jnp.where(a < low, t, 0),
)
_at_most = with_slopes(
    lambda a, high: jnp.where((a > high) | _not_a_number(high), high, a),
    lambda t, result, a, high: jnp.where(a <= high, t, 0),
    lambda t, result, a, high: jnp.where(a > high, t, 0),
)
_between = with_slopes(
    lambda a, low, high: _at_most(_at_least(a, low), high),
    lambda t, result, a, low, high: jnp.where((a >= low) & (a <= high), t, 0),
    lambda t, result, a, low, high: jnp.where((low < high) & (a < low), t, 0),
    lambda t, result, a, low, high: jnp.where((a > high) | (low > high), t, 0),
)


def _not_a_number(bound):
    return jnp.isnan(bound) if jnp.issubdtype(bound.dtype, jnp.floating) else jnp.zeros((), bool)


def clamp(input, min=None, max=None):
    """input kept between min and max; NaN stays."""
    if min is None and max is None:
        raise RuntimeError("torch.clamp: At least one of 'min' or 'max' must not be None")
    if len({isinstance(bound, jax.Array) and not bound.weak_type for bound in (min, max) if bound is not None}) > 1:
        raise TypeError("clamp(): 'min' and 'max' must both be numbers or both be Tensors")
    a, *bounds = promoted(input, *(bound for bound in (min, max) if bound is not None))
    require("clamp", a, "if")
    if len(bounds) == 2:
        return _between(a, *bounds)
    return (_at_least if max is None else _at_most)(a, bounds[0])


def clamp_min(input, min):
    """input, or min where it is less."""
    a, low = promoted(input, min)
    require("clamp_min", a, "bif")
    return _at_least(a, low)


def clamp_max(input, max):
    """input, or max where it is more."""
    a, high = promoted(input, max)
    require("clamp_max", a, "bif")
    return _at_most(a, high)


def _gradient_of_clamp(input, min=None, max=None):
    return f"ClampBackward{0 if isinstance(min, Tensor) or isinstance(max, Tensor) else 1}"


_bounded = Op(clamp, _gradient_of_clamp, scalars=("min", "max"))
_bounded_below = Op(clamp_min, lambda input, min: f"ClampMinBackward{int(isinstance(min, Tensor))}", scalars=("min",))
_bounded_above = Op(clamp_max, lambda input, max: f"ClampMaxBackward{int(isinstance(max, Tensor))}", scalars=("max",))


def _run_bounded(op, *operands, out=None):
    """A bound that is no number of the result's type is refused, as it would wrap around."""
    input, *bounds = operands
    kind = input.dtype
    for number, bound in enumerate(bounds):
        if type(bound) in (int, float) and kind is not bool_:
            bounds[number] = number_for(bound, kind if type(bound) is int or kind.category > 1 else get_default_dtype())
    result = call(op, (input, *bounds), {})
    return result if out is None else write_out(out, result)


def _clamp(input, min=None, max=None, *, out=None):
    return _run_bounded(_bounded, input, min, max, out=out)


def _clamp_min(input, min, *, out=None):
    return _run_bounded(_bounded_below, input, min, out=out)


def _clamp_max(input, max, *, out=None):
    return _run_bounded(_bounded_above, input, max, out=out)


for _run, _pure, _aliases, _small in (
    (_clamp, clamp, ("clip",), small.clamp),
    (_clamp_min, clamp_min, (), small.clamp_min),
    (_clamp_max, clamp_max, (), small.clamp_max),
):
    _run.__doc__ = _pure.__doc__
    publish(_pure.__name__, _run, inplace=True, aliases=_aliases, elementwise=True, small=_small)


# -- choosing


def heaviside(input, values: Array):
    """0 where input is negative, 1 where it is positive, ``values`` where it is 0."""
    if jnp.iscomplexobj(input) or jnp.iscomplexobj(values):
        raise RuntimeError("heaviside is not yet implemented for complex tensors.")
    if input.dtype != values.dtype:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes; convert one with .to(dtype)")
    check_broadcast(input, values)
    return jnp.where(input == 0, values, (input > 0).astype(input.dtype))


def where(condition, input, other):
    """input where the condition holds, else other."""
    if condition.dtype not in (jnp.bool_, jnp.uint8):
        raise RuntimeError(
            f"where expected condition to be a boolean tensor, but got a tensor with dtype {dtype.of(condition.dtype).legacy}; "
            "compare it, or convert it with .bool()"
        )
    if condition.dtype == jnp.uint8:
        deprecated("uint8 condition")
    check_broadcast(condition, input, other)
    a, b = common(input, other)
    return jnp.where(condition, a, b)


row("heaviside", heaviside, inplace=True, exact_out=True, elementwise=True)
_where_op = Op(where, "WhereBackward0", scalars=("input", "other"))


def _run_where(condition: Array, input: Any = None, other=None, *, out=None):
    """input where the condition holds, else other; with the condition alone, the indices where it holds, as a tuple."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    for number, tensor in ((input, other), (other, input)):
        if type(number) is int and isinstance(tensor, Tensor) and tensor.dtype.category == 1:
            check_fits(number, tensor.dtype)
    result = call(_where_op, (condition, input, other), {})
    return result if out is None else write_out(out, result)


publish("where", _run_where, method=False, elementwise=True)


def _where_method(self, condition, other):
    """This tensor's values where the condition holds, else those of ``other``."""
    return _run_where(condition, self, other)


add_method("where", named(_where_method, "where"), elementwise=True)
