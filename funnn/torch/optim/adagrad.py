"""torch.optim.Adagrad."""

from __future__ import annotations

from typing import Any

from funnn.optim import adagrad_rule
from funnn.torch._tensor import Tensor
from funnn.torch.optim.optimizer import Optimizer


class Adagrad(Optimizer):
    """Steps by the sum of squared gradients; the formula is in :func:`funnn.optim.adagrad`. Source: torch.optim.Adagrad."""

    rule = adagrad_rule

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        options = {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay}
        super().__init__(
            params,
            {
                **options,
                "initial_accumulator_value": initial_accumulator_value,
                "foreach": foreach,
                "maximize": maximize,
                "differentiable": differentiable,
                "fused": fused,
            },
        )
        self._fill_states()
