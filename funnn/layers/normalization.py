"""Batch and layer normalisation."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

from funnn import errors, init
from funnn import functional as F
from funnn.layers._layer import Buffer, Layer, Param
from funnn.layers._sizes import ntuple
from funnn.layers._text import enabled


class BatchNormNd(Layer):
    """y = (x − μ)/√(σ² + eps) · weight + bias, per channel (axis 1).

    In training μ and σ² are the batch's (over all axes but the channel's, σ² biased), and the running statistics move by
    ``momentum``: running ← (1 − momentum)·running + momentum·batch, with the unbiased variance; momentum=None takes the plain average of
    all batches. Otherwise μ and σ² are the running statistics, or the batch's when ``track_running_stats=False``.

    Parameters: ``weight`` and ``bias`` (num_features,) if ``affine``. Buffers: ``running_mean``, ``running_var`` (num_features,) and
    ``num_batches_tracked``. ``bias=False`` leaves out the shift alone. Ioffe and Szegedy, "Batch normalization" (2015); source: torch.nn.BatchNorm1d, 2d, 3d.
    """

    ranks: ClassVar[tuple[int, ...]]

    num_features: int
    eps: float = 1e-5
    momentum: float | None = 0.1
    affine: bool = True
    track_running_stats: bool = True
    bias: bool = field(default=True, kw_only=True)

    def __post_init__(self):
        self.bias = self.affine and self.bias

    def spec(self):
        shape, tracked = (self.num_features,), self.track_running_stats
        return {
            "weight": Param(shape, init.ones) if self.affine else None,
            "bias": Param(shape, init.zeros) if self.bias else None,
            "running_mean": Buffer(shape, init.zeros if tracked else None),
            "running_var": Buffer(shape, init.ones if tracked else None),
            "num_batches_tracked": Buffer((), init.zeros if tracked else None, int),
        }

    def forward(self, x):
        if x.ndim not in self.ranks:
            expected = " or ".join(f"{rank}D" for rank in self.ranks)
            raise errors.ShapeError(f"expected {expected} input (got {x.ndim}D input of shape {tuple(x.shape)})")
        if not (self.training and self.running_mean is not None):
            use_batch = self.training or self.running_mean is None
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, use_batch, 0.0, self.eps)
        self.num_batches_tracked = self.num_batches_tracked + 1
        momentum = 1.0 / self.num_batches_tracked if self.momentum is None else self.momentum
        y, self.running_mean, self.running_var = F.batch_norm_with_stats(
            x, self.running_mean, self.running_var, self.weight, self.bias, momentum, self.eps
        )
        return y

    def extra_repr(self):
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, bias={enabled(self.bias)}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(BatchNormNd):
    __doc__ = BatchNormNd.__doc__
    ranks = (2, 3)


class BatchNorm2d(BatchNormNd):
    __doc__ = BatchNormNd.__doc__
    ranks = (4,)


class BatchNorm3d(BatchNormNd):
    __doc__ = BatchNormNd.__doc__
    ranks = (5,)


class LayerNorm(Layer):
    """y = (x − μ)/√(σ² + eps) · weight + bias, with μ and σ² (biased) over the last axes, whose shape is ``normalized_shape``.

    Parameters: ``weight`` and ``bias`` of shape normalized_shape if ``elementwise_affine`` (the second only with ``bias``).
    Ba et al., "Layer normalization" (2016); source: torch.nn.LayerNorm.
    """

    normalized_shape: int | tuple[int, ...]
    eps: float = 1e-5
    elementwise_affine: bool = True
    bias: bool = True

    def __post_init__(self):
        self.normalized_shape = ntuple(self.normalized_shape, 1)
        self.bias = self.elementwise_affine and self.bias

    def spec(self):
        return {
            "weight": Param(self.normalized_shape, init.ones) if self.elementwise_affine else None,
            "bias": Param(self.normalized_shape, init.zeros) if self.bias else None,
        }

    def forward(self, x):
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self):
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, bias={enabled(self.bias)}"
