"""torch.distributed.tensor under its former name."""

import sys

from funnn.torch._unsupported import watch
from funnn.torch.distributed.tensor.placement_types import Partial as Partial
from funnn.torch.distributed.tensor.placement_types import Placement as Placement
from funnn.torch.distributed.tensor.placement_types import Replicate as Replicate
from funnn.torch.distributed.tensor.placement_types import Shard as Shard

watch(sys.modules[__name__])
