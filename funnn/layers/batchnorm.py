"""Batch and instance normalisation: one layer for each, with 1d, 2d and 3d as rows."""

from __future__ import annotations

import warnings
from dataclasses import field
from typing import Any, ClassVar

import jax

from funnn import errors, init
from funnn import functional as F
from funnn.layers._layer import Buffer, Layer, Param, Spec
from funnn.layers._text import enabled


class _NormNd(Layer):
    """What both share: parameters and running statistics per channel."""

    ranks: ClassVar[tuple[int, ...]]
    sizes_from_input: ClassVar[tuple[str, ...]] = ("num_features",)
    size_axis = 1

    def __post_init__(self) -> None:
        self.bias: Any = self.affine and self.bias

    def spec(self) -> Spec:
        num_features: Any = self.num_features
        shape, tracked = (num_features,), self.track_running_stats
        return {
            "weight": Param(shape, init.ones) if self.affine else None,
            "bias": Param(shape, init.zeros) if self.bias else None,
            "running_mean": Buffer(shape, init.zeros if tracked else None),
            "running_var": Buffer(shape, init.ones if tracked else None),
            "num_batches_tracked": Buffer((), init.zeros if tracked else None, int),
        }

    def check_rank(self, input: jax.Array) -> None:
        """Raise ShapeValueError unless the input has one of the layer's numbers of dimensions."""
        if input.ndim not in self.ranks:
            expected = " or ".join(f"{rank}D" for rank in self.ranks)
            raise errors.ShapeValueError(f"expected {expected} input (got {input.ndim}D input of shape {tuple(input.shape)})")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, bias={enabled(self.bias)}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNormNd(_NormNd):
    """y = (x − μ)/√(σ² + eps) · weight + bias, per channel (axis 1).

    In training μ and σ² are the batch's (over all axes but the channel's, σ² biased), and the running statistics move by
    ``momentum``: running ← (1 − momentum)·running + momentum·batch, with the unbiased variance; momentum=None takes the plain average of
    all batches. Otherwise μ and σ² are the running statistics, or the batch's when ``track_running_stats=False``.

    Parameters: ``weight`` and ``bias`` (num_features,) if ``affine``. Buffers: ``running_mean``, ``running_var`` (num_features,) and
    ``num_batches_tracked``. ``bias=False`` leaves out the shift alone. Ioffe and Szegedy, "Batch normalization" (2015); source: torch.nn.BatchNorm1d, 2d, 3d.
    """

    num_features: int | None
    eps: float = 1e-5
    momentum: float | None = 0.1
    affine: bool = True
    track_running_stats: bool = True
    bias: bool = field(default=True, kw_only=True)

    def forward(self, input: jax.Array) -> jax.Array:
        self.check_rank(input)
        bias: Any = self.bias  # here the array
        if not (self.training and self.track_running_stats and self.running_mean is not None):
            use_batch = self.training or self.running_mean is None
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, bias, use_batch, 0.0, self.eps)
        momentum: Any = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked: Any = self.num_batches_tracked + 1
            momentum = 1.0 / self.num_batches_tracked if momentum is None else momentum
        y, mean, var = F.batch_norm_with_stats(
            input, self.running_mean, self.running_var, self.weight, bias, momentum, self.eps, mesh_axis=self.mesh_axis()
        )
        self.running_mean: Any = mean
        self.running_var: Any = var
        return y

    def mesh_axis(self) -> str | tuple[str, ...] | None:
        """The mesh axes that the statistics are taken over besides the array's own."""
        return None


class BatchNorm1d(BatchNormNd):
    __doc__ = BatchNormNd.__doc__
    ranks = (2, 3)


class BatchNorm2d(BatchNormNd):
    __doc__ = BatchNormNd.__doc__
    ranks = (4,)


class BatchNorm3d(BatchNormNd):
    __doc__ = BatchNormNd.__doc__
    ranks = (5,)


class SyncBatchNorm(BatchNormNd):
    """Batch normalisation whose statistics in training are those of the whole batch, when shard_map has split it over devices, or vmap over members.

    As BatchNorm for inputs of at least 2 axes, (N, C, *); ``process_group`` names the axis of the mesh, or vmap's ``axis_name`` (or several, as a
    tuple), whose devices or members each hold a part of the batch, one example at least; None takes each device's own statistics, as BatchNorm does.
    Under jit with sharded arrays (GSPMD) every BatchNorm is synchronous already, and this layer is not needed.

    Source: torch.nn.SyncBatchNorm, where a process group stands for the mesh axis.
    """

    process_group: str | tuple[str, ...] | None = None

    def check_rank(self, input: jax.Array) -> None:
        """Raise ShapeValueError unless the input has at least two dimensions."""
        if input.ndim < 2:
            raise errors.ShapeValueError(f"expected at least 2D input (got {input.ndim}D input of shape {tuple(input.shape)})")

    def mesh_axis(self) -> str | tuple[str, ...] | None:
        return self.process_group


class InstanceNormNd(_NormNd):
    """y = (x − μ)/√(σ² + eps) · weight + bias, per channel of each item.

    μ and σ² (biased) are those of the positions. With ``track_running_stats`` the running statistics move in training by ``momentum`` towards the mean
    over the items, and are used outside training; momentum=None leaves them as they are.

    Input (N, num_features, *) or (num_features, *). Parameters: ``weight`` and ``bias`` (num_features,) if ``affine``. Buffers: ``running_mean``,
    ``running_var`` (num_features,) and ``num_batches_tracked`` if ``track_running_stats``; the last one stays 0, as in torch.
    Ulyanov et al., "Instance normalization" (2016); source: torch.nn.InstanceNorm1d, 2d, 3d.
    """

    num_features: int | None
    eps: float = 1e-5
    momentum: float | None = 0.1
    affine: bool = False
    track_running_stats: bool = False
    bias: bool = field(default=True, kw_only=True)

    @property
    def size_axis(self) -> int:  # type: ignore[override]
        """The axis of the channels."""
        return -self.ranks[0]

    def forward(self, input: jax.Array) -> jax.Array:
        self.check_rank(input)
        batched = input.ndim == self.ranks[1]
        axis = 1 if batched else 0
        if input.shape[axis] != self.num_features:
            if self.weight is not None:
                raise errors.ShapeError(
                    f"expected input's size at dim={axis} to match num_features ({self.num_features}), but got: {input.shape[axis]}."
                )
            warnings.warn(
                f"input's size at dim={axis} does not match num_features. You can silence this warning by not passing in num_features, "
                "which is not used because affine=False",
                stacklevel=2,
            )
        own = self.training or not self.track_running_stats
        mean, var, weight = self.running_mean, self.running_var, self.weight
        bias: Any = self.bias  # here the array
        if not own or self.running_mean is None:
            return F.instance_norm(input, mean, var, weight, bias, own, 0.0, self.eps, batched=batched)
        momentum = 0.0 if self.momentum is None else self.momentum
        y, mean, var = F.instance_norm_with_stats(input, mean, var, weight, bias, momentum, self.eps, batched=batched)
        self.running_mean: Any = mean
        self.running_var: Any = var
        return y


class InstanceNorm1d(InstanceNormNd):
    __doc__ = InstanceNormNd.__doc__
    ranks = (2, 3)


class InstanceNorm2d(InstanceNormNd):
    __doc__ = InstanceNormNd.__doc__
    ranks = (3, 4)


class InstanceNorm3d(InstanceNormNd):
    __doc__ = InstanceNormNd.__doc__
    ranks = (4, 5)
