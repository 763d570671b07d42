"""Losses of classes as layers."""

from __future__ import annotations

from typing import Any

import jax

from funnn import functional as F
from funnn.functional._warn import warn
from funnn.layers._layer import Spec
from funnn.layers.loss import Loss, given


class _ClassLoss(Loss):
    weight: Any = None
    size_average: bool | None = None
    ignore_index: int = -100
    reduce: bool | None = None
    reduction: str = "mean"

    def spec(self) -> Spec:
        return {"weight": given(self.weight)}


class NLLLoss(_ClassLoss):
    """−weight[t]·input[t] for log-probabilities (N, C, *) and classes t (N, *); 'mean' divides by the sum of the weights.

    Args:
      weight: one number per class (a buffer of the layer).
      ignore_index: a class that counts neither in the sum nor in the mean.

    Source: torch.nn.NLLLoss.
    """

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class NLLLoss2d(NLLLoss):
    """NLLLoss under its deprecated name. Source: torch.nn.NLLLoss2d."""

    def __post_init__(self) -> None:
        warn(
            "`NLLLoss2d` has been deprecated. Please use `NLLLoss` instead as a drop-in replacement and see "
            "https://pytorch.org/docs/main/nn.html#torch.nn.NLLLoss for more details.",
            FutureWarning,
        )
        super().__post_init__()


class CrossEntropyLoss(_ClassLoss):
    """NLLLoss of log-softmax: for logits (N, C, *) and classes (N, *) or class probabilities (N, C, *).

    Args:
      weight, ignore_index, reduction: as in NLLLoss.
      label_smoothing: in [0, 1], the share of the target that is spread evenly over the classes.

    Source: torch.nn.CrossEntropyLoss.
    """

    label_smoothing: float = 0.0

    def forward(self, input: jax.Array, target: jax.Array) -> jax.Array:
        return F.cross_entropy(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction, label_smoothing=self.label_smoothing
        )
