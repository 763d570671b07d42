"""Arithmetic that the rules share: numbers stay as exact as torch's Python floats, arrays keep their dtype."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Number = float | jax.Array | np.ndarray


def compute_dtype(param: jax.Array) -> Any:
    """The real dtype an update is computed in: the parameter's, and float32 for 16-bit ones, as torch's kernels do inside."""
    return jnp.dtype(jnp.float32) if param.dtype.itemsize < 4 else jnp.finfo(param.dtype).dtype


def scalar(value: Any) -> Any:
    """A number ready for arithmetic with others: Python numbers stay exact (double), arrays take JAX's widest enabled float."""
    if isinstance(value, (tuple, list)):
        return tuple(map(scalar, value))
    return jnp.asarray(value, jnp.result_type(float)) if isinstance(value, (jax.Array, np.ndarray)) else value


def times(value: Number, array: jax.Array) -> jax.Array:
    """value · array, with the number rounded to the array's (real) dtype first, as torch does; never promotes."""
    return jnp.asarray(value, jnp.finfo(array.dtype).dtype) * array


def plus(value: Number, array: jax.Array) -> jax.Array:
    """value + array in the array's dtype."""
    return jnp.asarray(value, array.dtype) + array


def power(base: Number, exponent: Any) -> jax.Array:
    """base ** exponent in JAX's widest enabled float."""
    return jnp.asarray(base, jnp.result_type(float)) ** jnp.asarray(exponent, jnp.result_type(float))


def wide(value: Any) -> jax.Array:
    """A number, or a scalar of the state, in JAX's widest enabled float."""
    return jnp.asarray(value, jnp.result_type(float))


def one_minus_power(beta: Number, step: jax.Array) -> jax.Array:
    """1 − βᵗ, as −expm1(t·log β): float32 would lose half its digits where βᵗ is near 1."""
    log: jax.Array | float
    if isinstance(beta, (jax.Array, np.ndarray)):
        log = jnp.log(beta)
    else:
        log = math.log(beta) if beta > 0 else -math.inf
    return -jnp.expm1(step.astype(jnp.result_type(float)) * log)


def lerp(start: jax.Array, end: jax.Array, weight: Number) -> jax.Array:
    """start + weight · (end − start), from the nearer side as torch.lerp does it, so that weight 1 gives exactly end."""
    step = end - start
    return jnp.where(weight < 0.5, start + times(weight, step), end - times(1 - weight, step))


def mean_of_squares(average: jax.Array, grad: jax.Array, beta: Number) -> jax.Array:
    """β · average + (1 − β) · grad²."""
    return times(beta, average) + times(1 - beta, grad) * grad


def zeros_like(param: jax.Array) -> jax.Array:
    """Zeros of the parameter's shape, dtype and sharding; the explicit dtype drops a weak type, which would change at the first step."""
    return jnp.zeros_like(param, dtype=param.dtype)


def decayed(grad: jax.Array, param: jax.Array, weight_decay: Number, nonzero: bool = False) -> jax.Array:
    """grad + weight_decay · param, and exactly grad where weight_decay is 0: -0.0 keeps its sign and 0 · inf does not make a NaN."""
    if not may_be_nonzero(weight_decay):
        return grad
    changed = grad + times(weight_decay, param)
    return changed if nonzero or not isinstance(weight_decay, jax.Array) else jnp.where(weight_decay != 0, changed, grad)


def may_be_nonzero(value: Any) -> bool:
    """Whether a number is, or may become, other than 0: an array may hold another value at the next call, a plain 0 never changes."""
    return isinstance(value, jax.Array) or callable(value) or bool(value != 0)


def plus_eps_root(variance: jax.Array, correction: jax.Array, eps_root: Number) -> jax.Array:
    """v + εᵣ (1 − β₂ᵗ), which is the corrected v̂ + εᵣ times the correction; v itself where εᵣ is a plain 0, as torch has it."""
    return plus(wide(eps_root) * correction, variance) if may_be_nonzero(eps_root) else variance


def to_real(x: jax.Array) -> jax.Array:
    """A complex array as pairs of real numbers in a last axis; a real one as it is."""
    return jnp.stack([x.real, x.imag], axis=-1) if jnp.iscomplexobj(x) else x


def to_complex(x: jax.Array) -> jax.Array:
    """The inverse of :func:`to_real` for what was complex."""
    return jax.lax.complex(x[..., 0], x[..., 1])
