"""DTensor: a tensor that lies on a mesh of processes, of which each has a part.

It is a Tensor whose memory and history are those of the part. What a program asks it goes through ``__torch_function__``, which answers for the whole:
the rules of ``_rules.py`` say how an operation works on parts. Where classes are not asked (in optimizers, in the backward pass) it is the part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import NamedSharding

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tensor.overrides import DisableTorchFunctionSubclass, watch
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.dtype import Size
from funnn.torch import distributed as dist
from funnn.torch.distributed._operands import array_of, tensor_of
from funnn.torch.distributed.device_mesh import DeviceMesh
from funnn.torch.distributed.tensor._jax import array_of_parts, named_sharding, parts_of_array
from funnn.torch.distributed.tensor._layout import Layout, Move, chunk_of, moved, normalized, whole_norms
from funnn.torch.distributed.tensor._rules import run_on_parts
from funnn.torch.distributed.tensor.placement_types import Partial, Placement, Replicate, Shard
from funnn.torch.nn.modules.module import Module
from funnn.torch.nn.parameter import Parameter


class DTensor(Tensor):
    """A tensor on a mesh of processes. Made by :func:`distribute_tensor`, :meth:`from_local` and operations on others.

    Operations on parts are those of the rules: element by element, matrix products, sums and means. All others put the tensor together first.
    Source: torch.distributed.tensor.DTensor.
    """

    _layout: Layout

    @classmethod
    def __torch_function__(cls, func: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None) -> Any:
        answer = _ANSWERS.get(func) or _ANSWERS.get(getattr(func, "__name__", ""))
        if answer is not None and args and isinstance(args[0], DTensor):
            return answer(*args, **(kwargs or {}))
        return run_on_parts(func, args, kwargs or {}, DTensor, wrap)

    @property
    def device_mesh(self) -> DeviceMesh:
        """The processes."""
        return self._layout.mesh

    @property
    def placements(self) -> tuple[Placement, ...]:
        """How it lies on each axis of the mesh."""
        return self._layout.placements

    @property
    def _local_tensor(self) -> Tensor:
        return self.to_local()

    def _part(self) -> Tensor:
        return part_of(self)

    @staticmethod
    def from_local(
        local_tensor: Tensor,
        device_mesh: DeviceMesh | None = None,
        placements: Any = None,
        *,
        run_check: bool = False,
        shape: Any = None,
        stride: Any = None,
        **options: Any,
    ) -> DTensor:
        """A DTensor of the parts that the processes have; gradients flow to them.

        Args:
          local_tensor: this process's part.
          device_mesh: the processes.
          placements: how the parts lie, on each axis of the mesh; replicated by default.
          shape: of the whole; by default the parts are of one size.
        """
        mesh = _mesh(device_mesh)
        found, whole = normalized(placements, mesh, local_tensor.dim()), list(local_tensor.shape)
        if mesh.devices is not None and any(not isinstance(placement, Replicate) for placement in found):
            raise NotImplementedError(
                f"from_local: {mesh} is of devices of one process, which has no parts of its own; use distribute_tensor"
            )
        for axis, placement in enumerate(found):
            if isinstance(placement, Shard):
                whole[placement.dim] *= mesh.size(axis)
        return wrap(local_tensor[...], Layout(mesh, found, tuple(whole if shape is None else shape)))

    def to_local(self, *, grad_placements: Any = None) -> Tensor:
        """This process's part, on a mesh of devices that of the first one; gradients flow to the DTensor."""
        part, mesh = part_of(self), self.device_mesh
        if mesh.devices is not None:
            for axis, placement in enumerate(self.placements):
                if isinstance(placement, Shard):
                    part = chunk_of(part, placement.dim, mesh.size(axis), 0)
        return part

    def redistribute(
        self, device_mesh: DeviceMesh | None = None, placements: Any = None, *, async_op: bool = False, **options: Any
    ) -> DTensor:
        """The same tensor in another layout; gradients flow back.

        Raises:
          RuntimeError: there are no placements, or one is Partial where the tensor is not.
        """
        if placements is None:
            raise RuntimeError("placements is needed for redistribute!")
        layout = self._layout
        target = normalized(placements, layout.mesh, len(layout.shape))
        for before, after in zip(layout.placements, target, strict=True):
            if isinstance(after, Partial) and before != after:
                raise RuntimeError("Can not redistribute to Partial, redistributing to Partial is for internal use only!")
        if target == layout.placements:
            return self
        return wrap(Move.apply(part_of(self), layout, target), Layout(layout.mesh, target, layout.shape))

    def full_tensor(self, *, grad_placements: Any = None) -> Tensor:
        """The whole tensor, in each process."""
        return part_of(self.redistribute(placements=[Replicate()] * self.device_mesh.ndim))

    @property
    def sharding(self) -> NamedSharding:
        """The placements as JAX's sharding, of the array that ``jnp.asarray`` makes of a DTensor.

        Raises:
          RuntimeError: JAX does not see the devices of all processes; see ``funnn.distributed.initialize``.
          ValueError: it is in summands, or its parts differ in size.
        """
        return named_sharding(self.device_mesh, self.placements, self._layout.shape)

    def __jax_array__(self) -> jax.Array:
        """The whole as one array over the devices of all processes, with :attr:`sharding`; summands are added up."""
        whole = self.redistribute(placements=[Replicate() if isinstance(one, Partial) else one for one in self.placements])
        return array_of_parts(part_of(whole).detach().__jax_array__(), whole.device_mesh, whole.placements, whole._layout.shape)

    @staticmethod
    def from_jax(array: jax.Array, device_mesh: DeviceMesh) -> DTensor:
        """A DTensor of an array that lies on the devices of all processes: nothing is sent.

        Args:
          array: with a NamedSharding over the first devices of the processes, in the order of ``device_mesh``; axes are matched by their order.
          device_mesh: the processes.

        Raises:
          TypeError, ValueError: it has no such sharding.
        """
        part, placements = parts_of_array(array, _mesh(device_mesh))
        return wrap(part, Layout(device_mesh, placements, tuple(array.shape)))

    @staticmethod
    def _whole_norms(tensors: list[DTensor], norm_type: float) -> Tensor:
        """The p-norms of whole tensors, in one row."""
        return whole_norms([(part_of(one), one._layout) for one in tensors], norm_type)

    def _anywhere(self, flag: Tensor) -> Tensor:
        """Whether something is so in any process: the greatest of their flags."""
        flag = flag.detach().clone()
        for axis in range(self.device_mesh.ndim):
            dist.all_reduce(flag, dist.ReduceOp.MAX, self.device_mesh.get_group(axis))
        return flag

    def _replicated(self, value: Tensor) -> DTensor:
        """A tensor that is the same in all processes, as a DTensor on this one's mesh."""
        return wrap(value, Layout(self.device_mesh, (Replicate(),) * self.device_mesh.ndim, tuple(value.shape)))

    def _state_laid_out(self, value: Any) -> Any:
        """What an optimizer keeps for the part, as a DTensor; numbers as they are."""
        if not isinstance(value, Tensor) or value.dim() == 0 or value.shape != part_of(self).shape:
            return value
        return wrap(value.detach(), self._layout)

    def _part_of_state(self, value: Any) -> Any:
        """What an optimizer keeps for the part, of what was saved: a DTensor, or the whole."""
        if not isinstance(value, Tensor) or value.dim() == 0:
            return value
        if not isinstance(value, DTensor):
            value = self._replicated(value)
        if value.shape != self.shape:
            raise ValueError(f"the state of a DTensor has the shape of the whole, {list(self.shape)}, but {list(value.shape)} was loaded")
        return part_of(value.redistribute(placements=self.placements)).detach()

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise NotImplementedError("a DTensor can't be pickled, for its parts are in several processes; save full_tensor()")

    def __deepcopy__(self, memo: dict) -> DTensor:
        made = wrap(part_of(self).detach().clone(), self._layout)
        made = made._as_parameter(self.requires_grad) if isinstance(self, Parameter) else made.requires_grad_(self.requires_grad)
        memo[id(self)] = made
        return made

    def _as_parameter(self, requires_grad: bool) -> Parameter:
        with DisableTorchFunctionSubclass():
            made = Parameter(self.detach(), requires_grad)._as_class(_DTensorParameter)
        made._layout = self._layout
        return made


