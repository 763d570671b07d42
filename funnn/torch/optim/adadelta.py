"""torch.optim.Adadelta."""

from __future__ import annotations

from funnn.optim import adadelta_rule
from funnn.torch.optim.optimizer import Optimizer


class Adadelta(
    Optimizer,
    rule=adadelta_rule,
    takes="lr rho eps weight_decay foreach * capturable maximize differentiable",
    keeps="lr rho eps weight_decay maximize capturable foreach differentiable",
):
    """Steps in the parameter's units; the formula is in :func:`funnn.optim.adadelta`. Source: torch.optim.Adadelta."""
