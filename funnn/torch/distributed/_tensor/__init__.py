"""torch.distributed.tensor under its former name."""

import sys

from funnn.torch._unsupported import watch
from funnn.torch.distributed.device_mesh import DeviceMesh as DeviceMesh
from funnn.torch.distributed.tensor._dtensor import DTensor as DTensor
from funnn.torch.distributed.tensor._dtensor import distribute_module as distribute_module
from funnn.torch.distributed.tensor._dtensor import distribute_tensor as distribute_tensor
from funnn.torch.distributed.tensor.placement_types import Partial as Partial
from funnn.torch.distributed.tensor.placement_types import Placement as Placement
from funnn.torch.distributed.tensor.placement_types import Replicate as Replicate
from funnn.torch.distributed.tensor.placement_types import Shard as Shard

watch(sys.modules[__name__])
