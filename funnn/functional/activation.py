"""Activations made of straight pieces: rectifiers, hard variants of the smooth ones, shrinkages."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from funnn.errors import ArgumentError, ArgumentValueError, DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional import _random
from funnn.functional._dispatch import public
from funnn.functional._slope import with_slope

# Comparisons are written so that NaN takes the branch that keeps it, and so that the derivative at a kink is torch's.


def _real(function: str, input: jax.Array) -> jax.Array:
    """``input`` as an array of numbers, integers included."""
    input = check.array("input", input)
    if input.dtype == jnp.bool_ or jnp.issubdtype(input.dtype, jnp.complexfloating):
        raise DtypeError(f"{function}: input must be real, but got {input.dtype} (Boolean inputs not supported for {function}).")
    return input


def _constant(value: float, input: jax.Array) -> jax.Array:
    return jnp.asarray(value, input.dtype)


@public
def relu(input: jax.Array, inplace: bool = False) -> jax.Array:
    """Rectify: ``y = max(0, x)``, elementwise.

    Args:
      input: ``x``, of any shape and of a real dtype.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.

    Returns:
      An array of the input's shape and dtype. NaN stays NaN; the derivative at 0 is 0.

    Raises:
      DtypeError: input is boolean or complex.

    Source: torch.nn.functional.relu.

    Example:
      >>> import jax.numpy as jnp
      >>> relu(jnp.array([-1.0, 2.0])).tolist()
      [0.0, 2.0]
    """
    input = _real("relu", input)
    # Not jnp.maximum, which would halve the gradient at 0; and it saves a mask for the derivative, not the input.
    # At 0 the value is the input's own zero: relu(-0.0) is -0.0, as torch's.
    # Operations of lax are traced in a fifth of the time of jnp's.
    zero = lax.full_like(input, 0)
    return lax.select(lax.le(input, zero), lax.stop_gradient(lax.select(lax.eq(input, zero), input, zero)), input)


@public
def relu6(input: jax.Array, inplace: bool = False) -> jax.Array:
    """Rectify and cap: ``y = min(max(0, x), 6)``, elementwise.

    Args:
      input: ``x``, of any shape.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.

    Returns:
      An array of the input's shape and dtype; the derivative at 0 and at 6 is 0.

    Raises:
      DtypeError: input is boolean or complex.

    Source: torch.nn.functional.relu6.

    Example:
      >>> import jax.numpy as jnp
      >>> relu6(jnp.array([-1.0, 2.0, 7.0])).tolist()
      [0.0, 2.0, 6.0]
    """
    return hardtanh.pure(input, 0.0, 6.0)


@public
def hardtanh(input: jax.Array, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> jax.Array:
    """Clip: ``y = min(max(x, min_val), max_val)``, elementwise.

    Args:
      input: ``x``, of any shape.
      min_val: the lower limit; default −1.
      max_val: the upper limit; default 1.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.

    Returns:
      An array of the input's shape and dtype; the derivative at the limits is 0.

    Raises:
      DtypeError: input is boolean or complex.
      ArgumentError: min_val is greater than max_val.

    Source: torch.nn.functional.hardtanh.

    Example:
      >>> import jax.numpy as jnp
      >>> hardtanh(jnp.array([-3.0, 0.5, 3.0])).tolist()
      [-1.0, 0.5, 1.0]
    """
    input = _real("hardtanh", input)
    if min_val > max_val:
        raise ArgumentValueError(f"min_val cannot be greater than max_val: got min_val={min_val} and max_val={max_val}")
    if input.dtype == jnp.uint8 and min_val < 0:
        raise ArgumentError(f"cannot do hardtanh on an unsigned type with negative limits: got min_val={min_val}")
    low, high = _constant(min_val, input), _constant(max_val, input)
    return jnp.where(input <= low, low, jnp.where(input >= high, high, input))


@public
def threshold(input: jax.Array, threshold: float, value: float, inplace: bool = False) -> jax.Array:
    """Replace what does not exceed a threshold: ``y = x if x > threshold else value``, elementwise.

    Args:
      input: ``x``, of any shape.
      threshold: the limit.
      value: what takes the place of the rest.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.

    Returns:
      An array of the input's shape and dtype.

    Raises:
      DtypeError: input is boolean or complex.

    Source: torch.nn.functional.threshold.

    Example:
      >>> import jax.numpy as jnp
      >>> threshold(jnp.array([0.5, 2.0]), 1.0, -5.0).tolist()
      [-5.0, 2.0]
    """
    input = _real("threshold", input)
    return jnp.where(input <= _constant(threshold, input), _constant(value, input), input)


@public(scalars=("negative_slope",))
def leaky_relu(input: jax.Array, negative_slope: float = 0.01, inplace: bool = False) -> jax.Array:
    """Rectify with a leak: ``y = x if x > 0 else a · x``, elementwise.

    Args:
      input: ``x``, of any shape.
      negative_slope: ``a``; may be traced; default 0.01.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.

    Returns:
      An array of the input's shape and dtype; the derivative at 0 is a.

    Raises:
      DtypeError: input is not a floating-point array.

    Source: Maas et al., 2013; torch.nn.functional.leaky_relu.

    Example:
      >>> import jax.numpy as jnp
      >>> leaky_relu(jnp.array([-2.0, 2.0]), 0.5).tolist()
      [-1.0, 2.0]
    """
    input = check.floating("leaky_relu", "input", input)
    return jnp.where(input > 0, input, input * _constant(negative_slope, input))


@public
def prelu(input: jax.Array, weight: jax.Array) -> jax.Array:
    """Rectify with a learned leak: ``y = x if x > 0 else a · x``.

    Args:
      input: ``x``, of shape (N, C, *), or of any shape with a single slope.
      weight: ``a``, one slope, or one for each channel (axis 1).

    Returns:
      An array of the input's shape and dtype; the derivative at 0 is a.

    Raises:
      ShapeError: the number of slopes is neither 1 nor the number of channels.
      DtypeError: input is not floating point, or weight has another dtype.

    Source: He et al., 2015; torch.nn.functional.prelu.

    Example:
      >>> import jax.numpy as jnp
      >>> prelu(jnp.array([-2.0, 2.0]), jnp.array([0.25])).tolist()
      [-0.5, 2.0]
    """
    input = check.floating("prelu", "input", input)
    weight = check.array("weight", weight)
    if weight.dtype != input.dtype:
        raise DtypeError(f"prelu: Type promoting not supported. Got {input.dtype} and {weight.dtype}; convert one of them.")
    if weight.ndim > 1:
        raise ShapeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    if weight.size != 1:
        channels = input.shape[1] if input.ndim > 1 else 1
        if not input.ndim:
            raise ShapeError(f"Not allow zero-dim input tensor with a weight of {weight.size} elements; give an input of shape (N, C, *)")
        if weight.size != channels:
            raise ShapeError(
                f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {weight.size} and channel size = {channels}."
            )
        weight = weight.reshape((1, channels, *(1,) * (input.ndim - 2)) if input.ndim > 1 else (channels,))
    else:
        weight = weight.reshape(())
    negative = jnp.where(input > 0, jnp.zeros((), input.dtype), input)  # keeps ∞ out of the weight's derivative
    return jnp.where(input > 0, input, weight * negative)


@public
def rrelu(
    input: jax.Array,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
    *,
    key: jax.Array | None = None,
) -> jax.Array:
    """Rectify with a random leak: ``y = x if x > 0 else a · x``, where a is drawn from U(lower, upper) for each element in training.

    Args:
      input: ``x``, of any shape.
      lower: the smallest slope; default 1/8.
      upper: the largest slope; default 1/3.
      training: whether to draw; without it a is (lower + upper)/2; default False.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.
      key: a JAX random key, needed in training.

    Returns:
      An array of the input's shape and dtype.

    Raises:
      KeyRequiredError: training without a key.
      ArgumentError: lower exceeds upper.
      DtypeError: input is not floating point.

    Source: Xu et al., 2015; torch.nn.functional.rrelu.

    Example:
      >>> import jax.numpy as jnp
      >>> rrelu(jnp.array([-24.0, 2.0]), 0.25, 0.75).tolist()
      [-12.0, 2.0]
    """
    input = check.floating("rrelu", "input", input)
    if lower > upper:
        raise ArgumentError(f"Lower bound should be less than or equal to the upper bound, but got lower={lower} and upper={upper}")
    if not training:
        return leaky_relu.pure(input, (lower + upper) / 2)
    # torch draws for the negative elements alone, in their order: the n-th of them takes the n-th number
    negative = input <= 0
    drawn = _random.required("rrelu", key).uniform((input.size,), check.accumulator(input.dtype), lower, upper)
    order = jnp.cumsum(negative.reshape(-1)) - 1
    slope = drawn[jnp.maximum(order, 0)].reshape(input.shape).astype(input.dtype) if input.size else drawn.reshape(input.shape)
    return jnp.where(negative, input * slope, input)


_hardsigmoid = with_slope(lambda x: jnp.clip(x + 3, 0, 6) / 6, lambda x: ((x > -3) & (x < 3)).astype(x.dtype) / 6)


@public
def hardsigmoid(input: jax.Array, inplace: bool = False) -> jax.Array:
    """A sigmoid of three straight pieces: ``y = min(max(x + 3, 0), 6) / 6``, elementwise.

    Args:
      input: ``x``, of any shape.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.

    Returns:
      An array of the input's shape and dtype; half precision is computed in float32 and rounded once.

    Raises:
      DtypeError: input is not a floating-point array.

    Source: Howard et al., 2019; torch.nn.functional.hardsigmoid.

    Example:
      >>> import jax.numpy as jnp
      >>> hardsigmoid(jnp.array([-4.0, 0.0, 4.0])).tolist()
      [0.0, 0.5, 1.0]
    """
    x, dtype = check.widened("hardsigmoid", input)
    return _hardsigmoid(x).astype(dtype)


# the pieces meet in value, not in slope: at −3 and 3 the slope is that of the outer piece
_hardswish = with_slope(
    lambda x: jnp.where(x <= -3, x * 0, jnp.where(x < 3, x * (x + 3) / 6, x)),
    lambda x: jnp.where(x <= -3, 0, jnp.where(x < 3, x / 3 + 0.5, 1)),
)


@public
def hardswish(input: jax.Array, inplace: bool = False) -> jax.Array:
    """A swish of straight and square pieces: ``y = x · min(max(x + 3, 0), 6) / 6``, elementwise.

    Args:
      input: ``x``, of any shape.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.

    Returns:
      An array of the input's shape and dtype; half precision is computed in float32 and rounded once. The derivative at −3 is 0, at 3 it is 1.

    Raises:
      DtypeError: input is not a floating-point array.

    Source: Howard et al., 2019; torch.nn.functional.hardswish.

    Example:
      >>> import jax.numpy as jnp
      >>> hardswish(jnp.array([3.0, 4.0])).tolist()
      [3.0, 4.0]
    """
    x, dtype = check.widened("hardswish", input)
    return _hardswish(x).astype(dtype)


@public
def hardshrink(input: jax.Array, lambd: float = 0.5) -> jax.Array:
    """Switch off what is small: ``y = x if |x| > λ else 0``, elementwise.

    Args:
      input: ``x``, of any shape.
      lambd: λ; default 0.5.

    Returns:
      An array of the input's shape and dtype.

    Raises:
      DtypeError: input is not a floating-point array.

    Source: torch.nn.functional.hardshrink.

    Example:
      >>> import jax.numpy as jnp
      >>> hardshrink(jnp.array([-0.4, 0.6, 1.0])).tolist()
      [0.0, 0.6000000238418579, 1.0]
    """
    input = check.floating("hardshrink", "input", input)
    small = (input >= _constant(-lambd, input)) & (input <= _constant(lambd, input))
    return jnp.where(small, jnp.zeros((), input.dtype), input)


@public
def softshrink(input: jax.Array, lambd: float = 0.5) -> jax.Array:
    """Shrink towards zero: ``y = sign(x) · max(|x| − λ, 0)``, elementwise.

    Args:
      input: ``x``, of any shape.
      lambd: λ, not negative; default 0.5.

    Returns:
      An array of the input's shape and dtype.

    Raises:
      ArgumentError: lambd is negative.
      DtypeError: input is not floating point.

    Source: torch.nn.functional.softshrink.

    Example:
      >>> import jax.numpy as jnp
      >>> softshrink(jnp.array([-1.5, 0.25, 1.0])).tolist()
      [-1.0, 0.0, 0.5]
    """
    input = check.floating("softshrink", "input", input)
    if not lambd >= 0:
        raise ArgumentError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    high, low = _constant(lambd, input), _constant(-lambd, input)
    return jnp.where(input > high, input - high, jnp.where(input < low, input + high, input * 0))  # NaN stays, and the sign of 0
