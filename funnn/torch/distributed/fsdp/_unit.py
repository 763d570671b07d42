"""The parameters of one module in parts, which its forward pass puts together, and its backward pass again; gradients are taken apart.

The parameters are one operation of the tape: forward gathers their parts, backward gives each process its part of the mean gradient.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from funnn.engine.state import thread
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.tree import items_of, map_items
from funnn.torch import distributed as dist
from funnn.torch.autograd.function import Function
from funnn.torch.autograd.variable import Variable
from funnn.torch.distributed._operands import array_of, tensor_of
from funnn.torch.distributed.device_mesh import DeviceMesh
from funnn.torch.distributed.fsdp._whole import Keeping, Whole, cut
from funnn.torch.distributed.tensor._dtensor import DTensor, distribute_tensor, part_of, wrap
from funnn.torch.distributed.tensor._layout import Layout, part_shape
from funnn.torch.distributed.tensor.placement_types import Placement, Replicate, Shard
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.parameter import Parameter


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


class _Together(Function):
    """Whole parameters of the parts of one dtype; the gradient is each process's part of the mean over all."""

    @staticmethod
    def forward(ctx: Any, unit: Unit, whole: Whole, number: int, *parts: Tensor) -> tuple[Tensor, ...]:
        ctx.unit, ctx.whole, ctx.row = unit, whole, number
        return tuple(tensor_of(array) for array in whole.gather())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        unit: Unit = ctx.unit
        ctx.whole.free()
        arrays = [array_of(grad) for grad in grads]
        parts = unit.reduce(ctx.row, arrays, ctx.whole)
        unit.end_use()
        if parts is None:
            return None, None, None, *[None] * len(grads)
        return (
            None,
            None,
            None,
            *map(tensor_of, parts),
        )  # in the type in which they were averaged, from which that of the parameters is made


class _Running(threading.local):
    """The units whose forward pass this thread is in."""

    def __init__(self) -> None:
        self.units: list[Unit] = []


_running = _Running()


