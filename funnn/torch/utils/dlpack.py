"""torch.utils.dlpack: arrays of other libraries."""

from funnn.engine.ops.make.exchange import from_dlpack as from_dlpack
from funnn.engine.ops.make.exchange import to_dlpack as to_dlpack
