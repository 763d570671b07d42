"""torch.optim.SGD."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from funnn.optim import sgd_rule
from funnn.torch._tensor import Tensor
from funnn.torch.optim.optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent with momentum; the formula is in :func:`funnn.optim.sgd`. Source: torch.optim.SGD.

    With ``differentiable`` gradients also flow through the first momentum buffer, where torch cuts them.
    """

    rule = sgd_rule
    hidden = ("step",)  # counts the steps with momentum, the first of which is undamped

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        options = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov}
        super().__init__(params, {**options, "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused})

    def _loaded(self, param: Tensor, entries: dict[str, Any]) -> dict[str, Any]:
        state = super()._loaded(param, entries)
        if "momentum_buffer" in state:
            with jax.enable_x64(True):
                state["step"] = Tensor._wrap(jnp.ones((), jnp.float32))
        return state
