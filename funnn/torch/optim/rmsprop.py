"""torch.optim.RMSprop."""

from __future__ import annotations

from funnn.optim import rmsprop_rule
from funnn.torch.optim.optimizer import Optimizer


class RMSprop(
    Optimizer,
    rule=rmsprop_rule,
    takes="lr alpha eps weight_decay momentum centered capturable foreach maximize differentiable",
    keeps="lr momentum alpha eps centered weight_decay capturable foreach maximize differentiable",
):
    """Steps by the root of the mean square; the formula is in :func:`funnn.optim.rmsprop`. Source: torch.optim.RMSprop."""
