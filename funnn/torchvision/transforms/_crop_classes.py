"""Transforms that resize, pad, crop, mirror and erase."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

import funnn.torch as torch
from funnn.torchvision.transforms import functional as F
from funnn.torchvision.transforms._base import Transform, WithProbability, integer, two_sizes, uniform
from funnn.torchvision.transforms._interpolation import InterpolationMode, as_mode


class Resize(Transform):
    """The image in another size.

    Args:
      size: height and width, or the length of the shorter side, whose ratio to the other one stays.
      interpolation: how values between pixels are made.
      max_size: the longest that the longer side may be, where ``size`` is one number.
      antialias: whether tensors are smoothed where they become smaller.
    """

    geometric = True

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        if not isinstance(size, (int, Sequence)):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        if isinstance(size, Sequence) and len(size) not in (1, 2):
            raise ValueError("If size is a sequence, it should have 1 or 2 values")
        self.size, self.max_size, self.antialias = size, max_size, antialias
        self.interpolation = as_mode(interpolation)

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.resize(img, self.size, self.interpolation, self.max_size, self.antialias)

    def __repr__(self) -> str:
        mode = self.interpolation.value
        return f"{type(self).__name__}(size={self.size}, interpolation={mode}, max_size={self.max_size}, antialias={self.antialias})"


class _Sized(Transform):
    """Crops of one size."""

    geometric = True

    def __init__(self, size: int | Sequence[int]) -> None:
        super().__init__()
        self.size = two_sizes(size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


class CenterCrop(_Sized):
    """The middle; a smaller image gets a black border.

    Args:
      size: height and width, or one number for both.
    """

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.center_crop(img, self.size)


class Pad(Transform):
    """The image with a border.

    Args:
      padding: of all sides, of left/right and top/bottom, or of left, top, right and bottom.
      fill: the colour, for ``constant``.
      padding_mode: ``constant``, ``edge``, ``reflect`` or ``symmetric``.
    """

    geometric = True

    def __init__(self, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> None:
        super().__init__()
        if not isinstance(padding, (numbers.Number, tuple, list)):
            raise TypeError("Got inappropriate padding arg")
        if not isinstance(fill, (numbers.Number, str, tuple, list)):
            raise TypeError("Got inappropriate fill arg")
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError("Padding mode should be either constant, edge, reflect or symmetric")
        if isinstance(padding, Sequence) and len(padding) not in (1, 2, 4):
            raise ValueError(f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(padding)} element tuple")
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.pad(img, self.padding, self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class RandomCrop(Transform):
    """A part at a random place.

    Args:
      size: height and width, or one number for both.
      padding: a border that the image gets before.
      pad_if_needed: whether a smaller image gets a border; else it is an error.
      fill: the border's colour.
      padding_mode: as of :class:`Pad`.
    """

    geometric = True

    def __init__(
        self, size: int | Sequence[int], padding: Any = None, pad_if_needed: bool = False, fill: Any = 0, padding_mode: str = "constant"
    ) -> None:
        super().__init__()
        self.size = two_sizes(size)
        self.padding, self.pad_if_needed, self.fill, self.padding_mode = padding, pad_if_needed, fill, padding_mode

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Top, left, height and width of the part."""
        _, height, width = F.get_dimensions(img)
        return _place(height, width, *output_size)

    def _sides(self) -> list[int]:
        """Left, top, right and bottom."""
        sides = list(self.padding) if isinstance(self.padding, (list, tuple)) else [self.padding]
        return sides * (4 // len(sides))

    def draw(self, img: Any) -> Any:
        """The borders, then top, left, height and width."""
        _, height, width = F.get_dimensions(img)
        borders = []
        if self.padding is not None:
            left, top, right, bottom = self._sides()
            borders.append([left, top, right, bottom])
            width, height = width + left + right, height + top + bottom
        if self.pad_if_needed and width < self.size[1]:
            borders.append([self.size[1] - width, 0])
            width = 2 * self.size[1] - width
        if self.pad_if_needed and height < self.size[0]:
            borders.append([0, self.size[0] - height])
            height = 2 * self.size[0] - height
        return borders, _place(height, width, *self.size)

    def apply(self, img: Any, drawn: Any) -> Any:
        borders, place = drawn
        for border in borders:
            img = self.functional.pad(img, border, self.fill, self.padding_mode)
        return self.functional.crop(img, *place)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, padding={self.padding})"


def _place(height: int, width: int, wanted_h: int, wanted_w: int) -> tuple[int, int, int, int]:
    if height < wanted_h or width < wanted_w:
        raise ValueError(f"Required crop size {(wanted_h, wanted_w)} is larger than input image size {(height, width)}")
    if (height, width) == (wanted_h, wanted_w):
        return 0, 0, height, width
    return integer(0, height - wanted_h + 1), integer(0, width - wanted_w + 1), wanted_h, wanted_w


class RandomHorizontalFlip(WithProbability):
    """Mirrored left to right with probability ``p``."""

    geometric = True

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.hflip(img)


class RandomVerticalFlip(WithProbability):
    """Mirrored top to bottom with probability ``p``."""

    geometric = True

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.vflip(img)


