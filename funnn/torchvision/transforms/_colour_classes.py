"""Transforms of colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import funnn.torch as torch
from funnn.torchvision.transforms import functional as F
from funnn.torchvision.transforms._base import Transform, WithProbability, sequence, uniform
from funnn.torchvision.transforms._values import is_number

_ADJUST = ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue by random factors, in a random order.

    Args:
      brightness: x for factors from max(0, 1 - x) to 1 + x, or their ends.
      contrast: likewise.
      saturation: likewise.
      hue: x for turns from -x to x, at most 0.5, or their ends.

    Raises:
      TypeError: one is neither a number nor a pair.
      ValueError: one is negative or out of range.
    """

    def __init__(self, brightness: Any = 0, contrast: Any = 0, saturation: Any = 0, hue: Any = 0) -> None:
        super().__init__()
        self.brightness = self._range(brightness, "brightness")
        self.contrast = self._range(contrast, "contrast")
        self.saturation = self._range(saturation, "saturation")
        self.hue = self._range(hue, "hue", center=0, bound=(-0.5, 0.5), cut=False)

    @staticmethod
    def _range(
        value: Any, name: str, center: float = 1, bound: tuple[float, float] = (0, float("inf")), cut: bool = True
    ) -> tuple[float, float] | None:
        if is_number(value):
            if value < 0:
                raise ValueError(f"If {name} is a single number, it must be non negative.")
            ends = [center - float(value), center + float(value)]
            if cut:
                ends[0] = max(ends[0], 0.0)
        elif isinstance(value, (tuple, list)) and len(value) == 2:
            ends = [float(value[0]), float(value[1])]
        else:
            raise TypeError(f"{name} should be a single number or a list/tuple with length 2.")
        if not bound[0] <= ends[0] <= ends[1] <= bound[1]:
            raise ValueError(f"{name} values should be between {bound}, but got {ends}.")
        return None if ends[0] == ends[1] == center else (ends[0], ends[1])

    @staticmethod
    def get_params(
        brightness: Sequence[float] | None,
        contrast: Sequence[float] | None,
        saturation: Sequence[float] | None,
        hue: Sequence[float] | None,
    ) -> tuple[Any, float | None, float | None, float | None, float | None]:
        """The order of the four, and their factors."""
        order = torch.randperm(4)
        factors = [None if ends is None else uniform(ends[0], ends[1]) for ends in (brightness, contrast, saturation, hue)]
        return order, factors[0], factors[1], factors[2], factors[3]

    def draw(self, img: Any) -> Any:
        """As :meth:`get_params`."""
        return self.get_params(self.brightness, self.contrast, self.saturation, self.hue)

    def apply(self, img: Any, drawn: Any) -> Any:
        order, *factors = drawn
        for i in order.tolist():
            if factors[i] is not None:
                img = getattr(self.functional, _ADJUST[i])(img, factors[i])
        return img

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(brightness={self.brightness}, contrast={self.contrast}, saturation={self.saturation}, hue={self.hue})"
        )


class Grayscale(Transform):
    """The grey image.

    Args:
      num_output_channels: 1, or 3 that are equal.
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        self.num_output_channels = num_output_channels

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.rgb_to_grayscale(img, num_output_channels=self.num_output_channels)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_output_channels={self.num_output_channels})"


class RandomGrayscale(WithProbability):
    """The grey image, in as many channels, with probability ``p``."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.rgb_to_grayscale(img, num_output_channels=F.get_image_num_channels(img))


class RandomInvert(WithProbability):
    """White minus the values, with probability ``p``."""

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.invert(img)


class RandomPosterize(WithProbability):
    """The first ``bits`` of each byte, with probability ``p``."""

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = bits

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.posterize(img, self.bits)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bits={self.bits},p={self.p})"


class RandomSolarize(WithProbability):
    """Values from the threshold on are inverted, with probability ``p``."""

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.solarize(img, self.threshold)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(threshold={self.threshold},p={self.p})"


class RandomAdjustSharpness(WithProbability):
    """Blurred (factor below 1) or sharpened (above 1), with probability ``p``."""

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.adjust_sharpness(img, self.sharpness_factor)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sharpness_factor={self.sharpness_factor},p={self.p})"


class RandomAutocontrast(WithProbability):
    """Each channel's values stretched from black to white, with probability ``p``."""

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.autocontrast(img)


class RandomEqualize(WithProbability):
    """Each channel's histogram made flat, with probability ``p``."""

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.equalize(img)


class GaussianBlur(Transform):
    """The image under a Gaussian of random width.

    Args:
      kernel_size: odd sizes in y and x, or one for both.
      sigma: the least and the largest standard deviation, or one number.

    Raises:
      ValueError: a size is even or not positive, or a deviation not positive.
    """

    def __init__(self, kernel_size: Any, sigma: Any = (0.1, 2.0)) -> None:
        super().__init__()
        sizes = (kernel_size, kernel_size) if is_number(kernel_size) else kernel_size
        if not isinstance(sizes, Sequence) or len(sizes) != 2:
            raise ValueError("Kernel size should be a tuple/list of two integers")
        for size in sizes:
            if size <= 0 or size % 2 == 0:
                raise ValueError("Kernel size value should be an odd and positive number.")
        if is_number(sigma):
            if sigma <= 0:
                raise ValueError("If sigma is a single number, it must be positive.")
            sigma = (sigma, sigma)
        elif isinstance(sigma, Sequence) and len(sigma) == 2:
            if not 0.0 < sigma[0] <= sigma[1]:
                raise ValueError("sigma values should be positive and of the form (min, max).")
        else:
            sequence(sigma, "sigma", (2,))
        self.kernel_size: Any = sizes
        self.sigma: Any = sigma

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """The standard deviation."""
        return uniform(sigma_min, sigma_max)

    def draw(self, img: Any) -> Any:
        """The standard deviation."""
        return self.get_params(self.sigma[0], self.sigma[1])

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.gaussian_blur(img, self.kernel_size, [drawn, drawn])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(kernel_size={self.kernel_size}, sigma={self.sigma})"
