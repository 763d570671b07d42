"""torch.optim.RMSprop."""

from __future__ import annotations

from typing import Any

from funnn.optim import rmsprop_rule
from funnn.torch._tensor import Tensor
from funnn.torch.optim.optimizer import Optimizer


class RMSprop(Optimizer):
    """Steps by the root of the mean square; the formula is in :func:`funnn.optim.rmsprop`. Source: torch.optim.RMSprop."""

    rule = rmsprop_rule

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        options = {"lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered, "weight_decay": weight_decay}
        super().__init__(
            params, {**options, "capturable": capturable, "foreach": foreach, "maximize": maximize, "differentiable": differentiable}
        )
