"""Gamma and Dirichlet values as functions of their concentrations: the derivative that holds the draw's quantile fixed.

For a value x of the cumulative distribution F(x; α) and density f(x; α), dx/dα = −(∂F/∂α)/f (Figurnov, Mohamed & Mnih, "Implicit
reparameterization gradients", NeurIPS 2018). There is no closed form; PyTorch approximates it region by region (ATen/native/Distributions.h), to
about three digits where it uses a fitted quotient. The same regions and coefficients are used here, so that gradients agree with PyTorch's.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from funnn.engine.ops.kit.elementwise import without_derivative

# Quotient p/q of polynomials in u = log(x/α) (rows) and v = log α (columns): the first four columns are p's, the others q's.
_GAMMA = np.array(
    [
        [0.16009398, -0.094634809, 0.025146376, -0.0030648343, 1, 0.32668115, 0.10406089, 0.0014179084],
        [0.53487893, 0.1298071, 0.065735949, -0.0015649758, 0.16639465, 0.020070113, -0.0035938915, -0.00058392623],
        [0.040121004, -0.0065914022, -0.0026286047, -0.0013441777, 0.017050642, -0.0021309326, 0.00085092367, -1.5247877e-07],
    ]
).reshape(3, 2, 4)
# p and q for the beta distribution: coefficients of uⁱ·aʲ·bᵏ, u = log x, a = log α − u, b = log(total) − a.
_BETA = np.array(
    [
        *(1.003668233, -0.01061107488, -0.0657888334, 0.01201642863, 0.6336835991, -0.3557432599, 0.05486251648, -0.001465281033),
        *(-0.03276231906, 0.004474107445, 0.002429354597, -0.0001557569013, 0.221950385, -0.3187676331, 0.01799915743, 0.01074823814),
        *(-0.2951249643, 0.06219954479, 0.01535556598, 0.001550077057, 0.02155310298, 0.004170831599, 0.001292462449, 6.976601077e-05),
        *(-0.05980841433, 0.008441916499, 0.01085618172, 0.002319392565, 0.02911413504, 0.01400243777, -0.002721828457, 0.000751041181),
        *(0.005900514878, -0.001936558688, -9.495446725e-06, 5.385558597e-05),
        *(1, -0.02924021934, -0.04438342661, 0.007285809825, 0.6357567472, -0.3473456711, 0.05454656494, -0.002407477521),
        *(-0.03301322327, 0.004845219414, 0.00231480583, -0.0002307248149, 0.5925320577, -0.1757678135, 0.01505928619, 0.000564515273),
        *(0.1014815858, -0.06589186703, 0.01272886114, -0.0007316646956, -0.007258481865, 0.001096195486, 0.0003934994223, -4.12701925e-05),
        *(
            0.06469649321,
            -0.0236701437,
            0.002902096474,
            -5.896963079e-05,
            0.001925008108,
            -0.002869809258,
            0.0008000589141,
            -6.063713228e-05,
        ),
        *(-0.0003477407336, 6.959756487e-05, 1.097287507e-05, -1.650964693e-06),
    ]
).reshape(2, 3, 3, 4)


def _powers(x, n):
    return jnp.stack([x**i for i in range(n)])


def _selected(x, *cases, otherwise):
    """The value of the first case (condition, function, harmless x) that holds; each function sees x only where it is defined."""
    result, open_ = jnp.zeros_like(x), jnp.ones_like(x, bool)
    for condition, function, harmless in (*cases, (jnp.ones_like(x, bool), *otherwise)):
        chosen = open_ & condition
        result = jnp.where(chosen, function(jnp.where(chosen, x, harmless)), result)
        open_ = open_ & ~condition
    return result


# -- gamma


def _gamma_small(x, alpha):
    """F and ∂F/∂α from the first terms of Σ (−x)ⁱ/i!/(α + i)."""
    term, first, second = 1.0, 1 / alpha, 1 / alpha**2
    for i in range(1, 6):
        term = -term * x / i
        first, second = first + term / (alpha + i), second + term / (alpha + i) ** 2
    slope = -x * jnp.exp(x) * ((jnp.log(x) - lax.digamma(alpha)) * first - second)
    return jnp.where(jnp.isnan(slope), 0, slope)


def _gamma_central(x, alpha):
    """Rice's saddle point expansion near x = α, as a polynomial, free of its singularity."""
    polynomial = 1440 * alpha**2 + 6 * x * (53 - 120 * x) - 65 * x * x / alpha + alpha * (107 + 3600 * x)
    return (1 + 24 * alpha * (1 + 12 * alpha)) * polynomial / (1244160 * alpha**4)


def _gamma_large(x, alpha):
    """The expansion itself, for large α."""
    root, distance = jnp.sqrt(8 * alpha), alpha - x
    log_ratio = jnp.log(x / alpha)
    correction = root / distance - jnp.sign(distance) * (-distance - alpha * log_ratio) ** -1.5
    term = log_ratio * correction - jnp.sqrt(2 / alpha) * (alpha + x) / distance**2
    return -(1 + 1 / (12 * alpha) * (1 + 1 / (24 * alpha))) * x * term / root


def _gamma_fitted(x, alpha):
    p, q = jnp.einsum("u...,upv,v...->p...", _powers(jnp.log(x / alpha), 3), _GAMMA, _powers(jnp.log(alpha), 4))
    return jnp.exp(p / q)


@without_derivative("_standard_gamma_grad: self")
def gamma_slope(alpha, x):
    """dx/dα of a standard gamma value x of concentration α."""
    large = alpha > 8
    return _selected(
        x,
        (x < 0.8, lambda x: _gamma_small(x, alpha), 0.5),
        (large & (x >= 0.9 * alpha) & (x <= 1.1 * alpha), lambda x: _gamma_central(x, alpha), alpha),
        (large, lambda x: _gamma_large(x, alpha), 2 * alpha),
        otherwise=(lambda x: _gamma_fitted(x, alpha), 1.0),
    )


