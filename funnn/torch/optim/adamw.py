"""torch.optim.AdamW."""

from __future__ import annotations

from typing import Any

from funnn.torch.optim.adam import Adam


class AdamW(
    Adam,
    takes="lr betas eps weight_decay amsgrad * maximize foreach capturable differentiable fused",
    keeps="lr betas eps weight_decay amsgrad maximize foreach capturable differentiable fused decoupled_weight_decay",
    weight_decay=1e-2,
    decoupled_weight_decay=True,
):
    """Adam with decoupled weight decay; the formula is in :func:`funnn.optim.adamw`. Source: torch.optim.AdamW."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # whatever the loaded state says
            group["decoupled_weight_decay"] = True
