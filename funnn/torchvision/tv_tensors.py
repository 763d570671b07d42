"""torchvision.tv_tensors: tensors that say what they are, so that transforms.v2 knows what to do with each part of a sample.

An operation on one gives a Tensor, as in torchvision; the transforms of v2 keep the type.
"""

from __future__ import annotations

from typing import Any, NoReturn

import funnn.torch as torch
from funnn.torchvision._missing import missing as _missing
from funnn.torchvision._optional import is_pil_image as _is_pil_image
from funnn.torchvision.transforms._conversions import pil_to_tensor as _pil_to_tensor


class TVTensor(torch.Tensor):
    """A tensor that says what it is."""

    __torch_function__ = torch.nn.Parameter.__torch_function__  # operations give Tensors

    @staticmethod
    def _tensor(data: Any, dtype: Any, device: Any, requires_grad: bool | None) -> Any:
        if requires_grad is None:
            requires_grad = data.requires_grad if isinstance(data, torch.Tensor) else False
        return torch.as_tensor(data, dtype=dtype, device=device).requires_grad_(requires_grad)


class Image(TVTensor):
    """An image (…, C, H, W).

    Args:
      data: what ``torch.as_tensor`` takes, or an image of Pillow's.
      dtype: the type.
      device: the device.
      requires_grad: whether gradients are wanted.
    """

    def __new__(cls, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool | None = None) -> Any:
        tensor = cls._tensor(_pil_to_tensor(data) if _is_pil_image(data) else data, dtype, device, requires_grad)
        if tensor.ndim < 2:
            raise ValueError
        return (tensor.unsqueeze(0) if tensor.ndim == 2 else tensor).as_subclass(cls)


class Video(TVTensor):
    """A video (…, T, C, H, W); the arguments are those of :class:`Image`."""

    def __new__(cls, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool | None = None) -> Any:
        tensor = cls._tensor(data, dtype, device, requires_grad)
        if tensor.ndim < 4:
            raise ValueError
        return tensor.as_subclass(cls)


class Mask(TVTensor):
    """A mask (…, H, W); the arguments are those of :class:`Image`."""

    def __new__(cls, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool | None = None) -> Any:
        return cls._tensor(_pil_to_tensor(data) if _is_pil_image(data) else data, dtype, device, requires_grad).as_subclass(cls)


def wrap(wrappee: Any, *, like: Any, **kwargs: Any) -> Any:
    """A tensor as the type of another one."""
    return wrappee.as_subclass(type(like))


_BOXES = "transforms of boxes and points are not supported; transform images and masks, and boxes by torchvision.ops"
_REASONS = dict.fromkeys(("BoundingBoxes", "BoundingBoxFormat", "KeyPoints"), _BOXES)
_REASONS["set_return_type"] = "operations give Tensors; wrap them with tv_tensors.wrap"


def __getattr__(name: str) -> NoReturn:
    """For what is not there: the reason, where torchvision has it."""
    _missing("torchvision.tv_tensors", name, _REASONS)
