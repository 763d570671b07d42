"""torch.distributed.checkpoint: state dicts of several processes in one folder, read onto any number of them."""

import sys

from funnn.torch._unsupported import watch
from funnn.torch.distributed.checkpoint.filesystem import CheckpointException as CheckpointException
from funnn.torch.distributed.checkpoint.filesystem import FileSystemReader as FileSystemReader
from funnn.torch.distributed.checkpoint.filesystem import FileSystemWriter as FileSystemWriter
from funnn.torch.distributed.checkpoint.state_dict_io import async_save as async_save
from funnn.torch.distributed.checkpoint.state_dict_io import load as load
from funnn.torch.distributed.checkpoint.state_dict_io import save as save

watch(sys.modules[__name__])