class _DTensorParameter(DTensor, Parameter):
    """A parameter that lies on a mesh."""

    __torch_function__ = DTensor.__torch_function__


_DTensorParameter.__name__ = _DTensorParameter.__qualname__ = "DTensor"


def part_of(tensor: DTensor) -> Tensor:
    """This process's part of a DTensor, with its history."""
    with DisableTorchFunctionSubclass():
        return tensor[...]._as_class(Tensor)


def wrap(part: Tensor, layout: Layout) -> DTensor:
    """A part as a DTensor, in its own stead."""
    method: Any = DTensor.__dict__["__torch_function__"].__func__
    if not getattr(method, "asked", False):  # with the first DTensor functions begin to ask
        method.asked = True
        watch()
    with DisableTorchFunctionSubclass():
        made: DTensor = part._as_class(DTensor)
    made._layout = layout
    return made


def _mesh(mesh: DeviceMesh | None) -> DeviceMesh:
    if mesh is None:
        raise RuntimeError("device_mesh is needed: pass that of init_device_mesh(device_type, mesh_shape)")
    return mesh


def distribute_tensor(
    tensor: Tensor, device_mesh: DeviceMesh | None = None, placements: Any = None, *, src_data_rank: int | None = 0
) -> DTensor:
    """A tensor laid out on a mesh: a leaf, with the values that the first process has.

    Args:
      tensor: the whole, of the same shape in all processes.
      device_mesh: the processes.
      placements: Shard or Replicate, for each axis of the mesh; replicated by default.
      src_data_rank: None takes each process's own values, which must be the same.

    Raises:
      RuntimeError: a placement is Partial.
    """
    mesh = _mesh(device_mesh)
    found = normalized(placements, mesh, tensor.dim())
    if any(isinstance(placement, Partial) for placement in found):
        raise RuntimeError(f"Trying to distribute a tensor with placements {found} on device mesh {mesh}: expected Shard and Replicate")
    whole = tensor.detach().clone()
    if src_data_rank is not None:
        for axis in range(mesh.ndim):
            dist.broadcast(whole, group=mesh.get_group(axis), group_src=0)
    layout = Layout(mesh, (Replicate(),) * mesh.ndim, tuple(whole.shape))
    part = moved(whole, layout, found)
    if mesh.devices is None:
        part = tensor_of(array_of(part))  # memory of its own, so that the whole can go
    part.requires_grad_(tensor.requires_grad)
    made = wrap(part, Layout(mesh, found, layout.shape))
    return made._as_parameter(tensor.requires_grad) if isinstance(tensor, Parameter) else made


