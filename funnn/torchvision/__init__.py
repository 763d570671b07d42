"""torchvision's interface on funnn.torch: ``import funnn.torchvision as torchvision``."""

from funnn.torchvision import transforms as transforms

__version__ = "0.28.0"
