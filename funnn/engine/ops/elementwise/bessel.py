"""Bessel functions, Airy's function, and their modified and scaled forms.

All are computed in float64, whatever the input's type, to about 1e-15 of the function's size (its envelope, where it oscillates): by
integrals that the trapezoidal rule gives to the last digit with few nodes, since their integrands are periodic or decay doubly
exponentially, and for large arguments by their asymptotic series (Abramowitz and Stegun, chapters 9 and 10). As in torch, those of this
file but i0e, i1 and i1e have no gradient.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
from jax import lax

from funnn.engine.ops.elementwise.special_functions import i0
from funnn.engine.ops.kit.elementwise import floating, named, widened
from funnn.engine.ops.kit.table import row

# -- of the first kind, modified, with derivatives


@jax.custom_jvp
def _i0e(x):
    return lax.bessel_i0e(x)


@_i0e.defjvp
def _i0e_jvp(primals, tangents):
    value = _i0e(*primals)
    return value, (_i1e(*primals) - jnp.sign(primals[0]) * value) * tangents[0]


@jax.custom_jvp
def _i1(x):
    return jsp.i1(x)


@_i1.defjvp
def _i1_jvp(primals, tangents):
    (x,), value = primals, _i1(*primals)
    return value, _slope(x, i0(x), value, 0) * tangents[0]


@jax.custom_jvp
def _i1e(x):
    return lax.bessel_i1e(x)


@_i1e.defjvp
def _i1e_jvp(primals, tangents):
    (x,), value = primals, _i1e(*primals)
    return value, _slope(x, _i0e(x), value, jnp.sign(x)) * tangents[0]


def _slope(x, zeroth, first, damping):
    """zeroth − first·(damping + 1/x), and its limit ½ at 0."""
    safe = jnp.where(x == 0, 1, x)
    return jnp.where(x == 0, 0.5, zeroth - first * (damping + 1 / safe))


def i0e(input):
    """exp(−|input|) times the modified Bessel function of the first kind of order 0."""
    return _i0e(input)


def i1(input):
    """The modified Bessel function of the first kind of order 1."""
    return _i1(input)


def i1e(input):
    """exp(−|input|) times the modified Bessel function of the first kind of order 1."""
    return _i1e(input)


row("special.i0e", floating(widened(i0e)), "SpecialI0EBackward0", elementwise=True)
row("special.i1", floating(widened(i1)), "SpecialI1Backward0", elementwise=True)
row("special.i1e", floating(widened(i1e)), "SpecialI1EBackward0", elementwise=True)


# -- series and integrals, in float64


def _hankel(order: int, terms: int = 22) -> np.ndarray:
    """aₖ of the asymptotic series Σ aₖ/xᵏ: Πⱼ (4ν² − (2j − 1)²)/(8j), j = 1 … k."""
    factors = [1.0] + [(4 * order**2 - (2 * j - 1) ** 2) / (8 * j) for j in range(1, terms)]
    return np.cumprod(factors)


def _airy_coefficients(terms: int = 22) -> np.ndarray:
    """uₖ of the asymptotic series of Ai: Πⱼ (6j − 5)(6j − 1)/(72j), j = 1 … k."""
    return np.cumprod([1.0] + [(6 * j - 5) * (6 * j - 1) / (72 * j) for j in range(1, terms)])


def _even_and_odd(coefficients: np.ndarray, x: Any) -> tuple:
    """Σ (−1)ᵏ c₂ₖ/x²ᵏ and Σ (−1)ᵏ c₂ₖ₊₁/x²ᵏ⁺¹."""
    signs = np.array([1, 1, -1, -1] * len(coefficients))[: len(coefficients)]
    signed = (coefficients * signs)[::-1]
    step = -1 if len(coefficients) % 2 == 0 else 0
    even, odd = (signed[1::2], signed[0::2]) if step else (signed[0::2], signed[1::2])
    return jnp.polyval(even, 1 / x**2), jnp.polyval(odd, 1 / x**2) / x


_BORDER = 25.0  # from here on the asymptotic series have all digits

_QUARTER = (np.arange(32) + 0.5) * math.pi / 64  # nodes of the trapezoidal rule over the circle, in one of its quarters
_LOGARITHM = sum((-1) ** k * np.cos(2 * k * _QUARTER) / k for k in range(1, 32))


def _mean(x: Any, function: Callable, weights: np.ndarray) -> Any:
    """The mean over θ of function(x·sin θ)·weights(θ)."""
    return jnp.mean(function(x[..., None] * np.sin(_QUARTER)) * weights, -1)


def _first_kind(order: int, x: Any) -> Any:
    """J₀ or J₁ of small x > 0: Bessel's integral."""
    return _mean(x, jnp.cos, np.ones(32)) if order == 0 else _mean(x, jnp.sin, np.sin(_QUARTER))


