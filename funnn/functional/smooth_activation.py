"""Smooth activations. Each has its derivative beside it where that takes less than what JAX would keep and run."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from funnn.errors import ArgumentError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional._slope import magnitude, with_slope


def _float(x: jax.Array) -> jax.Array:
    """``x``, integers and booleans as float32, torch's default dtype."""
    x = check.array("input", x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32)


@public
def tanh(input: jax.Array) -> jax.Array:
    """Hyperbolic tangent: ``y = (eˣ − e⁻ˣ) / (eˣ + e⁻ˣ)``, elementwise.

    Args:
      input: ``x``, of any shape; integers are taken as float32.

    Returns:
      An array of the input's shape and dtype, with values in [−1, 1].

    Source: torch.nn.functional.tanh.

    Example:
      >>> import jax.numpy as jnp
      >>> tanh(jnp.array([0.0, 100.0])).tolist()
      [0.0, 1.0]
    """
    return lax.tanh(_float(input))


@public
def sigmoid(input: jax.Array) -> jax.Array:
    """Logistic function: ``y = 1 / (1 + e⁻ˣ)``, elementwise.

    Args:
      input: ``x``, of any shape; integers are taken as float32.

    Returns:
      An array of the input's shape and dtype, with values in [0, 1].

    Source: torch.nn.functional.sigmoid.

    Example:
      >>> import jax.numpy as jnp
      >>> sigmoid(jnp.array([0.0, 100.0])).tolist()
      [0.5, 1.0]
    """
    return lax.logistic(_float(input))


@public
def tanhshrink(input: jax.Array) -> jax.Array:
    """What tanh takes away: ``y = x − tanh(x)``, elementwise.

    Args:
      input: ``x``, of any shape; integers are taken as float32.

    Returns:
      An array of the input's shape and dtype.

    Raises:
      TypeError: input is no array.

    Source: torch.nn.functional.tanhshrink.

    Example:
      >>> import jax.numpy as jnp
      >>> tanhshrink(jnp.array([0.0, 100.0])).tolist()
      [0.0, 99.0]
    """
    input = _float(input)
    return input - lax.tanh(input)


@public
def softsign(input: jax.Array) -> jax.Array:
    """A sigmoid with slow tails: ``y = x / (1 + |x|)``, elementwise.

    Args:
      input: ``x``, of any shape; integers are taken as float32.

    Returns:
      An array of the input's shape and dtype.

    Raises:
      TypeError: input is no array.

    Source: torch.nn.functional.softsign.

    Example:
      >>> import jax.numpy as jnp
      >>> softsign(jnp.array([-1.0, 3.0])).tolist()
      [-0.5, 0.75]
    """
    input = _float(input)
    size = jnp.abs(input) if jnp.iscomplexobj(input) else magnitude(input)
    return input / (1 + size)


_exponential_unit = with_slope(
    lambda x, alpha, scale, input_scale: jnp.where(x > 0, x, alpha * jnp.expm1(jnp.where(x > 0, 0, x) * input_scale)) * scale,
    # the inner choices keep ∞ out of further derivatives; that of this one is 0 at 0, as torch has it
    lambda x, alpha, scale, input_scale: jnp.where(
        x <= 0, alpha * scale * input_scale * jnp.exp(jnp.where(x < 0, x, 0) * input_scale), scale
    ),
)


@public
def elu(input: jax.Array, alpha: float = 1.0, inplace: bool = False) -> jax.Array:
    """Exponential linear unit: ``y = x if x > 0 else α · (eˣ − 1)``, elementwise.

    Args:
      input: ``x``, of any shape.
      alpha: α; default 1.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.

    Returns:
      An array of the input's shape and dtype; half precision is computed in float32 and rounded once.

    Raises:
      DtypeError: input is not a floating-point array.

    Source: Clevert et al., 2015; torch.nn.functional.elu.

    Example:
      >>> import jax.numpy as jnp
      >>> elu(jnp.array([-100.0, 2.0])).tolist()
      [-1.0, 2.0]
    """
    x, dtype = check.widened("elu", input)
    return _exponential_unit(x, alpha, 1.0, 1.0).astype(dtype)


