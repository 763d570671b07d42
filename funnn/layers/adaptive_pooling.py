"""Pooling to a given output size: adaptive and fractional, with 1d, 2d and 3d as rows."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import numpy as np

from funnn import functional as F
from funnn.layers._layer import Constant, Layer, Spec
from funnn.layers._sizes import ntuple
from funnn.layers.loss import given

Sizes = int | None | tuple[int | None, ...]


class AdaptiveAvgPoolNd(Layer):
    """The mean over ``output_size`` windows that cover (N, C, *spatial) or (C, *spatial) evenly; None keeps an axis as it is.

    Source: torch.nn.AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d.
    """

    function: ClassVar[Any]

    output_size: Sizes

    def forward(self, input: jax.Array) -> jax.Array:
        return type(self).function(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(AdaptiveAvgPoolNd):
    __doc__ = AdaptiveAvgPoolNd.__doc__
    function = staticmethod(F.adaptive_avg_pool1d)


class AdaptiveAvgPool2d(AdaptiveAvgPoolNd):
    __doc__ = AdaptiveAvgPoolNd.__doc__
    function = staticmethod(F.adaptive_avg_pool2d)


class AdaptiveAvgPool3d(AdaptiveAvgPoolNd):
    __doc__ = AdaptiveAvgPoolNd.__doc__
    function = staticmethod(F.adaptive_avg_pool3d)


class AdaptiveMaxPoolNd(Layer):
    """The maximum over ``output_size`` windows that cover (N, C, *spatial) or (C, *spatial) evenly; None keeps an axis as it is.

    With ``return_indices`` also the place of each maximum. Source: torch.nn.AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d.
    """

    function: ClassVar[Any]

    output_size: Sizes
    return_indices: bool = False

    def forward(self, input: jax.Array) -> jax.Array | tuple[jax.Array, jax.Array]:
        return type(self).function(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(AdaptiveMaxPoolNd):
    __doc__ = AdaptiveMaxPoolNd.__doc__
    function = staticmethod(F.adaptive_max_pool1d)


class AdaptiveMaxPool2d(AdaptiveMaxPoolNd):
    __doc__ = AdaptiveMaxPoolNd.__doc__
    function = staticmethod(F.adaptive_max_pool2d)


class AdaptiveMaxPool3d(AdaptiveMaxPoolNd):
    __doc__ = AdaptiveMaxPoolNd.__doc__
    function = staticmethod(F.adaptive_max_pool3d)


class FractionalMaxPoolNd(Layer):
    """The maximum over overlapping windows at pseudo-random places of (N, C, *spatial) or (C, *spatial).

    Args:
      kernel_size: of the window, a number or one per dimension.
      output_size: the number of windows; or ``output_ratio``, in (0, 1): their number as a part of the input's size.
      return_indices: also return the place of each maximum.
      _random_samples: the numbers in [0, 1) that place the windows, (N, C, dimensions), kept as a buffer; by default drawn in every call.

    ``apply`` needs ``key``, in training and without. Graham, 2014; source: torch.nn.FractionalMaxPool2d, FractionalMaxPool3d.

    Raises:
      ValueError: not exactly one of output_size and output_ratio, or a ratio outside (0, 1).
    """

    dimensions: ClassVar[int]
    function: ClassVar[Any]

    kernel_size: int | tuple[int, ...]
    output_size: int | tuple[int, ...] | None = None
    output_ratio: float | tuple[float, ...] | None = None
    return_indices: bool = False
    _random_samples: np.ndarray | Constant | None = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.output_size is None and self.output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling ratio")
        if self.output_size is not None and self.output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        self.kernel_size = ntuple(self.kernel_size, self.dimensions)
        if self.output_size is not None:
            self.output_size = ntuple(self.output_size, self.dimensions)
        else:
            self.output_ratio = ntuple(self.output_ratio, self.dimensions)
            if not all(0 < ratio < 1 for ratio in self.output_ratio):
                raise ValueError(f"output_ratio must be between 0 and 1 (got {self.output_ratio})")

    def spec(self) -> Spec:
        return {"_random_samples": given(self._random_samples)}

    def forward(self, input: jax.Array) -> jax.Array | tuple[jax.Array, jax.Array]:
        sizes = (self.kernel_size, self.output_size, self.output_ratio, self.return_indices)
        return type(self).function(input, *sizes, self._random_samples, key=self.make_key(always=self._random_samples is None))


class FractionalMaxPool2d(FractionalMaxPoolNd):
    __doc__ = FractionalMaxPoolNd.__doc__
    dimensions, function = 2, staticmethod(F.fractional_max_pool2d)


class FractionalMaxPool3d(FractionalMaxPoolNd):
    __doc__ = FractionalMaxPoolNd.__doc__
    dimensions, function = 3, staticmethod(F.fractional_max_pool3d)
