"""Sampling of images and volumes at given positions, and the positions of an affine map."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from funnn.errors import ArgumentValueError, DtypeError, ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public
from funnn.functional._resize import cubic_weights
from funnn.functional._warn import warn


@public
def grid_sample(
    input: jax.Array,
    grid: jax.Array,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> jax.Array:
    """Sample ``input`` at the positions of ``grid``.

    A coordinate g in [−1, 1] is the position ``((g + 1)·size − 1)/2`` along its axis, or with align_corners ``(g + 1)·(size − 1)/2``: −1 and 1
    are the outer edges of the first and last elements, or their centres.

    Args:
      input: (N, C, H, W) or (N, C, D, H, W).
      grid: (N, H_out, W_out, 2) with (x, y) last, or (N, D_out, H_out, W_out, 3) with (x, y, z) last; x is along W, y along H, z along D.
      mode: 'bilinear' (trilinear for volumes), 'nearest' (halves to the even element) or 'bicubic' (images only, a = −0.75);
        default 'bilinear'.
      padding_mode: what stands outside: 'zeros', 'border' (the nearest element inside) or 'reflection' (mirrored at −1 and 1);
        default 'zeros'.
      align_corners: default False, with a warning where it is not given.

    Returns:
      An array of shape (N, C, H_out, W_out) or (N, C, D_out, H_out, W_out) of the input's dtype.

    Raises:
      ValueError: an unknown mode or padding_mode.
      ShapeError: the shapes do not fit, input has an empty spatial axis, or 'bicubic' on volumes.
      DtypeError: input and grid differ in dtype, or are not floating point.

    Source: Jaderberg et al., "Spatial transformer networks" (2015); torch.nn.functional.grid_sample. The gradient with respect to the grid is 0
    where 'nearest' rounds and where 'border' clips, as there.

    Example:
      >>> import jax.numpy as jnp
      >>> image = jnp.array([[[[1.0, 2.0], [3.0, 4.0]]]])
      >>> grid_sample(image, jnp.array([[[[0.0, 0.0], [1.0, -1.0]]]]), align_corners=True).tolist()
      [[[[2.5, 2.0]]]]
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ArgumentValueError(f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ArgumentValueError(
            f"nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: '{padding_mode}'"
        )
    align_corners = _corners(align_corners)
    input = check.floating("grid_sample", "input", input)
    grid = check.like("grid_sample", "grid", grid, input)
    _check_grid(input, grid, mode)
    wide = check.accumulator(input.dtype)
    sizes = input.shape[2:]
    positions = [
        _position(grid[..., len(sizes) - 1 - i].astype(wide), size, align_corners) for i, size in enumerate(sizes)
    ]  # of the axes in their order, though the grid has x first
    pad = functools.partial(_pad, mode=padding_mode, align_corners=align_corners)
    taps = _TAPS[mode]
    if mode != "bicubic":
        positions = [pad(p, size) for p, size in zip(positions, sizes, strict=True)]
    axes = [taps(position) for position in positions]
    if mode == "bicubic":
        axes = [[(pad(at, size), weight) for at, weight in axis] for axis, size in zip(axes, sizes, strict=True)]
    channels_last = jnp.moveaxis(input, 1, -1).reshape(input.shape[0], math.prod(sizes), input.shape[1])  # one row of channels a position
    total: Any = 0
    for corner in itertools.product(*axes):
        index, inside = _flat([at for at, _ in corner], sizes)
        rows = _rows(channels_last, jnp.where(inside, index, math.prod(sizes)).reshape(input.shape[0], -1))
        values = rows.reshape(*index.shape, input.shape[1]).astype(wide)
        weight = math.prod(weight for _, weight in corner)
        total = total + (values if mode == "nearest" else values * weight[..., None])
    return jnp.moveaxis(total, -1, 1).astype(input.dtype)


def _corners(align_corners: bool | None) -> bool:
    if align_corners is None:
        warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
            "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details.",
        )
    return bool(align_corners)


