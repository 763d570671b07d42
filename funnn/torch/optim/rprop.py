"""torch.optim.Rprop."""

from __future__ import annotations

from typing import Any

from funnn.optim import rprop_rule
from funnn.torch._tensor import Tensor
from funnn.torch.optim.optimizer import Optimizer


class Rprop(Optimizer):
    """Steps by the gradient's sign; the formula is in :func:`funnn.optim.rprop`. Source: torch.optim.Rprop."""

    rule = rprop_rule

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        options = {"lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize}
        super().__init__(params, {**options, "differentiable": differentiable, "capturable": capturable})
