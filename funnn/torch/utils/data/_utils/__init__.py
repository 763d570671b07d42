"""Names that programs take from torch.utils.data's private parts."""

from funnn.torch.utils.data._utils import collate as collate