@public
def celu(input: jax.Array, alpha: float = 1.0, inplace: bool = False) -> jax.Array:
    """Exponential linear unit with slope 1 at 0: ``y = x if x > 0 else α · (e^(x/α) − 1)``, elementwise.

    Args:
      input: ``x``, of any shape.
      alpha: α, not 0; default 1.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.

    Returns:
      An array of the input's shape and dtype; half precision is computed in float32 and rounded once.

    Raises:
      ArgumentError: alpha is 0.
      DtypeError: input is not floating point.

    Source: Barron, 2017; torch.nn.functional.celu.

    Example:
      >>> import jax.numpy as jnp
      >>> celu(jnp.array([-100.0, 2.0]), 2.0).tolist()
      [-2.0, 2.0]
    """
    x, dtype = check.widened("celu", input)
    if alpha == 0:
        raise ArgumentError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _exponential_unit(x, alpha, 1.0, 1.0 / alpha).astype(dtype)


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


@public
def selu(input: jax.Array, inplace: bool = False) -> jax.Array:
    """Scaled exponential linear unit: ``y = s · (x if x > 0 else α · (eˣ − 1))`` with s = 1.0507… and α = 1.6733…, elementwise.

    Args:
      input: ``x``, of any shape.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.

    Returns:
      An array of the input's shape and dtype; half precision is computed in float32 and rounded once.

    Raises:
      DtypeError: input is not a floating-point array.

    Source: Klambauer et al., 2017; torch.nn.functional.selu.

    Example:
      >>> import jax.numpy as jnp
      >>> selu(jnp.array([0.0, 1.0])).tolist()
      [0.0, 1.0507010221481323]
    """
    x, dtype = check.widened("selu", input)
    return _exponential_unit(x, _SELU_ALPHA, _SELU_SCALE, 1.0).astype(dtype)


_ROOT_HALF, _NORMAL = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)
_TANH_A, _TANH_B = math.sqrt(2 / math.pi), 0.044715


def _gelu_slope(x: jax.Array) -> jax.Array:
    return 0.5 * (1 + lax.erf(x * _ROOT_HALF)) + x * jnp.exp(-0.5 * x * x) * _NORMAL


def _gelu_tanh_slope(x: jax.Array) -> jax.Array:
    bend = lax.tanh(_TANH_A * (x + _TANH_B * x * x * x))
    return 0.5 * (1 + bend) + 0.5 * x * (1 - bend * bend) * _TANH_A * (1 + 3 * _TANH_B * x * x)


_gelu = with_slope(lambda x: 0.5 * x * (1 + lax.erf(x * _ROOT_HALF)), _gelu_slope)
_gelu_tanh = with_slope(lambda x: 0.5 * x * (1 + lax.tanh(_TANH_A * (x + _TANH_B * x * x * x))), _gelu_tanh_slope)


@public
def gelu(input: jax.Array, approximate: str = "none") -> jax.Array:
    """Gaussian error linear unit: ``y = x · Φ(x)``, elementwise, with Φ the distribution function of the standard normal.

    Args:
      input: ``x``, of any shape.
      approximate: 'none', or 'tanh' for ``Φ(x) ≈ (1 + tanh(√(2/π) · (x + 0.044715 · x³))) / 2``; default 'none'.

    Returns:
      An array of the input's shape and dtype; half precision is computed in float32 and rounded once.

    Raises:
      ArgumentError: approximate is neither 'none' nor 'tanh'.
      DtypeError: input is not floating point.

    Source: Hendrycks and Gimpel, 2016; torch.nn.functional.gelu.

    Example:
      >>> import jax.numpy as jnp
      >>> gelu(jnp.array([-100.0, 0.0, 100.0])).tolist()
      [-0.0, 0.0, 100.0]
    """
    x, dtype = check.widened("gelu", input)
    if approximate not in ("none", "tanh"):
        raise ArgumentError(f"approximate argument must be either none or tanh, but got {approximate!r}")
    return (_gelu if approximate == "none" else _gelu_tanh)(x).astype(dtype)


def _silu_slope(x: jax.Array) -> jax.Array:
    s = lax.logistic(x)
    return s * (1 + x * (1 - s))


def _mish_slope(x: jax.Array) -> jax.Array:
    bend = lax.tanh(_softplus(x))
    return bend + x * lax.logistic(x) * (1 - bend * bend)