# -- beta


def _beta_near_zero(x, alpha, beta):
    """∂x/∂α for small x, from the first terms of the density's series in x."""
    factor = lax.digamma(alpha) - lax.digamma(alpha + beta) - jnp.log(x)
    term, series = 1.0, (factor + 1 / alpha) / alpha
    for i in range(1, 11):
        term = term * (i - beta) * x / i
        series += term / (alpha + i) * (factor + 1 / (alpha + i))
    slope = x * (1 - x) ** -beta * series
    return jnp.where(jnp.isnan(slope), 0, slope)


def _beta_near_one(x, alpha, beta):
    """The same for x near 1, from the series of 1 − x, whose second concentration is α."""
    y, a, b = 1 - x, beta, alpha
    factor = lax.digamma(a + b) - lax.digamma(b)
    term, product, slope, series = 1.0, 1.0, 0.0, factor / a
    for i in range(1, 9):
        term = -term * y / i
        slope, product = slope * (b - i) + product, product * (b - i)
        series += term / (a + i) * (slope + factor * product)
    result = (1 - y) ** (1 - b) * series
    return jnp.where(jnp.isnan(result), 0, result)


def _beta_central(x, alpha, beta):
    """Rice's saddle point expansion near the mean, as a polynomial, free of its singularity."""
    a3 = (453 + 1620 * beta * (1 - x) - 455 * x) * beta + alpha * 8 * (1 - x) * (135 * beta - 11)
    a2 = 3 * (59 + 180 * beta - 90 * x) * beta**2 + alpha * a3
    polynomial = 47 * x * beta**4 + alpha * ((43 + 20 * (16 + 27 * beta) * x) * beta**3 + alpha * a2)
    total = alpha + beta
    factor = (1 + 12 * alpha) * (1 + 12 * beta) / total**2 / (12960 * alpha**3 * beta**2 * (1 + 12 * total))
    return factor * polynomial / (1 - x)


def _beta_large(x, alpha, beta):
    """The expansion itself, where both concentrations are large."""
    total = alpha + beta
    stirling = _stirling(alpha) * _stirling(beta) / _stirling(total)
    distance = alpha * (x - 1) + beta * x
    first = (2 * alpha**2 * (x - 1) + alpha * beta * (x - 1) - x * beta**2) / (jnp.sqrt(2 * alpha / beta) * total**1.5 * distance**2)
    log_ratio = jnp.log(alpha / (total * x))
    tail = (beta * jnp.log(beta / (total * (1 - x))) + alpha * log_ratio) ** -1.5
    second = 0.5 * log_ratio * (jnp.sqrt(8 * alpha * beta / total) / distance + jnp.where(x < alpha / total, tail, -tail))
    return -stirling * x / jnp.sqrt(2 * alpha * beta / total) * (first + second)


def _stirling(x):
    return 1 + 1 / (12 * x) + 1 / (288 * x * x)


def _beta_fitted(x, alpha, total):
    u = jnp.log(x)
    a = jnp.log(alpha) - u
    b = jnp.log(total) - a
    p, q = jnp.einsum("nijk,i...,j...,k...->n...", _BETA, _powers(u, 3), _powers(a, 3), _powers(b, 4))
    return p / q * x * (lax.digamma(total) - lax.digamma(alpha)) / (total - alpha)


@without_derivative("_dirichlet_grad: x")
def beta_slope(x, alpha, total):
    """dx/dα/(1 − x) of a beta value x of concentrations α and total − α."""
    beta = total - alpha
    boundary = total * x * (1 - x)
    mean = alpha / total
    spread = 0.1 * jnp.sqrt(alpha * beta / (total + 1)) / total
    large = (alpha > 6) & (beta > 6)
    return _selected(
        x,
        ((x <= 0.5) & (boundary < 2.5), lambda x: _beta_near_zero(x, alpha, beta), 0.25),
        ((x >= 0.5) & (boundary < 0.75), lambda x: _beta_near_one(x, alpha, beta), 0.75),
        (large & (x >= mean - spread) & (x <= mean + spread), lambda x: _beta_central(x, alpha, beta), mean),
        (large, lambda x: _beta_large(x, alpha, beta), 0.9 * mean),
        otherwise=(lambda x: _beta_fitted(x, alpha, total), 0.5),
    )


# -- values that were drawn, with these derivatives


@jax.custom_vjp
def standard_gamma(values, alpha):
    """``values``, drawn with the concentrations ``alpha``."""
    return values


@jax.custom_vjp
def dirichlet(values, alpha):
    """``values``, drawn with the concentrations ``alpha`` of the last dimension."""
    return values


def _keep(values, alpha):
    return values, (values, alpha)


def _pull_gamma(kept, gradient):
    values, alpha = kept
    slope = gamma_slope(alpha.astype(jnp.float64), values.astype(jnp.float64))
    return jnp.zeros_like(values), gradient * slope.astype(alpha.dtype)


def _pull_dirichlet(kept, gradient):
    values, alpha = kept
    wide = alpha.astype(jnp.float64)
    total = jnp.broadcast_to(wide.sum(-1, keepdims=True), wide.shape)
    slope = beta_slope(values.astype(jnp.float64), wide, total).astype(alpha.dtype)
    return jnp.zeros_like(values), slope * (gradient - (values * gradient).sum(-1, keepdims=True))


standard_gamma.defvjp(_keep, _pull_gamma)
dirichlet.defvjp(_keep, _pull_dirichlet)
