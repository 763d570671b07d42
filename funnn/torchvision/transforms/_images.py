"""Of which of the two kinds an image is."""

from __future__ import annotations

from typing import Any

import funnn.torch as torch
from funnn.torchvision._optional import is_pil_image

Image = Any  # a tensor, or an image of Pillow's


def is_tensor(img: object) -> bool:
    """Whether it is a tensor.

    Raises:
      TypeError: it is no image.
    """
    if isinstance(img, torch.Tensor):
        if img.ndim < 2:
            raise TypeError("Tensor is not a torch image.")
        return True
    if not is_pil_image(img):
        raise TypeError(f"img should be PIL Image. Got {type(img)}")
    return False


def need_tensor(img: object) -> None:
    """Raise a TypeError if it is no tensor."""
    if not isinstance(img, torch.Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