def distribute_module(
    module: Module,
    device_mesh: DeviceMesh | None = None,
    partition_fn: Callable[[str, Module, DeviceMesh], None] | None = None,
    input_fn: Callable[..., Any] | None = None,
    output_fn: Callable[..., Any] | None = None,
) -> Module:
    """The module with its parameters laid out on a mesh: by ``partition_fn(name, module, mesh)``, replicated where that left them.

    Args:
      module: is changed, and returned.
      device_mesh: the processes.
      partition_fn: called for each module within it, itself included.
      input_fn, output_fn: ``f(module, inputs, mesh)``, before and after its forward.
    """
    mesh = _mesh(device_mesh)
    for name, child in module.named_modules():
        if partition_fn is not None:
            partition_fn(name, child, mesh)
        for key, parameter in list(child._parameters.items()):
            if parameter is not None and not isinstance(parameter, DTensor):
                child.register_parameter(key, Parameter(distribute_tensor(parameter.detach(), mesh), parameter.requires_grad))
    if input_fn is not None:
        module.register_forward_pre_hook(lambda own, inputs: input_fn(own, inputs, mesh))
    if output_fn is not None:
        module.register_forward_hook(lambda own, inputs, outputs: output_fn(own, outputs, mesh))
    return module


def _filled(name: str) -> Callable[..., DTensor]:
    def make(
        *size: Any, device_mesh: DeviceMesh | None = None, placements: Any = None, requires_grad: bool = False, **options: Any
    ) -> DTensor:
        whole = ops[name](*size, **options)
        return distribute_tensor(whole, device_mesh, placements).requires_grad_(requires_grad)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"A DTensor as torch.{name} makes it, on ``device_mesh`` with ``placements``."
    return make


zeros, ones, empty, full, randn, rand = map(_filled, ("zeros", "ones", "empty", "full", "randn", "rand"))


# -- what is asked of the whole


def _size(tensor: DTensor, dim: int | None = None) -> Any:
    return Size(tensor._layout.shape) if dim is None else tensor._layout.shape[dim]


def _numel(tensor: DTensor) -> int:
    return Size(tensor._layout.shape).numel()


