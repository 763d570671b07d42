"""What FullyShardedDataParallel is told, by torch's names."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import Any


class ShardingStrategy(enum.Enum):
    """What processes share: parameters, gradients and the optimizer's state (FULL_SHARD); the same, with whole parameters kept from forward until backward
    (SHARD_GRAD_OP); nothing (NO_SHARD); or either within a machine, with copies on others (HYBRID_SHARD, _HYBRID_SHARD_ZERO2)."""

    FULL_SHARD, SHARD_GRAD_OP, NO_SHARD, HYBRID_SHARD, _HYBRID_SHARD_ZERO2 = (enum.auto() for _ in range(5))


class BackwardPrefetch(enum.Enum):
    """When parameters are gathered for backward, which is when they are needed, whatever is said."""

    BACKWARD_PRE, BACKWARD_POST = enum.auto(), enum.auto()


@dataclasses.dataclass
class MixedPrecision:
    """In which types FullyShardedDataParallel computes.

    Attributes:
      param_dtype: of whole parameters; their own by default.
      reduce_dtype: in which gradients are averaged; by default that of whole parameters.
      buffer_dtype: of buffers; their own by default.
      keep_low_precision_grads: accepted; gradients have the type of the parameters.
      cast_forward_inputs: whether the inputs of every wrapped module are cast to ``param_dtype``.
      cast_root_forward_inputs: whether those of the outermost are.
    """

    param_dtype: Any = None
    reduce_dtype: Any = None
    buffer_dtype: Any = None
    keep_low_precision_grads: bool = False
    cast_forward_inputs: bool = False
    cast_root_forward_inputs: bool = True
    _module_classes_to_ignore: Sequence[type] = ()


@dataclasses.dataclass
class CPUOffload:
    """Whether parts of parameters stay on the CPU; here they are where JAX puts arrays."""

    offload_params: bool = False


class StateDictType(enum.Enum):
    """What a state dict has: whole tensors, flat parts (which there are none of here), or DTensors."""

    FULL_STATE_DICT, LOCAL_STATE_DICT, SHARDED_STATE_DICT = (enum.auto() for _ in range(3))


@dataclasses.dataclass
class StateDictConfig:
    """How state dicts are made.

    Attributes:
      offload_to_cpu: accepted; they are where JAX puts arrays.
    """

    offload_to_cpu: bool = False


@dataclasses.dataclass
class FullStateDictConfig(StateDictConfig):
    """Of whole tensors; with ``rank0_only`` the process of rank 0 alone has them, and the others an empty dict."""

    rank0_only: bool = False


@dataclasses.dataclass
class LocalStateDictConfig(StateDictConfig):
    """Of flat parts."""


@dataclasses.dataclass
class ShardedStateDictConfig(StateDictConfig):
    """Of DTensors."""

    _use_dtensor: bool = False


@dataclasses.dataclass
class OptimStateDictConfig:
    """How state dicts of optimizers are made; see StateDictConfig."""

    offload_to_cpu: bool = True


@dataclasses.dataclass
class FullOptimStateDictConfig(OptimStateDictConfig):
    """Of whole tensors; with ``rank0_only`` the process of rank 0 alone has them."""

    rank0_only: bool = False


@dataclasses.dataclass
class LocalOptimStateDictConfig(OptimStateDictConfig):
    """Of flat parts."""

    offload_to_cpu: bool = False


@dataclasses.dataclass
class ShardedOptimStateDictConfig(OptimStateDictConfig):
    """Of DTensors."""

    _use_dtensor: bool = False


@dataclasses.dataclass
class StateDictSettings:
    """What ``FullyShardedDataParallel.state_dict_type`` was told."""

    state_dict_type: StateDictType
    state_dict_config: StateDictConfig
    optim_state_dict_config: OptimStateDictConfig


class OptimStateKeyType(enum.Enum):
    """By what the state of an optimizer is found: the names of parameters, or their numbers."""

    PARAM_NAME, PARAM_ID = enum.auto(), enum.auto()


#: The settings of each type of state dict.
SETTINGS: dict[StateDictType, tuple[type[StateDictConfig], type[OptimStateDictConfig]]] = {
    StateDictType.FULL_STATE_DICT: (FullStateDictConfig, FullOptimStateDictConfig),
    StateDictType.LOCAL_STATE_DICT: (LocalStateDictConfig, LocalOptimStateDictConfig),
    StateDictType.SHARDED_STATE_DICT: (ShardedStateDictConfig, ShardedOptimStateDictConfig),
}
