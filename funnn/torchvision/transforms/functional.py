"""torchvision.transforms.functional: one function an operation, for tensors (…, C, H, W) and for images of Pillow's.

Floats are from 0 to 1 and integers over their whole range. A function that takes either calls the one in ``_tensor_images`` or ``_pil_images``.
"""

from __future__ import annotations

import functools
import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

import funnn.torch as torch
from funnn.torchvision.transforms import _pil_images as _pil
from funnn.torchvision.transforms import _tensor_images as _tensors
from funnn.torchvision.transforms._colours import adjust_brightness as adjust_brightness
from funnn.torchvision.transforms._colours import adjust_contrast as adjust_contrast
from funnn.torchvision.transforms._colours import adjust_gamma as adjust_gamma
from funnn.torchvision.transforms._colours import adjust_hue as adjust_hue
from funnn.torchvision.transforms._colours import adjust_saturation as adjust_saturation
from funnn.torchvision.transforms._colours import adjust_sharpness as adjust_sharpness
from funnn.torchvision.transforms._colours import autocontrast as autocontrast
from funnn.torchvision.transforms._colours import equalize as equalize
from funnn.torchvision.transforms._colours import gaussian_blur as gaussian_blur
from funnn.torchvision.transforms._colours import invert as invert
from funnn.torchvision.transforms._colours import posterize as posterize
from funnn.torchvision.transforms._colours import rgb_to_grayscale as rgb_to_grayscale
from funnn.torchvision.transforms._colours import solarize as solarize
from funnn.torchvision.transforms._colours import to_grayscale as to_grayscale
from funnn.torchvision.transforms._conversions import pil_to_tensor as pil_to_tensor
from funnn.torchvision.transforms._conversions import to_pil_image as to_pil_image
from funnn.torchvision.transforms._conversions import to_tensor as to_tensor
from funnn.torchvision.transforms._images import Image as _Image
from funnn.torchvision.transforms._images import is_tensor as _is_tensor
from funnn.torchvision.transforms._images import need_tensor as _need_tensor
from funnn.torchvision.transforms._interpolation import PILLOW as _PILLOW
from funnn.torchvision.transforms._interpolation import InterpolationMode as InterpolationMode
from funnn.torchvision.transforms._interpolation import as_mode as _as_mode
from funnn.torchvision.transforms._values import is_number

_OF_TENSORS = (InterpolationMode.NEAREST, InterpolationMode.BILINEAR)


# -- sizes and types


def get_dimensions(img: _Image) -> list[int]:
    """Channels, height and width."""
    return list(_tensors.size_of(img) if _is_tensor(img) else _pil.size_of(img))


def get_image_size(img: _Image) -> list[int]:
    """Width and height."""
    _, height, width = get_dimensions(img)
    return [width, height]


def get_image_num_channels(img: _Image) -> int:
    """The number of channels."""
    return get_dimensions(img)[0]


def convert_image_dtype(image: _Image, dtype: Any = torch.float32) -> _Image:
    """A tensor in another type, scaled so that white stays white: 255 in uint8 is 1.0 in float32.

    Raises:
      RuntimeError: from float32 to int32 or int64, and from float64 to int64, which cannot hold it.
    """
    if not isinstance(image, torch.Tensor):
        raise TypeError("Input img should be Tensor Image")
    return _tensors.convert_image_dtype(image, dtype)


