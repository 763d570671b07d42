"""torch.utils.dlpack: arrays of other libraries."""

from funnn.torch._exchange import from_dlpack as from_dlpack
from funnn.torch._exchange import to_dlpack as to_dlpack
