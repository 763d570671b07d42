"""Losses of yes-or-no labels as layers."""

from __future__ import annotations

from typing import Any

import jax

from funnn import functional as F
from funnn.layers._layer import Spec
from funnn.layers.loss import Loss, PlainLoss, WeightedLoss, given


class BCELoss(WeightedLoss):
    """Binary cross entropy of probabilities; ``weight`` broadcasts to the input. Source: torch.nn.BCELoss."""

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    """Binary cross entropy of logits.

    Args:
      weight: factors of the losses (a buffer of the layer).
      pos_weight: factors of the losses' positive part, one per class (a buffer of the layer).

    Source: torch.nn.BCEWithLogitsLoss.
    """

    weight: Any = None
    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"
    pos_weight: Any = None

    def spec(self) -> Spec:
        return {"weight": given(self.weight), "pos_weight": given(self.pos_weight)}

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.binary_cross_entropy_with_logits(input, target, self.weight, pos_weight=self.pos_weight, reduction=self.reduction)


class SoftMarginLoss(PlainLoss):
    """log(1 + exp(−target·input)) for targets 1 and −1. Source: torch.nn.SoftMarginLoss."""

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(WeightedLoss):
    """Binary cross entropy of logits (N, C), averaged over the classes. Source: torch.nn.MultiLabelSoftMarginLoss."""

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)
