"""torch.distributed.tensor: tensors that lie on a mesh of processes."""

import sys

from funnn.torch._unsupported import watch
from funnn.torch.distributed.device_mesh import DeviceMesh as DeviceMesh
from funnn.torch.distributed.device_mesh import init_device_mesh as init_device_mesh
from funnn.torch.distributed.tensor import placement_types as placement_types
from funnn.torch.distributed.tensor._dtensor import DTensor as DTensor
from funnn.torch.distributed.tensor._dtensor import distribute_module as distribute_module
from funnn.torch.distributed.tensor._dtensor import distribute_tensor as distribute_tensor
from funnn.torch.distributed.tensor._dtensor import empty as empty
from funnn.torch.distributed.tensor._dtensor import full as full
from funnn.torch.distributed.tensor._dtensor import ones as ones
from funnn.torch.distributed.tensor._dtensor import rand as rand
from funnn.torch.distributed.tensor._dtensor import randn as randn
from funnn.torch.distributed.tensor._dtensor import zeros as zeros
from funnn.torch.distributed.tensor.placement_types import Partial as Partial
from funnn.torch.distributed.tensor.placement_types import Placement as Placement
from funnn.torch.distributed.tensor.placement_types import Replicate as Replicate
from funnn.torch.distributed.tensor.placement_types import Shard as Shard

watch(sys.modules[__name__])
