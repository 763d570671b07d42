"""v2's classes that are those of transforms, for whole samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import funnn.torch as torch
from funnn.torchvision.transforms import _colour_classes as colours
from funnn.torchvision.transforms import _conversion_classes as conversions
from funnn.torchvision.transforms import _crop_classes as crops
from funnn.torchvision.transforms import _movement_classes as movements
from funnn.torchvision.transforms import autoaugment
from funnn.torchvision.transforms import functional as F
from funnn.torchvision.transforms._tensor_images import largest
from funnn.torchvision.transforms.v2._samples import OfSamples


class Resize(OfSamples, crops.Resize):
    """As :class:`funnn.torchvision.transforms.Resize`, of samples."""

    shown = ("size", "interpolation", "max_size", "antialias")

    def __init__(self, size: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__([size] if isinstance(size, int) else list(size), *args, **kwargs)


class CenterCrop(OfSamples, crops.CenterCrop):
    """As :class:`funnn.torchvision.transforms.CenterCrop`, of samples."""

    shown = ("size",)


class Pad(OfSamples, crops.Pad):
    """As :class:`funnn.torchvision.transforms.Pad`, of samples."""

    shown = ("padding", "fill", "padding_mode")

    def __init__(self, padding: int | Sequence[int], fill: Any = 0, padding_mode: str = "constant") -> None:
        super().__init__(padding if isinstance(padding, int) else list(padding), fill, padding_mode)


class RandomCrop(OfSamples, crops.RandomCrop):
    """As :class:`funnn.torchvision.transforms.RandomCrop`, of samples."""

    shown = ("size", "padding", "pad_if_needed", "fill", "padding_mode")

    def __init__(
        self, size: int | Sequence[int], padding: Any = None, pad_if_needed: bool = False, fill: Any = 0, padding_mode: str = "constant"
    ) -> None:
        super().__init__(size, padding, pad_if_needed, fill, padding_mode)
        if padding is not None:
            left, top, right, bottom = super()._sides()
            self.padding = [left, right, top, bottom]

    def _sides(self) -> list[int]:
        left, right, top, bottom = self.padding
        return [left, top, right, bottom]


class RandomHorizontalFlip(OfSamples, crops.RandomHorizontalFlip):
    """As :class:`funnn.torchvision.transforms.RandomHorizontalFlip`, of samples."""

    shown = ("p",)


class RandomVerticalFlip(OfSamples, crops.RandomVerticalFlip):
    """As :class:`funnn.torchvision.transforms.RandomVerticalFlip`, of samples."""

    shown = ("p",)


class RandomResizedCrop(OfSamples, crops.RandomResizedCrop):
    """As :class:`funnn.torchvision.transforms.RandomResizedCrop`, of samples."""

    shown = ("size", "scale", "ratio", "interpolation", "antialias")


class FiveCrop(OfSamples, crops.FiveCrop):
    """As :class:`funnn.torchvision.transforms.FiveCrop`, of samples."""

    shown = ("size",)


class TenCrop(OfSamples, crops.TenCrop):
    """As :class:`funnn.torchvision.transforms.TenCrop`, of samples."""

    shown = ("size", "vertical_flip")


class RandomErasing(OfSamples, crops.RandomErasing):
    """As :class:`funnn.torchvision.transforms.RandomErasing`, of samples."""

    shown = ("p", "scale", "ratio", "value", "inplace")

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: Any = 0.0,
        inplace: bool = False,
    ) -> None:
        super().__init__(p, scale, ratio, value, inplace)
        if isinstance(value, (int, float)):
            self.value = [float(value)]
        elif value == "random":
            self.value = value
        else:
            self.value = [float(v) for v in value]

    def __repr__(self) -> str:
        return super().__repr__().replace("value=random, ", "")


class ConvertImageDtype(OfSamples, conversions.ConvertImageDtype):
    """As :class:`funnn.torchvision.transforms.ConvertImageDtype`, of samples."""


class Normalize(OfSamples, conversions.Normalize):
    """As :class:`funnn.torchvision.transforms.Normalize`, of samples."""

    shown = ("mean", "std", "inplace")

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        super().__init__(list(mean), list(std), inplace)


class LinearTransformation(OfSamples, conversions.LinearTransformation):
    """As :class:`funnn.torchvision.transforms.LinearTransformation`, of samples."""


class ColorJitter(OfSamples, colours.ColorJitter):
    """As :class:`funnn.torchvision.transforms.ColorJitter`, of samples."""

    shown = ("brightness", "contrast", "saturation", "hue")


class Grayscale(OfSamples, colours.Grayscale):
    """As :class:`funnn.torchvision.transforms.Grayscale`, of samples."""

    shown = ("num_output_channels",)


class RandomGrayscale(OfSamples, colours.RandomGrayscale):
    """As :class:`funnn.torchvision.transforms.RandomGrayscale`, of samples."""

    shown = ("p",)


class RandomInvert(OfSamples, colours.RandomInvert):
    """As :class:`funnn.torchvision.transforms.RandomInvert`, of samples."""

    shown = ("p",)


class RandomPosterize(OfSamples, colours.RandomPosterize):
    """As :class:`funnn.torchvision.transforms.RandomPosterize`, of samples."""

    shown = ("p", "bits")


class RandomSolarize(OfSamples, colours.RandomSolarize):
    """As :class:`funnn.torchvision.transforms.RandomSolarize`, of samples."""

    shown = ("p", "threshold")


class RandomAdjustSharpness(OfSamples, colours.RandomAdjustSharpness):
    """As :class:`funnn.torchvision.transforms.RandomAdjustSharpness`, of samples."""

    shown = ("p", "sharpness_factor")


class RandomAutocontrast(OfSamples, colours.RandomAutocontrast):
    """As :class:`funnn.torchvision.transforms.RandomAutocontrast`, of samples."""

    shown = ("p",)


class RandomEqualize(OfSamples, colours.RandomEqualize):
    """As :class:`funnn.torchvision.transforms.RandomEqualize`, of samples."""

    shown = ("p",)


class GaussianBlur(OfSamples, colours.GaussianBlur):
    """As :class:`funnn.torchvision.transforms.GaussianBlur`, of samples."""

    shown = ("kernel_size", "sigma")

    def __init__(self, kernel_size: int | Sequence[int], sigma: float | Sequence[float] = (0.1, 2.0)) -> None:
        super().__init__(kernel_size, sigma)
        self.sigma = [float(value) for value in self.sigma]


class RandomRotation(OfSamples, movements.RandomRotation):
    """As :class:`funnn.torchvision.transforms.RandomRotation`, of samples."""

    shown = ("degrees", "interpolation", "expand", "fill", "center")


class RandomAffine(OfSamples, movements.RandomAffine):
    """As :class:`funnn.torchvision.transforms.RandomAffine`, of samples."""

    shown = ("degrees", "translate", "scale", "shear", "interpolation", "fill", "center")


class RandomPerspective(OfSamples, movements.RandomPerspective):
    """As :class:`funnn.torchvision.transforms.RandomPerspective`, of samples."""

    shown = ("p", "distortion_scale", "interpolation", "fill")


class ElasticTransform(OfSamples, movements.ElasticTransform):
    """As :class:`funnn.torchvision.transforms.ElasticTransform`, of samples."""

    shown = ("alpha", "sigma", "interpolation")

    def __init__(self, alpha: Any = 50.0, sigma: Any = 5.0, *args: Any, **kwargs: Any) -> None:
        super().__init__(alpha, sigma, *args, **kwargs)
        self.alpha, self.sigma = list(self.alpha), list(self.sigma)

    def __repr__(self) -> str:
        fill: Any = self.fill if len(self.fill) > 1 else int(self.fill[0]) if self.fill[0].is_integer() else self.fill[0]
        return f"{super().__repr__()[:-1]}, fill={fill})"


def _negative() -> bool:
    return bool(torch.rand(()).item() <= 0.5)


def _threshold(img: Any, strength: float) -> float:
    """Of the image's type."""
    white = largest(img.dtype) if isinstance(img, torch.Tensor) else 255
    return float(np.float32(strength / 255)) * white


