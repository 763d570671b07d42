"""torch.utils: loading of data, checkpointing."""

from funnn.torch.utils import _pytree as _pytree
from funnn.torch.utils import checkpoint as checkpoint
from funnn.torch.utils import data as data
from funnn.torch.utils import dlpack as dlpack
from funnn.torch.utils import hooks as hooks
from funnn.torch.utils._swap import swap_tensors as swap_tensors
