"""fully_shard: each process keeps a part of every parameter; a module's are put together for its forward pass, and their gradients taken apart.

The parameters of a module are one operation of the tape: forward gathers their parts, backward gives each process its part of the mean gradient. What
the pass needs of the whole parameters is kept until backward, where PyTorch gathers them again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funnn.engine.tensor.tensor import Tensor
from funnn.torch import distributed as dist
from funnn.torch.autograd.function import Function
from funnn.torch.distributed._operands import array_of, tensor_of
from funnn.torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from funnn.torch.distributed.tensor._dtensor import DTensor, distribute_tensor, part_of
from funnn.torch.distributed.tensor._layout import chunk_bounds
from funnn.torch.distributed.tensor.placement_types import Placement, Replicate, Shard
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.parameter import Parameter

__all__ = ["CPUOffloadPolicy", "FSDPModule", "MixedPrecisionPolicy", "OffloadPolicy", "fully_shard"]


@dataclasses.dataclass(frozen=True)
class MixedPrecisionPolicy:
    """In which types fully_shard computes.

    Attributes:
      param_dtype: of the parameters that are put together; their own by default.
      reduce_dtype: in which gradients are averaged; that of the parameters by default.
      output_dtype: of the module's outputs; as they come by default.
      cast_forward_inputs: whether the module's inputs are cast to ``param_dtype``.
    """

    param_dtype: Any = None
    reduce_dtype: Any = None
    output_dtype: Any = None
    cast_forward_inputs: bool = True


@dataclasses.dataclass
class OffloadPolicy:
    """Where parts of parameters stay: where they are."""


@dataclasses.dataclass
class CPUOffloadPolicy(OffloadPolicy):
    """Parts of parameters on the CPU; here they are where JAX puts arrays."""

    pin_memory: bool = True


def _sizes(shape: Sequence[int], count: int) -> list[int]:
    """How many rows each process has."""
    bounds = [chunk_bounds(shape[0], count, number) for number in range(count)]
    return [end - start for start, end in bounds]


class _Together(Function):
    """Whole parameters of the parts of one dtype; the gradient is each process's part of the mean over all."""

    @staticmethod
    def forward(ctx: Any, unit: _Unit, shapes: list[tuple[int, ...]], *parts: Tensor) -> tuple[Tensor, ...]:
        ctx.unit, ctx.shapes = unit, shapes
        group = unit.shard_group
        counts = [sum(_sizes(shape, group.size())[rank] * int(np.prod(shape[1:])) for shape in shapes) for rank in range(group.size())]
        flat = np.zeros(max(counts), parts[0].dtype.numpy)
        own = np.concatenate([array_of(part).reshape(-1) for part in parts])
        flat[: own.size] = own
        found = [tensor_of(np.zeros_like(flat)) for _ in range(group.size())]
        dist.all_gather(found, tensor_of(flat), group)
        rows, whole, start = [array_of(row) for row in found], [], [0] * group.size()
        for shape in shapes:
            cut = []
            for rank, size in enumerate(_sizes(shape, group.size())):
                length = size * int(np.prod(shape[1:]))
                cut.append(rows[rank][start[rank] : start[rank] + length].reshape(size, *shape[1:]))
                start[rank] += length
            whole.append(tensor_of(np.concatenate(cut)))
        return tuple(whole)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        unit, group = ctx.unit, ctx.unit.shard_group
        dtype = (unit.policy.reduce_dtype or grads[0].dtype).numpy
        arrays, rows = [array_of(grad).astype(dtype) for grad in grads], []
        for rank in range(group.size()):
            cut = [array[slice(*chunk_bounds(array.shape[0], group.size(), rank))].reshape(-1) for array in arrays]
            rows.append(np.concatenate(cut))
        longest = max(row.size for row in rows)
        padded = tensor_of(np.stack([np.pad(row, (0, longest - row.size)) for row in rows]) / np.asarray(unit.count, dtype))
        total = tensor_of(np.zeros(longest, dtype))
        dist.reduce_scatter_tensor(total, padded, group=group)
        if unit.replicate_group is not None:
            dist.all_reduce(total, group=unit.replicate_group)
        flat, start, parts = array_of(total), 0, []
        for shape, grad in zip(ctx.shapes, grads, strict=True):
            size = _sizes(shape, group.size())[group.rank()]
            length = size * int(np.prod(shape[1:]))
            parts.append(tensor_of(flat[start : start + length].reshape(size, *shape[1:])).to(grad.dtype))
            start += length
        return None, None, *parts


