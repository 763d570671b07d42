"""Maximum, average and power average over windows, and the way back: one n-d layer each, with 1d, 2d and 3d as its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import jax

from funnn import functional as F
from funnn.layers._layer import Layer
from funnn.layers._sizes import Size, ntuple


class MaxPoolNd(Layer):
    """The maximum over windows of (N, C, *spatial) or (C, *spatial).

    Args:
      kernel_size: of the window, a number or one per dimension; ``stride`` defaults to it.
      padding: −∞ added on both sides, at most half of the window.
      dilation: distance between the elements of a window.
      return_indices: also return the position of each maximum.
      ceil_mode: keep a last window that reaches past the end, if it starts inside the input or the left padding.

    Source: torch.nn.MaxPool1d, MaxPool2d, MaxPool3d.
    """

    function: ClassVar[Any]

    kernel_size: Size
    stride: Size | None = None
    padding: Size = 0
    dilation: Size = 1
    return_indices: bool = False
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        if self.stride is None:
            self.stride = self.kernel_size

    def forward(self, input: jax.Array) -> jax.Array | tuple[jax.Array, jax.Array]:
        return type(self).function(
            input, self.kernel_size, self.stride, self.padding, self.dilation, ceil_mode=self.ceil_mode, return_indices=self.return_indices
        )

    def extra_repr(self) -> str:
        names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class MaxPool1d(MaxPoolNd):
    __doc__ = MaxPoolNd.__doc__
    function = staticmethod(F.max_pool1d)


class MaxPool2d(MaxPoolNd):
    __doc__ = MaxPoolNd.__doc__
    function = staticmethod(F.max_pool2d)


class MaxPool3d(MaxPoolNd):
    __doc__ = MaxPoolNd.__doc__
    function = staticmethod(F.max_pool3d)


class AvgPool1d(Layer):
    """The mean over windows of (N, C, L) or (C, L).

    Args:
      kernel_size: of the window; ``stride`` defaults to it.
      padding: zeros added on both sides, at most half of the window.
      ceil_mode: keep a last window that reaches past the end, if it starts inside the input or the left padding.
      count_include_pad: whether the padded zeros count in the mean.

    Source: torch.nn.AvgPool1d.
    """

    kernel_size: Size
    stride: Size | None = None
    padding: Size = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    def __post_init__(self) -> None:
        stride = self.kernel_size if self.stride is None else self.stride
        self.kernel_size, self.stride, self.padding = ntuple(self.kernel_size, 1), ntuple(stride, 1), ntuple(self.padding, 1)

    def forward(self, input: jax.Array) -> jax.Array:
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(Layer):
    """The mean over windows of (N, C, H, W) or (C, H, W).

    The arguments are those of AvgPool1d, and ``divisor_override``: what the sum is divided by instead of the window's size.
    Source: torch.nn.AvgPool2d, AvgPool3d.
    """

    function: ClassVar[Any] = staticmethod(F.avg_pool2d)

    kernel_size: Size
    stride: Size | None = None
    padding: Size = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None

    def __post_init__(self) -> None:
        if self.stride is None:
            self.stride = self.kernel_size

    def forward(self, input: jax.Array) -> jax.Array:
        return type(self).function(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad, self.divisor_override
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool3d(AvgPool2d):
    """The mean over windows of (N, C, D, H, W) or (C, D, H, W).

    The arguments are those of AvgPool1d, and ``divisor_override``: what the sum is divided by instead of the window's size.
    Source: torch.nn.AvgPool2d, AvgPool3d.
    """

    function = staticmethod(F.avg_pool3d)


class LPPoolNd(Layer):
    """The power average (Σ x^norm_type)^(1/norm_type) over windows of (N, C, *spatial) or (C, *spatial).

    Args:
      norm_type: the exponent.
      kernel_size: of the window, a number or one per dimension; ``stride`` defaults to it.
      ceil_mode: keep a last window that reaches past the end.

    Source: torch.nn.LPPool1d, LPPool2d, LPPool3d.
    """

    function: ClassVar[Any]

    norm_type: float
    kernel_size: Size
    stride: Size | None = None
    ceil_mode: bool = False

    def forward(self, input: jax.Array) -> jax.Array:
        return type(self).function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        names = ("norm_type", "kernel_size", "stride", "ceil_mode")
        return ", ".join(f"{name}={getattr(self, name)}" for name in names)


class LPPool1d(LPPoolNd):
    __doc__ = LPPoolNd.__doc__
    function = staticmethod(F.lp_pool1d)


class LPPool2d(LPPoolNd):
    __doc__ = LPPoolNd.__doc__
    function = staticmethod(F.lp_pool2d)


class LPPool3d(LPPoolNd):
    __doc__ = LPPoolNd.__doc__
    function = staticmethod(F.lp_pool3d)


class MaxUnpoolNd(Layer):
    """Puts maxima back where MaxPool found them: ``forward(input, indices, output_size=None)``; zeros elsewhere.

    The arguments are those of the pool. Source: torch.nn.MaxUnpool1d, MaxUnpool2d, MaxUnpool3d.
    """

    dimensions: ClassVar[int]
    function: ClassVar[Any]

    kernel_size: Size
    stride: Size | None = None
    padding: Size = 0

    def __post_init__(self) -> None:
        stride = self.kernel_size if self.stride is None else self.stride
        for name, value in (("kernel_size", self.kernel_size), ("stride", stride), ("padding", self.padding)):
            setattr(self, name, ntuple(value, self.dimensions))

    def forward(self, input: jax.Array, indices: jax.Array, output_size: Sequence[int] | None = None) -> jax.Array:
        return type(self).function(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(MaxUnpoolNd):
    __doc__ = MaxUnpoolNd.__doc__
    dimensions, function = 1, staticmethod(F.max_unpool1d)


class MaxUnpool2d(MaxUnpoolNd):
    __doc__ = MaxUnpoolNd.__doc__
    dimensions, function = 2, staticmethod(F.max_unpool2d)


class MaxUnpool3d(MaxUnpoolNd):
    __doc__ = MaxUnpoolNd.__doc__
    dimensions, function = 3, staticmethod(F.max_unpool3d)
