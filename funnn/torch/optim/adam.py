"""torch.optim.Adam."""

from __future__ import annotations

from typing import Any

from funnn.optim import adam_rule
from funnn.torch.optim.optimizer import Optimizer


class Adam(
    Optimizer,
    rule=adam_rule,
    takes="lr betas eps weight_decay amsgrad * foreach maximize capturable differentiable fused decoupled_weight_decay",
    keeps="lr betas eps weight_decay amsgrad maximize foreach capturable differentiable fused decoupled_weight_decay",
):
    """Adaptive moment estimation; the formula is in :func:`funnn.optim.adam`. Source: torch.optim.Adam."""

    def _given(self, options: dict[str, Any]) -> dict[str, Any]:
        return {**options, "betas": tuple(options["betas"])}
