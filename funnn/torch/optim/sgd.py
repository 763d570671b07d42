"""torch.optim.SGD."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from funnn.engine.tensor.tensor import Tensor
from funnn.optim import sgd_rule
from funnn.torch.optim.optimizer import Optimizer


class SGD(
    Optimizer,
    rule=sgd_rule,
    takes="lr momentum dampening weight_decay nesterov * maximize foreach differentiable fused",
):
    """Stochastic gradient descent with momentum; the formula is in :func:`funnn.optim.sgd`. Source: torch.optim.SGD.

    With ``differentiable`` gradients also flow through the first momentum buffer, where torch cuts them.
    """

    hidden = ("step",)  # counts the steps with momentum, the first of which is undamped

    def _completed(self, entries: dict[str, Any]) -> dict[str, Any]:
        if "momentum_buffer" in entries:
            with jax.enable_x64(True):
                entries["step"] = Tensor._wrap(jnp.ones((), jnp.float32))
        return entries
