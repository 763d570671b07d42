"""torchvision.transforms.v2.functional: the functions of transforms.functional, which keep the types of tv_tensors, under v2's names too."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import funnn.torch as torch
from funnn.torchvision.transforms import functional as _F
from funnn.torchvision.transforms._interpolation import InterpolationMode as InterpolationMode
from funnn.torchvision.transforms.v2 import _kernels as _v2
from funnn.torchvision.tv_tensors import Image as _Image
from funnn.torchvision.tv_tensors import Mask as _Mask
from funnn.torchvision.tv_tensors import TVTensor as _TVTensor
from funnn.torchvision.tv_tensors import wrap as _wrap


def _keeping(function: Callable[..., Any], masks: dict[str, Any] | None = None) -> Callable[..., Any]:
    """The function, with results of its operand's type. ``masks``: the arguments for masks, which are left alone if there are none."""

    @functools.wraps(function)
    def keep(inpt: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(inpt, _TVTensor):
            return function(inpt, *args, **kwargs)
        if isinstance(inpt, _Mask):
            if masks is None:
                return inpt
            result = function(inpt.as_subclass(torch.Tensor), *args, **{**kwargs, **masks})
        else:
            result = function(inpt.as_subclass(torch.Tensor), *args, **kwargs)
        return tuple(_wrap(item, like=inpt) for item in result) if isinstance(result, tuple) else _wrap(result, like=inpt)

    return keep


_NEAREST = {"interpolation": InterpolationMode.NEAREST}
_NOWHERE: dict[str, Any] = {}

resize = _keeping(_v2.resize, _NEAREST)
resized_crop = _keeping(_v2.resized_crop, _NEAREST)
rotate = _keeping(_F.rotate, _NEAREST)
affine = _keeping(_F.affine, _NEAREST)
perspective = _keeping(_F.perspective, _NEAREST)
elastic = elastic_transform = _keeping(_F.elastic_transform, _NEAREST)
pad = _keeping(_F.pad, _NOWHERE)
crop = _keeping(_F.crop, _NOWHERE)
center_crop = _keeping(_F.center_crop, _NOWHERE)
five_crop = _keeping(_F.five_crop, _NOWHERE)
ten_crop = _keeping(_F.ten_crop, _NOWHERE)
horizontal_flip = hflip = _keeping(_F.hflip, _NOWHERE)
vertical_flip = vflip = _keeping(_F.vflip, _NOWHERE)
erase = _keeping(_F.erase)
normalize = _keeping(_F.normalize)
rgb_to_grayscale = _keeping(_F.rgb_to_grayscale)
to_grayscale = _F.to_grayscale
adjust_brightness = _keeping(_F.adjust_brightness)
adjust_contrast = _keeping(_F.adjust_contrast)
adjust_saturation = _keeping(_F.adjust_saturation)
adjust_sharpness = _keeping(_v2.adjust_sharpness)
adjust_hue = _keeping(_F.adjust_hue)
adjust_gamma = _keeping(_F.adjust_gamma)
autocontrast = _keeping(_v2.autocontrast)
equalize = _keeping(_v2.equalize)
invert = _keeping(_F.invert)
posterize = _keeping(_v2.posterize)
solarize = _keeping(_F.solarize)
gaussian_blur = _keeping(_F.gaussian_blur)
convert_image_dtype = _keeping(_F.convert_image_dtype)
get_dimensions = _F.get_dimensions
get_image_size = _F.get_image_size
get_num_channels = get_image_num_channels = _F.get_image_num_channels
pil_to_tensor = _F.pil_to_tensor
to_pil_image = _F.to_pil_image
to_tensor = _F.to_tensor


def get_size(inpt: Any) -> list[int]:
    """Height and width."""
    return _F.get_dimensions(inpt)[1:]


def to_image(inpt: Any) -> Any:
    """A tv_tensors.Image of a tensor, of an array (H, W, C) or of an image of Pillow's, with its values as they are."""
    if isinstance(inpt, torch.Tensor):
        return _Image(inpt)
    if hasattr(inpt, "getbands"):
        return _Image(_F.pil_to_tensor(inpt))
    if hasattr(inpt, "transpose"):
        array = inpt[:, :, None] if inpt.ndim == 2 else inpt
        return _Image(torch.from_numpy(array.copy()).permute((2, 0, 1)).contiguous())
    raise TypeError(f"Input can either be a pure Tensor, a numpy array, or a PIL image, but got {type(inpt)} instead.")


def to_dtype(inpt: Any, dtype: Any = torch.float, scale: bool = False) -> Any:
    """A tensor in another type; with ``scale``, white stays white."""
    if isinstance(inpt, _Mask) or not scale:
        return _keeping(torch.Tensor.to, _NOWHERE)(inpt, dtype)
    return convert_image_dtype(inpt, dtype)


def gaussian_noise(inpt: Any, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> Any:
    """Normal noise added to floats from 0 to 1, and the result cut off there if ``clip``."""
    if not inpt.is_floating_point():
        raise ValueError(f"Input tensor is expected to be in float or uint8 dtype, got dtype={inpt.dtype}")
    if sigma < 0:
        raise ValueError(f"sigma shouldn't be negative. Got {sigma}")
    noisy = inpt + (mean + torch.randn_like(inpt) * sigma)
    noisy = torch.clamp(noisy, 0, 1) if clip else noisy
    return _wrap(noisy, like=inpt) if isinstance(inpt, _TVTensor) else noisy
