"""State dicts of FullyShardedDataParallel and its optimizers: of whole tensors or of DTensors, by the names that parameters have in the module."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from funnn.engine.tensor.tensor import Tensor
from funnn.engine.types.tree import map_items
from funnn.torch import distributed as dist
from funnn.torch.distributed.fsdp.api import (
    SETTINGS,
    FullStateDictConfig,
    OptimStateDictConfig,
    StateDictConfig,
    StateDictSettings,
    StateDictType,
)
from funnn.torch.distributed.tensor._dtensor import DTensor, distribute_tensor
from funnn.torch.nn.modules.module import Module

PREFIX = "_fsdp_wrapped_module."


def plain_name(name: str) -> str:
    """A name without what wrapping puts into it."""
    return name.replace(PREFIX, "")


def _whole(value: Any) -> Any:
    return value.full_tensor() if isinstance(value, DTensor) else value


def _settings_of(module: Module) -> StateDictSettings:
    settings: StateDictSettings = module.__dict__["_state_dict_settings"]
    return settings


def _wrapped(module: Module) -> list[Module]:
    return [one for one in module.modules() if "_state_dict_settings" in one.__dict__]


def register(module: Module) -> None:
    """Have a wrapped module's state dicts made and read so."""
    module._state_dict_settings = _settings(StateDictType.FULL_STATE_DICT, None, None)
    module._register_state_dict_hook(_after_saving)
    module._register_load_state_dict_pre_hook(lambda *args: _before_loading(module, *args))


def _after_saving(module: Any, state_dict: dict[str, Any], prefix: str, local_metadata: Any) -> None:
    settings = _settings_of(module)
    is_full = settings.state_dict_type is StateDictType.FULL_STATE_DICT
    is_left_out = isinstance(settings.state_dict_config, FullStateDictConfig) and settings.state_dict_config.rank0_only and dist.get_rank()
    for name in [name for name in state_dict if name.startswith(prefix + PREFIX)]:
        value = state_dict.pop(name)
        own = name.removeprefix(prefix + PREFIX)
        if own in module._buffer_types:
            value = value.to(module._buffer_types[own])
        value = _whole(value) if is_full else value  # all processes take part
        if not is_left_out:
            state_dict[prefix + own] = value


def _before_loading(module: Module, state_dict: dict[str, Any], prefix: str, *more: Any) -> None:
    names = [name for name in state_dict if name.startswith(prefix) and not name.startswith(prefix + PREFIX)]
    for name in names:
        state_dict[prefix + PREFIX + name.removeprefix(prefix)] = state_dict.pop(name)
    for name, parameter in Module.named_parameters(module, remove_duplicate=False):
        value = state_dict.get(prefix + name)
        if (
            isinstance(parameter, DTensor)
            and isinstance(value, Tensor)
            and not isinstance(value, DTensor)
            and value.shape == parameter.shape
        ):
            laid_out = distribute_tensor(value.to(parameter.dtype), parameter.device_mesh, parameter.placements, src_data_rank=None)
            state_dict[prefix + name] = laid_out


# -- types


def _settings(kind: StateDictType, config: StateDictConfig | None, optim_config: OptimStateDictConfig | None) -> StateDictSettings:
    if kind is StateDictType.LOCAL_STATE_DICT:
        raise NotImplementedError(
            "LOCAL_STATE_DICT is of flat parts, which parameters here are not; use StateDictType.SHARDED_STATE_DICT, which has a DTensor for each"
        )
    expected, expected_optim = SETTINGS[kind]
    config = expected() if config is None else config
    optim_config = expected_optim() if optim_config is None else optim_config
    if type(config) is not expected:
        raise RuntimeError(f"Expected state_dict_config of type {expected} but got {type(config)}")
    if type(optim_config) is not expected_optim:
        raise RuntimeError(f"Expected optim_state_dict_config of type {expected_optim} but got {type(optim_config)}")
    return StateDictSettings(kind, config, optim_config)


def set_state_dict_type(
    module: Module,
    state_dict_type: StateDictType,
    state_dict_config: StateDictConfig | None = None,
    optim_state_dict_config: OptimStateDictConfig | None = None,
) -> StateDictSettings:
    """Say what the state dicts of the wrapped modules within a module are; returns what they were.

    Args:
      module: within which they are.
      state_dict_type: whole tensors (the default of a module that was told nothing), or DTensors.
      state_dict_config, optim_state_dict_config: of that type.

    Raises:
      RuntimeError: a config of another type.
      NotImplementedError: LOCAL_STATE_DICT.
    """
    settings, wrapped = _settings(state_dict_type, state_dict_config, optim_state_dict_config), _wrapped(module)
    before = _settings_of(wrapped[0]) if wrapped else settings
    for one in wrapped:
        one._state_dict_settings = settings
    return before


def get_state_dict_type(module: Module) -> StateDictSettings:
    """What the state dicts of the wrapped modules within a module are."""
    wrapped = _wrapped(module)
    return _settings_of(wrapped[0]) if wrapped else _settings(StateDictType.FULL_STATE_DICT, None, None)


