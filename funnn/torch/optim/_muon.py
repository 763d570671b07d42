"""torch.optim.Muon."""

from __future__ import annotations

from funnn.optim import muon_rule
from funnn.torch.optim.optimizer import Optimizer


class Muon(
    Optimizer,
    rule=muon_rule,
    takes="lr weight_decay momentum nesterov ns_coefficients eps ns_steps adjust_lr_fn",
):
    """Momentum of matrices, made orthogonal; the formula is in :func:`funnn.optim.muon`. Source: torch.optim.Muon."""

    _by_elements = False

    def _made(self) -> None:
        for group in self.param_groups:
            for param in group["params"]:
                if param.ndim != 2:
                    raise ValueError(
                        f"Muon only supports 2D parameters whereas we found a parameter with size: {param.size()}; give it to AdamW"
                    )
