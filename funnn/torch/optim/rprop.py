"""torch.optim.Rprop."""

from __future__ import annotations

from funnn.optim import rprop_rule
from funnn.torch.optim.optimizer import Optimizer


class Rprop(
    Optimizer,
    rule=rprop_rule,
    takes="lr etas step_sizes * capturable foreach maximize differentiable",
    keeps="lr etas step_sizes foreach maximize differentiable capturable",
):
    """Steps by the gradient's sign; the formula is in :func:`funnn.optim.rprop`. Source: torch.optim.Rprop."""