@contextlib.contextmanager
def state_dict_type(
    module: Module,
    state_dict_type: StateDictType,
    state_dict_config: StateDictConfig | None = None,
    optim_state_dict_config: OptimStateDictConfig | None = None,
) -> Iterator[None]:
    """Inside, state dicts are as :func:`set_state_dict_type` says."""
    before = set_state_dict_type(module, state_dict_type, state_dict_config, optim_state_dict_config)
    try:
        yield
    finally:
        set_state_dict_type(module, before.state_dict_type, before.state_dict_config, before.optim_state_dict_config)


# -- optimizers


def _names(model: Module, optim: Any) -> list[str]:
    """The names of the optimizer's parameters, in its order.

    Raises:
      ValueError: one is not the model's.
    """
    names = {id(one): plain_name(name) for name, one in Module.named_parameters(model)}
    found = [names.get(id(one)) for group in optim.param_groups for one in group["params"]]
    if None in found:
        raise ValueError(
            "the optimizer has parameters that the model has not; build it of the parameters of FullyShardedDataParallel, after wrapping"
        )
    return found


def optim_state_dict(model: Module, optim: Any, optim_state_dict: dict[str, Any] | None = None, group: Any = None) -> dict[str, Any]:
    """The state of an optimizer by the names of parameters, of whole tensors or DTensors as the model's type of state dict says; all processes call it.

    Args:
      model: the wrapped module, or one around it.
      optim: of its parameters.
      optim_state_dict: by default ``optim.state_dict()``.
    """
    settings, names = get_state_dict_type(model), _names(model, optim)
    saved = optim.state_dict() if optim_state_dict is None else optim_state_dict
    state = {names[number]: entries for number, entries in saved["state"].items()}
    if settings.state_dict_type is StateDictType.FULL_STATE_DICT:
        state = map_items(_whole, state)
    if getattr(settings.optim_state_dict_config, "rank0_only", False) and dist.get_rank(group):
        return {}
    groups = [{**one, "params": [names[number] for number in one["params"]]} for one in saved["param_groups"]]
    return {"state": state, "param_groups": groups}


def optim_state_dict_to_load(
    model: Module,
    optim: Any,
    optim_state_dict: dict[str, Any],
    is_named_optimizer: bool = False,
    load_directly: bool = False,
    group: Any = None,
) -> dict[str, Any]:
    """What ``optim.load_state_dict`` takes, of what :func:`optim_state_dict` gave; with ``rank0_only`` the others take what rank 0 has.

    Args:
      load_directly: whether to load it at once.
    """
    if getattr(get_state_dict_type(model).optim_state_dict_config, "rank0_only", False):
        held = [optim_state_dict]
        dist.broadcast_object_list(held, group=group, group_src=0)
        optim_state_dict = held[0]
    numbers = {name: number for number, name in enumerate(_names(model, optim))}
    state = {numbers[name]: entries for name, entries in optim_state_dict["state"].items() if name in numbers}
    groups = [{**one, "params": [numbers[name] for name in one["params"]]} for one in optim_state_dict["param_groups"]]
    found = {"state": state, "param_groups": groups}
    if load_directly:
        optim.load_state_dict(found)
    return found


def full_optim_state_dict(model: Module, optim: Any, optim_input: Any = None, rank0_only: bool = True, group: Any = None) -> dict[str, Any]:
    """:func:`optim_state_dict` of whole tensors, with ``rank0_only`` for the process of rank 0 alone."""
    with state_dict_type(model, StateDictType.FULL_STATE_DICT):
        found = optim_state_dict(model, optim, group=group)
    return {} if rank0_only and dist.get_rank(group) else found


def sharded_optim_state_dict(model: Module, optim: Any, group: Any = None) -> dict[str, Any]:
    """:func:`optim_state_dict` of DTensors."""
    with state_dict_type(model, StateDictType.SHARDED_STATE_DICT):
        return optim_state_dict(model, optim, group=group)


def shard_full_optim_state_dict(
    full_optim_state_dict: dict[str, Any], model: Module, optim_input: Iterable[Any] | None = None, optim: Any = None
) -> dict[str, Any]:
    """What ``optim.load_state_dict`` takes, of what :func:`full_optim_state_dict` gave to all processes."""
    with state_dict_type(model, StateDictType.FULL_STATE_DICT):
        return optim_state_dict_to_load(model, _needed(optim), full_optim_state_dict)


def scatter_full_optim_state_dict(
    full_optim_state_dict: dict[str, Any] | None,
    model: Module,
    optim_input: Iterable[Any] | None = None,
    optim: Any = None,
    group: Any = None,
) -> dict[str, Any]:
    """What ``optim.load_state_dict`` takes, of what :func:`full_optim_state_dict` gave to rank 0."""
    held = [full_optim_state_dict]
    dist.broadcast_object_list(held, group=group, group_src=0)
    return shard_full_optim_state_dict(held[0] or {}, model, optim=optim)


def _needed(optim: Any) -> Any:
    if optim is None:
        raise ValueError("optim: expected the optimizer, whose parameters' order is needed; got None")
    return optim
