"""The scaling of losses for gradients of which each process has a part."""

from __future__ import annotations

from typing import Any

from funnn.torch.amp.grad_scaler import GradScaler

__all__ = ["ShardedGradScaler"]


class ShardedGradScaler(GradScaler):
    """A GradScaler, which leaves out a step in all processes where a gradient is infinite in one of them, as GradScaler does of DTensors.

    Args:
      device: accepted.
      init_scale, growth_factor, backoff_factor, growth_interval, enabled: as of GradScaler.
      process_group: accepted; gradients know their processes.

    Source: torch.distributed.fsdp.sharded_grad_scaler.ShardedGradScaler.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        backoff_factor: float = 0.5,
        growth_factor: float = 2.0,
        growth_interval: int = 2000,
        enabled: bool = True,
        process_group: Any = None,
    ):
        super().__init__(device, init_scale, growth_factor, backoff_factor, growth_interval, enabled)
