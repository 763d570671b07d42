"""Operations on images of Pillow's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from funnn.torchvision._optional import Image, ImageEnhance, ImageOps
from funnn.torchvision.transforms._values import is_number

PilImage = Any


def size_of(img: PilImage) -> tuple[int, int, int]:
    """Channels, height and width."""
    return len(img.getbands()), img.height, img.width


def crop(img: PilImage, top: int, left: int, height: int, width: int) -> PilImage:
    """A part, with black where it lies outside."""
    return img.crop((left, top, left + width, top + height))


def hflip(img: PilImage) -> PilImage:
    """Mirrored left to right."""
    return img.transpose(Image.FLIP_LEFT_RIGHT)


def vflip(img: PilImage) -> PilImage:
    """Mirrored top to bottom."""
    return img.transpose(Image.FLIP_TOP_BOTTOM)


def resize(img: PilImage, size: Sequence[int], interpolation: int) -> PilImage:
    """``size``: height and width."""
    return img.resize((size[1], size[0]), interpolation)


def pad(img: PilImage, padding: Sequence[int], fill: Any, mode: Any) -> PilImage:
    """``padding``: left, top, right, bottom."""
    if mode == "constant":
        colour = fill_of(fill, img)
        if img.mode == "P":
            padded = ImageOps.expand(img, border=tuple(padding), fill=colour)
            padded.putpalette(img.getpalette())
            return padded
        return ImageOps.expand(img, border=tuple(padding), fill=colour)
    left, top, right, bottom = padding
    cut = [max(-side, 0) for side in (left, top, right, bottom)]
    if any(cut):
        img = img.crop((cut[0], cut[1], img.width - cut[2], img.height - cut[3]))
        left, top, right, bottom = (max(side, 0) for side in (left, top, right, bottom))
    array = np.asarray(img)
    rest: Any = ((0, 0),) * (array.ndim - 2)
    padded = Image.fromarray(np.pad(array, ((top, bottom), (left, right), *rest), mode=mode))
    if img.mode == "P":
        padded.putpalette(img.getpalette())
    return padded


def fill_of(fill: Any, img: PilImage) -> Any:
    """A colour with as many numbers as the image has bands.

    Raises:
      ValueError: it has another number of them.
    """
    bands = len(img.getbands())
    if fill is None:
        fill = 0
    if is_number(fill):
        fill = (fill,) * bands if bands > 1 else fill
    elif isinstance(fill, (list, tuple)):
        if len(fill) == 1:
            fill = tuple(fill) * bands
        elif len(fill) != bands:
            raise ValueError(
                f"The number of elements in 'fill' does not match the number of channels of the image ({len(fill)} != {bands})"
            )
        fill = tuple(fill) if bands > 1 else fill[0]
    if img.mode == "F":
        return fill
    return tuple(int(value) for value in fill) if isinstance(fill, tuple) else int(fill)


def transform(img: PilImage, method: str, data: Sequence[float], interpolation: int, fill: Any) -> PilImage:
    """Pillow's ``Image.transform`` by its method's name, to an image of the same size."""
    return img.transform(img.size, getattr(Image, method), list(data), interpolation, fillcolor=fill_of(fill, img))


def rotate(img: PilImage, angle: float, interpolation: int, expand: bool, center: Any, fill: Any) -> PilImage:
    """Counter-clockwise, in degrees."""
    return img.rotate(angle, interpolation, expand, tuple(center) if center is not None else None, fillcolor=fill_of(fill, img))


def rgb_to_grayscale(img: PilImage, num_output_channels: int) -> PilImage:
    """One channel of luma, or three that are equal."""
    grey = img.convert("L")
    if num_output_channels == 1:
        return grey
    if num_output_channels != 3:
        raise ValueError("num_output_channels should be either 1 or 3")
    return Image.merge("RGB", (grey, grey, grey))


def adjust_brightness(img: PilImage, factor: float) -> PilImage:
    """Towards black."""
    return ImageEnhance.Brightness(img).enhance(factor)


def adjust_contrast(img: PilImage, factor: float) -> PilImage:
    """Towards the mean of the grey image."""
    return ImageEnhance.Contrast(img).enhance(factor)


def adjust_saturation(img: PilImage, factor: float) -> PilImage:
    """Towards the grey image."""
    return ImageEnhance.Color(img).enhance(factor)


def adjust_sharpness(img: PilImage, factor: float) -> PilImage:
    """Towards a blurred image."""
    return ImageEnhance.Sharpness(img).enhance(factor)


def adjust_hue(img: PilImage, factor: float) -> PilImage:
    """Hues turned by a part of the circle, in steps of 1/255."""
    if img.mode in {"L", "1", "I", "F"}:
        return img
    h, s, v = img.convert("HSV").split()
    turned = np.array(h, dtype=np.uint8) + np.int32(factor * 255).astype(np.uint8)
    return Image.merge("HSV", (Image.fromarray(turned.astype(np.uint8), "L"), s, v)).convert(img.mode)


def adjust_gamma(img: PilImage, gamma: float, gain: float) -> PilImage:
    """gain · value^gamma, for values from 0 to 1."""
    table = [int((255 + 1 - 1e-3) * gain * pow(value / 255.0, gamma)) for value in range(256)]
    return img.convert("RGB").point(table * 3).convert(img.mode)


def invert(img: PilImage) -> PilImage:
    """White minus the values."""
    return ImageOps.invert(img)


def posterize(img: PilImage, bits: int) -> PilImage:
    """The first bits of each value."""
    return ImageOps.posterize(img, bits)


def solarize(img: PilImage, threshold: float) -> PilImage:
    """Values from the threshold on are inverted."""
    return ImageOps.solarize(img, threshold)


def autocontrast(img: PilImage) -> PilImage:
    """Each channel's values stretched from black to white."""
    return ImageOps.autocontrast(img)


def equalize(img: PilImage) -> PilImage:
    """Each channel's histogram made flat."""
    return ImageOps.equalize(img)
