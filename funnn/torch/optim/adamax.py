"""torch.optim.Adamax."""

from __future__ import annotations

from funnn.optim import adamax_rule
from funnn.torch.optim.optimizer import Optimizer


class Adamax(
    Optimizer,
    rule=adamax_rule,
    takes="lr betas eps weight_decay foreach * maximize differentiable capturable",
):
    """Adam by the largest gradient; the formula is in :func:`funnn.optim.adamax`. Source: torch.optim.Adamax."""