def normalize(tensor: _Image, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> _Image:
    """(tensor - mean) / std, for each channel.

    Args:
      tensor: floats (…, C, H, W).
      mean: a number for each channel.
      std: a number for each channel, none of them 0.
      inplace: whether the tensor itself is changed.

    Raises:
      TypeError: it is no tensor of floats.
      ValueError: it has fewer than three dimensions, or a ``std`` is 0.
    """
    _need_tensor(tensor)
    if not tensor.is_floating_point():
        raise TypeError(f"Input tensor should be a float tensor. Got {tensor.dtype}.")
    if tensor.ndim < 3:
        raise ValueError(f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {tensor.size()}")
    centre, scale = _for_channels(mean, tensor), _for_channels(std, tensor)
    if (min(std, key=abs) == 0) if isinstance(std, (list, tuple)) else (scale == 0).any():
        raise ValueError(f"std evaluated to zero after conversion to {tensor.dtype}, leading to division by zero.")
    return tensor.sub_(centre).div_(scale) if inplace else (tensor - centre) / scale


def _for_channels(values: Any, like: _Image) -> Any:
    """A tensor (C, 1, 1), or another shape as it is, of the image's type."""
    if isinstance(values, (list, tuple)) and like.device.type == "cpu":
        return _constants(tuple(float(value) for value in values), like.dtype)
    made = torch.as_tensor(values, dtype=like.dtype, device=like.device)
    return made.view(-1, 1, 1) if made.ndim == 1 else made


@functools.lru_cache(maxsize=64)
def _constants(values: tuple[float, ...], dtype: Any) -> Any:
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device="cpu").view(-1, 1, 1)


# -- parts and sizes


def _resized(image_size: Sequence[int], size: Sequence[int], max_size: int | None) -> list[int]:
    """Height and width after :func:`resize`."""
    if len(size) == 2:
        return list(size)
    height, width = image_size
    short, long = sorted((height, width))
    new_short, new_long = int(size[0]), int(size[0] * long / short)
    if max_size is not None:
        if max_size <= size[0]:
            raise ValueError(f"max_size = {max_size} must be strictly greater than the requested size for the smaller edge size = {size}")
        if new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
    return [new_long, new_short] if width <= height else [new_short, new_long]


def resize(
    img: _Image,
    size: int | Sequence[int],
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> _Image:
    """The image in another size.

    Args:
      img: the image.
      size: height and width, or the length of the shorter side, whose ratio to the other one stays.
      interpolation: how values between pixels are made.
      max_size: the longest that the longer side may be, where ``size`` is one number.
      antialias: whether tensors are smoothed where they become smaller (bilinear and bicubic); images of Pillow's always are.

    Raises:
      ValueError: ``max_size`` beside two sizes, or not above ``size``.
    """
    mode = _as_mode(interpolation)
    if isinstance(size, (list, tuple)):
        if len(size) not in (1, 2):
            raise ValueError(f"Size must be an int or a 1 or 2 element tuple/list, not a {len(size)} element tuple/list")
        if max_size is not None and len(size) != 1:
            raise ValueError("max_size should only be passed if size specifies the length of the smaller edge, i.e. size should be an int.")
    sizes: Any = size if isinstance(size, (list, tuple)) else [size]
    _, height, width = get_dimensions(img)
    wanted = _resized((height, width), sizes, max_size)
    if [height, width] == wanted:
        return img
    if not _is_tensor(img):
        return _pil.resize(img, wanted, _PILLOW[mode])
    smooth = bool(antialias) and mode in (InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)
    if mode in (InterpolationMode.BOX, InterpolationMode.HAMMING, InterpolationMode.LANCZOS):
        raise NotImplementedError(f"Input Error: {mode.value} is for images of Pillow's; tensors take nearest, bilinear and bicubic")
    return _tensors.resize(img, wanted, mode.value, smooth)


def pad(img: _Image, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> _Image:
    """The image with a border.

    Args:
      img: the image.
      padding: of all sides, of left/right and top/bottom, or of left, top, right and bottom.
      fill: the colour, for ``constant``.
      padding_mode: ``constant``, ``edge``, ``reflect`` (without the border's pixels) or ``symmetric`` (with them).

    Raises:
      TypeError: ``padding`` is no number and no sequence.
      ValueError: it has another number of elements than 1, 2 or 4; another mode.
    """
    if not isinstance(padding, (numbers.Number, tuple, list)):
        raise TypeError("Got inappropriate padding arg")
    if not isinstance(fill, (numbers.Number, tuple, list)) and fill is not None:
        raise TypeError("Got inappropriate fill arg")
    if not isinstance(padding_mode, str):
        raise TypeError("Got inappropriate padding_mode arg")
    sides = list(padding) if isinstance(padding, (tuple, list)) else [padding]
    if len(sides) not in (1, 2, 4):
        raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(sides)} element tuple")
    if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
    left, top, right, bottom = sides * (4 // len(sides))
    if not _is_tensor(img):
        return _pil.pad(img, (left, top, right, bottom), fill, padding_mode)
    if isinstance(fill, (tuple, list)):
        if len(fill) != 1:
            return _pad_channels(img, (left, top, right, bottom), fill)
        fill = fill[0]
    return _tensors.pad(img, (left, top, right, bottom), fill, padding_mode)


def _pad_channels(img: _Image, padding: Sequence[int], fill: Sequence[float]) -> _Image:
    if len(fill) != img.shape[-3]:
        raise ValueError(f"fill has {len(fill)} numbers, and the image {img.shape[-3]} channels")
    parts = [_tensors.pad(img[..., i : i + 1, :, :], padding, value, "constant") for i, value in enumerate(fill)]
    return torch.cat(parts, dim=-3)


def crop(img: _Image, top: int, left: int, height: int, width: int) -> _Image:
    """The part whose upper left corner is ``top``, ``left``; what lies outside of the image is black."""
    return (_tensors if _is_tensor(img) else _pil).crop(img, top, left, height, width)


def _two(size: Any) -> tuple[int, int]:
    if is_number(size):
        return int(size), int(size)
    sizes = list(size)
    sizes = sizes * 2 if len(sizes) == 1 else sizes
    if len(sizes) != 2:
        raise ValueError("Please provide only two dimensions (h, w) for size.")
    return int(sizes[0]), int(sizes[1])


def center_crop(img: _Image, output_size: int | Sequence[int]) -> _Image:
    """The middle, of ``output_size`` (height, width; one number for both); a smaller image gets a black border."""
    height, width = _two(output_size)
    _, there_h, there_w = get_dimensions(img)
    if width > there_w or height > there_h:
        wide, high = max(width - there_w, 0), max(height - there_h, 0)
        img = pad(img, [wide // 2, high // 2, (wide + 1) // 2, (high + 1) // 2], fill=0)
        _, there_h, there_w = get_dimensions(img)
        if (width, height) == (there_w, there_h):
            return img
    return crop(img, round((there_h - height) / 2.0), round((there_w - width) / 2.0), height, width)


def resized_crop(
    img: _Image,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> _Image:
    """:func:`crop`, then :func:`resize`."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def hflip(img: _Image) -> _Image:
    """Mirrored left to right."""
    return img.flip(-1) if _is_tensor(img) else _pil.hflip(img)


def vflip(img: _Image) -> _Image:
    """Mirrored top to bottom."""
    return img.flip(-2) if _is_tensor(img) else _pil.vflip(img)


def five_crop(img: _Image, size: int | Sequence[int]) -> tuple[_Image, ...]:
    """The four corners (upper left, upper right, lower left, lower right) and the middle.

    Raises:
      ValueError: the image is smaller than ``size``.
    """
    height, width = _two(size)
    _, there_h, there_w = get_dimensions(img)
    if width > there_w or height > there_h:
        raise ValueError(f"Requested crop size {(height, width)} is bigger than input size {(there_h, there_w)}")
    corners = [(top, left) for top in (0, there_h - height) for left in (0, there_w - width)]
    return (*(crop(img, top, left, height, width) for top, left in corners), center_crop(img, [height, width]))


def ten_crop(img: _Image, size: int | Sequence[int], vertical_flip: bool = False) -> tuple[_Image, ...]:
    """:func:`five_crop` of the image, and of the image mirrored left to right (or top to bottom)."""
    return five_crop(img, size) + five_crop(vflip(img) if vertical_flip else hflip(img), size)


def erase(img: _Image, i: int, j: int, h: int, w: int, v: Any, inplace: bool = False) -> _Image:
    """A tensor in which the part of height ``h`` and width ``w`` from row ``i`` and column ``j`` on has the values ``v``."""
    _need_tensor(img)
    img = img if inplace else img.clone()
    img[..., i : i + h, j : j + w] = v
    return img


# -- movements


def _inverse_matrix(center: Sequence[float], angle: float, translate: Sequence[float], scale: float, shear: Sequence[float]) -> list[float]:
    """Two rows of the inverse of: to the centre, turn, shear, scale, back, move. Angles are in degrees."""
    rot, shear_x, shear_y = (math.radians(value) for value in (angle, *shear))
    a = math.cos(rot - shear_y) / math.cos(shear_y)
    b = -math.cos(rot - shear_y) * math.tan(shear_x) / math.cos(shear_y) - math.sin(rot)
    c = math.sin(rot - shear_y) / math.cos(shear_y)
    d = -math.sin(rot - shear_y) * math.tan(shear_x) / math.cos(shear_y) + math.cos(rot)
    (cx, cy), (tx, ty) = center, translate
    first, second = [d / scale, -b / scale], [-c / scale, a / scale]
    rows = [[x, y, x * (-cx - tx) + y * (-cy - ty) + middle] for (x, y), middle in ((first, cx), (second, cy))]
    return rows[0] + rows[1]


def _from_middle(center: Sequence[float] | None, img: _Image) -> list[float]:
    """The centre, measured from the middle of a tensor."""
    _, height, width = get_dimensions(img)
    return [0.0, 0.0] if center is None else [1.0 * (c - size * 0.5) for c, size in zip(center, (width, height), strict=True)]


def _fill_of_tensor(fill: Any, img: _Image) -> list[float] | None:
    """A colour for each channel; None is black."""
    if fill is None:
        return None
    values = [float(value) for value in fill] if isinstance(fill, (tuple, list)) else [float(fill)]
    channels = get_image_num_channels(img)
    if len(values) not in (1, channels):
        raise ValueError(
            f"The number of elements in 'fill' cannot broadcast to match the number of channels of the image ({len(values)} != {channels})"
        )
    return values * (channels if len(values) == 1 else 1)


def _mode_of_tensor(mode: InterpolationMode, permitted: tuple[InterpolationMode, ...] = _OF_TENSORS) -> str:
    if mode not in permitted:
        raise ValueError(f"Interpolation mode '{mode.value}' is unsupported with Tensor input")
    return mode.value


def rotate(
    img: _Image,
    angle: float,
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[int] | None = None,
    fill: Any = None,
) -> _Image:
    """The image turned.

    Args:
      img: the image.
      angle: in degrees, counter-clockwise.
      interpolation: nearest or bilinear; bicubic too for images of Pillow's.
      expand: whether the result is large enough for the whole turned image.
      center: x and y around which it is turned; by default the middle.
      fill: the colour of what was outside; by default black.

    Raises:
      TypeError: ``angle`` is no number.
      ValueError: ``center`` has not two elements.
    """
    mode = _as_mode(interpolation)
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")
    if not _is_tensor(img):
        return _pil.rotate(img, angle, _PILLOW[mode], expand, center, fill)
    matrix = _inverse_matrix(_from_middle(center, img), -angle, [0.0, 0.0], 1.0, [0.0, 0.0])
    _, height, width = get_dimensions(img)
    across, down = _tensors.size_after(matrix, width, height) if expand else (width, height)
    return _tensors.affine(img, matrix, _mode_of_tensor(mode), _fill_of_tensor(fill, img), (down, across))


def affine(
    img: _Image,
    angle: float,
    translate: Sequence[int],
    scale: float,
    shear: Any,
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
    fill: Any = None,
    center: Sequence[int] | None = None,
) -> _Image:
    """The image turned, moved, scaled and sheared.

    Args:
      img: the image.
      angle: in degrees, clockwise.
      translate: how far to the right and down, in pixels.
      scale: the factor of its size.
      shear: degrees along x, or along x and y.
      interpolation: nearest or bilinear; bicubic too for images of Pillow's.
      fill: the colour of what was outside; by default black.
      center: x and y around which it is turned, scaled and sheared; by default the middle.

    Raises:
      TypeError: an argument is of another type.
      ValueError: a sequence has another length, or ``scale`` is not positive.
    """
    mode = _as_mode(interpolation)
    if not isinstance(angle, (int, float)):
        raise TypeError("Argument angle should be int or float")
    if not isinstance(translate, (list, tuple)):
        raise TypeError("Argument translate should be a sequence")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    if not (is_number(shear) or isinstance(shear, (list, tuple))):
        raise TypeError("Shear should be either a single value or a sequence of two values")
    sheared = [shear, 0.0] if is_number(shear) else list(shear)
    sheared = sheared * 2 if len(sheared) == 1 else sheared
    if len(sheared) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")
    if _is_tensor(img):
        matrix = _inverse_matrix(_from_middle(center, img), angle, [1.0 * t for t in translate], scale, sheared)
        return _tensors.affine(img, matrix, _mode_of_tensor(mode), _fill_of_tensor(fill, img))
    middle = [img.width * 0.5, img.height * 0.5] if center is None else center
    return _pil.transform(img, "AFFINE", _inverse_matrix(middle, angle, translate, scale, sheared), _PILLOW[mode], fill)


def _perspective_coefficients(startpoints: Sequence[Sequence[int]], endpoints: Sequence[Sequence[int]]) -> list[float]:
    """a … h with x' = (a x + b y + c) / (g x + h y + 1), y' = (d x + e y + f) / (g x + h y + 1), from end points to start points."""
    if len(startpoints) != 4 or len(endpoints) != 4:
        raise ValueError(f"Please provide exactly four corners, got {len(startpoints)} startpoints and {len(endpoints)} endpoints.")
    rows = []
    for (x, y), (u, v) in zip(endpoints, startpoints, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    wanted = np.array(startpoints, np.float64).reshape(8)
    solution = np.linalg.lstsq(np.array(rows, np.float64), wanted, rcond=None)[0]
    return [float(value) for value in solution.astype(np.float32)]


def perspective(
    img: _Image,
    startpoints: Sequence[Sequence[int]],
    endpoints: Sequence[Sequence[int]],
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    fill: Any = None,
) -> _Image:
    """The image as seen from elsewhere: four corners ``startpoints`` (x, y) come to lie at ``endpoints``; what was outside has the colour ``fill``."""
    coefficients, mode = _perspective_coefficients(startpoints, endpoints), _as_mode(interpolation)
    if _is_tensor(img):
        return _tensors.perspective(img, coefficients, _mode_of_tensor(mode), _fill_of_tensor(fill, img))
    return _pil.transform(img, "PERSPECTIVE", coefficients, _PILLOW[mode], fill)


def elastic_transform(
    img: _Image, displacement: Any, interpolation: InterpolationMode = InterpolationMode.BILINEAR, fill: Any = None
) -> _Image:
    """Each pixel taken from its place plus ``displacement`` (1, H, W, 2), in halves of the image's size.

    Raises:
      TypeError: ``displacement`` is no tensor.
      ValueError: it has another shape.
    """
    mode = _as_mode(interpolation)
    if not isinstance(displacement, torch.Tensor):
        raise TypeError("Argument displacement should be a Tensor")
    values = img if _is_tensor(img) else pil_to_tensor(img)
    shape = (1, *values.shape[-2:], 2)
    if tuple(displacement.shape) != tuple(shape):
        raise ValueError(f"Argument displacement shape should be {shape}, but given {displacement.shape}")
    permitted = (*_OF_TENSORS, InterpolationMode.BICUBIC)
    out = _tensors.elastic(values, displacement, _mode_of_tensor(mode, permitted), _fill_of_tensor(fill, values))
    return out if values is img else to_pil_image(out, mode=img.mode)
