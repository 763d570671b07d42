"""A module that several processes train, each with its part of the data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.state import thread
from funnn.engine.tape.grad_mode import no_grad
from funnn.torch import distributed as dist
from funnn.torch.autograd.variable import Variable
from funnn.torch.distributed._operands import array_of, tensor_of
from funnn.torch.distributed.algorithms.join import Join, Joinable, JoinHook, _JoinConfig
from funnn.torch.distributed.buckets import GradBucket, broadcast_all, by_dtype, joined_arrays, split_like
from funnn.torch.nn.modules.module import Module

__all__ = ["DistributedDataParallel"]

_UNUSED = (
    "Expected to have finished reduction in the prior iteration before starting a new one. This error indicates that your module has parameters that were "
    "not used in producing loss. You can enable unused parameter detection by passing the keyword argument `find_unused_parameters=True` to "
    "`torch.nn.parallel.DistributedDataParallel`, and by making sure all `forward` function outputs participate in calculating loss. \nParameters which "
    "did not receive grad for rank {rank}: {names}"
)


class _ShadowSteps(JoinHook):
    """What a process does whose inputs have ended, for each step of the others, and when all have."""

    def __init__(self, ddp: DistributedDataParallel):
        self._ddp = ddp

    def main_hook(self) -> None:
        self._ddp._shadow_step()

    def post_hook(self, is_last_joiner: bool) -> None:
        self._ddp._take_final(is_last_joiner)


class DistributedDataParallel(Module, Joinable):
    """Calls ``module``, and makes its gradients those of the mean loss over processes.

    At construction every process takes the parameters and buffers of rank 0. At the end of a backward pass, all gradients are averaged at once; what
    ``.grad`` had before is part of that, so that gradients may be accumulated in :meth:`no_sync`.

    Args:
      module: in every process one of the same parameters.
      process_group: a group of torch.distributed.new_group; by default all processes.
      broadcast_buffers: whether every forward pass takes the buffers of rank 0 before.
      find_unused_parameters: whether a pass may leave out parameters. One that no process used keeps its gradient as it is.
      init_sync: whether to take the parameters of rank 0 at construction.
      static_graph: that the same parameters are left out in every pass; it is as ``find_unused_parameters``.
      device_ids, output_device, dim, bucket_cap_mb, check_reduction, gradient_as_bucket_view: accepted and not needed.

    Raises:
      ValueError: torch.distributed.init_process_group was not called.
      RuntimeError: no parameter needs a gradient, or processes differ in their parameters.
      NotImplementedError: a parameter is a DTensor.

    Source: torch.nn.parallel.DistributedDataParallel, whose reduction begins before the pass has ended.
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
        ignored = set(getattr(module, "_ddp_params_and_buffers_to_ignore", ()))
        self.parameters_to_ignore = ignored
        named = [(name, one) for name, one in module.named_parameters() if name not in ignored]
        self._named = [(name, one) for name, one in named if one.requires_grad]
        if not self._named:
            raise RuntimeError("DistributedDataParallel is not needed when a module doesn't have any parameter that requires a gradient.")
        for name, one in named:
            if hasattr(type(one), "_whole_norms"):  # a DTensor
                raise NotImplementedError(
                    f"DistributedDataParallel: the parameter {name!r} is a DTensor, whose processes its own mesh names; use "
                    'torch.distributed.fsdp.fully_shard(module, mesh=mesh["dp"])'
                )
        self.module, self.device_ids, self.output_device, self.dim = module, None, None, dim
        self.broadcast_buffers, self.find_unused_parameters = broadcast_buffers is not False, find_unused_parameters
        self.gradient_as_bucket_view, self.static_graph, self.require_backward_grad_sync = gradient_as_bucket_view, static_graph, True
        self.require_forward_param_sync = True
        self._comm_hook: tuple[Any, Callable[..., Any]] | None = None
        self._join_config, self._divides_by_all, self._active = _JoinConfig(), True, None
        self._expects, self._ready, self._unused, self._has_hooks = False, set[int](), list[str](), False
        self._used = set[int]()  # since the last reduction, in passes without one too
        if self.process_group.size() > 1:
            self._compare([one for _, one in named])
            if init_sync:
                with no_grad():
                    shared = [one.detach() for _, one in named] + self._buffers_to_send()
                    broadcast_all(self.process_group, shared, 0, "DistributedDataParallel")
            self._add_hooks()

    def _add_hooks(self) -> None:
        self._has_hooks = True
        for number, (_, parameter) in enumerate(self._named):
            parameter.register_post_accumulate_grad_hook(self._hook_of(number))

    def _compare(self, parameters: list[Any]) -> None:
        """Raise where processes differ in their parameters."""
        shapes = [(tuple(one.shape), str(one.dtype)) for one in parameters]
        everybody: list[Any] = [None] * self.process_group.size()
        dist.all_gather_object(everybody, shapes, self.process_group)
        for rank, theirs in enumerate(everybody):
            if len(theirs) != len(everybody[0]):
                raise RuntimeError(
                    f"DDP expects same model across all ranks, but Rank {rank} has {len(theirs)} params, while rank 0 has inconsistent "
                    f"{len(everybody[0])} params."
                )
            if theirs != everybody[0]:
                differ = next(number for number, (a, b) in enumerate(zip(theirs, everybody[0], strict=True)) if a != b)
                raise RuntimeError(
                    f"params[{differ}] in this process with sizes {list(shapes[differ][0])} appears not to match sizes of the same param in process 0: rank "
                    f"{rank} has {theirs[differ]}, rank 0 {everybody[0][differ]}"
                )

    def _buffers_to_send(self) -> list[Any]:
        return [one for name, one in self.module.named_buffers() if one is not None and name not in self.parameters_to_ignore]

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        if not self._has_hooks:
            return self.module(*inputs, **kwargs)
        if self._unused and thread.grad and self.require_backward_grad_sync:
            raise RuntimeError(_UNUSED.format(rank=self.process_group.rank(), names=", ".join(self._unused)))
        self._active = Join.notify_join_context(self) if thread.grad else None
        self._share_buffers(has_inputs=True)
        self.require_forward_param_sync = thread.grad and self.require_backward_grad_sync
        if self._active is not None:
            self._greatest(int(self.require_forward_param_sync))  # whether processes without inputs take part in a reduction
        self._expects = self._expects or self.require_forward_param_sync
        return self.module(*inputs, **kwargs)

    def _share_buffers(self, has_inputs: bool) -> None:
        """Take the buffers of rank 0, or where inputs may be uneven, of the last process that has some."""
        if not self.broadcast_buffers or not self.require_forward_param_sync or not (buffers := self._buffers_to_send()):
            return
        with no_grad():
            root = self._last_with(has_inputs) if self._active is not None or not has_inputs else 0
            broadcast_all(self.process_group, buffers, root, "DistributedDataParallel's buffers")

    # -- gradients

    def _hook_of(self, number: int) -> Callable[[Any], None]:
        def hook(parameter: Any) -> None:
            self._used.add(number)
            if self._expects:
                if not self._ready:
                    Variable._execution_engine.queue_callback(self._reduce)
                self._ready.add(number)

        return hook

    def _reduce(self) -> None:
        """Average the gradients over processes."""
        ready, self._ready, self._expects = self._ready, set(), False
        used, self._used = self._used, set()
        may_miss = self.find_unused_parameters or self.static_graph
        names = [name for number, (name, _) in enumerate(self._named) if number not in ready]
        self._unused = [] if may_miss else names
        with no_grad():
            for index, is_last, alike in self._rows(used):
                self._reduce_bucket(index, is_last, alike)

    def _rows(self, used: set[int]) -> list[tuple[int, bool, list[Any]]]:
        """The parameters to reduce, of each dtype: those that some process used, with the number of each row and whether it is the last."""
        may_miss = self.find_unused_parameters or self.static_graph
        somewhere = self._used_somewhere(used) if may_miss else set(range(len(self._named)))
        rows = by_dtype([one for number, (_, one) in enumerate(self._named) if number in somewhere])
        return [(index, index == len(rows) - 1, alike) for index, alike in enumerate(rows)]

    def _used_somewhere(self, used: set[int]) -> set[int]:
        marks = tensor_of(np.array([number in used for number in range(len(self._named))], np.uint8))
        dist.all_reduce(marks, dist.ReduceOp.MAX, self.process_group)
        return set(np.flatnonzero(array_of(marks)).tolist())

    def _reduce_bucket(self, index: int, is_last: bool, parameters: list[Any]) -> None:
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = ops["zeros_like"](parameter)
            elif parameter.grad.is_sparse:
                raise NotImplementedError("DistributedDataParallel averages dense gradients; make the Embedding without sparse=True")
        flat = joined_arrays([array_of(parameter.grad) for parameter in parameters])
        mean = self._mean(index, is_last, parameters, flat)
        parts = split_like(array_of(mean).astype(flat.dtype, copy=False), [parameter.numel() for parameter in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad.copy_(tensor_of(part.reshape(tuple(parameter.shape))))

    def _mean(self, index: int, is_last: bool, parameters: list[Any], flat: np.ndarray) -> Any:
        """The mean of a row of gradients over processes, or what a hook makes of it."""
        if self._comm_hook is None:
            count = self.process_group.size() if self._divides_by_all or self._active is None else self._active.result()[0].item()
            mean = tensor_of(flat / np.asarray(count, flat.dtype))
            dist.all_reduce(mean, group=self.process_group)
            return mean
        state, hook = self._comm_hook
        mean = hook(state, GradBucket(index, is_last, parameters, tensor_of(flat))).wait()
        return mean[0] if isinstance(mean, (list, tuple)) else mean

    def expect_reduction(self) -> None:
        """Have the next backward pass average, though its forward pass ran within :meth:`no_sync`."""
        self._expects = self._has_hooks

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Inside, gradients are accumulated without averaging over processes; forward and backward belong inside."""
        before, self.require_backward_grad_sync = self.require_backward_grad_sync, False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    # -- uneven inputs

    def join(self, divide_by_initial_world_size: bool = True, enable: bool = True, throw_on_early_termination: bool = False) -> Join:
        """A context for training with inputs that are uneven over processes; see torch.distributed.algorithms.join.Join.

        Args:
          divide_by_initial_world_size: whether gradients are divided by the count of all processes, or of those that have inputs left.
          enable: whether inputs may be uneven.
          throw_on_early_termination: whether all processes raise when the first has none left.
        """
        return Join([self], enable, throw_on_early_termination, divide_by_initial_world_size=divide_by_initial_world_size)

    def join_hook(self, **kwargs: Any) -> JoinHook:
        """What a process does that has no inputs left; see :meth:`join`."""
        self._divides_by_all = kwargs.get("divide_by_initial_world_size", True)
        return _ShadowSteps(self)

    @property
    def join_device(self) -> Any:
        """The device of the first parameter."""
        return self._named[0][1].device

    @property
    def join_process_group(self) -> Any:
        """The processes."""
        return self.process_group

    def _greatest(self, number: int) -> int:
        """The greatest of the processes' numbers."""
        marks = tensor_of(np.array([number], np.int32))
        dist.all_reduce(marks, dist.ReduceOp.MAX, self.process_group)
        return int(marks.item())

    def _last_with(self, condition: bool) -> int:
        """The last process for which something is so."""
        return self._greatest(self.process_group.rank() if condition else -1)

    def _shadow_step(self) -> None:
        """Take part in the operations of a step of others, with gradients of zero."""
        if not self._has_hooks:
            return
        self._share_buffers(has_inputs=False)
        self.require_forward_param_sync = bool(self._greatest(0))
        if self.require_forward_param_sync:
            with no_grad():
                for index, is_last, alike in self._rows(set()):
                    zeros = joined_arrays([np.zeros(one.shape, one.dtype.numpy) for one in alike])
                    self._mean(index, is_last, alike, zeros)

    def _take_final(self, is_last_joiner: bool) -> None:
        """Take the parameters and buffers of the last process that had inputs."""
        self._active = None
        if self._has_hooks:
            root = self._last_with(is_last_joiner)
            with no_grad():
                shared = [one.detach() for name, one in self.module.named_parameters() if name not in self.parameters_to_ignore]
                broadcast_all(self.process_group, shared + self._buffers_to_send(), root, "DistributedDataParallel")

    def register_comm_hook(self, state: object, hook: Callable[[Any, GradBucket], Any]) -> None:
        """Let ``hook(state, bucket)`` say what becomes of gradients: it returns a Future of the row that takes their place.

        Raises:
          TypeError: the hook can't be called.
          RuntimeError: there is one already.
        """
        if not callable(hook):
            raise TypeError("Communication hook must be callable.")
        if self._comm_hook is not None:
            raise RuntimeError("register_comm_hook or register_builtin_comm_hook can only be called once.")
        self._comm_hook = (state, hook)
        if not self._has_hooks:
            self._add_hooks()

    def _set_static_graph(self) -> None:
        self.static_graph = True
