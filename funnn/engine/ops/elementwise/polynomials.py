"""Orthogonal polynomials of any degree at any point: Chebyshev's four kinds, also shifted to [0, 1], Hermite's two, Laguerre's, Legendre's.

The degree may differ from element to element; a fraction is cut off, and a negative degree gives 0. As in torch, they have no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from funnn.engine.ops.kit.elementwise import named, widened
from funnn.engine.ops.kit.table import row
from funnn.engine.ops.kit.tensor_arguments import Operand
from funnn.engine.types.dtype import promoted


def _by_recurrence(x: Any, n: Any, first: Any, step: Callable) -> Any:
    """pₙ(x) from p₀ = 1, p₁ = first and pₖ₊₁ = step(k, x, pₖ, pₖ₋₁), up to the largest degree that occurs."""
    last = jnp.max(n, initial=0)

    def advance(state: tuple) -> tuple:
        k, current, previous, found = state
        degree = lax.optimization_barrier(jnp.broadcast_to(k, x.shape).astype(x.dtype))  # else XLA divides by it in two roundings
        following = step(degree, x, current, previous)
        return k + 1, following, current, jnp.where(n == k + 1, following, found)

    start = jnp.ones((), n.dtype), first, jnp.ones_like(x), jnp.where(n == 0, 1, first)
    found = lax.while_loop(lambda state: state[0] < last, advance, start)[-1]
    return jnp.where(n < 0, 0, found)


def _polynomial(
    name: str,
    text: str,
    first: Callable,
    step: Callable,
    ends: Callable | None = None,
    inside: Callable | None = None,
    highest: tuple[int, int] | None = None,
    shifted: bool = False,
) -> None:
    """A row.

    Args:
      first: p₁ as a function of x.
      step: the recurrence.
      ends: pₙ at x = ±1 (a function of n and whether x is 1).
      inside: pₙ of −1 < x < 1 and n > 8 by trigonometric functions.
      highest: the degree above which the result is NaN, in float32 and in float64.
      shifted: whether 2x − 1 takes the place of x.
    """

    @widened
    def values(x, n):
        x, n = 2 * x - 1 if shifted else x, n.astype(jnp.int64)
        if highest is not None:
            top = highest[int(x.dtype == jnp.float64)]
            return jnp.where(n > top, jnp.nan, _by_recurrence(x, jnp.minimum(n, top), first(x), step))
        by_angle = jnp.zeros(x.shape, bool) if inside is None else (jnp.abs(x) < 1) & (n > 8)
        at_end = jnp.zeros(x.shape, bool) if ends is None else jnp.abs(x) == 1
        result = _by_recurrence(x, jnp.where(by_angle | at_end, 0, n), first(x), step)
        if inside is not None:
            result = jnp.where(by_angle, inside(x, jnp.arccos(jnp.clip(x, -1, 1)), n.astype(x.dtype)), result)
        if ends is not None:
            result = jnp.where(at_end & (n >= 0), ends(n, x == 1).astype(x.dtype), result)
        return jnp.where(n < 0, 0, result)

    def pure(input: Operand, n: Operand):
        return values(*jnp.broadcast_arrays(*promoted(input, n, floating=True)))

    pure.__doc__ = f"{text} of degree n{' at 2·input − 1' if shifted else ''}."
    row(f"special.{name}", named(pure, name), scalars=("input", "n"), differentiable=False, elementwise=True)


def _even(n: Any) -> Any:
    return 1 - 2 * (n % 2)


def _quotient(over: Any, under: Any, limit: Any) -> Any:
    """over/under, and its limit where under is 0."""
    return jnp.where(under == 0, limit, over / jnp.where(under == 0, 1, under))


def _chebyshev(k, x, current, previous):
    return 2 * x * current - previous


#: The kind: p₁, the values at 1 and −1, and by the angle t = arccos x.
_KINDS = {
    "t": (lambda x: x, lambda n, right: jnp.where(right, 1, _even(n)), lambda x, t, n: jnp.cos(n * t)),
    "u": (
        lambda x: 2 * x,
        lambda n, right: jnp.where(right, 1, _even(n)) * (n + 1),
        lambda x, t, n: _quotient(jnp.sin((n + 1) * t), jnp.sin(t), (n + 1) * jnp.cos((n + 1) * t) / x),
    ),
    "v": (
        lambda x: 2 * x - 1,
        lambda n, right: jnp.where(right, 1, _even(n) * (2 * n + 1)),
        lambda x, t, n: _quotient(jnp.cos((n + 0.5) * t), jnp.cos(t / 2), _even(n) * (2 * n + 1)),
    ),
    "w": (
        lambda x: 2 * x + 1,
        lambda n, right: jnp.where(right, 2 * n + 1, _even(n)),
        lambda x, t, n: _quotient(jnp.sin((n + 0.5) * t), jnp.sin(t / 2), 2 * n + 1),
    ),
}
for _name, (_first, _ends, _inside) in _KINDS.items():
    for _prefix, _shifted in (("", False), ("shifted_", True)):
        _polynomial(
            f"{_prefix}chebyshev_polynomial_{_name}",
            f"Chebyshev's polynomial {_name.upper()}",
            _first,
            _chebyshev,
            _ends,
            _inside,
            shifted=_shifted,
        )

_polynomial(
    "hermite_polynomial_h",
    "Hermite's polynomial H (of physics)",
    lambda x: 2 * x,
    lambda k, x, current, previous: 2 * (x * current - k * previous),
    highest=(128, 512),
)
_polynomial(
    "hermite_polynomial_he",
    "Hermite's polynomial He (of probability)",
    lambda x: x,
    lambda k, x, current, previous: x * current - k * previous,
    highest=(128, 512),
)
_polynomial(
    "laguerre_polynomial_l",
    "Laguerre's polynomial",
    lambda x: 1 - x,
    lambda k, x, current, previous: ((2 * k + 1 - x) * current - k * previous) / (k + 1),
)
_polynomial(
    "legendre_polynomial_p",
    "Legendre's polynomial",
    lambda x: x,
    lambda k, x, current, previous: ((2 * k + 1) * x * current - k * previous) / (k + 1),
    lambda n, right: jnp.where(right, 1, _even(n)),
)
