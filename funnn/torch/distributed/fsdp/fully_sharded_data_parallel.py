"""FullyShardedDataParallel: a module around one whose parameters the processes share, on what fully_shard is built on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.torch import distributed as dist
from funnn.torch.distributed.buckets import broadcast_all
from funnn.torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from funnn.torch.distributed.fsdp import _state_dicts
from funnn.torch.distributed.fsdp._state_dicts import plain_name
from funnn.torch.distributed.fsdp._summon import summoned
from funnn.torch.distributed.fsdp._unit import MixedPrecisionPolicy, Unit, attach, cast_floating
from funnn.torch.distributed.fsdp.api import BackwardPrefetch as BackwardPrefetch
from funnn.torch.distributed.fsdp.api import CPUOffload as CPUOffload
from funnn.torch.distributed.fsdp.api import FullOptimStateDictConfig as FullOptimStateDictConfig
from funnn.torch.distributed.fsdp.api import FullStateDictConfig as FullStateDictConfig
from funnn.torch.distributed.fsdp.api import LocalOptimStateDictConfig as LocalOptimStateDictConfig
from funnn.torch.distributed.fsdp.api import LocalStateDictConfig as LocalStateDictConfig
from funnn.torch.distributed.fsdp.api import MixedPrecision as MixedPrecision
from funnn.torch.distributed.fsdp.api import OptimStateKeyType as OptimStateKeyType
from funnn.torch.distributed.fsdp.api import ShardedOptimStateDictConfig as ShardedOptimStateDictConfig
from funnn.torch.distributed.fsdp.api import ShardedStateDictConfig as ShardedStateDictConfig
from funnn.torch.distributed.fsdp.api import ShardingStrategy as ShardingStrategy
from funnn.torch.distributed.fsdp.api import StateDictSettings as StateDictSettings
from funnn.torch.distributed.fsdp.api import StateDictType as StateDictType
from funnn.torch.distributed.fsdp.wrap import wrap_within
from funnn.torch.distributed.tensor._dtensor import DTensor
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.utils import clip_grad_norm_

__all__ = ["FullyShardedDataParallel"]

_HYBRID = (ShardingStrategy.HYBRID_SHARD, ShardingStrategy._HYBRID_SHARD_ZERO2)


def _mesh_of(strategy: ShardingStrategy, process_group: Any, device_mesh: DeviceMesh | None) -> DeviceMesh:
    """The processes that have parts, or copies and parts.

    Raises:
      ValueError: a pair of groups or a mesh of two axes without HYBRID_SHARD, or the other way round.
    """
    is_hybrid = strategy in _HYBRID
    if device_mesh is not None:
        if device_mesh.ndim != (2 if is_hybrid else 1):
            raise ValueError(f"device_mesh: expected {2 if is_hybrid else 1} axes for {strategy}, got {device_mesh}")
        if strategy is not ShardingStrategy.NO_SHARD:
            return device_mesh
        process_group = device_mesh.get_group()
    if is_hybrid:
        if process_group is None:
            local = int(os.environ.get("LOCAL_WORLD_SIZE", dist.get_world_size()))
            return init_device_mesh("cpu", (dist.get_world_size() // local, local))
        if not isinstance(process_group, tuple):
            raise ValueError(
                f"Expected process_group to be a tuple of the groups of parts and of copies for {strategy}, or a device_mesh of two axes; got {process_group!r}"
            )
        parts, copies = process_group
        rows: list[Any] = [None] * copies.size()
        dist.all_gather_object(rows, dist.get_process_group_ranks(parts), copies)
        return DeviceMesh("cpu", rows, _groups=[copies, parts])
    group = dist.of_group(process_group)
    ranks = dist.get_process_group_ranks(group)
    if strategy is ShardingStrategy.NO_SHARD:
        alone = dist.new_group([dist.get_rank()], use_local_synchronization=True)
        return DeviceMesh("cpu", np.array(ranks)[:, None], _groups=[group, alone])
    return DeviceMesh("cpu", ranks, _groups=[group])


def _ignored(modules: Iterable[Module] | None, states: Iterable[Any] | None) -> tuple[set[int], set[int]]:
    """The ids of modules and parameters that stay as they are."""
    given = [*(modules or ()), *(states or ())]
    inside = [one for item in given if isinstance(item, Module) for one in item.modules()]
    parameters = [one for module in inside for one in module.parameters()] + [one for one in given if isinstance(one, Tensor)]
    return {id(one) for one in inside}, {id(one) for one in parameters}


def _fill_meta(module: Module, make: Callable[[Module], None] | None) -> None:
    """Give modules on the meta device numbers, by ``make(module)`` or by their own ``reset_parameters``."""
    for one in module.modules():
        own = [tensor for tensor in (*one._parameters.values(), *one._buffers.values()) if tensor is not None]
        if any(tensor.is_meta for tensor in own):
            if make is not None:
                make(one)
            else:
                one.to_empty(device="cpu", recurse=False)
                one.reset_parameters()


class FullyShardedDataParallel(Module):
    """Calls ``module``, of whose parameters each process has a part; they are whole while a forward or backward pass needs them.

    Gradients are those of the mean loss over processes. Build the optimizer afterwards. Parameters keep their shapes and names, as PyTorch's do with
    ``use_orig_params=True``: they are DTensors of rows, not one flat row for each wrapped module.

    Args:
      module: is changed.
      process_group: a group of torch.distributed.new_group, for HYBRID_SHARD a pair (of parts, of copies); by default all processes.
      sharding_strategy: what is shared; FULL_SHARD by default.
      cpu_offload: accepted; arrays are where JAX puts them.
      auto_wrap_policy: which modules within are wrapped too, so that the parameters of one are whole at a time; see ``wrap.py``.
      mixed_precision: in which types to compute.
      ignored_modules, ignored_states: modules, or modules and parameters, that stay as they are, in every process by itself.
      param_init_fn: called with each module on the meta device, to give it numbers; by default ``reset_parameters`` does.
      sync_module_states: whether to take the parameters and buffers of the first process at construction.
      device_mesh: instead of ``process_group``; of two axes for HYBRID_SHARD: copies, and parts within each copy.
      backward_prefetch, device_id, forward_prefetch, limit_all_gathers, use_orig_params: accepted and not needed.

    Raises:
      ValueError: torch.distributed.init_process_group was not called, groups do not fit the strategy, or a parameter is a number.

    Source: torch.distributed.fsdp.FullyShardedDataParallel.
    """

    def __init__(
        self,
        module: Module,
        process_group: Any = None,
        sharding_strategy: ShardingStrategy | None = None,
        cpu_offload: CPUOffload | None = None,
        auto_wrap_policy: Callable[..., Any] | None = None,
        backward_prefetch: BackwardPrefetch | None = BackwardPrefetch.BACKWARD_PRE,
        mixed_precision: MixedPrecision | None = None,
        ignored_modules: Iterable[Module] | None = None,
        param_init_fn: Callable[[Module], None] | None = None,
        device_id: Any = None,
        sync_module_states: bool = False,
        forward_prefetch: bool = False,
        limit_all_gathers: bool = True,
        use_orig_params: bool = False,
        ignored_states: Iterable[Any] | None = None,
        device_mesh: DeviceMesh | None = None,
    ):
        super().__init__()
        dist.of_group(None)
        strategy = sharding_strategy or ShardingStrategy.FULL_SHARD
        mesh = _mesh_of(strategy, process_group, device_mesh)
        ignored, parameters = _ignored(ignored_modules, ignored_states)
        _fill_meta(module, param_init_fn)
        if sync_module_states:
            group = mesh.get_group(0) if mesh.ndim == 1 else dist.of_group(None)
            with no_grad():
                shared = [one.detach() for one in (*module.parameters(), *module.buffers()) if not isinstance(one, DTensor)]
                broadcast_all(group, shared, 0, "FullyShardedDataParallel")
        self.sharding_strategy, self.mixed_precision = strategy, mixed_precision or MixedPrecision()
        if auto_wrap_policy is not None:

            def wrapped(child: Module, **more: Any) -> Module:
                processes = {"process_group": mesh.get_group(0)} if strategy is ShardingStrategy.NO_SHARD else {"device_mesh": mesh}
                kept = {"ignored_modules": ignored_modules, "ignored_states": ignored_states, "mixed_precision": mixed_precision}
                return type(self)(child, **{"sharding_strategy": strategy, **processes, **kept, **more})

            wrap_within(module, auto_wrap_policy, wrapped, ignored)
        self._fsdp_wrapped_module = module
        types = self.mixed_precision
        is_whole_until_backward = strategy in (ShardingStrategy.SHARD_GRAD_OP, ShardingStrategy._HYBRID_SHARD_ZERO2)
        policy = MixedPrecisionPolicy(types.param_dtype, types.reduce_dtype)
        self._fsdp_unit = Unit(module, mesh, policy, parameters, False if is_whole_until_backward else None)
        self._buffer_types: dict[str, Any] = {}
        if types.buffer_dtype is not None:
            for name, buffer in module.named_buffers():
                if buffer.is_floating_point() and id(buffer) not in parameters:
                    self._buffer_types[name] = buffer.dtype
                    buffer.data = buffer.data.to(types.buffer_dtype)
        attach(self._fsdp_unit, self, self._cast_inputs, lambda outputs: outputs)
        _state_dicts.register(self)

    def _cast_inputs(self, inputs: Any, named: Any) -> Any:
        types = self.mixed_precision
        is_cast = types.cast_forward_inputs or (types.cast_root_forward_inputs and self._fsdp_unit.is_outermost())
        if types.param_dtype is None or not is_cast:
            return None
        return cast_floating(inputs, types.param_dtype), cast_floating(named, types.param_dtype)

    @property
    def module(self) -> Module:
        """The module that is wrapped."""
        return self._fsdp_wrapped_module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "_fsdp_wrapped_module":
                raise
            return getattr(self._fsdp_wrapped_module, name)

    def __getitem__(self, key: int) -> Any:
        return self._fsdp_wrapped_module[key]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module."""
        return self._fsdp_wrapped_module(*args, **kwargs)

    # -- parameters and gradients

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """As every module's; inside of ``summon_full_params`` by the names that they have in the module."""
        for name, parameter in super().named_parameters(*args, **kwargs):
            yield (plain_name(name) if self._fsdp_unit.is_summoned else name), parameter

    def named_buffers(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:
        """As every module's; inside of ``summon_full_params`` by the names that they have in the module."""
        for name, buffer in super().named_buffers(*args, **kwargs):
            yield (plain_name(name) if self._fsdp_unit.is_summoned else name), buffer

    def apply(self, fn: Callable[[Module], None]) -> Any:
        """Call ``fn`` on every module inside, while parameters are whole, and then on this one."""
        if self._fsdp_unit.is_together:
            return super().apply(fn)
        with summoned(self):
            return super().apply(fn)

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> Tensor:
        """Scale the gradients down to this norm of all of them, over processes; returns the norm that they had."""
        norm = clip_grad_norm_(self.parameters(), max_norm, norm_type)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """Inside, gradients are added up without being averaged; the next pass outside averages them too. forward and backward belong inside."""
        units = [one._fsdp_unit for one in self.fsdp_modules(self)]
        before = [unit.averages for unit in units]
        for unit in units:
            unit.averages = False
        try:
            yield
        finally:
            for unit, averages in zip(units, before, strict=True):
                unit.averages = averages

    def register_comm_hook(self, state: object, hook: Callable[..., Any]) -> None:
        """Not there.

        Raises:
          NotImplementedError: always.
        """
        raise NotImplementedError(
            "FullyShardedDataParallel averages gradients itself; pass mixed_precision=MixedPrecision(reduce_dtype=…), or use DistributedDataParallel, which "
            "has register_comm_hook"
        )

    @staticmethod
    def fsdp_modules(module: Module, root_only: bool = False) -> list[FullyShardedDataParallel]:
        """The wrapped modules within a module, itself included; with ``root_only`` those that are within no other."""
        found = [one for one in module.modules() if isinstance(one, FullyShardedDataParallel)]
        inner = {id(one) for outer in found for one in outer.modules() if one is not outer} if root_only else set()
        return [one for one in found if id(one) not in inner]

    @staticmethod
    @contextlib.contextmanager
    def summon_full_params(
        module: Module,
        recurse: bool = True,
        writeback: bool = True,
        rank0_only: bool = False,
        offload_to_cpu: bool = False,
        with_grads: bool = False,
    ) -> Iterator[None]:
        """Inside, parameters are whole, for reading and writing, outside of forward and backward passes.

        Args:
          module: within which they are.
          recurse: whether also those of wrapped modules within it.
          writeback: whether what is written into them stays, each process's own part of it.
          rank0_only: whether the process of rank 0 alone needs them; the others have them too.
          offload_to_cpu: accepted.
          with_grads: whether they have whole gradients.

        Raises:
          NotImplementedError: ``writeback`` with ``rank0_only``, as in PyTorch.
        """
        if writeback and rank0_only:
            raise NotImplementedError("writeback=True and rank0_only=True is not supported, as the model parameter shards may differ")
        with summoned(module, recurse, writeback, with_grads):
            yield

    # -- state dicts

    set_state_dict_type = staticmethod(_state_dicts.set_state_dict_type)
    get_state_dict_type = staticmethod(_state_dicts.get_state_dict_type)
    state_dict_type = staticmethod(_state_dicts.state_dict_type)
    optim_state_dict = staticmethod(_state_dicts.optim_state_dict)
    optim_state_dict_to_load = staticmethod(_state_dicts.optim_state_dict_to_load)
    full_optim_state_dict = staticmethod(_state_dicts.full_optim_state_dict)
    sharded_optim_state_dict = staticmethod(_state_dicts.sharded_optim_state_dict)
    shard_full_optim_state_dict = staticmethod(_state_dicts.shard_full_optim_state_dict)
    scatter_full_optim_state_dict = staticmethod(_state_dicts.scatter_full_optim_state_dict)