class Unit:
    """The parameters of one module, without those of other units within it.

    Args:
      module: the module.
      mesh: of one axis, or of two: copies, and parts within each copy.
      policy: the types.
      ignored: the ids of parameters that stay as they are.
      reshard: whether whole parameters are let go after forward, and gathered again for backward; None: unless it is the outermost unit.
      choose: gives the Shard by which a parameter is split, or None for one along dimension 0, which is the default of all.

    Attributes:
      is_summoned: whether whole parameters are in their places outside of passes, by ``summon_full_params``.
      averages: whether backward passes average gradients over processes; where not, they are added up and averaged by the next that does.
      around_forward: the hooks before and after the module's forward.
    """

    around_forward: tuple[Callable[..., Any], Callable[..., Any]]

    def __init__(
        self,
        module: Module,
        mesh: DeviceMesh,
        policy: MixedPrecisionPolicy,
        ignored: set[int],
        reshard: bool | None,
        choose: Callable[[Parameter], Shard | None] | None = None,
    ):
        self.mesh, self.policy, self.reshard, self.averages = mesh, policy, reshard, True
        self._shard_group = mesh.get_group(mesh.ndim - 1)
        self._replicate_group = mesh.get_group(0) if mesh.ndim == 2 else None
        self.places: list[tuple[Module, str]] = []  # of the parameters, of which one may have several
        self._parts: list[tuple[Module, str, DTensor]] = []  # those that whole ones have the places of
        self._whole: list[Whole] = []
        self._waiting: dict[int, list[np.ndarray]] = {}  # gradients that were not averaged yet, by dtype
        self._keeping: list[Keeping] = []
        self._in_backward: list[Whole] = []
        self.is_summoned = False
        copies: list[Placement] = [Replicate()] * (mesh.ndim - 1)
        made: dict[int, DTensor] = {}
        for owner in _modules_of(module):
            for name, parameter in list(owner._parameters.items()):
                if parameter is None or id(parameter) in ignored or (isinstance(parameter, DTensor) and _has(parameter.device_mesh, mesh)):
                    continue
                if parameter.dim() == 0:
                    raise ValueError(
                        "fully_shard doesn't support scalar parameters. Change the parameter to a 1D tensor with numel equal to 1."
                    )
                if id(parameter) not in made:
                    made[id(parameter)] = _split(parameter, mesh, [*copies, _shard_of(parameter, choose, mesh.size(mesh.ndim - 1))])
                owner.register_parameter(name, made[id(parameter)])
                self.places.append((owner, name))

    # -- parameters

    @property
    def is_together(self) -> bool:
        """Whether whole parameters are where the modules look for them."""
        return bool(self._parts)

    def parameters(self) -> list[DTensor]:
        """The parameters, as parts."""
        found = [one for _, _, one in self._parts] or [owner._parameters[name] for owner, name in self.places]
        return list({id(one): one for one in found}.values())

    def alike(self) -> list[list[DTensor]]:
        """The parameters of each dtype."""
        alike: dict[Any, list[DTensor]] = {}
        for parameter in self.parameters():
            alike.setdefault(parameter.dtype, []).append(parameter)
        return list(alike.values())

    def gather(self) -> None:
        """Put the parameters together, where the modules look for them."""
        if self.is_together or not self.places:
            return
        self._whole, found = [], []
        for number, parameters in enumerate(self.alike()):
            parts, dtype = [part_of(one) for one in parameters], self.policy.param_dtype
            sent = [part.detach() if dtype is None or not part.is_floating_point() else part.detach().to(dtype) for part in parts]
            dims = [one.placements[-1].dim for one in parameters]
            whole = Whole(self._shard_group, [part_shape(self.layout_together(one)) for one in parameters], dims, sent)
            tensors = _Together.apply(self, whole, number, *parts)
            whole.watch(tensors)
            self._whole.append(whole)
            found.append(tensors)
        self.put(found)

    def put(self, tensors: Sequence[Sequence[Any]]) -> None:
        """Put tensors, in the order of the dtypes and their parameters, where the modules look for parameters."""
        if self.is_together:
            return
        by_part = {
            id(parameter): self._laid_out(tensor, parameter)
            for parameters, row in zip(self.alike(), tensors, strict=True)
            for parameter, tensor in zip(parameters, row, strict=True)
        }
        self._parts = [(owner, name, owner._parameters[name]) for owner, name in self.places]
        for owner, name, parameter in self._parts:
            owner._parameters[name] = by_part[id(parameter)]

    def layout_together(self, parameter: DTensor) -> Layout:
        """How a parameter lies while it is put together: whole on this unit's mesh, and on other axes as tensor parallelism has split it."""
        layout, own = parameter._layout, self.mesh.ndim
        return Layout(layout.mesh, (*layout.placements[:-own], *[Replicate()] * own), layout.shape)

    def _laid_out(self, tensor: Any, parameter: DTensor) -> Any:
        """What is put into a parameter's place: a DTensor where it is split on other axes of the mesh."""
        layout = self.layout_together(parameter)
        count = layout.mesh.ndim - self.mesh.ndim
        if not count:
            return tensor
        mesh = layout.mesh[(layout.mesh.mesh_dim_names or ())[:count]]
        return wrap(tensor, Layout(mesh, layout.placements[:count], layout.shape))

    def put_back(self) -> None:
        """Put the parts back into their places."""
        for owner, name, parameter in self._parts:
            owner._parameters[name] = parameter
        self._parts = []

    # -- forward and backward

    def is_outermost(self) -> bool:
        """Whether this thread is in the forward pass of this unit, and of none around it."""
        return _running.units == [self]

    def begin_forward(self) -> None:
        """What comes before the module's forward pass."""
        self.gather()
        keeping = Keeping()
        self._keeping.append(keeping)
        _running.units.append(self)
        keeping.begin()

    def end_forward(self, outputs: Any) -> None:
        """What comes after it: the parts are back in their places, and whole parameters are let go unless that is not wanted."""
        keeping = self._keeping.pop()
        keeping.end()
        _running.units.pop()
        whole, self._whole = self._whole, []
        self.put_back()
        reshard = bool(_running.units) if self.reshard is None else self.reshard
        sources = [one for one in items_of(outputs) if isinstance(one, Tensor) and one._grad_fn is not None]
        if reshard and thread.tracing is None and (sources or not thread.grad):
            for one in whole:
                one.free_with_copies(keeping.kept)
        for tensor in sources:
            tensor.register_hook(lambda gradient, whole=whole: self._begin_backward(whole))

    def _begin_backward(self, whole: list[Whole]) -> None:
        """Gather again what was let go, before the module's part of a backward pass."""
        if not whole or self.is_together:
            return
        for one in whole:
            one.fill()
        self._in_backward = whole
        self.put([one.tensors() for one in whole])  # for what computes forward again
        Variable._execution_engine.queue_callback(lambda: self._end_backward(whole))

    def end_use(self) -> None:
        """Put the parts back once a backward pass has used all whole parameters."""
        if all(one.is_free for one in self._in_backward):
            self.put_back()

    def _end_backward(self, whole: list[Whole]) -> None:
        """At the end of a backward pass: let go what is there still, for no parameter needed a gradient."""
        self.put_back()
        if self.reshard is not False:
            for one in whole:
                one.free()

    def reduce(self, number: int, grads: list[np.ndarray], whole: Whole) -> list[np.ndarray] | None:
        """This process's parts of the mean of whole gradients over processes; None, and they are kept for later, where they are not averaged now."""
        dtype = self.policy.reduce_dtype.numpy if self.policy.reduce_dtype else grads[0].dtype
        arrays = [grad.astype(dtype) for grad in grads]
        if number in self._waiting:
            arrays = [array + before for array, before in zip(arrays, self._waiting.pop(number), strict=True)]
        if not self.averages:
            self._waiting[number] = arrays
            return None
        group = self._shard_group
        parts = [cut(array, dim, group.size()) for array, dim in zip(arrays, whole.dims, strict=True)]
        rows = [np.concatenate(of_rank) for of_rank in zip(*parts, strict=True)]
        longest = max(row.size for row in rows)
        processes = group.size() * (1 if self._replicate_group is None else self._replicate_group.size())
        padded = tensor_of(np.stack([np.pad(row, (0, longest - row.size)) for row in rows]) / np.asarray(processes, dtype))
        total = tensor_of(np.zeros(longest, dtype))
        dist.reduce_scatter_tensor(total, padded, group=group)
        if self._replicate_group is not None:
            dist.all_reduce(total, group=self._replicate_group)
        return whole.own_parts(array_of(total))


