"""torch.optim.ASGD."""

from __future__ import annotations

from typing import Any

from funnn.optim import asgd_rule
from funnn.torch._tensor import Tensor
from funnn.torch.optim.optimizer import Optimizer


class ASGD(Optimizer):
    """SGD that averages its parameters; the formula is in :func:`funnn.optim.asgd`. Source: torch.optim.ASGD."""

    rule = asgd_rule

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        options = {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach}
        super().__init__(params, {**options, "maximize": maximize, "differentiable": differentiable, "capturable": capturable})
