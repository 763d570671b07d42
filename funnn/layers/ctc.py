"""Connectionist temporal classification as a layer."""

from __future__ import annotations

import jax

from funnn import functional as F
from funnn.layers.loss import Loss


class CTCLoss(Loss):
    """−log likelihood of label sequences, over all alignments with the steps of ``log_probs`` (T, N, C).

    Args:
      blank: the index that stands for no label.
      zero_infinity: whether the loss of an input too short for its target is 0 instead of infinite.

    Source: torch.nn.CTCLoss.
    """

    blank: int = 0
    reduction: str = "mean"
    zero_infinity: bool = False

    def forward(self, log_probs: jax.Array, targets: jax.Array, input_lengths: jax.Array, target_lengths: jax.Array) -> jax.Array:
        return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity)
