"""torch.optim.Adafactor."""

from __future__ import annotations

from funnn.optim import adafactor_rule
from funnn.torch.optim.optimizer import Optimizer


class Adafactor(
    Optimizer,
    rule=adafactor_rule,
    takes="lr beta2_decay eps d weight_decay * foreach maximize",
):
    """Second moments by rows and columns; the formula is in :func:`funnn.optim.adafactor`. Source: torch.optim.Adafactor."""

    _by_elements = False
