"""torch.special's functions of the normal distribution, the error function, entropy, and Hurwitz's zeta function."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
from jax import lax

from funnn.engine.ops.kit.elementwise import by_operand, floating, refusing, require, widened
from funnn.engine.ops.kit.table import row
from funnn.engine.ops.kit.tensor_arguments import Operand
from funnn.engine.types.dtype import promoted
from funnn.functional._slope import times_unless, with_slopes

# -- the normal distribution


def ndtr(input):
    """The probability that a standard normal variable is less than input: (1 + erf(input/√2))/2."""
    return 0.5 * (1 + lax.erf(input * math.sqrt(0.5)))


@jax.custom_jvp
def _ndtri(p):
    return jsp.ndtri(p)


@_ndtri.defjvp
def _ndtri_jvp(primals, tangents):
    x = _ndtri(*primals)
    return x, math.sqrt(2 * math.pi) * jnp.exp(x * x / 2) * tangents[0]


def ndtri(input):
    """The inverse of ndtr."""
    return _ndtri(input)


_FAR = 6.0
#: (−1)ᵏ·1·3·…·(2k − 1)/(2·6²)ᵏ: the asymptotic series of exp(x²)·erfc(x)·x·√π in powers of (6/x)².
_TAIL = np.cumprod([1.0] + [-(2 * k - 1) / (2 * _FAR**2) for k in range(1, 31)])[::-1].copy()


@jax.custom_jvp
def _erfcx(x):
    size = jnp.minimum(jnp.abs(x), 30)
    coarse = jnp.round(size * 256) / 256  # its square is exact, so that exp(x²) does not suffer from the rounding of x²
    exponential = jnp.exp(coarse * coarse) * jnp.exp((size - coarse) * (size + coarse))
    far = jnp.maximum(jnp.abs(x), _FAR)
    tail = jnp.polyval(jnp.asarray(_TAIL, x.dtype), jnp.square(_FAR / far)) / (far * math.sqrt(math.pi))
    value = jnp.where(jnp.abs(x) < _FAR, exponential * lax.erfc(size), tail)
    return jnp.where(x < 0, 2 * exponential - value, value)


@_erfcx.defjvp
def _erfcx_jvp(primals, tangents):
    (x,), value = primals, _erfcx(*primals)
    return value, (2 * x * value - 2 / math.sqrt(math.pi)) * tangents[0]


def erfcx(input):
    """exp(input²)·erfc(input)."""
    return _erfcx(input)


@jax.custom_jvp
def _log_ndtr(x):
    t = x * math.sqrt(0.5)
    low = jnp.log(_erfcx(-jnp.minimum(t, -0.5)) / 2) - t * t
    return jnp.where(x < -1, low, jnp.log1p(-lax.erfc(jnp.maximum(t, -1.0)) / 2))


@_log_ndtr.defjvp
def _log_ndtr_jvp(primals, tangents):
    (x,) = primals
    return _log_ndtr(x), math.sqrt(2 / math.pi) / _erfcx(-x * math.sqrt(0.5)) * tangents[0]


def log_ndtr(input):
    """The logarithm of ndtr, exact where that underflows."""
    return _log_ndtr(input)


row("special.ndtr", floating(widened(ndtr)), "MulBackward1", elementwise=True)
row("special.ndtri", floating(widened(ndtri)), "SpecialNdtriBackward0", elementwise=True)
row("special.erfcx", floating(widened(erfcx)), "SpecialErfcxBackward0", elementwise=True)
row("special.log_ndtr", floating(widened(log_ndtr)), "SpecialLogNdtrBackward0", elementwise=True)


# -- entropy


@jax.custom_jvp
def _entropy(x):
    return jnp.where(x > 0, -x * jnp.log(jnp.where(x > 0, x, 1)), jnp.where(x == 0, 0, jnp.where(x < 0, -jnp.inf, jnp.nan)))


@_entropy.defjvp
def _entropy_jvp(primals, tangents):
    return _entropy(*primals), -(1 + jnp.log(primals[0])) * tangents[0]


def entr(input):
    """−input·log(input), 0 at 0 and −∞ below."""
    return _entropy(input)


def xlog1py(input: Operand, other: Operand):
    """input·log(1 + other), and 0 where input is 0, unless other is NaN."""
    return _times_log1p(*promoted(input, other, floating=True))


def _slope_of_factor(tangent, result, x, y):
    zero = (x == 0) & (y <= -1)
    return times_unless(zero, tangent, jnp.log1p(jnp.where(zero, 0, y)))


def _x_log1p_y(x, y):
    return x * jnp.log1p(jnp.where((x == 0) & ((y <= -1) | (y == jnp.inf)), 0, y))


_times_log1p = with_slopes(_x_log1p_y, _slope_of_factor, lambda t, result, x, y: t * x / (y + 1))


row("special.entr", floating(widened(entr)), "SpecialEntrBackward0", elementwise=True)
row("special.xlog1py", xlog1py, by_operand("SpecialXlog1Py", 0, 2, 1), scalars=("input", "other"), elementwise=True)


# -- the zeta function


_exponent = refusing(lambda: NotImplementedError("the derivative for 'zeta' is not implemented in its first argument."))(
    lambda array: array
)


def zeta(input: Operand, other: Operand):
    """Hurwitz's zeta function Σ (k + other)^−input, k = 0, 1, …; it has a derivative in ``other`` alone."""
    x, q = promoted(input, other, floating=True)
    require("zeta", x, "f")
    return widened(_zeta)(*jnp.broadcast_arrays(_exponent(x), q))


@jax.custom_jvp
def _zeta(x, q):
    pole = jnp.where(q == jnp.floor(q), jnp.inf, jnp.where(x == jnp.floor(x), lax.zeta(x, q), jnp.nan))
    return jnp.where(x == 1, jnp.inf, jnp.where(x < 1, jnp.nan, jnp.where(q <= 0, pole, lax.zeta(x, q))))


@_zeta.defjvp
def _zeta_jvp(primals, tangents):
    (x, q), (_, change) = primals, tangents
    return _zeta(x, q), -x * _zeta(x + 1, q) * change


row("special.zeta", zeta, by_operand("SpecialZeta", 0, 2, 1), scalars=("input", "other"), elementwise=True)
