"""Losses of margins as layers."""

from __future__ import annotations

from typing import Any

import jax

from funnn import functional as F
from funnn.layers._layer import Spec
from funnn.layers.loss import Loss, PlainLoss, given


class HingeEmbeddingLoss(Loss):
    """The distance ``input`` where the target is 1, max(0, margin − input) where it is −1. Source: torch.nn.HingeEmbeddingLoss."""

    margin: float = 1.0
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(Loss):
    """max(0, margin − target·(input1 − input2)) for targets 1 and −1. Source: torch.nn.MarginRankingLoss."""

    margin: float = 0.0
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"

    def forward(self, input1: jax.Array, input2: jax.Array, target: jax.Array) -> jax.Array:
        return F.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class MultiMarginLoss(Loss):
    """Σ max(0, margin − input[t] + input[c])ᵖ / C over the classes c other than t, for scores (N, C) and classes t (N,).

    Args:
      p: 1 or 2.
      margin: by how much the right class should lead.
      weight: one number per class (a buffer of the layer).

    Raises:
      ValueError: another p, or a weight that is not one-dimensional.

    Source: torch.nn.MultiMarginLoss.
    """

    p: int = 1
    margin: float = 1.0
    weight: Any = None
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p not in (1, 2):
            raise ValueError(f"only p == 1 and p == 2 supported, but got p={self.p}")
        if self.weight is not None and len(self.weight.shape) != 1:
            raise ValueError(f"MultiMarginLoss: expected weight to be None or 1D tensor, got {len(self.weight.shape)}D instead")

    def spec(self) -> Spec:
        return {"weight": given(self.weight)}

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class MultiLabelMarginLoss(PlainLoss):
    """Σ max(0, 1 − input[t] + input[c]) / C over the right classes t and the others c. Source: torch.nn.MultiLabelMarginLoss."""

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)
