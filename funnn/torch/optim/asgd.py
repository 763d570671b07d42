"""torch.optim.ASGD."""

from __future__ import annotations

from funnn.optim import asgd_rule
from funnn.torch.optim.optimizer import Optimizer


class ASGD(
    Optimizer,
    rule=asgd_rule,
    takes="lr lambd alpha t0 weight_decay foreach maximize differentiable capturable",
):
    """SGD that averages its parameters; the formula is in :func:`funnn.optim.asgd`. Source: torch.optim.ASGD."""
