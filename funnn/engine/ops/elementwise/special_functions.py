"""Functions element by element that need more than a formula of elementary ones: gamma and its family, the error function, Bessel's."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
from jax import Array, lax

from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.ops.kit.elementwise import by_operand, floating, require, widened, without_derivative
from funnn.engine.ops.kit.table import publish, row, write_out
from funnn.engine.ops.kit.tensor_arguments import Operand
from funnn.engine.types.dtype import promoted
from funnn.functional._slope import times_unless, with_slopes

# -- gamma


@jax.custom_jvp
def lgamma(input):
    """log |Γ(input)|."""
    return jnp.where(jnp.isinf(input), jnp.inf, lax.lgamma(input))


@lgamma.defjvp
def _lgamma_jvp(primals, tangents):
    return lgamma(*primals), _digamma(*primals) * tangents[0]


@jax.custom_jvp
def _digamma(input):
    value = lax.digamma(input)
    return jnp.where(input == 0, jnp.copysign(jnp.inf, -input).astype(value.dtype), value)


def _digamma_jvp(primals, tangents):
    return _digamma(*primals), polygamma(1, *primals) * tangents[0]


_digamma.defjvp(_digamma_jvp)


def digamma(input):
    """The derivative of log Γ; ±∞ at 0."""
    return _digamma(input)


def polygamma(n, input):
    """The derivative of order n + 1 of log Γ."""
    if n < 0:
        raise RuntimeError(f"polygamma(n, x) does not support negative n: got n={n}")
    (input,) = promoted(input, floating=True)
    return widened(_polygamma)(input, n) if n else digamma(input)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _polygamma(input, n):
    """(−1)ⁿ⁺¹ n! Σ (k + x)^−(n+1), which converges for x > 0; below ½ by the reflection ψ(1 − x) = (−1)ⁿ (ψ(x) + π dⁿ/dxⁿ cot πx)."""
    reflected = input < 0.5
    x = jnp.where(reflected, 1 - input, input)
    value = (-1) ** (n + 1) * math.factorial(n) * lax.zeta(jnp.full(x.shape, n + 1, x.dtype), x)
    whole = jnp.round(input)
    cotangent = 1 / jnp.tan(math.pi * (input - whole))
    below = (-1) ** n * value - _cotangent_derivative(cotangent, n)
    pole = jnp.where(jnp.isinf(input), jnp.nan, jnp.inf if n % 2 else -jnp.inf)
    return jnp.where(reflected, jnp.where(input == whole, pole, below), jnp.where(x == jnp.inf, 0, value))


@_polygamma.defjvp
def _polygamma_jvp(n, primals, tangents):
    return _polygamma(*primals, n), _polygamma(*primals, n + 1) * tangents[0]


def _cotangent_derivative(cotangent, n):
    """π dⁿ/dxⁿ cot πx, a polynomial of c = cot πx: a derivative multiplies that by c with −π(1 + c²)."""
    polynomial = np.polynomial.Polynomial([0, math.pi])
    for _ in range(n):
        polynomial = polynomial.deriv() * np.polynomial.Polynomial([-math.pi, 0, -math.pi])
    first, *others = (float(coefficient) for coefficient in polynomial.coef[::-1])
    return functools.reduce(lambda total, coefficient: total * cotangent + coefficient, others, jnp.full_like(cotangent, first))


def mvlgamma(input, p):
    """The logarithm of the multivariate gamma function of dimension p."""
    if p < 1:
        raise RuntimeError(f"p has to be greater than or equal to 1, got p={p}")
    steps = jnp.arange(p, dtype=input.dtype) / 2
    return jnp.sum(lgamma(input[..., None] - steps), -1) + p * (p - 1) / 4 * math.log(math.pi)


row("lgamma", floating(lgamma), inplace=True, elementwise=True)
row("digamma", floating(digamma), inplace=True, elementwise=True)
row("mvlgamma", floating(widened(mvlgamma)), inplace=True)

_polygamma_op = Op(polygamma)


def _run_polygamma(n, input, *, out=None):
    if not isinstance(n, (int, np.integer)):
        raise TypeError(f"polygamma(): argument 'n' (position 1) must be int, not {type(n).__name__}; it comes before the tensor")
    result = call(_polygamma_op, (n, input), {})
    return result if out is None else write_out(out, result)


def _polygamma_of(self: Array, n):
    """The derivative of order n of digamma at each number: (−1)ⁿ⁺¹ n! Σ (k + x)^−(n+1) over k ≥ 0."""
    return _run_polygamma(n, self)


publish("polygamma", _run_polygamma, polygamma, method=False, elementwise=True)
_polygamma_in_place = Op(lambda self, n: polygamma(n, self), "PolygammaBackward1")
publish(
    *("polygamma", _polygamma_of),
    function=False,
    inplace=True,
    computes_in_place=functools.partial(call, _polygamma_in_place),
    elementwise=True,
)


_fixed = {name: without_derivative(f"{name}: input")(lambda array: array) for name in ("igamma", "igammac")}


def igamma(input, other: Array):
    """The regularised lower incomplete gamma function P(input, other); it has a derivative in ``other`` alone."""
    return _incomplete("igamma", lax.igamma, input, other)


def igammac(input, other: Array):
    """The regularised upper incomplete gamma function Q(input, other); it has a derivative in ``other`` alone."""
    return _incomplete("igammac", lax.igammac, input, other)


def _incomplete(name, function, input, other):
    a, x = promoted(input, other)
    require(name, a, "f")
    a, x = jnp.broadcast_arrays(_fixed[name](a), x)
    below = jnp.where((a == 0) & (x > 0), 1, jnp.where((a == jnp.inf) & (jnp.abs(x) < jnp.inf), 0, jnp.nan))  # the limits of P
    limit = jnp.where(x < 0, jnp.nan, below if name == "igamma" else 1 - below).astype(a.dtype)
    at_limit = (a == 0) | (a == jnp.inf)
    return jnp.where(at_limit, limit, widened(function)(jnp.where(at_limit, 1, a), x))


row("igamma", igamma, inplace=True, elementwise=True)
row("igammac", igammac, inplace=True, elementwise=True)


# -- the error function


def erfc(input):
    """1 − erf(input)."""
    return lax.erfc(input)


def erfinv(input):
    """The inverse of erf."""
    return lax.erf_inv(input)


row("erfc", floating(erfc), inplace=True, elementwise=True)
row("erfinv", floating(erfinv), inplace=True, elementwise=True, autocast={"cuda": FLOAT32})


# -- Bessel functions


@jax.custom_jvp
def i0(input):
    """The modified Bessel function of the first kind of order 0."""
    return jsp.i0(input)


@i0.defjvp
def _i0_jvp(primals, tangents):
    return i0(*primals), jsp.i1(*primals) * tangents[0]  # jax's own is wrong at 0


row("i0", floating(widened(i0)), inplace=True, elementwise=True)


# -- of elementary functions, with care at the ends


@jax.custom_jvp
def _sinc(x):
    return jnp.sinc(x)


@_sinc.defjvp
def _sinc_jvp(primals, tangents):
    (x,) = primals
    near = jnp.abs(x) < 1e-2  # where the quotient's numerator cancels
    far = jnp.where(near, 1, x)
    slope = jnp.where(near, x * (-(math.pi**2) / 3 + math.pi**4 / 30 * x * x), (jnp.cos(math.pi * far) - _sinc(far)) / far)
    return _sinc(x), slope * tangents[0]


def sinc(input):
    """sin(π·input)/(π·input), and 1 at 0."""
    return _sinc(input)


def logit(input, eps=None):
    """log(input/(1 − input)), the input first kept between eps and 1 − eps."""
    if eps is None:
        return _log_odds(input * jnp.where((input < 0) | (input > 1), jnp.nan, 1))  # a product, so that the gradient is NaN, too
    low, high = (jnp.asarray(bound, input.dtype) for bound in (eps, 1 - eps))
    return _log_odds(jnp.where(input < low, low, jnp.where(input > high, high, input)))


@jax.custom_jvp
def _log_odds(p):
    return jnp.log(p / (1 - p))


@_log_odds.defjvp
def _log_odds_jvp(primals, tangents):
    (p,) = primals
    return _log_odds(p), tangents[0] / ((p + 0.0) * (1 - p))  # of −0, the slope is that of 0


def xlogy(input: Operand, other: Operand):
    """input·log(other), and 0 where input is 0, unless other is NaN."""
    return _times_log(*promoted(input, other, floating=True))


def _slope_of_factor(tangent, result, x, y):
    zero = (x == 0) & (y <= 0)
    return times_unless(zero, tangent, jnp.log(jnp.where(zero, 1, y)))


def _x_log_y(x, y):
    return x * jnp.log(jnp.where((x == 0) & ((y <= 0) | (y == jnp.inf)), 1, y))


_times_log = with_slopes(_x_log_y, _slope_of_factor, lambda t, result, x, y: t * x / y)


row("sinc", floating(widened(sinc)), inplace=True, elementwise=True)
row("logit", floating(widened(logit)), inplace=True, elementwise=True)
row("xlogy", xlogy, by_operand("Xlogy", 0, 2, 1), scalars=("input", "other"), inplace=True, elementwise=True)
