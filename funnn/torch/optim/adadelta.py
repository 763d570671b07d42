"""torch.optim.Adadelta."""

from __future__ import annotations

from typing import Any

from funnn.optim import adadelta_rule
from funnn.torch._tensor import Tensor
from funnn.torch.optim.optimizer import Optimizer


class Adadelta(Optimizer):
    """Steps in the parameter's units; the formula is in :func:`funnn.optim.adadelta`. Source: torch.optim.Adadelta."""

    rule = adadelta_rule

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        options = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize, "capturable": capturable}
        super().__init__(params, {**options, "foreach": foreach, "differentiable": differentiable})
