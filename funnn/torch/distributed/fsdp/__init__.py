"""Modules whose parameters are split over processes, and put together for each forward pass."""

import sys

from funnn.torch._unsupported import watch
from funnn.torch.distributed.fsdp._fully_shard import CPUOffloadPolicy as CPUOffloadPolicy
from funnn.torch.distributed.fsdp._fully_shard import FSDPModule as FSDPModule
from funnn.torch.distributed.fsdp._fully_shard import MixedPrecisionPolicy as MixedPrecisionPolicy
from funnn.torch.distributed.fsdp._fully_shard import OffloadPolicy as OffloadPolicy
from funnn.torch.distributed.fsdp._fully_shard import fully_shard as fully_shard
from funnn.torch.distributed.fsdp._fully_shard import register_fsdp_forward_method as register_fsdp_forward_method
from funnn.torch.distributed.fsdp.api import BackwardPrefetch as BackwardPrefetch
from funnn.torch.distributed.fsdp.api import CPUOffload as CPUOffload
from funnn.torch.distributed.fsdp.api import FullOptimStateDictConfig as FullOptimStateDictConfig
from funnn.torch.distributed.fsdp.api import FullStateDictConfig as FullStateDictConfig
from funnn.torch.distributed.fsdp.api import LocalOptimStateDictConfig as LocalOptimStateDictConfig
from funnn.torch.distributed.fsdp.api import LocalStateDictConfig as LocalStateDictConfig
from funnn.torch.distributed.fsdp.api import MixedPrecision as MixedPrecision
from funnn.torch.distributed.fsdp.api import OptimStateDictConfig as OptimStateDictConfig
from funnn.torch.distributed.fsdp.api import OptimStateKeyType as OptimStateKeyType
from funnn.torch.distributed.fsdp.api import ShardedOptimStateDictConfig as ShardedOptimStateDictConfig
from funnn.torch.distributed.fsdp.api import ShardedStateDictConfig as ShardedStateDictConfig
from funnn.torch.distributed.fsdp.api import ShardingStrategy as ShardingStrategy
from funnn.torch.distributed.fsdp.api import StateDictConfig as StateDictConfig
from funnn.torch.distributed.fsdp.api import StateDictSettings as StateDictSettings
from funnn.torch.distributed.fsdp.api import StateDictType as StateDictType
from funnn.torch.distributed.fsdp.fully_sharded_data_parallel import FullyShardedDataParallel as FullyShardedDataParallel

watch(sys.modules[__name__])
