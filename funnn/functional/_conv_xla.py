"""XLA's own convolution, and what XLA makes of its two transposes: three functions of one geometry.

    correlate: y[n, o, p] = Σ w[o, c, k] · x[n, c, stride·p + dilation·k − padding]

With ``apart`` everything along the first axis lies that many times as far apart, numbers of x and of the kernel, steps and padding: the sum is the same. It is
another program, though: XLA:CPU has two convolutions, and chooses by such signs (:mod:`funnn.functional._conv_cpu` says why that matters).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from funnn.functional import _checks as check
from funnn.functional._varying import vary_alike, vary_like, varying


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

    @property
    def turned_pads(self) -> list[tuple[int, int]]:
        """Padding of g, spread out by the stride, over which the kernel turned round gives x."""
        axes = zip(self.kernel, self.dilation, self.padding, self.size, self.out, self.stride, strict=True)
        return [(d * (k - 1) - low, size - 1 + low - (out - 1) * stride) for k, d, low, size, out, stride in axes]

    def shifts(self, axes: slice = slice(None)) -> itertools.product[tuple[int, ...]]:
        """Where the kernel's elements lie along some axes, in their order."""
        return itertools.product(*(range(0, k * d, d) for k, d in zip(self.kernel[axes], self.dilation[axes], strict=True)))

    def since(self, axis: int) -> Geometry:
        """That of the axes from ``axis`` on."""
        return Geometry(
            self.size[axis:],
            self.out[axis:],
            self.kernel[axis:],
            self.stride[axis:],
            self.dilation[axis:],
            self.padding[axis:],
            self.groups,
        )

    def in_a_row(self) -> Geometry:
        """That of one more axis, of length 1, before the others."""
        one = (1,)
        return Geometry(
            one + self.size, one + self.out, one + self.kernel, one + self.stride, one + self.dilation, (0, *self.padding), self.groups
        )


def correlate(x: jax.Array, w: jax.Array, geometry: Geometry, last: bool = False, apart: int = 1) -> jax.Array:
    """x and the result as (N, C, *spatial), w as (O, C / groups, *kernel); with ``last`` as (N, *spatial, C) and (*kernel, C / groups, O)."""
    axes = _AXES[-len(geometry.kernel) :]
    names = ("N" + axes + "C", axes + "IO", "N" + axes + "C") if last else ("NC" + axes, "OI" + axes, "NC" + axes)
    spread = (1,) * len(axes)
    return _convolution(x, w, geometry.stride, geometry.pads, spread, geometry.dilation, names, geometry.groups, apart)


def spread(g: jax.Array, w: jax.Array, geometry: Geometry, last: bool = False, apart: int = 1) -> jax.Array:
    """g spread out by the stride, convolved with the kernel turned round; written out because integers have no transpose in JAX."""
    n, groups = len(geometry.kernel), geometry.groups
    axes = _AXES[-n:]
    if last:
        turned, names = lax.rev(w, range(n)), ("N" + axes + "C", axes + "OI", "N" + axes + "C")
    else:
        blocks = lax.rev(w, range(2, n + 2)).reshape(groups, w.shape[0] // groups, *w.shape[1:])
        turned = jnp.swapaxes(blocks, 1, 2).reshape(groups * w.shape[1], -1, *w.shape[2:])
        names = ("NC" + axes, "OI" + axes, "NC" + axes)
    return _convolution(g, turned, (1,) * n, geometry.turned_pads, geometry.stride, geometry.dilation, names, groups, apart)


def contract(x: jax.Array, g: jax.Array, geometry: Geometry) -> jax.Array:
    """The transpose of :func:`correlate` in w, as JAX writes it."""
    shape = (g.shape[1], x.shape[1] // geometry.groups, *geometry.kernel)
    x, g = vary_alike(x, g)
    w = (
        vary_like(jnp.zeros(shape, g.dtype), g) if varying(g) else jax.ShapeDtypeStruct(shape, g.dtype)
    )  # else it would be summed over the mesh
    result: jax.Array = jax.linear_transpose(lambda w: correlate(x, w, geometry), w)(g)[0]
    return result


def contract_apart(x: jax.Array, g: jax.Array, geometry: Geometry, apart: int) -> jax.Array:
    """The same, of one group: g is the kernel that moves over x, and images are what is summed over."""
    axes = _AXES[-len(geometry.kernel) :]
    names, spread = ("C" + axes + "N", "I" + axes + "O", axes + "NC"), (1,) * len(axes)
    return _convolution(x, g, geometry.dilation, geometry.pads, spread, geometry.stride, names, 1, apart)


_AXES = "DHW"


def _convolution(
    x: jax.Array,
    w: jax.Array,
    stride: Sequence[int],
    pads: Sequence[tuple[int, int]],
    spread: Sequence[int],
    dilation: Sequence[int],
    names: tuple[str, str, str],
    groups: int,
    apart: int,
) -> jax.Array:
    """``spread`` is how far the numbers of x lie from each other, ``dilation`` those of w."""
    if check.has_symbol(*pads):  # which lax.pad takes, and XLA's convolution does not
        at = [names[0].index(axis) for axis in _AXES[-len(pads) :]]
        config = [(0, 0, 0)] * x.ndim
        for axis, (low, high), step in zip(at, pads, spread, strict=True):
            config[axis] = (low, high, step - 1)
        x, pads, spread = lax.pad(x, jnp.zeros((), x.dtype), config), [(0, 0)] * len(pads), (1,) * len(pads)
    if apart > 1:
        stride, spread, dilation = ((apart * numbers[0], *numbers[1:]) for numbers in (stride, spread, dilation))
        pads = [(apart * pads[0][0], apart * pads[0][1]), *pads[1:]]
    return lax.conv_general_dilated(
        x, w, stride, pads, lhs_dilation=spread, rhs_dilation=dilation, dimension_numbers=names, feature_group_count=groups
    )
