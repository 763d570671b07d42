"""Convolutions: one n-d layer, with 1d, 2d and 3d as its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import jax

from funnn import functional as F
from funnn import init
from funnn.layers._layer import Layer, Param, Spec
from funnn.layers._sizes import ntuple
from funnn.layers._text import enabled
from funnn.layers.linear import fan_in_bias


def _tuples(*values: Any) -> tuple[Any, ...]:
    """Settings that a constructor has made tuples, by their types as numbers too."""
    return values


class ConvNd(Layer):
    """Cross-correlation of (N, in_channels, *spatial) or (in_channels, *spatial) with ``out_channels`` learned filters.

    Args:
      in_channels, out_channels: both divisible by ``groups``. With ``in_channels=None``, ``init(key, x)`` finds it.
      kernel_size, stride, dilation: a number, or one per spatial dimension.
      padding: zeros added on both sides, a number or one per dimension; or 'valid' (none) or 'same' (the output has the input's size,
        stride 1 only).
      groups: blocks of channels that are convolved apart.
      bias: adds a learned number per output channel.
      padding_mode: what is added on the sides: 'zeros', 'reflect' (the input mirrored), 'replicate' (its last element) or 'circular'.

    Parameters: ``weight`` (out_channels, in_channels/groups, *kernel_size) and ``bias`` (out_channels,), both from U(−k, k) with
    k = 1/√(in_channels/groups · ∏ kernel_size). Source: torch.nn.Conv1d, Conv2d, Conv3d.

    Raises:
      ValueError: channels not divisible by groups, or an unknown padding or padding_mode.
    """

    dimensions: ClassVar[int]
    function: ClassVar[Any]
    sizes_from_input: ClassVar[tuple[str, ...]] = ("in_channels",)

    in_channels: int | None
    out_channels: int
    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] | str = 0
    dilation: int | tuple[int, ...] = 1
    groups: int = 1
    bias: bool = True
    padding_mode: str = "zeros"

    def __post_init__(self) -> None:
        if self.groups <= 0:
            raise ValueError("groups must be a positive integer")
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) is not None and getattr(self, name) % self.groups:
                raise ValueError(f"{name} must be divisible by groups; got {name}={getattr(self, name)} and groups={self.groups}")
        for name in ("kernel_size", "stride", "dilation"):
            setattr(self, name, ntuple(getattr(self, name), self.dimensions))
        stride: Any = self.stride  # a tuple now
        if not isinstance(self.padding, str):
            self.padding = ntuple(self.padding, self.dimensions)
        elif self.padding not in ("same", "valid"):
            raise ValueError(f"Invalid padding string {self.padding!r}, should be one of {{'valid', 'same'}}")
        elif self.padding == "same" and any(s != 1 for s in stride):
            raise ValueError("padding='same' is not supported for strided convolutions")
        modes = {"zeros", "reflect", "replicate", "circular"}
        if self.padding_mode not in modes:
            raise ValueError(f"padding_mode must be one of {modes}, but got padding_mode='{self.padding_mode}'")

    @property
    def size_axis(self) -> int:  # type: ignore[override]
        """The axis of the channels."""
        return -self.dimensions - 1

    def spec(self) -> Spec:
        in_channels: Any = self.in_channels
        shape = (self.out_channels, in_channels // self.groups, *ntuple(self.kernel_size, self.dimensions))
        return {
            "weight": Param(shape, partial(init.kaiming_uniform, a=math.sqrt(5)), ("out_channels", "in_channels")),
            "bias": fan_in_bias(self.out_channels, math.prod(shape[1:])) if self.bias else None,
        }

    def forward(self, input: jax.Array) -> jax.Array:
        bias: Any = self.bias  # here the array
        return self._conv_forward(input, self.weight, bias)

    def _conv_forward(self, input: jax.Array, weight: jax.Array, bias: jax.Array | None) -> jax.Array:
        """The convolution with other weights than the layer's own, by torch's name."""
        padding = self.padding
        if self.padding_mode != "zeros" and padding != "valid":
            input, padding = F.pad(input, self._sides(), mode=self.padding_mode), 0
        return type(self).function(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def _sides(self) -> tuple[int, ...]:
        """The padding as F.pad takes it: before and after, of the last axis first."""
        kernel_size, dilation, padding = _tuples(self.kernel_size, self.dilation, self.padding)
        if self.padding == "same":
            totals = [d * (k - 1) for k, d in zip(kernel_size, dilation, strict=True)]
            pairs = [(total // 2, total - total // 2) for total in totals]
        else:
            pairs = [(p, p) for p in padding]
        return tuple(side for pair in reversed(pairs) for side in pair)

    def extra_repr(self) -> str:
        ones, zeros = (1,) * self.dimensions, (0,) * self.dimensions
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, default in (("padding", zeros), ("dilation", ones), ("output_padding", zeros), ("groups", 1)):
            if getattr(self, name, default) != default:
                text += f", {name}={getattr(self, name)}"
        text = text if enabled(self.bias) else text + ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


class Conv1d(ConvNd):
    __doc__ = ConvNd.__doc__
    dimensions, function = 1, staticmethod(F.conv1d)


class Conv2d(ConvNd):
    __doc__ = ConvNd.__doc__
    dimensions, function = 2, staticmethod(F.conv2d)


class Conv3d(ConvNd):
    __doc__ = ConvNd.__doc__
    dimensions, function = 3, staticmethod(F.conv3d)


class ConvTransposeNd(ConvNd):
    """The transpose of a convolution: (N, in_channels, *spatial) or (in_channels, *spatial) to ``out_channels``, larger by ``stride``.

    Args:
      in_channels, out_channels: both divisible by ``groups``.
      kernel_size, stride, dilation: a number, or one per spatial dimension.
      padding: what is cut off on both sides of the output.
      output_padding: what is added at the end of the output, smaller than stride or dilation.
      groups: blocks of channels that are convolved apart.
      bias: adds a learned number per output channel.
      padding_mode: 'zeros' alone.

    ``forward(input, output_size=None)``: output_size chooses among the sizes that a stride leaves open, instead of output_padding.

    Parameters: ``weight`` (in_channels, out_channels/groups, *kernel_size) and ``bias`` (out_channels,), both from U(−k, k) with
    k = 1/√(out_channels/groups · ∏ kernel_size). Source: torch.nn.ConvTranspose1d, ConvTranspose2d, ConvTranspose3d.

    Raises:
      ValueError: channels not divisible by groups, another padding_mode, or an output_size out of reach.
    """

    in_channels: int | None
    out_channels: int
    kernel_size: int | tuple[int, ...]
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] = 0
    output_padding: int | tuple[int, ...] = 0
    groups: int = 1
    bias: bool = True
    dilation: int | tuple[int, ...] = 1
    padding_mode: str = "zeros"

    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
        padding_mode: str = "zeros",
    ):
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}, but got padding_mode={padding_mode!r}')
        self.in_channels, self.out_channels, self.kernel_size, self.stride = in_channels, out_channels, kernel_size, stride
        self.padding, self.dilation, self.groups, self.bias, self.padding_mode = padding, dilation, groups, bias, padding_mode
        self.output_padding = ntuple(output_padding, self.dimensions)
        self.__post_init__()

    def spec(self) -> Spec:
        in_channels: Any = self.in_channels
        shape = (in_channels, self.out_channels // self.groups, *ntuple(self.kernel_size, self.dimensions))
        return {
            "weight": Param(shape, partial(init.kaiming_uniform, a=math.sqrt(5)), ("in_channels", "out_channels")),
            "bias": fan_in_bias(self.out_channels, math.prod(shape[1:])) if self.bias else None,
        }

    def forward(self, input: jax.Array, output_size: Sequence[int] | None = None) -> jax.Array:
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        return type(self).function(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _extra(self, input: jax.Array, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output_padding that gives an output_size."""
        n, lead = self.dimensions, input.ndim - self.dimensions
        stride, padding, dilation, kernel_size = _tuples(self.stride, self.padding, self.dilation, self.kernel_size)
        wanted = list(output_size)
        wanted = wanted[lead:] if len(wanted) == lead + n else wanted
        if len(wanted) != n:
            raise ValueError(
                f"ConvTranspose{n}D: for {input.ndim}D input, output_size must have {n} or {lead + n} elements (got {len(output_size)})"
            )
        smallest = [
            (size - 1) * s - 2 * p + d * (k - 1) + 1
            for size, s, p, d, k in zip(input.shape[lead:], stride, padding, dilation, kernel_size, strict=True)
        ]
        largest = [size + s - 1 for size, s in zip(smallest, stride, strict=True)]
        if any(not low <= size <= high for size, low, high in zip(wanted, smallest, largest, strict=True)):
            raise ValueError(
                f"requested an output size of {wanted}, but valid sizes range from {smallest} to {largest} "
                f"(for an input of {list(input.shape[lead:])})"
            )
        return tuple(size - low for size, low in zip(wanted, smallest, strict=True))


class ConvTranspose1d(ConvTransposeNd, init=False):
    __doc__ = ConvTransposeNd.__doc__
    dimensions, function = 1, staticmethod(F.conv_transpose1d)


class ConvTranspose2d(ConvTransposeNd, init=False):
    __doc__ = ConvTransposeNd.__doc__
    dimensions, function = 2, staticmethod(F.conv_transpose2d)


class ConvTranspose3d(ConvTransposeNd, init=False):
    __doc__ = ConvTransposeNd.__doc__
    dimensions, function = 3, staticmethod(F.conv_transpose3d)
