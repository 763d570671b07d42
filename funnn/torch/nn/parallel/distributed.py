"""A module that would be trained by several processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from funnn.torch import distributed as dist
from funnn.torch.nn.modules.module import Module

__all__ = ["DistributedDataParallel"]


class DistributedDataParallel(Module):
    """Calls ``module``; its gradients are those of the only process, so that there is nothing to average.

    The other arguments say how torch would communicate; they are accepted and not needed.

    Raises:
      ValueError: torch.distributed.init_process_group was not called.
      RuntimeError: no parameter needs a gradient.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool | None = None,
        init_sync: bool = True,
        process_group: Any = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
        **options: Any,
    ):
        super().__init__()
        self.process_group = dist.of_group(process_group)
        if not any(parameter.requires_grad for parameter in module.parameters()):
            raise RuntimeError("DistributedDataParallel is not needed when a module doesn't have any parameter that requires a gradient.")
        self.module, self.device_ids, self.output_device, self.dim = module, None, None, dim
        self.broadcast_buffers, self.find_unused_parameters = broadcast_buffers is not False, find_unused_parameters
        self.gradient_as_bucket_view, self.static_graph, self.require_backward_grad_sync = gradient_as_bucket_view, static_graph, True

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Inside, gradients are accumulated without averaging over processes."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    @contextlib.contextmanager
    def join(
        self, divide_by_initial_world_size: bool = True, enable: bool = True, throw_on_early_termination: bool = False
    ) -> Iterator[None]:
        """For inputs that are uneven over processes; here there is one."""
        yield

    def register_comm_hook(self, state: object, hook: Any) -> None:
        """Not supported: no gradients are communicated."""
        raise NotImplementedError(
            "DistributedDataParallel.register_comm_hook is not supported, for no gradients are communicated; use Tensor.register_hook on parameters"
        )