def _second_kind(order: int, x: Any) -> Any:
    """Y₀ or Y₁ of small x > 0: Neumann's series Y₀ = (2/π)(ln(x/2) + γ)·J₀ − (4/π) Σ (−1)ᵏ J₂ₖ/k summed in the integral; Y₁ = −Y₀′."""
    logarithm = 2 / math.pi * (jnp.log(x / 2) + np.euler_gamma)
    if order == 0:
        return logarithm * _first_kind(0, x) - 4 / math.pi * _mean(x, jnp.cos, _LOGARITHM)
    return (
        logarithm * _first_kind(1, x)
        - 2 / (math.pi * x) * _first_kind(0, x)
        - 4 / math.pi * _mean(x, jnp.sin, _LOGARITHM * np.sin(_QUARTER))
    )


def _oscillating(order: int, x: Any) -> tuple:
    """J and Y of large x: √(2/πx)·(P·cos χ − Q·sin χ) and √(2/πx)·(P·sin χ + Q·cos χ), χ = x − (2ν + 1)π/4."""
    P, Q = _even_and_odd(_hankel(order), x)
    sine, cosine = jnp.sin(x), jnp.cos(x)
    turned = (sine - cosine, sine + cosine) if order == 0 else (-sine - cosine, sine - cosine)  # √2·sin χ, √2·cos χ
    size = 1 / jnp.sqrt(math.pi * x)
    return size * (P * turned[1] - Q * turned[0]), size * (P * turned[0] + Q * turned[1])


def _bessel_j(order: int, x: Any) -> Any:
    size = jnp.abs(x)
    value = jnp.where(size < _BORDER, _first_kind(order, jnp.minimum(size, _BORDER)), _oscillating(order, jnp.maximum(size, _BORDER))[0])
    return value if order == 0 else jnp.where(x < 0, -value, value)


def _bessel_y(order: int, x: Any) -> Any:
    small = jnp.clip(x, jnp.finfo(x.dtype).tiny, _BORDER)
    value = jnp.where(x < _BORDER, _second_kind(order, small), _oscillating(order, jnp.maximum(x, _BORDER))[1])
    return jnp.where(x == 0, -jnp.inf, jnp.where(x < 0, jnp.nan, value))


def _modified_series(order: int, x: Any) -> Any:
    """K₀ or K₁ of 0 < x ≤ 2: ∓ln(x/2)·I plus a power series of x²/4 (A&S 9.6.11)."""
    count = 24
    digamma = -np.euler_gamma + np.cumsum([0.0] + [1 / k for k in range(1, count + 1)])  # ψ(1), ψ(2), …
    factorial = np.array([math.factorial(k) for k in range(count)], float)
    y = x * x / 4
    if order == 0:
        return -jnp.log(x / 2) * jsp.i0(x) + jnp.polyval((digamma[:count] / factorial**2)[::-1].copy(), y)
    coefficients = (digamma[:count] + digamma[1:]) / (factorial**2 * np.arange(1, count + 1))
    return 1 / x + jnp.log(x / 2) * jsp.i1(x) - x / 4 * jnp.polyval(coefficients[::-1].copy(), y)


_NODES = np.arange(0, 4.05, 0.15)


