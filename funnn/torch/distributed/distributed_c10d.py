"""torch.distributed under the name of the file in which torch has it."""

from funnn.torch.distributed import *  # noqa: F403
from funnn.torch.distributed import of_group as _get_default_group  # noqa: F401
