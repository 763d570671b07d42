"""State dicts of models that several processes share, whole or in parts."""

from __future__ import annotations

import dataclasses
from typing import Any

from funnn.engine.ops.kit.table import FUNCTIONS as ops
from funnn.engine.tape.grad_mode import no_grad
from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.tree import map_items
from funnn.torch import distributed as dist
from funnn.torch.distributed.fsdp._state_dicts import plain_name, state_dict_type
from funnn.torch.distributed.fsdp.api import StateDictType
from funnn.torch.distributed.tensor._dtensor import DTensor, distribute_tensor
from funnn.torch.nn.modules.module import Module

__all__ = [
    "StateDictOptions",
    "get_model_state_dict",
    "get_optimizer_state_dict",
    "get_state_dict",
    "set_model_state_dict",
    "set_optimizer_state_dict",
    "set_state_dict",
]


@dataclasses.dataclass
class StateDictOptions:
    """How state dicts are made and taken.

    Attributes:
      full_state_dict: whether DTensors are put together, in every process (with ``cpu_offload`` in that of rank 0 alone, and {} elsewhere).
      cpu_offload: see there.
      strict: whether all names of the model must be there.
      broadcast_from_rank0: whether the others take what rank 0 has.
    """

    full_state_dict: bool = False
    cpu_offload: bool = False
    ignore_frozen_params: bool = False
    keep_submodule_prefixes: bool = True
    strict: bool = True
    broadcast_from_rank0: bool = False
    flatten_optimizer_state_dict: bool = False


def _plain_name(name: str) -> str:
    """A name without what DistributedDataParallel puts before it, and FullyShardedDataParallel into it."""
    return plain_name(name.removeprefix("module."))


def _model_of(model: Module) -> Module:
    return model.module if type(model).__name__ == "DistributedDataParallel" else model


def _state_of(model: Module) -> dict[str, Any]:
    """The state dict, whose DTensors are as they are."""
    with state_dict_type(model, StateDictType.SHARDED_STATE_DICT):
        found: dict[str, Any] = model.state_dict()
    return found


def _taken(value: Any, options: StateDictOptions) -> Any:
    if not options.full_state_dict:
        return value
    found = map_items(lambda one: one.full_tensor() if isinstance(one, DTensor) else one, value)
    return {} if options.cpu_offload and dist.is_initialized() and dist.get_rank() else found


def get_model_state_dict(model: Module, *, submodules: Any = None, options: StateDictOptions | None = None) -> dict[str, Any]:
    """The model's state dict, its DTensors as they are or put together; all processes call it."""
    chosen = options or StateDictOptions()
    own = _model_of(model)
    frozen = {plain_name(name) for name, one in own.named_parameters() if not one.requires_grad} if chosen.ignore_frozen_params else set()
    found: dict[str, Any] = _taken({name: value for name, value in _state_of(own).items() if name not in frozen}, chosen)
    return found


def set_model_state_dict(model: Module, model_state_dict: dict[str, Any], *, options: StateDictOptions | None = None) -> Any:
    """Give the model what a state dict has, whole tensors or DTensors; returns the names that were missing and those that it has not.

    Args:
      model: whose parameters may be DTensors.
      model_state_dict: the same in all processes; or with ``broadcast_from_rank0`` what rank 0 has.
    """
    chosen, own = options or StateDictOptions(), _model_of(model)
    wanted = _state_of(own)
    if chosen.broadcast_from_rank0:
        held: list[Any] = [
            {name: (tuple(one.shape), one.dtype) if isinstance(one, Tensor) else one for name, one in model_state_dict.items()}
        ]
        dist.broadcast_object_list(held, src=0)
        model_state_dict = {name: _from_rank0(model_state_dict.get(name), known) for name, known in held[0].items()}
    laid_out = {}
    for name, value in model_state_dict.items():
        name, like = _plain_name(name) if _plain_name(name) in wanted else name, wanted.get(_plain_name(name))
        if isinstance(like, DTensor) and isinstance(value, Tensor) and not isinstance(value, DTensor):
            value = distribute_tensor(value.to(like.dtype), like.device_mesh, like.placements, src_data_rank=None)
        laid_out[name] = value
    return own.load_state_dict(laid_out, strict=chosen.strict)


def _from_rank0(value: Any, known: Any) -> Any:
    if not isinstance(known, tuple):
        return known
    from_there = value.detach().clone() if dist.get_rank() == 0 else ops["zeros"](known[0], dtype=known[1])
    with no_grad():
        dist.broadcast(from_there, src=0)
    return from_there


def _optimizers_of(optimizers: Any) -> list[Any]:
    return list(optimizers) if isinstance(optimizers, (list, tuple)) else [optimizers]


def get_optimizer_state_dict(
    model: Module, optimizers: Any, *, submodules: Any = None, options: StateDictOptions | None = None
) -> dict[str, Any]:
    """The state of the optimizer by the names of parameters: {"state": {name: …}, "param_groups": […]}; all processes call it."""
    (optimizer,) = _optimizers_of(optimizers)
    names = {id(one): plain_name(name) for name, one in _model_of(model).named_parameters()}
    order = [names[id(one)] for group in optimizer.param_groups for one in group["params"]]
    saved = optimizer.state_dict()
    found: dict[str, Any] = {
        "state": {order[number]: entries for number, entries in saved["state"].items()},
        "param_groups": [{**group, "params": [order[number] for number in group["params"]]} for group in saved["param_groups"]],
    }
    return _taken(found, options or StateDictOptions())


def set_optimizer_state_dict(
    model: Module, optimizers: Any, optim_state_dict: dict[str, Any], *, options: StateDictOptions | None = None
) -> None:
    """Give the optimizer what ``get_optimizer_state_dict`` gave; with ``broadcast_from_rank0`` what rank 0 has, of whole tensors."""
    if options is not None and options.broadcast_from_rank0:
        held: list[Any] = [optim_state_dict if dist.get_rank() == 0 else None]
        dist.broadcast_object_list(held, src=0)
        optim_state_dict = held[0]
    (optimizer,) = _optimizers_of(optimizers)
    names = {id(one): plain_name(name) for name, one in _model_of(model).named_parameters()}
    order = [names[id(one)] for group in optimizer.param_groups for one in group["params"]]
    numbers = {name: number for number, name in enumerate(order)}
    optimizer.load_state_dict(
        {
            "state": {numbers[name]: entries for name, entries in optim_state_dict["state"].items() if name in numbers},
            "param_groups": [
                {**group, "params": [numbers[name] for name in group["params"]]} for group in optim_state_dict["param_groups"]
            ],
        }
    )


def get_state_dict(model: Module, optimizers: Any, *, submodules: Any = None, options: StateDictOptions | None = None) -> tuple[dict, dict]:
    """The state dicts of the model and of its optimizer."""
    return get_model_state_dict(model, options=options), get_optimizer_state_dict(model, optimizers, options=options)


def set_state_dict(
    model: Module,
    optimizers: Any,
    *,
    model_state_dict: dict[str, Any],
    optim_state_dict: dict[str, Any],
    options: StateDictOptions | None = None,
) -> Any:
    """Give model and optimizer what ``get_state_dict`` gave."""
    set_optimizer_state_dict(model, optimizers, optim_state_dict, options=options)
    return set_model_state_dict(model, model_state_dict, options=options)