def _has(mesh: DeviceMesh, own: DeviceMesh) -> bool:
    """Whether a mesh is a unit's own, or has its axes, too: then another unit has split the parameter."""
    return mesh == own or (mesh._root is own._root and set(own.mesh_dim_names or ("",)) <= set(mesh.mesh_dim_names or ()))


def _split(parameter: Parameter, mesh: DeviceMesh, placements: list[Placement]) -> DTensor:
    """A parameter of which each process has a part; what tensor parallelism has split is split once more.

    Raises:
      ValueError: tensor parallelism is over processes that are no other axis of the unit's mesh.
    """
    if not isinstance(parameter, DTensor):
        return Parameter(distribute_tensor(parameter.detach(), mesh, placements, src_data_rank=None), parameter.requires_grad)
    layout = parameter._layout
    both = layout.mesh.joined_with(mesh)
    if both is None:
        raise ValueError(
            f"fully_shard: a parameter lies on {layout.mesh}; to split it over {mesh} too, take both from one init_device_mesh with mesh_dim_names, as "
            'mesh["tp"] and mesh["dp"]'
        )
    part = part_of(distribute_tensor(part_of(parameter).detach(), mesh, placements, src_data_rank=None))
    made = wrap(part.detach(), Layout(both, (*layout.placements, *placements), layout.shape))
    return Parameter(made, parameter.requires_grad)


def _shard_of(parameter: Parameter, choose: Callable[[Parameter], Shard | None] | None, count: int) -> Shard:
    """How a parameter is split over processes."""
    shard = (choose(parameter) if choose is not None else None) or Shard(0)
    if not isinstance(shard, Shard) or not -parameter.dim() <= shard.dim < parameter.dim():
        raise ValueError(
            f"fully_shard: expected shard_placement_fn to give None, or a Shard along one of the {parameter.dim()} dimensions of the parameter, got {shard!r}"
        )
    dim = shard.dim % parameter.dim()
    if dim and parameter.shape[dim] % count:
        raise NotImplementedError(
            f"FSDP does not support uneven sharding on dim {dim}: {parameter.shape} (world size: {count}); let shard_placement_fn give None for it"
        )
    return Shard(dim)


def _modules_of(module: Module) -> list[Module]:
    """The module and those within it, without those that have a unit, and what is within these."""
    found = [module]
    for child in module.children():
        if "_fsdp_unit" not in child.__dict__:
            found += _modules_of(child)
    return found


def units_of(module: Module) -> list[Unit]:
    """The units of a module and of those within it."""
    return [one.__dict__["_fsdp_unit"] for one in module.modules() if "_fsdp_unit" in one.__dict__]


def cast_floating(value: Any, dtype: Any) -> Any:
    """The tensors of floating-point numbers in nested containers, in another type."""
    return map_items(lambda one: one.to(dtype) if isinstance(one, Tensor) and one.is_floating_point() else one, value)


def attach(unit: Unit, module: Module, before: Callable[[Any, Any], Any], after: Callable[[Any], Any]) -> None:
    """Have a module's forward pass put the parameters of a unit together.

    Args:
      before: ``before(inputs, named)`` gives those with which the module is called, or None for the same.
      after: ``after(outputs)`` gives those that it returns.
    """

    def begin(own: Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        unit.begin_forward()
        return before(inputs, named)

    def end(own: Module, inputs: Any, outputs: Any) -> Any:
        unit.end_forward(outputs)
        return after(outputs)

    module.register_forward_pre_hook(begin, prepend=True, with_kwargs=True)
    module.register_forward_hook(end, always_call=True)
    unit.around_forward = begin, end
    module._fsdp_unit = unit
