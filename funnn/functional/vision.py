"""Channels exchanged with pixels, and with each other."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from funnn.errors import ShapeError
from funnn.functional import _checks as check
from funnn.functional._dispatch import public


def _image(function: str, input: jax.Array, name: str, factor: int) -> jax.Array:
    input = check.array("input", input)
    if not hasattr(factor, "__index__"):
        raise TypeError(f"{function}: {name} must be an int, but got {factor!r}")
    if input.ndim < 3:
        raise ShapeError(
            f"{function} expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s): (*, C, H, W)"
        )
    if factor < 1:
        raise ShapeError(f"{function} expects a positive {name}, but got {factor}")
    return input


@public
def pixel_shuffle(input: jax.Array, upscale_factor: int) -> jax.Array:
    """Spread the channels over r × r times as many pixels: ``y[c, h·r + i, w·r + j] = x[c·r² + i·r + j, h, w]``.

    Args:
      input: ``x``, of shape (*, C·r², H, W).
      upscale_factor: ``r``, a positive int.

    Returns:
      An array of shape (*, C, H·r, W·r) of the input's dtype.

    Raises:
      ShapeError: the channels are not divisible by r², or r is not positive.

    Source: Shi et al., "Real-time single image and video super-resolution" (2016); torch.nn.functional.pixel_shuffle.

    Example:
      >>> import jax.numpy as jnp
      >>> pixel_shuffle(jnp.arange(4).reshape(4, 1, 1), 2).tolist()
      [[[0, 1], [2, 3]]]
    """
    input, r = _image("pixel_shuffle", input, "upscale_factor", upscale_factor), upscale_factor
    *batch, channels, height, width = input.shape
    if channels % (r * r):
        raise ShapeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={channels} is not divisible by {r * r}"
        )
    split = input.reshape(*batch, channels // (r * r), r, r, height, width)
    n = len(batch)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return split.transpose(order).reshape(*batch, channels // (r * r), height * r, width * r)


@public
def pixel_unshuffle(input: jax.Array, downscale_factor: int) -> jax.Array:
    """Gather blocks of r × r pixels into channels; the inverse of :func:`pixel_shuffle`.

    Args:
      input: (*, C, H·r, W·r).
      downscale_factor: ``r``, a positive int.

    Returns:
      An array of shape (*, C·r², H, W) of the input's dtype.

    Raises:
      ShapeError: height or width is not divisible by r, or r is not positive.

    Source: torch.nn.functional.pixel_unshuffle.

    Example:
      >>> import jax.numpy as jnp
      >>> pixel_unshuffle(jnp.arange(4).reshape(1, 2, 2), 2).tolist()
      [[[0]], [[1]], [[2]], [[3]]]
    """
    input, r = _image("pixel_unshuffle", input, "downscale_factor", downscale_factor), downscale_factor
    *batch, channels, height, width = input.shape
    for name, place, size in (("height", -2, height), ("width", -1, width)):
        if size % r:
            raise ShapeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but input.size({place})={size} is not divisible by {r}"
            )
    split = input.reshape(*batch, channels, height // r, r, width // r, r)
    n = len(batch)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return split.transpose(order).reshape(*batch, channels * r * r, height // r, width // r)


@public
def channel_shuffle(input: jax.Array, groups: int) -> jax.Array:
    """Deal the channels out anew: of g groups of C/g channels, the first of each, then the second of each, and so on.

    Args:
      input: (N, C, *), at least of rank 3.
      groups: ``g``, which divides C.

    Returns:
      An array of the input's shape and dtype.

    Raises:
      ShapeError: the rank is less than 3, or C is not divisible by groups.

    Source: Zhang et al., "ShuffleNet" (2018); torch.nn.functional.channel_shuffle.

    Example:
      >>> import jax.numpy as jnp
      >>> channel_shuffle(jnp.arange(4).reshape(1, 4, 1), 2).flatten().tolist()
      [0, 2, 1, 3]
    """
    input = check.array("input", input)
    if input.ndim < 3:
        raise ShapeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {check.shape(input)}: (N, C, *)")
    if groups < 1:
        raise ShapeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    count, channels, *rest = input.shape
    if channels % groups:
        raise ShapeError(f"Number of channels must be divisible by groups. Got {channels} channels and {groups} groups.")
    return jnp.swapaxes(input.reshape(count, groups, channels // groups, *rest), 1, 2).reshape(input.shape)


@public
def native_channel_shuffle(input: jax.Array, groups: int) -> jax.Array:
    """The same as :func:`channel_shuffle`; torch's name for its kernel.

    Args:
      input: (N, C, *), at least of rank 3.
      groups: which divides C.

    Returns:
      ``channel_shuffle(input, groups)``.

    Raises:
      ShapeError: the rank is less than 3, or C is not divisible by groups.

    Source: torch.nn.functional.native_channel_shuffle, which has no derivative; this one has.

    Example:
      >>> import jax.numpy as jnp
      >>> native_channel_shuffle(jnp.arange(4).reshape(1, 4, 1), 2).flatten().tolist()
      [0, 2, 1, 3]
    """
    return channel_shuffle(input, groups)
