"""torch.optim.Adafactor."""

from __future__ import annotations

from typing import Any

from funnn.optim import adafactor_rule
from funnn.torch._tensor import Tensor
from funnn.torch.optim.optimizer import Optimizer


class Adafactor(Optimizer):
    """Second moments by rows and columns; the formula is in :func:`funnn.optim.adafactor`. Source: torch.optim.Adafactor."""

    rule = adafactor_rule

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ):
        options = {"lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "foreach": foreach}
        super().__init__(params, {**options, "maximize": maximize})
