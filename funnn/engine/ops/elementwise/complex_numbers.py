"""Making and taking apart complex numbers. (Their real and imaginary parts as views are in ``complex_views``.)"""

from __future__ import annotations

import functools
import math

import jax.numpy as jnp
from jax import Array, lax

from funnn.engine.dispatch.autocast import FLOAT32
from funnn.engine.dispatch.call import call
from funnn.engine.dispatch.op import Op
from funnn.engine.ops.kit.table import publish, row, write_out
from funnn.engine.types.dtype import check_broadcast, complex32, dtype


def _two_reals(names, a, b):
    for array in (a, b):
        if array.dtype not in (jnp.float16, jnp.float32, jnp.float64):
            found = " and ".join(dtype.of(each.dtype).legacy for each in (a, b))
            raise RuntimeError(f"Expected both inputs to be Half, Float or Double tensors but got {found}")
    if a.dtype != b.dtype:
        expected, found = (dtype.of(array.dtype).legacy for array in (a, b))
        raise RuntimeError(
            f"Expected object of scalar type {expected} but got scalar type {found} for second argument {names[1]!r}; convert with .to(dtype)"
        )
    if a.dtype == jnp.float16:
        _ = complex32.numpy  # which there is not
    check_broadcast(a, b)
    return jnp.broadcast_arrays(a, b)


def complex(real: Array, imag: Array):
    """real + i·imag."""
    return lax.complex(*_two_reals(("real", "imag"), real, imag))


def polar(abs: Array, angle: Array):
    """abs·(cos angle + i·sin angle)."""
    size, turn = _two_reals(("abs", "angle"), abs, angle)
    return lax.complex(size * jnp.cos(turn), size * jnp.sin(turn))


def angle(input):
    """The angle of complex numbers; 0 or π of real ones by their sign. The gradient at 0 is 0."""
    if jnp.iscomplexobj(input):
        zero = input == 0
        return jnp.where(zero, jnp.angle(input), jnp.angle(jnp.where(zero, 1, input)))
    kind = input.dtype if jnp.issubdtype(input.dtype, jnp.floating) else jnp.float32
    values = jnp.where(input < 0, math.pi, jnp.where(jnp.isnan(input), jnp.nan, 0)).astype(kind)
    return values


row("complex", complex, method=False, exact_out=True, elementwise=True)
row("polar", polar, method=False, exact_out=True, elementwise=True, autocast={"cpu": FLOAT32})
row("angle", angle, elementwise=True)

_conjugate_now = Op(lambda input: jnp.conj(input), "ConjPhysicalBackward0")
_conjugate_in_place = Op(lambda input: jnp.conj(input), "ConjPhysicalBackward1")


def conj_physical(input, *, out=None):
    """The complex conjugate; a real tensor itself."""
    result = call(_conjugate_now, (input,), {}) if input.is_complex() else input
    return result if out is None else write_out(out, result)


publish(
    *("conj_physical", conj_physical),
    inplace=True,
    computes_in_place=functools.partial(call, _conjugate_in_place),
    exact_out=True,
    elementwise=True,
)
