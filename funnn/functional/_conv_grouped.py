"""Convolutions in groups on a CPU, where they are not oneDNN's: XLA's own takes 10 to 80 times as long as PyTorch's, the gradient of a weight of few channels
a group a thousand times.

- One channel a group (depthwise): no sum over channels is left. The result is the sum over the kernel's elements of what each meets, in one loop.
- Else windows become rows of one matrix a group, and the groups' matrices are multiplied together.

Milliseconds of float32 on 2 cores, PyTorch / XLA / this / oneDNN, value and weight's gradient: 96 channels by themselves at 16×16, 32 images
0.18 / 15 / 0.17 / 0.20 and 0.29 / 9.0 / 1.1 / 0.67; 8 groups of 8 channels there 0.39 / 4.9 / 1.7 / 0.51 and 0.47 / 280 / 3.5 / 0.95; 48 channels with two
results each there 1.2 / – / 0.20 / 0.73 and 1.1 / – / 1.4 / 1.9.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from funnn.functional import _conv_windows as windows
from funnn.functional._conv_xla import Geometry


def correlate(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """∂T/∂g, of two spatial axes."""
    if w.shape[1] == 1:
        return _weighed(_seen(_repeated(x, w.shape[0]), geometry.pads, geometry.out, geometry.stride, geometry), w.reshape(w.shape[0], -1))
    product = jnp.matmul(_weights(w, geometry), _rows(x, geometry))
    return windows.swap(product.reshape(w.shape[0], x.shape[0], *geometry.out))


def spread(g: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """∂T/∂x, of two spatial axes."""
    steps = [(0, 0, stride - 1) for stride in geometry.stride]
    g = lax.pad(g, jnp.zeros((), g.dtype), [(0, 0, 0), (0, 0, 0), *steps])
    geometry = geometry._replace(out=g.shape[2:], stride=(1,) * len(steps))
    images, channels = g.shape[0], geometry.groups * w.shape[1]
    if w.shape[1] == 1:
        seen = _seen(g, geometry.turned_pads, geometry.size, geometry.stride, geometry)
        x = _weighed(seen, w.reshape(w.shape[0], -1)[:, ::-1])
        return x if channels == w.shape[0] else jnp.sum(x.reshape(images, channels, -1, *geometry.size), 2)
    products = jnp.matmul(jnp.swapaxes(_weights(w, geometry), 1, 2), windows.swap(g).reshape(geometry.groups, -1, g[:, 0].size))
    parts = jnp.moveaxis(products.reshape(geometry.groups, -1, w.shape[1], g[:, 0].size), 0, 1)
    return windows.swap(windows.add_rows(parts.reshape(-1, images, *geometry.out), geometry))


def contract(x: jax.Array, g: jax.Array, geometry: Geometry) -> jax.Array:
    """∂T/∂w, of two spatial axes."""
    groups, results, channels = geometry.groups, g.shape[1], x.shape[1] // geometry.groups
    if channels == 1:
        seen = _seen(_repeated(x, results), geometry.pads, geometry.out, geometry.stride, geometry)
        w = jnp.stack([jnp.sum(part * g, (0, 2, 3)) for part in seen], -1)
    else:
        w = jnp.matmul(windows.swap(g).reshape(groups, results // groups, -1), jnp.swapaxes(_rows(x, geometry), 1, 2))
        w = jnp.swapaxes(w.reshape(results, -1, channels), 1, 2)
    return w.reshape(results, channels, *geometry.kernel)


def _repeated(x: jax.Array, results: int) -> jax.Array:
    """Each channel as often as it has results."""
    return x if results == x.shape[1] else jnp.repeat(x, results // x.shape[1], axis=1)


def _seen(
    x: jax.Array, pads: Sequence[tuple[int, int]], out: Sequence[int], stride: Sequence[int], geometry: Geometry
) -> Iterator[jax.Array]:
    """What each of the kernel's elements meets of x: (N, C, *out)."""
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), *((low, high, 0) for low, high in pads)])
    limits = [(size - 1) * step + 1 for size, step in zip(out, stride, strict=True)]
    for shift in geometry.shifts():
        ends = [start + limit for start, limit in zip(shift, limits, strict=True)]
        yield lax.slice(x, (0, 0, *shift), (*x.shape[:2], *ends), (1, 1, *stride))


def _weighed(seen: Iterator[jax.Array], w: jax.Array) -> jax.Array:
    return functools.reduce(jnp.add, (part * w[:, i, None, None] for i, part in enumerate(seen)))


def _rows(x: jax.Array, geometry: Geometry) -> jax.Array:
    """(groups, kernel · C / groups, N · out)."""
    rows = windows.rows(windows.swap(x), geometry)
    rows = jnp.moveaxis(rows.reshape(-1, geometry.groups, x.shape[1] // geometry.groups, rows[0].size), 1, 0)
    return rows.reshape(geometry.groups, -1, rows.shape[-1])


def _weights(w: jax.Array, geometry: Geometry) -> jax.Array:
    """(groups, O / groups, kernel · C / groups)."""
    return windows.weight_matrix(w).reshape(geometry.groups, w.shape[0] // geometry.groups, -1)
