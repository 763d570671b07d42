"""torch.distributed.fsdp's fully_shard under its former name."""

from funnn.torch.distributed.fsdp import CPUOffloadPolicy as CPUOffloadPolicy
from funnn.torch.distributed.fsdp import FSDPModule as FSDPModule
from funnn.torch.distributed.fsdp import MixedPrecisionPolicy as MixedPrecisionPolicy
from funnn.torch.distributed.fsdp import OffloadPolicy as OffloadPolicy
from funnn.torch.distributed.fsdp import fully_shard as fully_shard
