"""Layer, group and root-mean-square normalisation, and local response normalisation."""

from __future__ import annotations

from dataclasses import field
from typing import Any

import jax

from funnn import functional as F
from funnn import init
from funnn.layers._layer import Layer, Param, Spec
from funnn.layers._sizes import ntuple
from funnn.layers._text import enabled


class LayerNorm(Layer):
    """y = (x − μ)/√(σ² + eps) · weight + bias, with μ and σ² (biased) over the last axes, whose shape is ``normalized_shape``.

    Parameters: ``weight`` and ``bias`` of shape normalized_shape if ``elementwise_affine`` (the second only with ``bias``).
    Ba et al., "Layer normalization" (2016); source: torch.nn.LayerNorm.
    """

    normalized_shape: int | tuple[int, ...]
    eps: float = 1e-5
    elementwise_affine: bool = True
    bias: bool = True

    def __post_init__(self) -> None:
        self.normalized_shape = ntuple(self.normalized_shape, 1)
        self.bias = self.elementwise_affine and self.bias

    def spec(self) -> Spec:
        shape = ntuple(self.normalized_shape, 1)
        return {
            "weight": Param(shape, init.ones) if self.elementwise_affine else None,
            "bias": Param(shape, init.zeros) if self.bias else None,
        }

    def forward(self, input: jax.Array) -> jax.Array:
        bias: Any = self.bias  # here the array
        return F.layer_norm(input, self.normalized_shape, self.weight, bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, bias={enabled(self.bias)}"


class RMSNorm(Layer):
    """y = x/√(mean(x²) + eps) · weight, over the last axes, whose shape is ``normalized_shape``; eps=None is the dtype's machine epsilon.

    Parameter: ``weight`` of shape normalized_shape if ``elementwise_affine``.
    Zhang and Sennrich, "Root mean square layer normalization" (2019); source: torch.nn.RMSNorm.
    """

    normalized_shape: int | tuple[int, ...]
    eps: float | None = None
    elementwise_affine: bool = True

    def __post_init__(self) -> None:
        self.normalized_shape = ntuple(self.normalized_shape, 1)

    def spec(self) -> Spec:
        return {"weight": Param(ntuple(self.normalized_shape, 1), init.ones) if self.elementwise_affine else None}

    def forward(self, x: jax.Array) -> jax.Array:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Layer):
    """y = (x − μ)/√(σ² + eps) · weight + bias, with μ and σ² (biased) over each group of num_channels/num_groups channels of an item.

    Input (N, num_channels, *). Parameters: ``weight`` and ``bias`` (num_channels,) if ``affine`` (the second only with ``bias``).
    Wu and He, "Group normalization" (2018); source: torch.nn.GroupNorm.

    Raises:
      ValueError: num_channels not divisible by num_groups.
    """

    num_groups: int
    num_channels: int
    eps: float = 1e-5
    affine: bool = True
    bias: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        if self.num_channels % self.num_groups:
            raise ValueError(f"num_channels ({self.num_channels}) must be divisible by num_groups ({self.num_groups})")
        self.bias = self.affine and self.bias

    def spec(self) -> Spec:
        shape = (self.num_channels,)
        return {
            "weight": Param(shape, init.ones) if self.affine else None,
            "bias": Param(shape, init.zeros) if self.bias else None,
        }

    def forward(self, input: jax.Array) -> jax.Array:
        bias: Any = self.bias  # here the array
        return F.group_norm(input, self.num_groups, self.weight, bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={enabled(self.bias)}"


class LocalResponseNorm(Layer):
    """y_c = x_c/(k + alpha/size · Σ x_j²)^beta over ``size`` neighbouring channels of an input (N, C, *).

    Krizhevsky et al., 2012; source: torch.nn.LocalResponseNorm.
    """

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    def forward(self, input: jax.Array) -> jax.Array:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
