"""Convolutions with a kernel of one number (1×1) on a CPU: one product of matrices an image, without a change of layout."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from funnn.functional._conv_xla import Geometry

#: Images of fewer places are multiplied together.
LEAST = 16
#: From so many places on, an image's part of the weight's gradient is a product of its own.
MANY = 256


def correlate(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """∂T/∂g, of two spatial axes."""
    return _product(w.reshape(w.shape[:2]), _seen(x, geometry))


def spread(g: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """∂T/∂x, of two spatial axes."""
    x = _product(w.reshape(w.shape[:2]).T, g)
    edges = [(-low, -high, stride - 1) for (low, high), stride in zip(geometry.pads, geometry.stride, strict=True)]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), *edges])


def contract(x: jax.Array, g: jax.Array, geometry: Geometry) -> jax.Array:
    """∂T/∂w, of two spatial axes."""
    x, g = (a.reshape(*a.shape[:2], -1) for a in (_seen(x, geometry), g))
    if x.shape[-1] >= MANY:
        w = jnp.sum(jnp.matmul(g, jnp.swapaxes(x, 1, 2)), 0)
    else:
        w = lax.dot_general(g, x, (((0, 2), (0, 2)), ((), ())))
    return w.reshape(*w.shape, 1, 1)


def _seen(x: jax.Array, geometry: Geometry) -> jax.Array:
    pads = [(0, 0, 0), (0, 0, 0), *((low, high, 0) for low, high in geometry.pads)]
    return lax.slice(padded := lax.pad(x, jnp.zeros((), x.dtype), pads), (0,) * x.ndim, padded.shape, (1, 1, *geometry.stride))


def _product(w: jax.Array, x: jax.Array) -> jax.Array:
    """w (O, C) times what an image (C, *spatial) has at each place."""
    if x[0, 0].size < LEAST:
        return jnp.moveaxis(lax.dot_general(w, x, (((1,), (1,)), ((), ()))), 0, 1)
    product = jnp.matmul(w, x.reshape(*x.shape[:2], -1))
    return product.reshape(x.shape[0], -1, *x.shape[2:])
