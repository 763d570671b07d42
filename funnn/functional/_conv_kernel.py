"""Convolution's kernel: one trilinear form, and its three derivatives as three functions of the same geometry.

    T(x, w, g) = Σ g[n, o, p] · w[o, c, k] · x[n, c, stride·p + dilation·k − padding]

    correlate(x, w) = ∂T/∂g,   spread(g, w) = ∂T/∂x,   contract(x, g) = ∂T/∂w

A convolution is ``correlate``, a transposed convolution ``spread``; each one's derivatives are the other two, and that is all that any order of
differentiation needs. Arrays come and go as (N, C, *spatial). On a CPU they are written as what XLA runs fast there, on an accelerator
all three are XLA's own convolutions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from funnn._types import Arrays
from funnn.functional import _checks as check
from funnn.functional import _conv_cpu as cpu
from funnn.functional import _conv_xla as xla
from funnn.functional._conv_xla import Geometry
from funnn.functional._linear_map import linear_map
from funnn.functional._precision import precise_jvp

Convolution = Callable[..., jax.Array]


def _choose(on_cpu: Convolution, otherwise: Convolution, a: jax.Array, b: jax.Array, geometry: Geometry) -> jax.Array:
    on_cpu, otherwise = (functools.partial(function, geometry=geometry) for function in (on_cpu, otherwise))
    if check.has_symbol(a.shape, b.shape) or a.dtype not in (jnp.float32, jnp.float64) or not (a.size and b.size):
        return otherwise(a, b)
    result: jax.Array = lax.platform_dependent(a, b, cpu=on_cpu, default=otherwise)
    return result


def _along(linear: Arrays, residuals: Arrays, result: str, moved: str, geometry: Geometry) -> Arrays:
    """``result`` of the trilinear form, as a function of its factor ``moved``."""
    (kept,) = set(_FUNCTIONS) - {result, moved}
    arrays = {moved: linear[0], kept: residuals[0]}
    return (_FUNCTIONS[result](*(arrays[name] for name in _FUNCTIONS if name in arrays), geometry),)


def _back(linear: Arrays, residuals: Arrays, result: str, moved: str, geometry: Geometry) -> Arrays:
    return _along(linear, residuals, result=moved, moved=result, geometry=geometry)


def _derivative(result: str, on_cpu: Convolution, otherwise: Convolution) -> Convolution:
    """The form's derivative in ``result``, as a function of the two other factors (in the order x, g, w) and the geometry."""

    @functools.partial(precise_jvp, nondiff_argnums=(2,))
    def function(a: jax.Array, b: jax.Array, geometry: Geometry) -> jax.Array:
        return _choose(on_cpu, otherwise, a, b, geometry)

    @functools.partial(function.defjvp, symbolic_zeros=True)
    def jvp(geometry: Geometry, primals: Arrays, tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
        names, value = [name for name in _FUNCTIONS if name != result], function(*primals, geometry)
        terms = [
            linear_map(_along, _back, (tangent,), (other,), (value,), result=result, moved=name, geometry=geometry)[0]
            for name, tangent, other in zip(names, tangents, primals[::-1], strict=True)
            if not isinstance(tangent, SymbolicZero)
        ]
        return value, sum(terms[1:], start=terms[0]) if terms else jnp.zeros_like(value)

    return function


spread = _derivative("x", cpu.spread, xla.spread)
correlate = _derivative("g", cpu.correlate, xla.correlate)
contract = _derivative("w", cpu.contract, xla.contract)
_FUNCTIONS = {"x": spread, "g": correlate, "w": contract}
