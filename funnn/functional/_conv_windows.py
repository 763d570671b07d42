"""What convolutions on a CPU share: the two layouts, and windows as rows of a matrix.

What XLA convolves has the channels last; a product of matrices has rows of channels first, (C, N, *spatial), in which images stay whole.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from funnn.functional._conv_xla import Geometry


def last(x: jax.Array) -> jax.Array:
    return jnp.moveaxis(x, 1, -1)


def first(x: jax.Array) -> jax.Array:
    return jnp.moveaxis(x, -1, 1)


def swap(x: jax.Array) -> jax.Array:
    """(N, C, *spatial) to (C, N, *spatial) and back."""
    return jnp.swapaxes(x, 0, 1)


def weight_last(w: jax.Array) -> jax.Array:
    return jnp.moveaxis(w, (0, 1), (-1, -2))


def weight_matrix(w: jax.Array) -> jax.Array:
    """(O, kernel · C)."""
    return jnp.moveaxis(w, 1, -1).reshape(w.shape[0], -1)


def rows(x: jax.Array, geometry: Geometry) -> jax.Array:
    """What every element of the kernel meets of x (C, N, *spatial), one after the other: (kernel · C, N, *out).

    Axis by axis from the last, so that programs stay short.
    """
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), *((low, high, 0) for low, high in geometry.pads)])
    for axis in reversed(range(len(geometry.kernel))):
        length, step = (geometry.out[axis] - 1) * geometry.stride[axis] + 1, geometry.stride[axis]
        starts = (shift for (shift,) in geometry.shifts(slice(axis, axis + 1)))
        x = jnp.concatenate([lax.slice_in_dim(x, start, start + length, step, axis=axis + 2) for start in starts])
    return x


def add_shifted(parts: jax.Array, geometry: Geometry) -> jax.Array:
    """The sum of (kernel, C, N, *out), each element of the kernel at its place: (C, N, *extent).

    Shifts along the last axis are added while they are padded; their sums go into the result one after the other, which XLA does in place.
    """
    extent = [out + d * (k - 1) for out, d, k in zip(geometry.out, geometry.dilation, geometry.kernel, strict=True)]
    total = jnp.zeros((*parts.shape[1:3], *extent), parts.dtype)
    rows, offsets = parts.reshape(-1, geometry.kernel[-1], *parts.shape[1:]), range(0, extent[-1], geometry.dilation[-1])
    for row, shift in zip(rows, geometry.shifts(slice(-1)), strict=True):
        every = [(0, 0, 0)] * (row.ndim - 2)
        ends = ((offset, extent[-1] - geometry.out[-1] - offset, 0) for offset in offsets)
        added = functools.reduce(
            jnp.add, (lax.pad(part, jnp.zeros((), part.dtype), [*every, end]) for part, end in zip(row, ends, strict=False))
        )
        start = (0, 0, *shift, 0)
        place = [slice(begin, begin + size) for begin, size in zip(start, added.shape, strict=True)]
        total = lax.dynamic_update_slice(total, total[tuple(place)] + added, start)
    return total


def add_rows(products: jax.Array, geometry: Geometry) -> jax.Array:
    """The transpose of :func:`rows` for stride 1: each is added where it was seen."""
    total = add_shifted(products.reshape(math.prod(geometry.kernel), -1, *products.shape[1:]), geometry)
    edges = [(-low, -high, 0) for low, high in geometry.pads]
    return lax.pad(total, jnp.zeros((), total.dtype), [(0, 0, 0), (0, 0, 0), *edges])
