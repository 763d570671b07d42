"""The kernel under attention: probabilities from scores, with the derivative written out.

    p_ij = exp(s_ij − m_i) / Σ_j exp(s_ij − m_i),   m_i = max_j s_ij,   s = scale · q kᵀ + bias, −∞ where masked

A row whose scores are all −∞ (a query that may attend to nothing) has p = 0, not NaN. With p kept, the map of a score's tangent t is

    dp = p · (t − Σ_j p_j t_j)

which is its own transpose. Reverse mode therefore needs p alone: no score, no mask and no exponential is kept or computed again, and where p is 0
the gradient is 0 by itself, so that masks cost nothing in the backward pass. A bias takes part in the derivative only if it is differentiated.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from funnn.functional._linear_map import Arrays, linear_map


def _spread(linear: Arrays, residuals: Arrays) -> Arrays:
    """``p · (t − Σ p t)``, a symmetric map of t."""
    (t,), (p,) = linear, residuals
    moved = p * t
    return (moved - p * jnp.sum(moved, -1, keepdims=True),)


def _masked(scores: jax.Array, bias: jax.Array | None, mask: jax.Array | None, causal: bool) -> jax.Array:
    if bias is not None:
        scores = scores + bias
    if causal:
        # Of the scores' full shape: on a CPU a triangle of shape (L, S) that broadcasts makes the forward pass a third slower.
        rows, columns = (lax.broadcasted_iota(jnp.int32, scores.shape, scores.ndim + axis) for axis in (-2, -1))
        mask = columns <= rows if mask is None else mask & (columns <= rows)
    return scores if mask is None else jnp.where(mask, scores, -jnp.inf)


@functools.partial(jax.custom_jvp, nondiff_argnums=(3,))
def probabilities(scores: jax.Array, bias: jax.Array | None, mask: jax.Array | None, causal: bool) -> jax.Array:
    """Softmax over the last axis of the scores, of shape (*, L, S).

    Args:
      scores: already scaled, in the dtype to compute in.
      bias: added to the scores, which it broadcasts to; or None.
      mask: boolean, True where a query may attend; broadcasts to the scores; or None.
      causal: whether query i attends to keys 0 … i only.
    """
    scores = _masked(scores, bias, mask, causal)
    largest = jnp.max(scores, -1, keepdims=True, initial=-jnp.inf)
    powers = jnp.exp(scores - jnp.where(largest == -jnp.inf, 0, largest))
    total = jnp.sum(powers, -1, keepdims=True)
    return powers * (1 / jnp.where(total == 0, 1, total))


@functools.partial(probabilities.defjvp, symbolic_zeros=True)
def _probabilities_jvp(causal, primals, tangents):
    p = probabilities(*primals, causal)
    scores_t, bias_t = tangents[:2]
    terms = [] if isinstance(scores_t, SymbolicZero) else [scores_t]
    if primals[1] is not None and not isinstance(bias_t, SymbolicZero):
        terms.append(jnp.broadcast_to(bias_t, p.shape))
    if not terms:
        return p, jnp.zeros_like(p)
    return p, linear_map(_spread, _spread, (functools.reduce(jnp.add, terms),), (p,))[0]
