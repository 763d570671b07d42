"""fully_shard: each process keeps a part of every parameter; a module's are put together while its forward or backward pass runs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

from funnn.torch import distributed as dist
from funnn.torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from funnn.torch.distributed.fsdp._unit import MixedPrecisionPolicy, Unit, attach, cast_floating, units_of
from funnn.torch.distributed.tensor.placement_types import Shard
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.parameter import Parameter

__all__ = ["CPUOffloadPolicy", "FSDPModule", "MixedPrecisionPolicy", "OffloadPolicy", "fully_shard", "register_fsdp_forward_method"]


@dataclasses.dataclass
class OffloadPolicy:
    """Where parts of parameters stay: where they are."""


@dataclasses.dataclass
class CPUOffloadPolicy(OffloadPolicy):
    """Parts of parameters on the CPU; here they are where JAX puts arrays."""

    pin_memory: bool = True


class FSDPModule:
    """What a module is, besides its own class, after fully_shard."""

    _fsdp_unit: Unit

    def unshard(self, async_op: bool = False) -> None:
        """Put the module's parameters together, until ``reshard`` or the end of its next forward pass."""
        self._fsdp_unit.gather()

    def reshard(self) -> None:
        """Put the parts back."""
        self._fsdp_unit.put_back()

    def _units(self, recurse: bool) -> list[Unit]:
        return units_of(self) if recurse and isinstance(self, Module) else [self._fsdp_unit]

    def set_requires_gradient_sync(self, requires_gradient_sync: bool, *, recurse: bool = True) -> None:
        """Whether backward averages gradients over processes. Those that it did not average are part of what the next pass that does averages."""
        for unit in self._units(recurse):
            unit.averages = requires_gradient_sync

    def set_is_last_backward(self, is_last_backward: bool) -> None:
        """Nothing: no work waits for the last backward pass."""

    def set_reshard_after_forward(self, reshard_after_forward: bool, recurse: bool = True) -> None:
        """Whether whole parameters are let go after forward, and gathered again for backward."""
        for unit in self._units(recurse):
            unit.reshard = reshard_after_forward

    def set_reshard_after_backward(self, reshard_after_backward: bool, *, recurse: bool = True) -> None:
        """Nothing: whole parameters are let go when backward has used them."""

    def set_modules_to_forward_prefetch(self, modules: Sequence[Any]) -> None:
        """Nothing: parameters are gathered when they are needed."""

    def set_modules_to_backward_prefetch(self, modules: Sequence[Any]) -> None:
        """Nothing: parameters are gathered when they are needed."""


def fully_shard(
    module: Module,
    *,
    mesh: DeviceMesh | None = None,
    reshard_after_forward: bool | int | None = None,
    shard_placement_fn: Callable[[Parameter], Shard | None] | None = None,
    mp_policy: MixedPrecisionPolicy | None = None,
    offload_policy: OffloadPolicy | None = None,
    ignored_params: set[Parameter] | None = None,
) -> Module:
    """The module, of whose parameters each process has from now on a part, as DTensors.

    Call it on modules within first, and then on the whole, so that the parameters of one are together at a time. Build the optimizer afterwards.

    Args:
      module: is changed, and returned; its class gets FSDPModule as a base.
      mesh: the processes, all by default; of two axes: copies, and parts within each copy.
      reshard_after_forward: whether whole parameters are let go after forward, and gathered again for backward; by default of all modules but the
        outermost. A number, in PyTorch that of the processes that gather, counts as True.
      shard_placement_fn: called with each parameter; gives the Shard along which it is split, or None for dimension 0, which is the default of all, and the one
        along which parts may differ in size.
      mp_policy: in which types to compute.
      offload_policy: accepted; arrays are where JAX puts them.
      ignored_params: parameters that stay as they are.

    Raises:
      NotImplementedError: ``shard_placement_fn`` splits another dimension than the first unevenly.
      ValueError: a parameter is a number, ``shard_placement_fn`` gives no Shard along one of its dimensions, or the mesh has more than two axes.

    Source: torch.distributed.fsdp.fully_shard.
    """
    mesh = init_device_mesh("cpu", (dist.get_world_size(),)) if mesh is None else mesh
    if mesh.ndim > 2:
        raise ValueError(f"fully_shard expects a 1D or 2D DeviceMesh but got {mesh}")
    policy = mp_policy or MixedPrecisionPolicy()
    reshard = None if reshard_after_forward is None else bool(reshard_after_forward)
    unit = Unit(module, mesh, policy, {id(one) for one in ignored_params or ()}, reshard, shard_placement_fn)

    def before(inputs: Any, named: Any) -> Any:
        if policy.param_dtype is None or not policy.cast_forward_inputs:
            return None
        return cast_floating(inputs, policy.param_dtype), cast_floating(named, policy.param_dtype)

    def after(outputs: Any) -> Any:
        return outputs if policy.output_dtype is None else cast_floating(outputs, policy.output_dtype)

    attach(unit, module, before, after)
    kind = type(module)
    module.__class__ = type(f"FSDP{kind.__name__}", (FSDPModule, kind), {"__module__": kind.__module__})
    return module


def register_fsdp_forward_method(module: Module, method_name: str) -> None:
    """Put a module's parameters together for another method than ``forward``, too. It does nothing to a module that is not fully_shard's.

    Args:
      module: the module; its method is replaced.
      method_name: of a method that computes with the parameters, such as ``"generate"``.

    Raises:
      ValueError: the module has no such method.

    Source: torch.distributed.fsdp.register_fsdp_forward_method.
    """
    if not isinstance(module, FSDPModule):
        return
    if not hasattr(module, method_name):
        raise ValueError(f"{type(module)} does not have a method {method_name}")
    method, (begin, end) = getattr(module, method_name), module._fsdp_unit.around_forward

    @functools.wraps(method)
    def with_parameters(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = begin(module, args, kwargs) or (args, kwargs)
        try:
            outputs = method(*args, **kwargs)
        except BaseException:
            end(module, args, None)
            raise
        return end(module, args, outputs)

    setattr(module, method_name, with_parameters)