def _scaled_k(order: int, x: Any) -> Any:
    """exp(x)·K: for small x a series, then ∫ exp(−x(cosh t − 1))·cosh νt dt over t > 0, then the asymptotic series."""
    low, middle, high = jnp.clip(x, jnp.finfo(x.dtype).tiny, 2), jnp.clip(x, 2, _BORDER), jnp.maximum(x, _BORDER)
    weights = np.where(_NODES == 0, 0.5, 1.0) * 0.15 * np.cosh(order * _NODES)
    integral = jnp.sum(jnp.exp(-middle[..., None] * (np.cosh(_NODES) - 1)) * weights, -1)
    tail = jnp.sqrt(math.pi / (2 * high)) * jnp.polyval(_hankel(order)[::-1].copy(), 1 / high)
    value = jnp.where(x <= 2, jnp.exp(low) * _modified_series(order, low), jnp.where(x < _BORDER, integral, tail))
    return jnp.where(x == 0, jnp.inf, jnp.where(x < 0, jnp.nan, value))


_STEPS = np.arange(0, 10, 0.07)


def _airy(x: Any) -> Any:
    """Ai: for x > −12 the integral of exp(t³/3 − xt)/2πi along Re t = max(√x, ½), else the asymptotic series."""
    near = jnp.clip(x, -12.0, 120.0)  # beyond, it underflows
    a = jnp.sqrt(jnp.maximum(near, 0.25))[..., None]
    real = a**3 / 3 - a * _STEPS**2 - near[..., None] * a
    imaginary = a * a * _STEPS - _STEPS**3 / 3 - near[..., None] * _STEPS
    weights = np.where(_STEPS == 0, 0.5, 1.0) * 0.07 / math.pi
    integral = jnp.sum(jnp.exp(real) * jnp.cos(imaginary) * weights, -1)
    size = jnp.maximum(-x, 12.0)
    angle = 2 / 3 * size**1.5
    even, odd = _even_and_odd(_airy_coefficients(), angle)
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    waves = ((sine + cosine) * even - (cosine - sine) * odd) / (math.sqrt(2 * math.pi) * size**0.25)
    return jnp.where(jnp.isinf(x), jnp.nan, jnp.where(x > -12, integral, waves))


def _spherical(x: Any) -> Any:
    return jnp.where(jnp.isinf(x), 0, jnp.where(x == 0, 1, jnp.sin(x) / jnp.where(x == 0, 1, x)))


# -- their rows


def _constant(name: str, function: Callable, text: str) -> None:
    """A row computed in float64, without gradient."""

    def pure(input):
        return function(input.astype(jnp.float64)).astype(input.dtype)

    pure.__doc__ = text
    row(f"special.{name}", floating(named(pure, name)), differentiable=False, elementwise=True)


for _order, _word in enumerate(("0", "1")):
    _constant(f"bessel_j{_order}", functools.partial(_bessel_j, _order), f"The Bessel function of the first kind of order {_word}.")
    _constant(f"bessel_y{_order}", functools.partial(_bessel_y, _order), f"The Bessel function of the second kind of order {_word}.")
    _constant(
        f"scaled_modified_bessel_k{_order}",
        functools.partial(_scaled_k, _order),
        f"exp(input) times the modified Bessel function of the second kind of order {_word}.",
    )
_constant("modified_bessel_i0", jsp.i0, "The modified Bessel function of the first kind of order 0.")
_constant("modified_bessel_i1", jsp.i1, "The modified Bessel function of the first kind of order 1.")
_constant("modified_bessel_k0", lambda x: jnp.exp(-x) * _scaled_k(0, x), "The modified Bessel function of the second kind of order 0.")
_constant("modified_bessel_k1", lambda x: jnp.exp(-x) * _scaled_k(1, x), "The modified Bessel function of the second kind of order 1.")
_constant("airy_ai", _airy, "Airy's function Ai.")
_constant("spherical_bessel_j0", _spherical, "sin(input)/input, and 1 at 0.")
