"""torch.optim.Adamax."""

from __future__ import annotations

from typing import Any

from funnn.optim import adamax_rule
from funnn.torch._tensor import Tensor
from funnn.torch.optim.optimizer import Optimizer


class Adamax(Optimizer):
    """Adam by the largest gradient; the formula is in :func:`funnn.optim.adamax`. Source: torch.optim.Adamax."""

    rule = adamax_rule

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ):
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize}
        super().__init__(params, {**options, "differentiable": differentiable, "capturable": capturable})
