"""torch.optim.AdamW."""

from __future__ import annotations

from typing import Any

from funnn.torch._tensor import Tensor
from funnn.torch.optim.adam import Adam


class AdamW(Adam):
    """Adam with decoupled weight decay; the formula is in :func:`funnn.optim.adamw`. Source: torch.optim.AdamW."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        switches = {"maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable, "fused": fused}
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, decoupled_weight_decay=True, **switches)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # whatever the loaded state says
            group["decoupled_weight_decay"] = True
