"""Layers between images and the columns of their sliding blocks."""

from __future__ import annotations

import jax

from funnn import functional as F
from funnn.layers._layer import Layer
from funnn.layers._sizes import Size


class Unfold(Layer):
    """Lays out the sliding blocks of images as columns, (N, C, H, W) -> (N, C·∏kernel_size, L).

    Args:
      kernel_size, dilation, stride: of the blocks, a number or one per axis.
      padding: zeros added on both sides.

    Source: torch.nn.Unfold.
    """

    kernel_size: Size
    dilation: Size = 1
    padding: Size = 0
    stride: Size = 1

    def forward(self, input: jax.Array) -> jax.Array:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"


class Fold(Layer):
    """Sums columns into images where their blocks lie, (N, C·∏kernel_size, L) -> (N, C, *output_size).

    Args:
      output_size: of the images, a number or one per axis.
      kernel_size, dilation, stride: of the blocks.
      padding: zeros that Unfold would add on both sides.

    Source: torch.nn.Fold.
    """

    output_size: Size
    kernel_size: Size
    dilation: Size = 1
    padding: Size = 0
    stride: Size = 1

    def forward(self, input: jax.Array) -> jax.Array:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        names = ("output_size", "kernel_size", "dilation", "padding", "stride")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)