def _repr(tensor: DTensor, **options: Any) -> str:
    part = tensor.to_local().detach()
    shown = part.item() if part.dim() == 0 else part
    return f"DTensor(local_tensor={shown}, device_mesh={tensor.device_mesh}, placements={tensor.placements})"


def _get_grad(tensor: DTensor) -> DTensor | None:
    with DisableTorchFunctionSubclass():
        grad = tensor.grad
    if grad is None or isinstance(grad, DTensor):
        return grad
    placements = tuple(Replicate() if isinstance(one, Partial) else one for one in tensor.placements)
    made = wrap(grad, Layout(tensor.device_mesh, placements, tensor._layout.shape))
    with DisableTorchFunctionSubclass():
        tensor._grad = made  # so that what is done to it in place is done to the gradient
    return made


def _local(name: str) -> Callable[..., Any]:
    """What the part answers for the whole."""

    def answer(tensor: DTensor, *args: Any, **kwargs: Any) -> Any:
        with DisableTorchFunctionSubclass():
            found = getattr(tensor, name)(*args, **kwargs)
        return tensor if isinstance(found, Tensor) and name.endswith("_") else found

    return answer


def _same(name: str) -> Callable[..., Any]:
    """What is done to the part, and lies as it does."""

    def answer(tensor: DTensor, *args: Any, **kwargs: Any) -> Any:
        with DisableTorchFunctionSubclass():
            part = getattr(tensor, name)(*args, **kwargs)
        return wrap(part, tensor._layout)

    return answer


def _backward(tensor: DTensor, gradient: Any = None, *args: Any, **kwargs: Any) -> None:
    whole = tensor.redistribute(placements=tuple(Replicate() if isinstance(one, Partial) else one for one in tensor.placements))
    given = part_of(gradient.redistribute(placements=whole.placements)) if isinstance(gradient, DTensor) else gradient
    part_of(whole).backward(given, *args, **kwargs)


def _item(tensor: DTensor) -> Any:
    return tensor.full_tensor().item()


def _setting(name: str) -> Callable[..., Any]:
    def answer(tensor: DTensor, value: Any) -> None:
        with DisableTorchFunctionSubclass():
            setattr(tensor, name, part_of(value) if isinstance(value, DTensor) and name != "grad" else value)

    return answer


_ANSWERS: dict[Any, Callable[..., Any]] = {
    Tensor.shape.__get__: _size,  # type: ignore[attr-defined]
    Tensor.grad.__get__: _get_grad,  # type: ignore[attr-defined]
    Tensor.grad.__set__: _setting("grad"),  # type: ignore[attr-defined]
    "size": _size,
    "numel": _numel,
    "nelement": _numel,
    Tensor.data.__get__: lambda tensor, *rest: wrap(part_of(tensor).detach(), tensor._layout),  # type: ignore[attr-defined]
    Tensor.data.__set__: _setting("data"),  # type: ignore[attr-defined]
    "__len__": lambda tensor: tensor._layout.shape[0],
    "__repr__": _repr,
    "backward": _backward,
    "item": _item,
    "__float__": _item,
    "__bool__": lambda tensor: bool(_item(tensor)),
    "tolist": lambda tensor: tensor.full_tensor().tolist(),
    **{
        name: _local(name)
        for name in (
            "dim",
            "requires_grad_",
            "register_hook",
            "register_post_accumulate_grad_hook",
            "is_floating_point",
            "is_complex",
            "zero_",
            "__hash__",
        )
    },
    **{name: _same(name) for name in ("detach", "clone", "contiguous", "to", "float", "double", "half", "bfloat16", "cpu")},
}
for _name in (
    "dtype",
    "device",
    "requires_grad",
    "grad_fn",
    "is_leaf",
    "ndim",
    "layout",
    "is_sparse",
    "is_cuda",
    "is_meta",
    "_grad",
    "retains_grad",
):
    _property = getattr(Tensor, _name, None)
    if isinstance(_property, property):
        _ANSWERS[_property.__get__] = (lambda name: lambda tensor, *rest: _local_attribute(tensor, name))(_name)
        if _property.fset is not None:
            _ANSWERS[_property.__set__] = _setting(_name)


def _local_attribute(tensor: DTensor, name: str) -> Any:
    with DisableTorchFunctionSubclass():
        return getattr(tensor, name)
