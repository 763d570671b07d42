"""torch.utils.tensorboard over tensorboardX: ``pip install 'funnn[tensorboard]'``."""

from funnn._import_torch import torch_is_funnn

try:
    with torch_is_funnn():  # tensorboardX imports torch where there is one
        import tensorboardX as _library  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "tensorboardX":
        raise
    raise ImportError(
        "torch.utils.tensorboard needs tensorboardX; install it with: pip install 'funnn[tensorboard]'", name=error.name
    ) from None

from tensorboardX import RecordWriter as RecordWriter

from funnn.torch.utils.tensorboard.writer import FileWriter as FileWriter
from funnn.torch.utils.tensorboard.writer import SummaryWriter as SummaryWriter

__all__ = ["FileWriter", "RecordWriter", "SummaryWriter"]
