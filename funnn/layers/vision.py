"""Layers that resize images, and exchange channels with pixels."""

from __future__ import annotations

from typing import cast

import jax

from funnn import functional as F
from funnn.layers._layer import Layer
from funnn.layers._sizes import Size

Scale = float | tuple[float, ...]


class Upsampling(Layer):
    """Resizes the spatial axes of (N, C, *spatial) to ``size``, or by ``scale_factor``: the base of the layers that do."""

    mode = "nearest"
    align_corners = cast("bool | None", None)
    recompute_scale_factor = cast("bool | None", None)

    size: Size | None = None
    scale_factor: Scale | None = None

    def __post_init__(self) -> None:
        if isinstance(self.scale_factor, (tuple, list)):
            self.scale_factor = tuple(map(float, self.scale_factor))
        else:
            self.scale_factor = float(self.scale_factor) if self.scale_factor else None

    def forward(self, input: jax.Array) -> jax.Array:
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, recompute_scale_factor=self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        how = f"size={self.size!r}" if self.scale_factor is None else f"scale_factor={self.scale_factor!r}"
        return f"{how}, mode={self.mode!r}"


class Upsample(Upsampling):
    """Resizes the spatial axes of (N, C, *spatial).

    Args:
      size: of the output's spatial axes, a number or one per axis.
      scale_factor: the output's size by the input's; give either this or ``size``.
      mode: 'nearest', 'linear' (3-D input), 'bilinear' and 'bicubic' (4-D), 'trilinear' (5-D), and the others of
        torch.nn.functional.interpolate without antialiasing.
      align_corners: whether the first and last elements of input and output coincide.
      recompute_scale_factor: take the positions from the sizes although scale_factor is given.

    Source: torch.nn.Upsample.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn import layers
      >>> layers.Upsample(scale_factor=2).apply({}, {}, jnp.array([[[1.0, 3.0]]]))[0].tolist()
      [[[1.0, 1.0, 3.0, 3.0]]]
    """

    mode: str = "nearest"
    align_corners: bool | None = None
    recompute_scale_factor: bool | None = None


class UpsamplingNearest2d(Upsampling):
    """Resizes images (N, C, H, W) by repeating the nearest pixel, to ``size`` or by ``scale_factor``. Source: torch.nn.UpsamplingNearest2d."""


class UpsamplingBilinear2d(Upsampling):
    """Resizes images (N, C, H, W) bilinearly between aligned corners, to ``size`` or by ``scale_factor``.

    Source: torch.nn.UpsamplingBilinear2d.
    """

    mode = "bilinear"
    align_corners = True


class PixelShuffle(Layer):
    """Spreads channels over pixels, (*, C·r², H, W) -> (*, C, H·r, W·r) with r = ``upscale_factor``.

    Shi et al., "Real-time single image and video super-resolution" (2016); source: torch.nn.PixelShuffle.
    """

    upscale_factor: int

    def forward(self, input: jax.Array) -> jax.Array:
        return F.pixel_shuffle(input, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Layer):
    """The inverse of PixelShuffle, (*, C, H·r, W·r) -> (*, C·r², H, W) with r = ``downscale_factor``. Source: torch.nn.PixelUnshuffle."""

    downscale_factor: int

    def forward(self, input: jax.Array) -> jax.Array:
        return F.pixel_unshuffle(input, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(Layer):
    """Deals the channels of (N, C, *) out anew: the first of each of ``groups`` groups, then the second of each, and so on.

    Zhang et al., "ShuffleNet" (2018); source: torch.nn.ChannelShuffle.
    """

    groups: int

    def forward(self, input: jax.Array) -> jax.Array:
        return F.channel_shuffle(input, self.groups)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