class _Unit:
    """The parameters of one module that fully_shard was called on, without those of such modules within it.

    Args:
      module: that module.
      mesh: of one axis, or of two: copies, and parts within each copy.
      policy: the types.
      ignored: parameters that stay as they are.
    """

    def __init__(self, module: Module, mesh: DeviceMesh, policy: MixedPrecisionPolicy, ignored: set[int]):
        self.policy, self.count = policy, mesh.size()
        self.shard_group = mesh.get_group(mesh.ndim - 1)
        self.replicate_group = mesh.get_group(0) if mesh.ndim == 2 else None
        self.places: list[tuple[Module, str]] = []  # of the parameters, of which one may have several
        self._parts: list[tuple[Module, str, DTensor]] = []
        self.is_together = False
        placements: list[Placement] = [Replicate()] * (mesh.ndim - 1) + [Shard(0)]
        made: dict[int, DTensor] = {}
        for owner in _modules_of(module):
            for name, parameter in list(owner._parameters.items()):
                if parameter is None or isinstance(parameter, DTensor) or id(parameter) in ignored:
                    continue
                if parameter.dim() == 0:
                    raise ValueError(
                        "fully_shard doesn't support scalar parameters. Change the parameter to a 1D tensor with numel equal to 1."
                    )
                if id(parameter) not in made:
                    made[id(parameter)] = Parameter(
                        distribute_tensor(parameter.detach(), mesh, placements, src_data_rank=None), parameter.requires_grad
                    )
                owner.register_parameter(name, made[id(parameter)])
                self.places.append((owner, name))

    def gather(self) -> None:
        """Put the parameters together, where the modules look for them."""
        if self.is_together:
            return
        self.is_together = True
        self._parts = [(owner, name, owner._parameters[name]) for owner, name in self.places]
        alike: dict[Any, list[DTensor]] = {}
        for parameter in {id(one): one for _, _, one in self._parts}.values():
            alike.setdefault(parameter.dtype, []).append(parameter)
        whole: dict[int, Tensor] = {}
        for parameters in alike.values():
            parts = [part_of(one) for one in parameters]
            if self.policy.param_dtype is not None:
                parts = [part.to(self.policy.param_dtype) if part.is_floating_point() else part for part in parts]
            found = _Together.apply(self, [tuple(one.shape) for one in parameters], *parts)
            whole.update((id(one), tensor) for one, tensor in zip(parameters, found, strict=True))
        for owner, name, parameter in self._parts:
            owner._parameters[name] = whole[id(parameter)]

    def scatter(self) -> None:
        """Put the parts back into their places."""
        if self.is_together:
            self.is_together = False
            for owner, name, parameter in self._parts:
                owner._parameters[name] = parameter
            self._parts = []


def _modules_of(module: Module) -> list[Module]:
    """The module and those within it, without those that fully_shard was called on, and what is within these."""
    found = [module]
    for child in module.children():
        if not isinstance(child, FSDPModule):
            found += _modules_of(child)
    return found


class FSDPModule:
    """What a module is, besides its own class, after fully_shard."""

    _fsdp_unit: _Unit

    def unshard(self, async_op: bool = False) -> None:
        """Put the module's parameters together, until ``reshard`` or the end of its next forward pass."""
        self._fsdp_unit.gather()

    def reshard(self) -> None:
        """Put the parts back."""
        self._fsdp_unit.scatter()

    def set_requires_gradient_sync(self, requires_gradient_sync: bool, *, recurse: bool = True) -> None:
        """Whether backward averages gradients, which it always does.

        Raises:
          NotImplementedError: it shall not.
        """
        if not requires_gradient_sync:
            raise NotImplementedError(
                "gradients of parts of parameters are averaged in every backward pass; accumulate without set_requires_gradient_sync(False), which gives the "
                "same sums, or use DistributedDataParallel.no_sync"
            )

    def set_is_last_backward(self, is_last_backward: bool) -> None:
        """Nothing: every backward pass averages."""

    def set_reshard_after_forward(self, reshard_after_forward: bool, recurse: bool = True) -> None:
        """Nothing: the modules have their parts back after forward."""

    def set_reshard_after_backward(self, reshard_after_backward: bool, *, recurse: bool = True) -> None:
        """Nothing: the modules have their parts back after forward."""

    def set_modules_to_forward_prefetch(self, modules: Sequence[Any]) -> None:
        """Nothing: XLA orders its work itself."""

    def set_modules_to_backward_prefetch(self, modules: Sequence[Any]) -> None:
        """Nothing: XLA orders its work itself."""


def _cast(value: Any, dtype: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_cast(one, dtype) for one in value)
    if isinstance(value, dict):
        return {key: _cast(one, dtype) for key, one in value.items()}
    return value


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
    """The module, of whose parameters each process has from now on a part: rows along dimension 0, as DTensors.

    Call it on modules within first, and then on the whole, so that the parameters of one are together at a time. Build the optimizer afterwards.

    Args:
      module: is changed, and returned; its class gets FSDPModule as a base.
      mesh: the processes, all by default; of two axes: copies, and parts within each copy.
      reshard_after_forward: accepted; the parts are back in their places after forward, and what backward needs is kept.
      mp_policy: in which types to compute.
      offload_policy: accepted; arrays are where JAX puts them.
      ignored_params: parameters that stay as they are.

    Raises:
      NotImplementedError: ``shard_placement_fn``; parts are rows.
      ValueError: a parameter is a number, or the mesh has more than two axes.

    Source: torch.distributed.fsdp.fully_shard, which gathers parameters again for backward.
    """
    if shard_placement_fn is not None:
        raise NotImplementedError("fully_shard splits along dimension 0; shard_placement_fn is not supported, leave it out")
    mesh = init_device_mesh("cpu", (dist.get_world_size(),)) if mesh is None else mesh
    if mesh.ndim > 2:
        raise ValueError(f"fully_shard expects a 1D or 2D DeviceMesh but got {mesh}")
    policy = mp_policy or MixedPrecisionPolicy()
    unit = _Unit(module, mesh, policy, {id(one) for one in ignored_params or ()})

    def before(own: Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        unit.gather()
        if policy.param_dtype is None or not policy.cast_forward_inputs:
            return None
        return _cast(inputs, policy.param_dtype), _cast(named, policy.param_dtype)

    def after(own: Module, inputs: Any, outputs: Any) -> Any:
        unit.scatter()
        return outputs if policy.output_dtype is None else _cast(outputs, policy.output_dtype)

    module.register_forward_pre_hook(before, prepend=True, with_kwargs=True)
    module.register_forward_hook(after, always_call=True)
    kind = type(module)
    module.__class__ = type(f"FSDP{kind.__name__}", (FSDPModule, kind), {"__module__": kind.__module__})
    module._fsdp_unit = unit
    return module
