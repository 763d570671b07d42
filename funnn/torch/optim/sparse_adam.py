"""torch.optim.SparseAdam."""

from __future__ import annotations

from typing import Any

from funnn.optim import sparse_adam_rule
from funnn.torch.optim.optimizer import Optimizer


class SparseAdam(
    Optimizer,
    rule=sparse_adam_rule,
    takes="lr betas eps maximize",
):
    """Adam of the rows that a sparse gradient has, as those of ``Embedding(sparse=True)`` are; the formula is in :func:`funnn.optim.sparse_adam`.

    Source: torch.optim.SparseAdam."""

    def _made(self) -> None:
        complex_params = [[g, i] for g, group in enumerate(self.param_groups) for i, p in enumerate(group["params"]) if p.is_complex()]
        if complex_params:
            raise ValueError(f"Complex params at indices {complex_params}: SparseAdam does not support complex parameters")

    def _saved(self, entries: dict[str, Any]) -> dict[str, Any]:
        return {name: int(value) if name == "step" else value for name, value in entries.items()}  # torch counts in a Python int here