def _check_grid(input: jax.Array, grid: jax.Array, mode: str) -> None:
    shapes = f"but got input with sizes {check.shape(input)} and grid with sizes {check.shape(grid)}"
    if input.ndim not in (4, 5) or grid.ndim != input.ndim:
        raise ShapeError(f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, {shapes}")
    if input.shape[0] != grid.shape[0]:
        raise ShapeError(f"grid_sampler(): expected grid and input to have same batch size, {shapes}")
    if grid.shape[-1] != input.ndim - 2:
        raise ShapeError(f"grid_sampler(): expected grid to have size {input.ndim - 2} in last dimension, {shapes}")
    if 0 in input.shape[2:]:
        raise ShapeError(
            f"grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes {check.shape(input)} with "
            f"dimension {2 + input.shape[2:].index(0)} being empty"
        )
    if mode == "bicubic" and input.ndim == 5:
        raise ShapeError(f"grid_sampler(): bicubic interpolation only supports 4D input, {shapes}; use mode='bilinear'")


def _position(coordinate: jax.Array, size: int, align_corners: bool) -> jax.Array:
    return (coordinate + 1) / 2 * (size - 1) if align_corners else ((coordinate + 1) * size - 1) / 2


def _pad(position: jax.Array, size: int, mode: str, align_corners: bool) -> jax.Array:
    """A position moved inside; with 'zeros' it stays outside."""
    if mode == "zeros":
        return position
    if mode == "reflection":
        low, span = (0.0, size - 1.0) if align_corners else (-0.5, float(size))
        if span == 0:
            position = jnp.zeros_like(position)
        else:
            distance = position - low
            away = jnp.where(distance < 0, -distance, distance)
            flips = lax.stop_gradient(jnp.floor(away / span))
            rest = away - flips * span
            position = jnp.where(flips % 2 == 0, rest, span - rest) + low
    inside = (position > 0) & (position < size - 1)  # at the border and beyond it there is no gradient, as in torch
    return jnp.where(inside, position, lax.stop_gradient(jnp.where(position > 0, size - 1.0, 0.0).astype(position.dtype)))


def _nearest(position: jax.Array) -> list[tuple[Any, ...]]:
    return [(lax.stop_gradient(jnp.round(position)), 1.0)]


def _linear(position: jax.Array) -> list[tuple[Any, ...]]:
    before = lax.stop_gradient(jnp.floor(position))
    return [(before, before + 1 - position), (before + 1, position - before)]


def _cubic(position: jax.Array) -> list[tuple[Any, ...]]:
    before = lax.stop_gradient(jnp.floor(position))
    return [(before + k - 1, weight) for k, weight in enumerate(cubic_weights(position - before))]


#: The elements along one axis that a position draws on, with their weights.
_TAPS = {"nearest": _nearest, "bilinear": _linear, "bicubic": _cubic}


def _flat(places: Sequence[jax.Array], sizes: Sequence[int]) -> tuple[jax.Array, jax.Array]:
    """The index of an element among all, and whether there is one. Places are whole floating numbers, NaN is nowhere."""
    index: Any = 0
    inside: Any = True
    for place, size in zip(places, sizes, strict=True):
        inside = inside & (place >= 0) & (place <= size - 1)
        index = index * size + jnp.where(inside, place, 0).astype(jnp.int32)
    return index, inside


@jax.vmap
def _rows(table: jax.Array, index: jax.Array) -> jax.Array:
    """Rows of one image; zeros for an index out of range, which has no gradient."""
    return table.at[index].get(mode="fill", fill_value=0)


@public
def affine_grid(theta: jax.Array, size: Sequence[int], align_corners: bool | None = None) -> jax.Array:
    """The positions at which :func:`grid_sample` samples an image moved by the affine maps ``theta``: ``θ·(x, y, 1)`` or ``θ·(x, y, z, 1)``.

    Args:
      theta: (N, 2, 3) for images, (N, 3, 4) for volumes.
      size: of the output image, (N, C, H, W) or (N, C, D, H, W).
      align_corners: whether −1 and 1 are the centres of the first and last elements, not their outer edges; give grid_sample the same.
        Default False, with a warning where it is not given.

    Returns:
      An array of shape (N, H, W, 2) or (N, D, H, W, 3) of theta's dtype.

    Raises:
      DtypeError: theta is not floating point.
      ShapeError: theta does not fit size, or size is not positive.
      NotImplementedError: size is not of four or five numbers.

    Source: torch.nn.functional.affine_grid.

    Example:
      >>> import jax.numpy as jnp
      >>> affine_grid(jnp.eye(2, 3)[None], (1, 1, 2, 2), align_corners=True).tolist()
      [[[[-1.0, -1.0], [1.0, -1.0]], [[-1.0, 1.0], [1.0, 1.0]]]]
    """
    align_corners = _corners(align_corners)
    theta, size = check.array("theta", theta), tuple(map(int, size))
    if not jnp.issubdtype(theta.dtype, jnp.floating):
        raise _NotFloating(f"Expected theta to have floating point type, but got {theta.dtype}; convert it, e.g. theta.astype(jnp.float32)")
    n = len(size) - 2
    if n not in (2, 3):
        raise NotImplementedError(
            f"affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got size {size}."
        )
    if theta.shape[1:] != (n, n + 1) or theta.ndim != 3 or theta.shape[0] != size[0]:
        raise ShapeError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. Got {check.shape(theta)}, "
            f"expected {[size[0], n, n + 1]}."
        )
    if align_corners and min(size[2:]) == 1:
        warn(
            "Since version 1.3.0, affine_grid behavior has changed for unit-size grids when align_corners=True. This is not an intended use "
            "case of affine_grid. See the documentation of affine_grid for details.",
        )
    elif min(size) <= 0:
        raise ShapeError(f"Expected non-zero, positive output size. Got {size}")
    wide = check.accumulator(theta.dtype)
    total = theta[:, :, n].astype(wide).reshape(size[0], *(1,) * n, n)
    for i, steps in enumerate(reversed(size[2:])):  # x along the last axis
        ticks = jnp.linspace(-1, 1, steps, dtype=wide) if steps > 1 else jnp.zeros(1, wide)
        ticks = ticks if align_corners else ticks * (steps - 1) / steps
        along = [1] * (n + 2)
        along[n - i] = steps
        total = total + ticks.reshape(along) * theta[:, :, i].astype(wide).reshape(size[0], *(1,) * n, n)
    return total.astype(theta.dtype)


class _NotFloating(DtypeError, ValueError):
    """As torch has it here, also a ValueError."""