class RandomResizedCrop(Transform):
    """A part of random area and ratio, in a given size: the usual augmentation of ImageNet.

    Args:
      size: height and width of the result, or one number for both.
      scale: the least and the largest part of the image's area.
      ratio: the least and the largest width / height of the part.
      interpolation: how values between pixels are made.
      antialias: whether tensors are smoothed where they become smaller.
    """

    geometric = True

    def __init__(
        self,
        size: int | Sequence[int],
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3.0 / 4.0, 4.0 / 3.0),
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.size = two_sizes(size)
        for value, name in ((scale, "Scale"), (ratio, "Ratio")):
            if not isinstance(value, Sequence):
                raise TypeError(f"{name} should be a sequence")
        if scale[0] > scale[1] or ratio[0] > ratio[1]:
            warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=2)
        self.interpolation = as_mode(interpolation)
        self.scale, self.ratio, self.antialias = scale, ratio, antialias

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> tuple[int, int, int, int]:
        """Top, left, height and width of the part; after ten that do not fit, the middle."""
        _, height, width = F.get_dimensions(img)
        low, high = _logarithms(ratio)
        for _ in range(10):
            area = height * width * uniform(scale[0], scale[1])
            aspect = torch.exp(torch.empty(1).uniform_(low, high)).item()
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                return integer(0, height - h + 1), integer(0, width - w + 1), h, w
        w, h = width, height
        if width / height < min(ratio):
            h = round(width / min(ratio))
        elif width / height > max(ratio):
            w = round(height * max(ratio))
        return (height - h) // 2, (width - w) // 2, h, w

    def draw(self, img: Any) -> Any:
        """Top, left, height and width."""
        return self.get_params(img, self.scale, self.ratio)

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.resized_crop(img, *drawn, self.size, self.interpolation, antialias=self.antialias)

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(value, 4) for value in pair) for pair in (self.scale, self.ratio))
        return (
            f"{type(self).__name__}(size={self.size}, scale={scale}, ratio={ratio}, "
            f"interpolation={self.interpolation.value}, antialias={self.antialias})"
        )


def _logarithms(ratio: Sequence[float]) -> list[float]:
    return [float(np.log(np.float32(value))) for value in ratio]


class FiveCrop(_Sized):
    """The four corners and the middle, as a tuple.

    Args:
      size: height and width, or one number for both.
    """

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.five_crop(img, self.size)


class TenCrop(_Sized):
    """:class:`FiveCrop` of the image and of the mirrored image.

    Args:
      size: height and width, or one number for both.
      vertical_flip: whether it is mirrored top to bottom.
    """

    def __init__(self, size: int | Sequence[int], vertical_flip: bool = False) -> None:
        super().__init__(size)
        self.vertical_flip = vertical_flip

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.ten_crop(img, self.size, self.vertical_flip)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, vertical_flip={self.vertical_flip})"


class RandomErasing(WithProbability):
    """A rectangle of a tensor is overwritten with probability ``p``.

    Args:
      p: the probability.
      scale: the least and the largest part of the image's area.
      ratio: the least and the largest height / width of the rectangle.
      value: what is written: a number, one for each channel, or "random" for normal numbers.
      inplace: whether the tensor itself is changed.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0,
        inplace: bool = False,
    ) -> None:
        super().__init__(p)
        if not isinstance(value, (numbers.Number, str, tuple, list)):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        for pair, name in ((scale, "Scale"), (ratio, "Ratio")):
            if not isinstance(pair, Sequence):
                raise TypeError(f"{name} should be a sequence")
        if scale[0] > scale[1] or ratio[0] > ratio[1]:
            warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=2)
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError("Scale should be between 0 and 1")
        if p < 0 or p > 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.scale, self.ratio, self.value, self.inplace = scale, ratio, value, inplace

    @staticmethod
    def get_params(
        img: Any, scale: Sequence[float], ratio: Sequence[float], value: list[float] | None = None
    ) -> tuple[int, int, int, int, Any]:
        """Top, left, height, width and values of the rectangle; the image itself after ten that do not fit."""
        channels, height, width = img.shape[-3], img.shape[-2], img.shape[-1]
        low, high = _logarithms(ratio)
        for _ in range(10):
            area = height * width * uniform(scale[0], scale[1])
            aspect = torch.exp(torch.empty(1).uniform_(low, high)).item()
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if not (h < height and w < width):
                continue
            values = torch.empty([channels, h, w]).normal_() if value is None else torch.tensor(value)[:, None, None]
            return integer(0, height - h + 1), integer(0, width - w + 1), h, w, values
        return 0, 0, height, width, img

    def draw(self, img: Any) -> Any:
        """The rectangle and its values; None where the image stays as it is."""
        if super().draw(img) is None:
            return None
        value: Any = self.value
        value = None if isinstance(value, str) else [float(v) for v in value] if isinstance(value, (tuple, list)) else [float(value)]
        if value is not None and len(value) not in (1, img.shape[-3]):
            raise ValueError(f"If value is a sequence, it should have either a single value or {img.shape[-3]} (number of input channels)")
        return self.get_params(img, self.scale, self.ratio, value)

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.erase(img, *drawn, self.inplace)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value}, inplace={self.inplace})"
