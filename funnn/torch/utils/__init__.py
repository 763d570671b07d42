"""torch.utils: loading of data."""

from funnn.torch.utils import data as data
