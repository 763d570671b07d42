"""Losses as layers: ``forward(input, target)``."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from funnn import functional as F
from funnn.functional.loss import reduction_of
from funnn.layers._layer import Buffer, Constant, Layer


def given(values: Constant | None) -> Buffer:
    """A buffer that starts from values given to the constructor; off without them."""
    if values is None:
        return Buffer((), None)
    return Buffer(values.values.shape, lambda source, shape, *, dtype: jnp.asarray(values.values, dtype))


class _Loss(Layer):
    """What all losses share: ``reduction`` is 'mean', 'sum' or 'none'; ``size_average`` and ``reduce`` are torch's deprecated forms of it."""

    size_average: bool | None = None
    reduce: bool | None = None
    reduction: str = "mean"

    def __post_init__(self):
        if self.size_average is not None or self.reduce is not None:
            self.reduction = reduction_of(self.reduction, self.size_average, self.reduce)
            self.size_average = self.reduce = None


class MSELoss(_Loss):
    """The mean (or sum, or each) of (input − target)². Source: torch.nn.MSELoss."""

    def forward(self, input, target):
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """The mean (or sum, or each) of |input − target|. Source: torch.nn.L1Loss."""

    def forward(self, input, target):
        return F.l1_loss(input, target, reduction=self.reduction)


class _WeightedLoss(Layer):
    weight: Any = None
    size_average: bool | None = None
    ignore_index: int = -100
    reduce: bool | None = None
    reduction: str = "mean"

    __post_init__ = _Loss.__post_init__

    def spec(self):
        return {"weight": given(self.weight)}


class NLLLoss(_WeightedLoss):
    """−weight[t]·input[t] for log-probabilities (N, C, *) and classes t (N, *); 'mean' divides by the sum of the weights.

    Args:
      weight: one number per class (a buffer of the layer).
      ignore_index: a class that counts neither in the sum nor in the mean.

    Source: torch.nn.NLLLoss.
    """

    def forward(self, input, target):
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class CrossEntropyLoss(_WeightedLoss):
    """NLLLoss of log-softmax: for logits (N, C, *) and classes (N, *) or class probabilities (N, C, *).

    Args:
      weight, ignore_index, reduction: as in NLLLoss.
      label_smoothing: in [0, 1], the share of the target that is spread evenly over the classes.

    Source: torch.nn.CrossEntropyLoss.
    """

    label_smoothing: float = 0.0

    def forward(self, input, target):
        return F.cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction, label_smoothing=self.label_smoothing
        )
