"""Convolution on a CPU: which of the ways to write the three sums of :mod:`funnn.functional._conv_kernel` XLA runs fast there.

What is convolved here are images. A convolution along one axis is one of images of one row; along three, the first axis moves into the channels, as many of
them as the kernel has slices. (What XLA has of its own for three axes takes 5 to 30 times as long as PyTorch's; this 1.0 to 4.)

- Windows of few numbers (a first layer's) become rows of a matrix, which the weights multiply at once. An input's gradient of few channels is one such
  product whose results are added up where they belong.
- All else is oneDNN's, which XLA has in it (:mod:`funnn.functional._conv_onednn`), where that is to be had.
- Where it is not, it is XLA's convolution with the channels last. JAX before 0.11 sends most of them to a routine that uses one thread; those whose
  numbers do not lie side by side go to another one, which uses all. So everything along the first axis is put twice as far apart, which changes no
  term of the sums. The weight's gradient moves g over x and sums over images. Put apart, that is the faster one with any JAX, from ``IMAGES`` images on.
- Groups and kernels of one number have files of their own, for where it is not and for groups of one channel with several results.

Milliseconds of float32 on 2 cores, PyTorch / XLA as it comes / put apart / oneDNN, value and weight's gradient: 64 channels at 16×16, 32 images
1.26 / 2.8 / 1.9 / 1.25 and 1.33 / 4.7 / 2.7 / 2.1; 32 channels at 32×32 1.54 / 3.3 / 2.7 / 1.53 and 1.47 / 5.3 / 4.3 / 3.2. ``python -m
tests.benchmarks.convolutions`` measures these and others.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from funnn.functional import _conv_grouped as grouped
from funnn.functional import _conv_onednn as onednn
from funnn.functional import _conv_points as points
from funnn.functional import _conv_windows as windows
from funnn.functional import _conv_xla as xla
from funnn.functional._conv_xla import Geometry

#: Windows of at most so many numbers become rows of a matrix.
FEW = 32
#: The gradient of at most so many channels is a product whose results are added up.
FEW_CHANNELS = 8
#: Below so many features, what does not lie side by side is gathered more slowly than one thread multiplies.
LEAST = 8
#: XLA sends convolutions of more features than this to its other routine, which has one thread before JAX 0.11.
SMALL = 16
#: From so many images on the weight's gradient is put apart, and with as many channels, too, is oneDNN's.
IMAGES = 8
_ONE_THREAD = jax.__version_info__ < (0, 11)


def correlate(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """∂T/∂g."""
    axes = len(geometry.kernel)
    if axes == 1:
        return correlate(x[:, :, None], w[:, :, None], geometry.in_a_row())[:, :, 0]
    if axes == 3:
        return _stacked(correlate(_slabs(x, geometry), _slabs_weight(w), geometry.since(1)), x.shape[0])
    if geometry.groups > 1:
        way = grouped.correlate
        return way(x, w, geometry) if _repeats(x, w.shape[0], geometry) else onednn.correlate(x, w, geometry, way)
    volume = math.prod(geometry.kernel)
    if volume == 1:
        return onednn.correlate(x, w, geometry, points.correlate)
    if volume * x.shape[1] > FEW:
        return onednn.correlate(x, w, geometry, _correlate)
    rows = windows.rows(windows.swap(x), geometry)
    product = windows.weight_matrix(w) @ rows.reshape(rows.shape[0], -1)
    return windows.swap(product.reshape(-1, *rows.shape[1:]))


def spread(g: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """∂T/∂x."""
    axes = len(geometry.kernel)
    if axes == 1:
        return spread(g[:, :, None], w[:, :, None], geometry.in_a_row())[:, :, 0]
    if axes == 3:
        return _add_slabs(_stacked(spread(_planes(g), _slabs_weight(w), geometry.since(1)), g.shape[0]), geometry)
    if geometry.groups > 1:
        return onednn.spread(g, w, geometry, grouped.spread)
    volume, dense = math.prod(geometry.kernel), set(geometry.stride) == {1}
    if volume == 1:
        return onednn.spread(g, w, geometry, points.spread)
    if not (dense and volume <= FEW and w.shape[1] <= FEW_CHANNELS):
        return onednn.spread(g, w, geometry, _spread)
    g = windows.swap(g)
    products = windows.weight_matrix(w).T @ g.reshape(g.shape[0], -1)
    return windows.swap(windows.add_rows(products.reshape(-1, *g.shape[1:]), geometry))


def contract(x: jax.Array, g: jax.Array, geometry: Geometry) -> jax.Array:
    """∂T/∂w."""
    axes = len(geometry.kernel)
    if axes == 1:
        return contract(x[:, :, None], g[:, :, None], geometry.in_a_row())[:, :, 0]
    if axes == 3:
        w = contract(_slabs(x, geometry), _planes(g), geometry.since(1))
        return w.reshape(w.shape[0], x.shape[1] // geometry.groups, -1, *w.shape[2:])
    if geometry.groups > 1:
        way = grouped.contract
        return way(x, g, geometry) if _repeats(x, g.shape[1], geometry) else onednn.contract(x, g, geometry, way)
    if math.prod(geometry.kernel) == 1:
        return points.contract(x, g, geometry)
    if min(x.shape[0], x.shape[1]) < IMAGES:
        return _contract(x, g, geometry)
    return onednn.contract(x, g, geometry, _contract)


# -- with the channels last, by XLA's own convolution


def _correlate(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    apart = _apart(x, *w.shape[:2])
    return windows.first(xla.correlate(windows.last(x), windows.weight_last(w), geometry, last=True, apart=apart))


def _spread(g: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    apart = _apart(g, *w.shape[:2]) if set(geometry.stride) == {1} else 1  # else the numbers of g do not lie side by side anyway
    return windows.first(xla.spread(windows.last(g), windows.weight_last(w), geometry, last=True, apart=apart))


def _contract(x: jax.Array, g: jax.Array, geometry: Geometry) -> jax.Array:
    apart = 2 if x.dtype == jnp.float32 and x.shape[0] >= IMAGES else 1
    return jnp.moveaxis(xla.contract_apart(windows.last(x), windows.last(g), geometry, apart), (-1, -2), (0, 1))


def _repeats(x: jax.Array, results: int, geometry: Geometry) -> bool:
    """Whether each channel is a group by itself that has several results."""
    return x.shape[1] == geometry.groups < results


def _apart(x: jax.Array, results: int, features: int) -> int:
    """How far apart the numbers of one convolution go."""
    return 2 if _ONE_THREAD and x.dtype == jnp.float32 and min(results, features) >= LEAST and max(results, features) > SMALL else 1


# -- three axes as two


def _slabs(x: jax.Array, geometry: Geometry) -> jax.Array:
    """(N · out, C · kernel, H, W): for each result along the first axis the slices that its window sees."""
    (low, high), depth = geometry.pads[0], geometry.kernel[0]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), (low, high, 0), (0, 0, 0), (0, 0, 0)])
    length, step = (geometry.out[0] - 1) * geometry.stride[0] + 1, geometry.stride[0]
    starts = range(0, depth * geometry.dilation[0], geometry.dilation[0])
    seen = jnp.stack([lax.slice_in_dim(x, start, start + length, step, axis=2) for start in starts], axis=2)
    return _planes(seen.reshape(x.shape[0], -1, *seen.shape[3:]))


def _slabs_weight(w: jax.Array) -> jax.Array:
    return w.reshape(w.shape[0], -1, *w.shape[3:])


def _planes(x: jax.Array) -> jax.Array:
    """(N, C, D, H, W) to (N · D, C, H, W)."""
    return jnp.moveaxis(x, 2, 1).reshape(-1, x.shape[1], *x.shape[3:])


def _stacked(x: jax.Array, images: int) -> jax.Array:
    """Back from there."""
    return jnp.moveaxis(x.reshape(images, -1, *x.shape[1:]), 1, 2)


def _add_slabs(parts: jax.Array, geometry: Geometry) -> jax.Array:
    """The transpose of :func:`_slabs`, of (N, C · kernel, out, H, W): each slice is added where it was seen."""
    parts = parts.reshape(parts.shape[0], -1, geometry.kernel[0], *parts.shape[2:])
    length = (geometry.out[0] - 1) * geometry.stride[0] + 1

    def placed(k: int) -> jax.Array:
        low = k * geometry.dilation[0] - geometry.padding[0]
        ends = (low, geometry.size[0] - low - length, geometry.stride[0] - 1)
        return lax.pad(parts[:, :, k], jnp.zeros((), parts.dtype), [(0, 0, 0), (0, 0, 0), ends, (0, 0, 0), (0, 0, 0)])

    return functools.reduce(jnp.add, map(placed, range(geometry.kernel[0])))
