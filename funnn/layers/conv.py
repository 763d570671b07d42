"""Convolutions: one n-d layer, with 1d, 2d and 3d as its rows."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar

from funnn import functional as F
from funnn import init
from funnn.layers._layer import Layer, Param
from funnn.layers._sizes import ntuple
from funnn.layers._text import enabled
from funnn.layers.linear import fan_in_bias


class ConvNd(Layer):
    """Cross-correlation of (N, in_channels, *spatial) or (in_channels, *spatial) with ``out_channels`` learned filters.

    Args:
      in_channels, out_channels: both divisible by ``groups``.
      kernel_size, stride, dilation: a number, or one per spatial dimension.
      padding: zeros added on both sides, a number or one per dimension; or 'valid' (none) or 'same' (the output has the input's size,
        stride 1 only).
      groups: blocks of channels that are convolved apart.
      bias: adds a learned number per output channel.
      padding_mode: 'zeros' only, so far.

    Parameters: ``weight`` (out_channels, in_channels/groups, *kernel_size) and ``bias`` (out_channels,), both from U(−k, k) with
    k = 1/√(in_channels/groups · ∏ kernel_size). Source: torch.nn.Conv1d, Conv2d, Conv3d.

    Raises:
      ValueError: channels not divisible by groups, or an unknown padding or padding_mode.
    """

    dimensions: ClassVar[int]
    function: ClassVar[Any]

    in_channels: int
    out_channels: int
    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] | str = 0
    dilation: int | tuple[int, ...] = 1
    groups: int = 1
    bias: bool = True
    padding_mode: str = "zeros"

    def __post_init__(self):
        if self.groups <= 0:
            raise ValueError("groups must be a positive integer")
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(f"{name} must be divisible by groups; got {name}={getattr(self, name)} and groups={self.groups}")
        for name in ("kernel_size", "stride", "dilation"):
            setattr(self, name, ntuple(getattr(self, name), self.dimensions))
        if not isinstance(self.padding, str):
            self.padding = ntuple(self.padding, self.dimensions)
        elif self.padding not in ("same", "valid"):
            raise ValueError(f"Invalid padding string {self.padding!r}, should be one of {{'valid', 'same'}}")
        elif self.padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError("padding='same' is not supported for strided convolutions")
        modes = {"zeros", "reflect", "replicate", "circular"}
        if self.padding_mode not in modes:
            raise ValueError(f"padding_mode must be one of {modes}, but got padding_mode='{self.padding_mode}'")
        if self.padding_mode != "zeros":
            raise NotImplementedError(f"padding_mode={self.padding_mode!r} is not supported yet; pad the input before the layer")

    def spec(self):
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        return {
            "weight": Param(shape, partial(init.kaiming_uniform, a=math.sqrt(5))),
            "bias": fan_in_bias(self.out_channels, math.prod(shape[1:])) if self.bias else None,
        }

    def forward(self, x):
        return type(self).function(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self):
        ones, zeros = (1,) * self.dimensions, (0,) * self.dimensions
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, default in (("padding", zeros), ("dilation", ones), ("groups", 1)):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text if enabled(self.bias) else text + ", bias=False"


class Conv1d(ConvNd):
    __doc__ = ConvNd.__doc__
    dimensions, function = 1, staticmethod(F.conv1d)


class Conv2d(ConvNd):
    __doc__ = ConvNd.__doc__
    dimensions, function = 2, staticmethod(F.conv2d)


class Conv3d(ConvNd):
    __doc__ = ConvNd.__doc__
    dimensions, function = 3, staticmethod(F.conv3d)
