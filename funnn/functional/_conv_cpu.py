"""Convolution on a CPU: which of the ways to write the three sums of :mod:`funnn.functional._conv_kernel` XLA runs fast there.

XLA:CPU convolves images. A convolution along one axis is one of images of one row; along three, the first axis moves into the channels, a number of
channels for each of the kernel's slices. (What XLA has of its own for three axes takes 20 to 100 times as long.)

- Windows of few numbers (a first layer's) become rows of a matrix, which the weights multiply at once; so does every kernel of one number. An input's gradient of
  few channels is one such product whose results are added up where they belong.
- All else is a convolution with the channels last. JAX before 0.11 sends most of them to a routine that uses one thread; those whose numbers do not
  lie side by side go to another one, which uses all. So everything along the first axis is put twice as far apart, which changes no term of the sums.
- The weight's gradient moves g over x and sums over images. Put apart, that is the faster one with any JAX, from ``IMAGES`` images on.

Milliseconds of float32 on 2 cores, PyTorch / XLA as it comes / this, forward and weight's gradient: 64 channels at 16×16, 32 images 1.3 / 2.9 / 1.7 and 1.4 / 5.3 / 2.0;
32 channels at 32×32 1.6 / 3.4 / 2.4 and 1.6 / 5.4 / 2.7; `python -m tests.benchmarks.convolutions` measures them, and more.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

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
#: From so many images on the weight's gradient is put apart.
IMAGES = 8
_ONE_THREAD = jax.__version_info__ < (0, 11)


def correlate(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """∂T/∂g."""
    axes = len(geometry.kernel)
    if axes == 1:
        return correlate(x[:, :, None], w[:, :, None], geometry.among())[:, :, 0]
    if axes == 3:
        return _stacked(correlate(_slabs(x, geometry), _slabs_weight(w), geometry.since(1)), x.shape[0])
    volume = math.prod(geometry.kernel)
    if volume > 1 and volume * x.shape[1] > FEW:
        return _first(xla.correlate(_last(x), _weight_last(w), geometry, last=True, apart=_apart(x, *w.shape[:2])))
    x = _padded(_swap(x), geometry)
    rows = _rows(x, geometry)
    product = _weight_matrix(w) @ rows.reshape(rows.shape[0], -1)
    return _swap(product.reshape(-1, *rows.shape[1:]))


def spread(g: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    """∂T/∂x."""
    axes = len(geometry.kernel)
    if axes == 1:
        return spread(g[:, :, None], w[:, :, None], geometry.among())[:, :, 0]
    if axes == 3:
        return _add_slabs(_stacked(spread(_planes(g), _slabs_weight(w), geometry.since(1)), g.shape[0]), geometry)
    volume, channels = math.prod(geometry.kernel), w.shape[1]
    few = volume <= FEW and channels <= FEW_CHANNELS and set(geometry.stride) == {1}
    if volume > 1 and not few:
        plain = set(geometry.stride) == {1}  # else XLA's numbers do not lie side by side anyway
        return _first(xla.spread(_last(g), _weight_last(w), geometry, last=True, apart=_apart(g, *w.shape[:2]) if plain else 1))
    g = _swap(g)
    products = _weight_matrix(w).T @ g.reshape(g.shape[0], -1)
    steps = [stride - 1 for stride in geometry.stride]
    total = (
        products.reshape(channels, *g.shape[1:]) if volume == 1 else _add_shifted(products.reshape(-1, channels, *g.shape[1:]), geometry)
    )
    edges = [(-low, -high, step) for (low, high), step in zip(geometry.pads, steps, strict=True)]
    return _swap(lax.pad(total, jnp.zeros((), total.dtype), [(0, 0, 0), (0, 0, 0), *edges]))


def contract(x: jax.Array, g: jax.Array, geometry: Geometry) -> jax.Array:
    """∂T/∂w."""
    axes = len(geometry.kernel)
    if axes == 1:
        return contract(x[:, :, None], g[:, :, None], geometry.among())[:, :, 0]
    if axes == 3:
        w = contract(_slabs(x, geometry), _planes(g), geometry.since(1))
        return w.reshape(w.shape[0], x.shape[1], -1, *w.shape[2:])
    apart = 2 if x.dtype == jnp.float32 and x.shape[0] >= IMAGES else 1
    return jnp.moveaxis(xla.contract_apart(_last(x), _last(g), geometry, apart), (-1, -2), (0, 1))


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


# -- layouts: what XLA convolves has the channels last; a product of matrices has rows of channels first, in which images stay whole


def _last(x: jax.Array) -> jax.Array:
    return jnp.moveaxis(x, 1, -1)


def _first(x: jax.Array) -> jax.Array:
    return jnp.moveaxis(x, -1, 1)


def _swap(x: jax.Array) -> jax.Array:
    """(N, C, *spatial) to (C, N, *spatial) and back."""
    return jnp.swapaxes(x, 0, 1)


def _weight_last(w: jax.Array) -> jax.Array:
    return jnp.moveaxis(w, (0, 1), (-1, -2))


def _weight_matrix(w: jax.Array) -> jax.Array:
    """(O, kernel · C)."""
    return jnp.moveaxis(w, 1, -1).reshape(w.shape[0], -1)


# -- windows as rows of a matrix, of arrays (C, N, *spatial)


def _padded(x: jax.Array, geometry: Geometry) -> jax.Array:
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (0, 0, 0), *((low, high, 0) for low, high in geometry.pads)])


def _rows(x: jax.Array, geometry: Geometry) -> jax.Array:
    """What every element of the kernel meets, one after the other along the first axis: axis by axis from the last, so that programs stay short."""
    for axis in reversed(range(len(geometry.kernel))):
        length, step = (geometry.out[axis] - 1) * geometry.stride[axis] + 1, geometry.stride[axis]
        starts = (shift for (shift,) in geometry.shifts(slice(axis, axis + 1)))
        x = jnp.concatenate([lax.slice_in_dim(x, start, start + length, step, axis=axis + 2) for start in starts])
    return x


def _add_shifted(parts: jax.Array, geometry: Geometry) -> jax.Array:
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
