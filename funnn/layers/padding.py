"""Layers that pad: one n-d layer a mode, with 1d, 2d and 3d as its rows."""

from __future__ import annotations

from typing import Any, ClassVar

import jax

from funnn import functional as F
from funnn.layers._layer import Layer
from funnn.layers._sizes import Size, ntuple


class PadNd(Layer):
    """Pads the last n axes, in one of the modes of torch.nn.functional.pad."""

    dimensions: ClassVar[int]
    mode: ClassVar[str]

    padding: Size

    def __post_init__(self) -> None:
        self.padding = ntuple(self.padding, 2 * self.dimensions)

    def forward(self, input: jax.Array) -> jax.Array:
        padding: Any = self.padding
        return F.pad(input, padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ReflectionPadNd(PadNd):
    """Pads the last n axes of (N, C, *spatial) or (C, *spatial) by their own elements, mirrored at the first and the last, which are not repeated.

    Args:
      padding: a number for all ends, or (before, after) of each axis from the last one forwards; negative amounts cut off.

    Source: torch.nn.ReflectionPad1d, ReflectionPad2d, ReflectionPad3d.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn import layers
      >>> layers.ReflectionPad1d(1).apply({}, {}, jnp.array([[1.0, 2.0, 3.0]]))[0].tolist()
      [[2.0, 1.0, 2.0, 3.0, 2.0]]
    """

    mode = "reflect"


class ReflectionPad1d(ReflectionPadNd):
    __doc__ = ReflectionPadNd.__doc__
    dimensions = 1


class ReflectionPad2d(ReflectionPadNd):
    __doc__ = ReflectionPadNd.__doc__
    dimensions = 2


class ReflectionPad3d(ReflectionPadNd):
    __doc__ = ReflectionPadNd.__doc__
    dimensions = 3


class ReplicationPadNd(PadNd):
    """Pads the last n axes of (N, C, *spatial) or (C, *spatial) by their own elements, the first and the last repeated.

    Args:
      padding: a number for all ends, or (before, after) of each axis from the last one forwards; negative amounts cut off.

    Source: torch.nn.ReplicationPad1d, ReplicationPad2d, ReplicationPad3d.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn import layers
      >>> layers.ReplicationPad1d(1).apply({}, {}, jnp.array([[1.0, 2.0, 3.0]]))[0].tolist()
      [[1.0, 1.0, 2.0, 3.0, 3.0]]
    """

    mode = "replicate"


class ReplicationPad1d(ReplicationPadNd):
    __doc__ = ReplicationPadNd.__doc__
    dimensions = 1


class ReplicationPad2d(ReplicationPadNd):
    __doc__ = ReplicationPadNd.__doc__
    dimensions = 2


class ReplicationPad3d(ReplicationPadNd):
    __doc__ = ReplicationPadNd.__doc__
    dimensions = 3


class CircularPadNd(PadNd):
    """Pads the last n axes of (N, C, *spatial) or (C, *spatial) by their own elements, as if the axis went round.

    Args:
      padding: a number for all ends, or (before, after) of each axis from the last one forwards; negative amounts cut off.

    Source: torch.nn.CircularPad1d, CircularPad2d, CircularPad3d.

    Example:
      >>> import jax.numpy as jnp
      >>> from funnn import layers
      >>> layers.CircularPad1d(1).apply({}, {}, jnp.array([[1.0, 2.0, 3.0]]))[0].tolist()
      [[3.0, 1.0, 2.0, 3.0, 1.0]]
    """

    mode = "circular"

    def forward(self, input: jax.Array) -> jax.Array:
        rank = len(input.shape)
        padding: Any = self.padding
        n = len(padding) // 2
        if rank not in (n + 1, n + 2):
            raise ValueError(f"expected {n + 1}D or {n + 2}D input (got {rank}D input)")
        return F.pad(input, padding, self.mode)


class CircularPad1d(CircularPadNd):
    __doc__ = CircularPadNd.__doc__
    dimensions = 1


class CircularPad2d(CircularPadNd):
    __doc__ = CircularPadNd.__doc__
    dimensions = 2


class CircularPad3d(CircularPadNd):
    __doc__ = CircularPadNd.__doc__
    dimensions = 3


class ConstantPadNd(PadNd):
    """Pads the last n axes of an array of any rank with ``value``.

    Args:
      padding: a number for all ends, or (before, after) of each axis from the last one forwards; negative amounts cut off.
      value: of the new elements.

    Source: torch.nn.ConstantPad1d, ConstantPad2d, ConstantPad3d.
    """

    mode = "constant"

    value: float

    def forward(self, input: jax.Array) -> jax.Array:
        padding: Any = self.padding
        return F.pad(input, padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(ConstantPadNd):
    __doc__ = ConstantPadNd.__doc__
    dimensions = 1


class ConstantPad2d(ConstantPadNd):
    __doc__ = ConstantPadNd.__doc__
    dimensions = 2


class ConstantPad3d(ConstantPadNd):
    __doc__ = ConstantPadNd.__doc__
    dimensions = 3


class ZeroPadNd(PadNd):
    """Pads the last n axes of an array of any rank with zeros.

    Args:
      padding: a number for all ends, or (before, after) of each axis from the last one forwards; negative amounts cut off.

    Source: torch.nn.ZeroPad1d, ZeroPad2d, ZeroPad3d.
    """

    mode = "constant"


class ZeroPad1d(ZeroPadNd):
    __doc__ = ZeroPadNd.__doc__
    dimensions = 1


class ZeroPad2d(ZeroPadNd):
    __doc__ = ZeroPadNd.__doc__
    dimensions = 2


class ZeroPad3d(ZeroPadNd):
    __doc__ = ZeroPadNd.__doc__
    dimensions = 3
