"""Between images of Pillow's, arrays and tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

import funnn.torch as torch
from funnn.torchvision._optional import Image, is_pil_image, need_pillow

Tensor = Any

_ARRAYS = {"I": np.int32, "I;16": np.uint16, "I;16B": np.int16, "F": np.float32}


def array_of(pic: Any) -> np.ndarray[Any, Any]:
    """(H, W, C) of an image of Pillow's."""
    array = np.array(pic, _ARRAYS.get(pic.mode, np.uint8), copy=True)
    return (255 * array if pic.mode == "1" else array).reshape(pic.height, pic.width, len(pic.getbands()))


def to_tensor(pic: Any) -> Tensor:
    """A tensor (C, H, W) of an image of Pillow's or an array (H, W, C); bytes become floats from 0 to 1.

    Raises:
      TypeError: it is neither.
      ValueError: an array has neither two nor three dimensions.
    """
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        array = pic[:, :, None] if pic.ndim == 2 else pic
    elif is_pil_image(pic):
        array = array_of(pic)
    else:
        raise TypeError(f"pic should be PIL Image or ndarray. Got {type(pic)}")
    planes = np.ascontiguousarray(array.transpose(2, 0, 1))
    if planes.dtype != np.uint8:
        return torch.from_numpy(planes)
    dtype = torch.get_default_dtype()
    if dtype == torch.float32:
        return torch.from_numpy(planes.astype(np.float32) / np.float32(255))
    return torch.from_numpy(planes).to(dtype).div(255)


def pil_to_tensor(pic: Any) -> Tensor:
    """A tensor (C, H, W) of an image of Pillow's, with its values as they are.

    Raises:
      TypeError: it is none.
    """
    if not is_pil_image(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    array = np.array(pic, copy=True).reshape(pic.height, pic.width, len(pic.getbands()))
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """An image of Pillow's of a tensor (C, H, W) or an array (H, W, C); floats from 0 to 1 become bytes.

    Args:
      pic: the tensor or array.
      mode: Pillow's mode; by default it follows from the channels and the type.

    Raises:
      TypeError: it is neither, or its type is none of Pillow's.
      ValueError: the number of dimensions or channels, or the mode.
    """
    need_pillow("to_pil_image")
    if isinstance(pic, torch.Tensor):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        if pic.ndim == 3 and pic.shape[-3] > 4:
            raise ValueError(f"pic should not have > 4 channels. Got {pic.shape[-3]} channels.")
        planes = pic.detach().cpu()
        planes = planes.unsqueeze(0) if planes.ndim == 2 else planes
        if planes.dtype.is_floating_point and mode != "F":
            planes = planes.mul(255).to(torch.uint8)
        array = planes.numpy().transpose(1, 2, 0)
    elif isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {pic.ndim} dimensions.")
        array = pic[:, :, None] if pic.ndim == 2 else pic
        if array.shape[-1] > 4:
            raise ValueError(f"pic should not have > 4 channels. Got {array.shape[-1]} channels.")
    else:
        raise TypeError(f"pic should be Tensor or ndarray. Got {type(pic)}.")
    return _image(array, mode)


def _image(array: np.ndarray[Any, Any], mode: str | None) -> Any:
    channels = array.shape[2]
    if channels == 1:
        array = array[:, :, 0]
        expected = {np.uint8: "L", np.int16: "I;16", np.uint16: "I;16", np.int32: "I", np.float32: "F"}.get(array.dtype.type)
        if mode is not None and mode != expected:
            raise ValueError(f"Incorrect mode ({mode}) supplied for input type {array.dtype}. Should be {expected}")
        mode = expected
    else:
        permitted = {2: ["LA"], 3: ["RGB", "YCbCr", "HSV"], 4: ["RGBA", "CMYK", "RGBX"]}[channels]
        if mode is not None and mode not in permitted:
            raise ValueError(f"Only modes {permitted} are supported for {channels}D inputs")
        if mode is None and array.dtype == np.uint8:
            mode = permitted[0]
    if mode is None:
        raise TypeError(f"Input type {array.dtype} is not supported")
    array = np.ascontiguousarray(array)
    if mode == "I;16":  # Pillow reads the bytes as they are
        return Image.frombytes(mode, (array.shape[1], array.shape[0]), array.tobytes())
    if channels == 1 or mode in ("LA", "RGB", "RGBA"):
        return Image.fromarray(array)
    return Image.frombytes(mode, (array.shape[1], array.shape[0]), array.tobytes())
