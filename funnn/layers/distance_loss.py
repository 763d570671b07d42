"""Losses of distances between embeddings as layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Any

import jax

from funnn import functional as F
from funnn.layers.distance import PairwiseDistance
from funnn.layers.loss import Loss


class CosineEmbeddingLoss(Loss):
    """1 − cos(input1, input2) where the target is 1, max(0, cos − margin) where it is −1. Source: torch.nn.CosineEmbeddingLoss."""

    margin: float = 0.0
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"

    def forward(self, input1: jax.Array, input2: jax.Array, target: jax.Array) -> jax.Array:
        return F.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


def _check_margin(loss: Any) -> None:
    if loss.margin <= 0:
        raise ValueError(f"{type(loss).__name__}: expected margin to be greater than 0, got {loss.margin} instead")


class TripletMarginLoss(Loss):
    """max(0, d(anchor, positive) − d(anchor, negative) + margin) with a p-norm as the distance d.

    Args:
      margin: by how much the positive should be nearer, positive.
      p: the norm's exponent.
      eps: added to differences, against infinite derivatives.
      swap: whether the distance from the positive to the negative counts where it is smaller than the anchor's.

    Raises:
      ValueError: margin is not positive.

    Source: torch.nn.TripletMarginLoss.
    """

    margin: float = 1.0
    p: float = 2.0
    eps: float = 1e-6
    swap: bool = False
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_margin(self)

    def forward(self, anchor: jax.Array, positive: jax.Array, negative: jax.Array) -> jax.Array:
        return F.triplet_margin_loss(anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction)


class TripletMarginWithDistanceLoss(Loss):
    """max(0, d(anchor, positive) − d(anchor, negative) + margin) with a distance of one's own.

    Args:
      distance_function: a layer or function of two arrays; default PairwiseDistance().
      margin: by how much the positive should be nearer, positive.
      swap: whether the distance from the positive to the negative counts where it is smaller than the anchor's.

    Raises:
      ValueError: margin is not positive.

    Source: torch.nn.TripletMarginWithDistanceLoss.
    """

    _: KW_ONLY
    distance_function: Callable[..., Any] | None = None
    margin: float = 1.0
    swap: bool = False
    reduction: str = "mean"

    def __post_init__(self) -> None:
        _check_margin(self)
        if self.distance_function is None:
            self.distance_function = PairwiseDistance()

    def forward(self, anchor: jax.Array, positive: jax.Array, negative: jax.Array) -> jax.Array:
        return F.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )
