"""torch.optim.NAdam."""

from __future__ import annotations

from typing import Any

from funnn.optim import nadam_rule
from funnn.torch._tensor import Tensor
from funnn.torch.optim.optimizer import Optimizer


class NAdam(Optimizer):
    """Adam with Nesterov momentum; the formula is in :func:`funnn.optim.nadam`. Source: torch.optim.NAdam."""

    rule = nadam_rule

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
        super().__init__(
            params,
            {
                **options,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
                "foreach": foreach,
                "capturable": capturable,
                "differentiable": differentiable,
            },
        )
