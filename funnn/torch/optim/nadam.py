"""torch.optim.NAdam."""

from __future__ import annotations

from funnn.optim import nadam_rule
from funnn.torch.optim.optimizer import Optimizer


class NAdam(
    Optimizer,
    rule=nadam_rule,
    takes="lr betas eps weight_decay momentum_decay decoupled_weight_decay * foreach maximize capturable differentiable",
    keeps="lr betas eps weight_decay momentum_decay decoupled_weight_decay maximize foreach capturable differentiable",
):
    """Adam with Nesterov momentum; the formula is in :func:`funnn.optim.nadam`. Source: torch.optim.NAdam."""
