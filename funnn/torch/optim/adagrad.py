"""torch.optim.Adagrad."""

from __future__ import annotations

from funnn.optim import adagrad_rule
from funnn.torch.optim.optimizer import Optimizer


class Adagrad(
    Optimizer,
    rule=adagrad_rule,
    takes="lr lr_decay weight_decay initial_accumulator_value eps foreach * maximize differentiable fused",
    keeps="lr lr_decay eps weight_decay initial_accumulator_value foreach maximize differentiable fused",
):
    """Steps by the sum of squared gradients; the formula is in :func:`funnn.optim.adagrad`. Source: torch.optim.Adagrad."""

    def _made(self) -> None:
        self._fill_states()
