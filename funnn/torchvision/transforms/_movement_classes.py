"""Transforms that turn, shear and bend."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import funnn.torch as torch
from funnn.torchvision.transforms import functional as F
from funnn.torchvision.transforms._base import Transform, WithProbability, angles, integer, sequence, uniform
from funnn.torchvision.transforms._interpolation import InterpolationMode, as_mode


def _colour(fill: Any) -> Any:
    if fill is None:
        return 0
    if not isinstance(fill, (Sequence, numbers.Number)):
        raise TypeError("Fill should be either a sequence or a number.")
    return fill


class RandomRotation(Transform):
    """Turned by a random angle.

    Args:
      degrees: x for angles from -x to x, or their ends.
      interpolation: how values between pixels are made.
      expand: whether the result is large enough for the whole turned image.
      center: x and y around which it is turned; by default the middle.
      fill: the colour of what was outside.
    """

    geometric = True

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.degrees = angles(degrees, "degrees")
        if center is not None:
            sequence(center, "center", (2,))
        self.interpolation = as_mode(interpolation)
        self.expand, self.center, self.fill = expand, center, _colour(fill)

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """The angle."""
        return uniform(float(degrees[0]), float(degrees[1]))

    def draw(self, img: Any) -> Any:
        """The angle."""
        return self.get_params(self.degrees)

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.rotate(img, drawn, self.interpolation, self.expand, self.center, self.fill)

    def __repr__(self) -> str:
        center = f", center={self.center}" if self.center is not None else ""
        return (
            f"{type(self).__name__}(degrees={self.degrees}, interpolation={self.interpolation.value}, "
            f"expand={self.expand}{center}, fill={self.fill})"
        )


class RandomAffine(Transform):
    """Turned, moved, scaled and sheared at random, around the middle.

    Args:
      degrees: x for angles from -x to x, or their ends.
      translate: the largest part of width and height by which it is moved.
      scale: the least and the largest factor.
      shear: x for degrees along x from -x to x, their ends, or those along x and along y.
      interpolation: how values between pixels are made.
      fill: the colour of what was outside.
      center: x and y around which it is turned.
    """

    geometric = True

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        fill: Any = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        self.degrees = angles(degrees, "degrees")
        if translate is not None:
            sequence(translate, "translate", (2,))
            if not all(0.0 <= part <= 1.0 for part in translate):
                raise ValueError("translation values should be between 0 and 1")
        if scale is not None:
            sequence(scale, "scale", (2,))
            if any(factor <= 0 for factor in scale):
                raise ValueError("scale values should be positive")
        if center is not None:
            sequence(center, "center", (2,))
        self.translate, self.scale = translate, scale
        self.shear = None if shear is None else angles(shear, "shear", (2, 4))
        self.interpolation = as_mode(interpolation)
        self.fill, self.center = _colour(fill), center

    @staticmethod
    def get_params(
        degrees: Sequence[float],
        translate: Sequence[float] | None,
        scale_ranges: Sequence[float] | None,
        shears: Sequence[float] | None,
        img_size: Sequence[int],
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """Angle, movement, factor and shears, for an image of that width and height."""
        angle = uniform(float(degrees[0]), float(degrees[1]))
        moves, scale, shear_x, shear_y = (0, 0), 1.0, 0.0, 0.0
        if translate is not None:
            x, y = float(translate[0] * img_size[0]), float(translate[1] * img_size[1])
            moves = round(uniform(-x, x)), round(uniform(-y, y))
        if scale_ranges is not None:
            scale = uniform(scale_ranges[0], scale_ranges[1])
        if shears is not None:
            shear_x = uniform(shears[0], shears[1])
            shear_y = uniform(shears[2], shears[3]) if len(shears) == 4 else 0.0
        return angle, moves, scale, (shear_x, shear_y)

    def draw(self, img: Any) -> Any:
        """As :meth:`get_params`."""
        return self.get_params(self.degrees, self.translate, self.scale, self.shear, F.get_image_size(img))

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.affine(img, *drawn, interpolation=self.interpolation, fill=self.fill, center=self.center)

    def __repr__(self) -> str:
        parts = [f"degrees={self.degrees}"]
        parts += [f"{name}={getattr(self, name)}" for name in ("translate", "scale", "shear") if getattr(self, name) is not None]
        if self.interpolation != InterpolationMode.NEAREST:
            parts.append(f"interpolation={self.interpolation.value}")
        if self.fill != 0:
            parts.append(f"fill={self.fill}")
        if self.center is not None:
            parts.append(f"center={self.center}")
        return f"{type(self).__name__}({', '.join(parts)})"


class RandomPerspective(WithProbability):
    """The corners moved inwards at random, with probability ``p``.

    Args:
      distortion_scale: how far, as a part of half the image, from 0 to 1.
      p: the probability.
      interpolation: how values between pixels are made.
      fill: the colour of what was outside.
    """

    geometric = True

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__(p)
        self.interpolation = as_mode(interpolation)
        self.distortion_scale, self.fill = distortion_scale, _colour(fill)

    @staticmethod
    def get_params(width: int, height: int, distortion_scale: float) -> tuple[list[list[int]], list[list[int]]]:
        """Where the corners (x, y) are, and where they come to lie; from the upper left one on, clockwise."""
        x, y = int(distortion_scale * (width // 2)), int(distortion_scale * (height // 2))
        left, right = (0, x + 1), (width - x - 1, width)
        top, bottom = (0, y + 1), (height - y - 1, height)
        ends = [[integer(*across), integer(*down)] for across, down in ((left, top), (right, top), (right, bottom), (left, bottom))]
        return [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], ends

    def draw(self, img: Any) -> Any:
        """As :meth:`get_params`; None where the image stays as it is."""
        if super().draw(img) is None:
            return None
        width, height = F.get_image_size(img)
        return self.get_params(width, height, self.distortion_scale)

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.perspective(img, *drawn, self.interpolation, self.fill)


class ElasticTransform(Transform):
    """Pixels moved by smooth random distances.

    Args:
      alpha: how far, in x and y or one number for both.
      sigma: how smooth, likewise.
      interpolation: how values between pixels are made.
      fill: the colour of what was outside.
    """

    geometric = True

    def __init__(
        self,
        alpha: float | Sequence[float] = 50.0,
        sigma: float | Sequence[float] = 5.0,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        fill: Any = 0,
    ) -> None:
        super().__init__()
        self.alpha, self.sigma = _pair(alpha, "alpha"), _pair(sigma, "sigma")
        self.interpolation = as_mode(interpolation)
        self.fill = [float(value) for value in fill] if isinstance(fill, (list, tuple)) else [float(fill)]

    @staticmethod
    def get_params(alpha: Sequence[float], sigma: Sequence[float], size: Sequence[int]) -> Any:
        """The distances (1, H, W, 2), in halves of the image's size."""
        parts = []
        for axis in (0, 1):
            distances = torch.rand([1, 1, *size]) * 2 - 1
            if sigma[axis] > 0.0:
                width = int(8 * sigma[axis] + 1) | 1
                distances = F.gaussian_blur(distances, [width, width], list(sigma))
            parts.append(distances * alpha[axis] / size[1 - axis])
        return torch.concat(parts, 1).permute([0, 2, 3, 1])

    def draw(self, img: Any) -> Any:
        """The distances."""
        return self.get_params(self.alpha, self.sigma, F.get_dimensions(img)[1:])

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.elastic_transform(img, drawn, self.interpolation, self.fill)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(alpha={self.alpha}, sigma={self.sigma}, interpolation={self.interpolation}, fill={self.fill})"


def _pair(value: Any, name: str) -> Any:
    if not isinstance(value, (float, int, Sequence)):
        raise TypeError(f"{name} should be float or a sequence of floats. Got {type(value)}")
    values = [float(v) for v in value] if isinstance(value, Sequence) else [float(value)]
    if len(values) not in (1, 2):
        raise ValueError(f"If {name} is a sequence its length should be 1 or 2. Got {len(values)}")
    return values * 2 if len(values) == 1 else value
