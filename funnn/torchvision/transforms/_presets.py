"""What weights' ``transforms()`` give: the transforms with which they were evaluated."""

from __future__ import annotations

from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torchvision.transforms import functional as F
from funnn.torchvision.transforms._interpolation import InterpolationMode

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Preset(nn.Module):
    """Images to normalised tensors of floats; ``_shown`` are the names that its text has."""

    _shown: tuple[str, ...]

    def __init__(
        self,
        resize_size: int | None,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        interpolation: InterpolationMode,
        antialias: bool | None,
    ) -> None:
        super().__init__()
        self.resize_size = None if resize_size is None else [resize_size]
        self.mean, self.std = list(mean), list(std)
        self.interpolation, self.antialias = interpolation, antialias

    def _resized(self, img: Any) -> Any:
        if self.resize_size is None:
            return img
        return F.resize(img, self.resize_size, interpolation=self.interpolation, antialias=self.antialias)

    def _ready(self, img: Any) -> Any:
        tensor = img if isinstance(img, torch.Tensor) else F.pil_to_tensor(img)
        return F.normalize(F.convert_image_dtype(tensor, torch.float), mean=self.mean, std=self.std)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({''.join(f'{chr(10)}    {name}={getattr(self, name)}' for name in self._shown)}\n)"


class ImageClassification(_Preset):
    """Resized, the middle cropped, to floats, normalised.

    Args:
      crop_size: of the middle.
      resize_size: of the shorter side.
      mean: of the normalisation.
      std: of the normalisation.
      interpolation: of the resizing.
      antialias: of the resizing.
    """

    _shown = "crop_size", "resize_size", "mean", "std", "interpolation"

    def __init__(
        self,
        *,
        crop_size: int,
        resize_size: int = 256,
        mean: tuple[float, ...] = _MEAN,
        std: tuple[float, ...] = _STD,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__(resize_size, mean, std, interpolation, antialias)
        self.crop_size = [crop_size]

    def forward(self, img: Any) -> Any:
        """The tensor of an image."""
        return self._ready(F.center_crop(self._resized(img), self.crop_size))


class SemanticSegmentation(_Preset):
    """Resized, to floats, normalised; the arguments are those of :class:`ImageClassification`."""

    _shown = "resize_size", "mean", "std", "interpolation"

    def __init__(
        self,
        *,
        resize_size: int | None,
        mean: tuple[float, ...] = _MEAN,
        std: tuple[float, ...] = _STD,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__(resize_size, mean, std, interpolation, antialias)

    def forward(self, img: Any) -> Any:
        """The tensor of an image."""
        return self._ready(self._resized(img))
