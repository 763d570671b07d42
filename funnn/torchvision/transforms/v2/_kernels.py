"""Operations that v2 computes otherwise on tensors than transforms.functional does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import funnn.torch as torch
from funnn.torch.nn import functional as nnf
from funnn.torchvision.transforms import functional as F
from funnn.torchvision.transforms._interpolation import InterpolationMode, as_mode
from funnn.torchvision.transforms._tensor_images import convert_image_dtype, largest, smooth_inside

_ON_BYTES = (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)


def resize(
    img: Any,
    size: int | Sequence[int],
    interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """As in transforms.functional; bytes are interpolated as bytes."""
    mode = as_mode(interpolation)
    if not (isinstance(img, torch.Tensor) and img.dtype == torch.uint8 and mode in _ON_BYTES):
        return F.resize(img, size, mode, max_size, antialias)
    floats = F.resize(torch.empty((1, *img.shape[-2:]), device="meta"), size, mode, max_size, antialias)
    if floats.shape[-2:] == img.shape[-2:]:
        return img
    batch = img.reshape(-1, 1 if img.ndim == 2 else img.shape[-3], *img.shape[-2:])
    out = nnf.interpolate(batch, size=list(floats.shape[-2:]), mode=mode.value, align_corners=False, antialias=bool(antialias))
    return out.reshape((*img.shape[:-2], *out.shape[-2:]))


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: InterpolationMode | str | int = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """As in transforms.functional; bytes are interpolated as bytes."""
    return resize(F.crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def posterize(img: Any, bits: int) -> Any:
    """As in transforms.functional; floats are floored to 2^bits steps."""
    if not (isinstance(img, torch.Tensor) and img.is_floating_point()):
        return F.posterize(img, bits)
    levels = 1 << bits
    return img.mul(levels).floor().clamp(0, levels - 1).mul(1.0 / levels)


def equalize(img: Any) -> Any:
    """As in transforms.functional; floats as bytes."""
    if not (isinstance(img, torch.Tensor) and img.is_floating_point()):
        return F.equalize(img)
    return convert_image_dtype(F.equalize(convert_image_dtype(img, torch.uint8)), img.dtype)


def autocontrast(img: Any) -> Any:
    """As in transforms.functional, by a division."""
    if not isinstance(img, torch.Tensor):
        return F.autocontrast(img)
    white = largest(img.dtype)
    values = img if img.is_floating_point() else img.to(torch.float32)
    low, high = values.amin(dim=(-2, -1), keepdim=True), values.amax(dim=(-2, -1), keepdim=True)
    flat = high == low
    scale = ((high - low) * (1.0 / white)).masked_fill(flat, 1.0)
    return ((values - low.masked_fill(flat, 0.0)) / scale).clamp(0, white).to(img.dtype)


def adjust_sharpness(img: Any, sharpness_factor: float) -> Any:
    """As in transforms.functional; the border of one pixel stays as it is."""
    if not isinstance(img, torch.Tensor) or sharpness_factor < 0 or min(img.shape[-2:]) <= 2:
        return F.adjust_sharpness(img, sharpness_factor)
    inside = img[..., 1:-1, 1:-1].to(img.dtype if img.is_floating_point() else torch.float32)
    mixed = inside + (1.0 - sharpness_factor) * (smooth_inside(img).to(inside.dtype) - inside)
    out = img.clone()
    out[..., 1:-1, 1:-1] = mixed.clamp(0, largest(img.dtype)).to(img.dtype)
    return out
