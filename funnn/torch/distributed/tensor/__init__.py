"""torch.distributed.tensor, as far as libraries describe with it how they would lay out tensors; tensors are spread by funnn.sharding."""

import sys

from funnn.torch._unsupported import watch
from funnn.torch.distributed.tensor import parallel as parallel
from funnn.torch.distributed.tensor import placement_types as placement_types
from funnn.torch.distributed.tensor.placement_types import Partial as Partial
from funnn.torch.distributed.tensor.placement_types import Placement as Placement
from funnn.torch.distributed.tensor.placement_types import Replicate as Replicate
from funnn.torch.distributed.tensor.placement_types import Shard as Shard

watch(sys.modules[__name__])
