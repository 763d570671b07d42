"""torch.optim.RAdam."""

from __future__ import annotations

from funnn.optim import radam_rule
from funnn.torch.optim.optimizer import Optimizer


class RAdam(
    Optimizer,
    rule=radam_rule,
    takes="lr betas eps weight_decay decoupled_weight_decay * foreach maximize capturable differentiable",
    keeps="lr betas eps weight_decay maximize foreach capturable decoupled_weight_decay differentiable",
):
    """Adam with a rectified variance; the formula is in :func:`funnn.optim.radam`. Source: torch.optim.RAdam."""