class AutoAugment(OfSamples, autoaugment.AutoAugment):
    """As :class:`funnn.torchvision.transforms.AutoAugment`, of samples, with draws of its own."""

    shown = ("interpolation", "policy")
    _threshold = staticmethod(_threshold)

    def draw(self, img: Any) -> Any:
        """The operations with their strengths."""
        steps = self.policies[int(torch.randint(len(self.policies), ()).item())]
        strengths = {**autoaugment.usual_strengths(10, F.get_dimensions(img)[1:]), "Invert": autoaugment.Strengths(None, False)}
        drawn = []
        for step in steps:
            if torch.rand(()).item() > step.probability:
                continue
            values, signed = strengths[step.name]
            strength = values[step.strength] if values is not None and step.strength is not None else 0.0
            drawn.append((step.name, -strength if values is not None and signed and _negative() else strength))
        return drawn


class RandAugment(OfSamples, autoaugment.RandAugment):
    """As :class:`funnn.torchvision.transforms.RandAugment`, of samples, with draws of its own."""

    shown = ("interpolation", "num_ops", "magnitude", "num_magnitude_bins")
    _negative = staticmethod(_negative)
    _threshold = staticmethod(_threshold)


class TrivialAugmentWide(OfSamples, autoaugment.TrivialAugmentWide):
    """As :class:`funnn.torchvision.transforms.TrivialAugmentWide`, of samples, with draws of its own."""

    shown = ("interpolation", "num_magnitude_bins")
    _negative = staticmethod(_negative)
    _threshold = staticmethod(_threshold)
