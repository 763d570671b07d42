"""torch.optim.RAdam."""

from __future__ import annotations

from typing import Any

from funnn.optim import radam_rule
from funnn.torch._tensor import Tensor
from funnn.torch.optim.optimizer import Optimizer


class RAdam(Optimizer):
    """Adam with a rectified variance; the formula is in :func:`funnn.optim.radam`. Source: torch.optim.RAdam."""

    rule = radam_rule

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ):
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize, "foreach": foreach}
        super().__init__(
            params,
            {**options, "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay, "differentiable": differentiable},
        )