def _softplus(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


_softplus = with_slope(_softplus, lax.logistic)
_scaled_softplus = with_slope(
    lambda x, beta, threshold: jnp.where(x * beta > threshold, x, _softplus(jnp.where(x * beta > threshold, 0, x * beta)) / beta),
    lambda x, beta, threshold: jnp.where(x * beta > threshold, 1, lax.logistic(x * beta)),
)
_silu = with_slope(lambda x: x * lax.logistic(x), _silu_slope)
_mish = with_slope(lambda x: x * lax.tanh(_softplus(x)), _mish_slope)


@public
def silu(input: jax.Array, inplace: bool = False) -> jax.Array:
    """Sigmoid linear unit, or swish: ``y = x / (1 + e⁻ˣ)``, elementwise.

    Args:
      input: ``x``, of any shape, real or complex.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.

    Returns:
      An array of the input's shape and dtype; half precision is computed in float32 and rounded once.

    Raises:
      DtypeError: input is an integer.

    Source: Hendrycks and Gimpel, 2016; torch.nn.functional.silu.

    Example:
      >>> import jax.numpy as jnp
      >>> silu(jnp.array([0.0, 100.0])).tolist()
      [0.0, 100.0]
    """
    input = check.array("input", input)
    if jnp.issubdtype(input.dtype, jnp.complexfloating):
        return input * lax.logistic(input)
    x, dtype = check.widened("silu", input)
    return _silu(x).astype(dtype)


@public
def mish(input: jax.Array, inplace: bool = False) -> jax.Array:
    """Mish: ``y = x · tanh(log(1 + eˣ))``, elementwise.

    Args:
      input: ``x``, of any shape.
      inplace: accepted for torch's signature and ignored, for arrays are immutable; default False.

    Returns:
      An array of the input's shape and dtype; half precision is computed in float32 and rounded once.

    Raises:
      DtypeError: input is not a floating-point array.

    Source: Misra, 2019; torch.nn.functional.mish.

    Example:
      >>> import jax.numpy as jnp
      >>> mish(jnp.array([0.0, 100.0])).tolist()
      [0.0, 100.0]
    """
    x, dtype = check.widened("mish", input)
    return _mish(x).astype(dtype)


@public
def softplus(input: jax.Array, beta: float = 1, threshold: float = 20) -> jax.Array:
    """A smooth rectifier: ``y = log(1 + e^(β·x)) / β``, elementwise.

    Args:
      input: ``x``, of any shape.
      beta: β; default 1.
      threshold: where β·x exceeds it, y = x; default 20.

    Returns:
      An array of the input's shape and dtype; half precision is computed in float32 and rounded once.

    Raises:
      DtypeError: input is not a floating-point array.

    Source: torch.nn.functional.softplus.

    Example:
      >>> import jax.numpy as jnp
      >>> softplus(jnp.array([-100.0, 100.0])).tolist()
      [0.0, 100.0]
    """
    x, dtype = check.widened("softplus", input)
    return _scaled_softplus(x, beta, threshold).astype(dtype)


@public
def logsigmoid(input: jax.Array) -> jax.Array:
    """The logarithm of the sigmoid: ``y = −log(1 + e⁻ˣ)``, elementwise.

    Args:
      input: ``x``, of any shape.

    Returns:
      An array of the input's shape and dtype; half precision is computed in float32 and rounded once.

    Raises:
      DtypeError: input is not a floating-point array.

    Source: torch.nn.functional.logsigmoid.

    Example:
      >>> import jax.numpy as jnp
      >>> logsigmoid(jnp.array([-100.0, 100.0])).tolist()
      [-100.0, -0.0]
    """
    x, dtype = check.widened("logsigmoid", input)
    return (-_softplus(-x)).astype(dtype)


@public
def glu(input: jax.Array, dim: int = -1) -> jax.Array:
    """Gated linear unit: ``y = a · σ(b)``, where a and b are the halves of x along an axis.

    Args:
      input: ``x``, with an even size along dim.
      dim: the axis to halve; default −1.

    Returns:
      An array of half the input's size along dim, of its dtype.

    Raises:
      ShapeError: the size along dim is odd, or the input is a scalar.
      DtypeError: input is not floating point.

    Source: Dauphin et al., 2016; torch.nn.functional.glu.

    Example:
      >>> import jax.numpy as jnp
      >>> glu(jnp.array([2.0, 4.0, 0.0, 100.0])).tolist()
      [1.0, 4.0]
    """
    input = check.floating("glu", "input", input)
    if not input.ndim:
        raise ShapeError("glu does not support 0-dimensional tensors")
    axis = check.axis(dim, input.ndim)
    if input.shape[axis] % 2:
        raise ShapeError(f"Halving dimension must be even, but dimension {axis} is size {input.shape[axis]}")
    a, b = jnp.split(input, 2, axis)
    wide = check.accumulator(input.dtype)
    return (a.astype(wide) * lax.logistic(b.astype(wide))).astype(input.dtype)
