"""torchvision's interface on funnn.torch: ``import funnn.torchvision as torchvision``."""

from funnn.torchvision import datasets as datasets
from funnn.torchvision import io as io
from funnn.torchvision import models as models
from funnn.torchvision import ops as ops
from funnn.torchvision import transforms as transforms
from funnn.torchvision import tv_tensors as tv_tensors
from funnn.torchvision import utils as utils
from funnn.torchvision.transforms import v2 as _v2  # noqa: F401 (torchvision.transforms.v2)

__version__ = "0.28.0"


def get_image_backend() -> str:
    """The package that reads images."""
    return "PIL"


def set_image_backend(backend: str) -> None:
    """Choose the package that reads images: "PIL" is the only one.

    Raises:
      ValueError: another one.
    """
    if backend != "PIL":
        raise ValueError(f"Invalid backend '{backend}'. Options are 'PIL'")


def disable_beta_transforms_warning() -> None:
    """Do nothing: there is no such warning."""
