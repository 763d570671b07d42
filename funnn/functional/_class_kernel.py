"""The kernel under cross entropy: for each row of logits ``log Σ exp`` and the entry at the target, with their derivative written out.

With m the row's maximum, e = exp(x − m) and Σ its sum, the two outputs and their tangents are

    a = log Σ,   b = x_y − m,   da = e · dx / Σ,   db = dx_y

(m is constant to differentiation: it cancels in a − b). Their transpose writes the logits' gradient once, without a one-hot code:

    dx_c = e_c · (da / Σ) + [c = y] · db

Why by hand: reverse mode of the textbook form computes the exponentials again and adds a scattered array to a dense one. On 1024 rows, value
and gradient take 0.4 of its time with 1,000 classes and half of it with 32,000.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax

from funnn._types import Arrays
from funnn.functional._linear_map import linear_map
from funnn.functional._reduction import pick

Three = tuple[jax.Array, jax.Array, jax.Array]


def _sum(x: jax.Array, axis: int) -> jax.Array:
    """Kept sum along an axis; XLA:CPU sums rows faster as a product with ones."""
    if axis == x.ndim - 1 and jax.default_backend() == "cpu":
        return lax.dot(x, jnp.ones((x.shape[axis], 1), x.dtype), precision=lax.Precision.HIGHEST)
    return jnp.sum(x, axis, keepdims=True)


def _tangents(linear: Arrays, residuals: Arrays, axis: int) -> Arrays:
    (t,), (e, inverse, index) = linear, residuals
    return (_sum(e * t, axis) * inverse).squeeze(axis), pick(t, index, axis)


def _cotangent(linear: Arrays, residuals: Arrays, axis: int) -> Arrays:
    (total, entry), (e, inverse, index) = (jnp.expand_dims(t, axis) for t in linear), residuals
    hit = lax.broadcasted_iota(index.dtype, e.shape, axis) == jnp.expand_dims(index, axis)
    return (e * (total * inverse) + jnp.where(hit, entry, jnp.zeros((), e.dtype)),)


def _evaluate(x: jax.Array, index: jax.Array, axis: int) -> tuple[jax.Array, jax.Array, Three]:
    # `initial` gives an empty axis a maximum
    top = lax.stop_gradient(jnp.max(x, axis, keepdims=True, initial=-jnp.inf))
    e = jnp.exp(x - top)
    total = _sum(e, axis)
    top = top.squeeze(axis)
    return e, total, (jnp.log(total).squeeze(axis), pick(x, index, axis) - top, top)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2,))
def log_total_and_entry(x: jax.Array, index: jax.Array, axis: int) -> Three:
    """``log Σ exp(x − m)``, ``x[index] − m`` and ``m = max x`` along an axis; the last is constant to differentiation.

    Args:
      x: logits, in the dtype to compute in.
      index: integers of x's shape without the axis; one out of range makes its entry NaN.
      axis: of the classes, not negative.
    """
    return _evaluate(x, index, axis)[-1]


@log_total_and_entry.defjvp
def _log_total_and_entry_jvp(axis: int, primals: Arrays, tangents: Arrays) -> tuple[Three, Three]:
    x, index = primals
    e, total, outputs = _evaluate(x, index, axis)
    log_total, entry = linear_map(_tangents, _cotangent, (tangents[0],), (e, 1 / total, index), outputs[:2], axis=axis)
    return outputs, (log_total, entry, jnp.zeros_like(outputs[2]))
