"""The kernels under convolution: one trilinear form, and its three derivatives as three functions of the same geometry.

    T(x, w, g) = Σ g[n, o, p] · w[o, c, k] · x[n, c, stride·p + dilation·k − padding]

    correlate(x, w) = ∂T/∂g,   spread(g, w) = ∂T/∂x,   contract(x, g) = ∂T/∂w

A convolution is ``correlate``, a transposed convolution ``spread``; each one's derivatives are the other two, and that is all that any order of
differentiation needs. Arrays come and go as (N, C, *spatial); what runs on a CPU has the channels last.

Why by hand: what XLA:CPU makes of the transposes of a convolution is slow for large images and few channels. One 3×3 convolution of 32 channels on
32 images of 32×32: its weight's gradient takes 14.8 ms, as three matrix products over shifted rows, in chunks of images that stay in the
cache, 6.0 ms. Few input channels (1 or 3, as in a first layer) are half as slow as one matrix product over all shifts, and the gradient of
an input with few channels is one matrix product whose results are added up. On an accelerator, all three are XLA's own convolutions.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from funnn._types import Arrays
from funnn.functional import _checks as check
from funnn.functional._linear_map import linear_map
from funnn.functional._precision import precise_jvp
from funnn.functional._varying import vary_alike, vary_like, varying

Convolution = Callable[..., jax.Array]

#: Windows of at most so many numbers become rows of a matrix, which the weights multiply at once.
FEW = 32
#: So many bytes of shifted images are made at a time: what the processor's caches hold.
CHUNK = 4 << 20


class Geometry(NamedTuple):
    """What a convolution is but its arrays: a number for each spatial axis."""

    size: tuple[int, ...]  # of x
    out: tuple[int, ...]  # of g
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[int, ...]  # at the beginning
    groups: int

    @property
    def pads(self) -> list[tuple[int, int]]:
        """Padding at the beginning and, as much as the last window reaches over, at the end; negative where it does not reach it."""
        reach = [(out - 1) * s + d * (k - 1) + 1 for out, s, d, k in zip(self.out, self.stride, self.dilation, self.kernel, strict=True)]
        return [(low, end - size - low) for low, end, size in zip(self.padding, reach, self.size, strict=True)]

    def shifts(self, axes: slice = slice(None)) -> itertools.product[tuple[int, ...]]:
        """Where the kernel's elements lie along some axes, in their order."""
        return itertools.product(*(range(0, k * d, d) for k, d in zip(self.kernel[axes], self.dilation[axes], strict=True)))


# -- XLA's convolution


def _names(geometry: Geometry, last: bool) -> tuple[str, str, str]:
    axes = "DHW"[-len(geometry.kernel) :]
    return ("N" + axes + "C", axes + "IO", "N" + axes + "C") if last else ("NC" + axes, "OI" + axes, "NC" + axes)


def _convolve(x: jax.Array, w: jax.Array, geometry: Geometry, last: bool = False) -> jax.Array:
    """x and the result as (N, C, *spatial), or with ``last`` as (N, *spatial, C) and w as (*spatial, C, O)."""
    pads = geometry.pads
    if check.has_symbol(*pads):  # which lax.pad takes, and XLA's convolution does not
        x, pads = _padded(x, geometry, 1 if last else 2), [(0, 0)] * len(pads)
    return lax.conv_general_dilated(
        x,
        w,
        geometry.stride,
        pads,
        rhs_dilation=geometry.dilation,
        dimension_numbers=_names(geometry, last),
        feature_group_count=geometry.groups,
    )


