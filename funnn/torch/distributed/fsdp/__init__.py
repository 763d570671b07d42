"""Modules whose parameters are split over processes, and put together for each forward pass."""

import sys

from funnn.torch._unsupported import watch
from funnn.torch.distributed.fsdp._fully_shard import CPUOffloadPolicy as CPUOffloadPolicy
from funnn.torch.distributed.fsdp._fully_shard import FSDPModule as FSDPModule
from funnn.torch.distributed.fsdp._fully_shard import MixedPrecisionPolicy as MixedPrecisionPolicy
from funnn.torch.distributed.fsdp._fully_shard import OffloadPolicy as OffloadPolicy
from funnn.torch.distributed.fsdp._fully_shard import fully_shard as fully_shard

watch(sys.modules[__name__])