def _convolve_back(g: jax.Array, w: jax.Array, geometry: Geometry, last: bool = False) -> jax.Array:
    """g spread out by the stride, convolved with the kernel turned round; written out because integers have no transpose in JAX."""
    n, groups = len(geometry.kernel), geometry.groups
    if last:
        turned = jnp.swapaxes(lax.rev(w, range(n)), -1, -2)
    else:
        blocks = lax.rev(w, range(2, n + 2)).reshape(groups, w.shape[0] // groups, *w.shape[1:])
        turned = jnp.swapaxes(blocks, 1, 2).reshape(groups * w.shape[1], -1, *w.shape[2:])
    reach = [d * (k - 1) for k, d in zip(geometry.kernel, geometry.dilation, strict=True)]
    axes = zip(reach, geometry.padding, geometry.size, geometry.out, geometry.stride, strict=True)
    pads, spread = [(r - low, size - 1 + low - (out - 1) * stride) for r, low, size, out, stride in axes], geometry.stride
    if check.has_symbol(*pads):
        config = [(low, high, stride - 1) for (low, high), stride in zip(pads, spread, strict=True)]
        g = lax.pad(g, jnp.zeros((), g.dtype), [(0, 0, 0), *config, (0, 0, 0)] if last else [(0, 0, 0), (0, 0, 0), *config])
        pads, spread = [(0, 0)] * n, (1,) * n
    return lax.conv_general_dilated(
        g,
        turned,
        (1,) * n,
        pads,
        lhs_dilation=spread,
        rhs_dilation=geometry.dilation,
        dimension_numbers=_names(geometry, last),
        feature_group_count=groups,
    )


def _convolve_weight(x: jax.Array, g: jax.Array, geometry: Geometry, last: bool = False) -> jax.Array:
    ends = (x.shape[-1 if last else 1] // geometry.groups, g.shape[-1 if last else 1])
    shape = (*geometry.kernel, *ends) if last else (*ends[::-1], *geometry.kernel)
    x, g = vary_alike(x, g)
    w = (
        vary_like(jnp.zeros(shape, g.dtype), g) if varying(g) else jax.ShapeDtypeStruct(shape, g.dtype)
    )  # else it would be summed over the mesh
    result: jax.Array = jax.linear_transpose(lambda w: _convolve(x, w, geometry, last), w)(g)[0]
    return result


# -- on a CPU: what XLA convolves has the channels last; a matrix product has rows of channels first, in which images stay whole


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


def _padded(x: jax.Array, geometry: Geometry, first: int) -> jax.Array:
    config = [(low, high, 0) for low, high in geometry.pads]
    return lax.pad(x, jnp.zeros((), x.dtype), [*[(0, 0, 0)] * first, *config, *[(0, 0, 0)] * (x.ndim - first - len(config))])


def _seen(x: jax.Array, shift: tuple[int, ...], geometry: Geometry, first: int, axes: slice = slice(None)) -> jax.Array:
    """What the kernel's element at ``shift`` meets of a padded x whose spatial axes begin at ``first``; only ``axes`` of them are cut."""
    start, limit, step = [0] * x.ndim, list(x.shape), [1] * x.ndim
    spatial = range(first, first + len(geometry.kernel))[axes]
    for axis, offset, out, stride in zip(spatial, shift, geometry.out[axes], geometry.stride[axes], strict=True):
        start[axis], limit[axis], step[axis] = offset, offset + (out - 1) * stride + 1, stride
    return lax.slice(x, start, limit, step)


def _rows(x: jax.Array, geometry: Geometry, first: int, axis: int) -> jax.Array:
    """What every element of the kernel meets, one after the other along ``axis``: axis by axis from the last, so that programs stay short."""
    for spatial in reversed(range(len(geometry.kernel))):
        axes = slice(spatial, spatial + 1)
        x = jnp.concatenate([_seen(x, shift, geometry, first, axes) for shift in geometry.shifts(axes)], axis)
    return x


def _correlate_on_cpu(x: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    volume = math.prod(geometry.kernel)
    if volume > 1 and volume * x.shape[1] > FEW:
        return _first(_convolve(_last(x), _weight_last(w), geometry, last=True))
    x = _padded(_swap(x), geometry, 2)
    rows = _rows(x, geometry, 2, 0)
    product = _weight_matrix(w) @ rows.reshape(rows.shape[0], -1)
    return _swap(product.reshape(-1, *rows.shape[1:]))


def _spread_on_cpu(g: jax.Array, w: jax.Array, geometry: Geometry) -> jax.Array:
    volume, channels = math.prod(geometry.kernel), w.shape[1]
    few = volume <= FEW and channels <= 64 and set(geometry.stride) == {1} and g.size // g.shape[1] * volume * channels * 4 <= 5 * CHUNK
    if volume > 1 and not few:
        return _first(_convolve_back(_last(g), _weight_last(w), geometry, last=True))
    g = _swap(g)
    products = _weight_matrix(w).T @ g.reshape(g.shape[0], -1)
    steps = [stride - 1 for stride in geometry.stride]
    total = (
        products.reshape(channels, *g.shape[1:]) if volume == 1 else _add_shifted(products.reshape(-1, channels, *g.shape[1:]), geometry)
    )
    edges = [(-low, -high, step) for (low, high), step in zip(geometry.pads, steps, strict=True)]
    return _swap(lax.pad(total, jnp.zeros((), total.dtype), [(0, 0, 0), (0, 0, 0), *edges]))


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


def _contract_on_cpu(x: jax.Array, g: jax.Array, geometry: Geometry) -> jax.Array:
    volume, channels = math.prod(geometry.kernel), x.shape[1]
    x, g = _last(x), _last(g)
    if volume > 1 and volume * channels > FEW and (volume > FEW or math.prod(geometry.out) <= 64):
        return jnp.moveaxis(_convolve_weight(x, g, geometry, last=True), (-1, -2), (0, 1))
    if volume * channels <= FEW:
        x = _padded(x, geometry, 1)
        rows = _rows(x, geometry, 1, -1)
        w = _matrix(g).T @ _matrix(rows)
    else:
        w = _in_chunks(functools.partial(_contract_rows, geometry=geometry), x, g, geometry)
    return _first(w.reshape(-1, *geometry.kernel, channels))


def _matrix(x: jax.Array) -> jax.Array:
    return x.reshape(-1, x.shape[-1])


def _contract_rows(x: jax.Array, g: jax.Array, geometry: Geometry) -> jax.Array:
    """One product for every shift along all axes but the last, whose shifts stand side by side: (O, kernel · C)."""
    inner, outer = slice(-1, None), slice(-1)
    x = _padded(x, geometry, 1)
    rows = jnp.concatenate([_seen(x, shift, geometry, 1, inner) for shift in geometry.shifts(inner)], -1)
    g = _matrix(g).T
    return jnp.concatenate([g @ _matrix(_seen(rows, shift, geometry, 1, outer)) for shift in geometry.shifts(outer)], -1)


def _in_chunks(function: Callable[..., jax.Array], x: jax.Array, g: jax.Array, geometry: Geometry) -> jax.Array:
    """The sum of ``function`` over chunks of the images."""
    images = x.shape[0]
    bytes_each = x.size // x.shape[-2] // max(images, 1) * geometry.out[-1] * geometry.kernel[-1] * x.dtype.itemsize
    most = max(CHUNK // max(bytes_each, 1), 1)
    if most >= images:
        return function(x, g)
    size = max(size for size in range(1, most + 1) if images % size == 0)
    size = most if 2 * size < most else size  # no rest, if that does not make the chunks much smaller

    def part(start: jax.Array | int, size: int) -> jax.Array:
        return function(*(lax.dynamic_slice_in_dim(a, start, size) for a in (x, g)))

    rest = images % size
    total = part(images - rest, rest) if rest else vary_like(jnp.zeros_like(jax.eval_shape(function, x, g)), x, g)
    result: jax.Array = lax.fori_loop(0, images // size, lambda i, total: total + part(i * size, size), total)
    return result


# -- the three functions, and how they differentiate into each other


def _choose(on_cpu: Convolution, otherwise: Convolution, a: jax.Array, b: jax.Array, geometry: Geometry) -> jax.Array:
    on_cpu, otherwise = (functools.partial(function, geometry=geometry) for function in (on_cpu, otherwise))
    if check.has_symbol(a.shape, b.shape) or geometry.groups > 1 or a.dtype not in (jnp.float32, jnp.float64) or not (a.size and b.size):
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


spread = _derivative("x", _spread_on_cpu, _convolve_back)
correlate = _derivative("g", _correlate_on_cpu, _convolve)
contract = _derivative("w", _contract_on_cpu, _convolve_weight)
_FUNCTIONS = {"x": spread, "g": correlate, "w": contract}
