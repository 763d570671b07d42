"""Transforms between types, and what is put together of others."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torchvision.transforms import functional as F
from funnn.torchvision.transforms._base import Transform


class _Container:
    """The transforms one a line."""

    transforms: Any

    def _lines(self, indent: str = "    ") -> str:
        return "".join(f"\n{indent}{t}" for t in self.transforms)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._lines()}\n)"


class Compose(_Container):
    """One transform after the other.

    Args:
      transforms: a list of them; any function of an image will do.
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img


class ToTensor:
    """Images of Pillow's and arrays (H, W, C) become tensors (C, H, W); bytes become floats from 0 to 1."""

    def __call__(self, pic: Any) -> Any:
        return F.to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class PILToTensor:
    """Images of Pillow's become tensors (C, H, W), with their values as they are."""

    def __call__(self, pic: Any) -> Any:
        return F.pil_to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ToPILImage:
    """Tensors (C, H, W) and arrays (H, W, C) become images of Pillow's.

    Args:
      mode: Pillow's mode; by default it follows from the channels and the type.
    """

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, pic: Any) -> Any:
        return F.to_pil_image(pic, self.mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.mode is None else f'mode={self.mode}'})"


class ConvertImageDtype(Transform):
    """Tensors in another type, scaled so that white stays white.

    Args:
      dtype: the type.
    """

    def __init__(self, dtype: Any) -> None:
        super().__init__()
        self.dtype = dtype

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.convert_image_dtype(img, self.dtype)


class Normalize(Transform):
    """(x - mean) / std of tensors of floats, for each channel.

    Args:
      mean: a number for each channel.
      std: a number for each channel.
      inplace: whether the tensor itself is changed.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        super().__init__()
        self.mean, self.std, self.inplace = mean, std, inplace

    def apply(self, img: Any, drawn: Any) -> Any:
        return self.functional.normalize(img, self.mean, self.std, self.inplace)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mean={self.mean}, std={self.std})"


class Lambda:
    """Any function as a transform.

    Args:
      lambd: the function.

    Raises:
      TypeError: it cannot be called.
    """

    def __init__(self, lambd: Callable[[Any], Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd).__name__!r}")
        self.lambd = lambd

    def __call__(self, img: Any) -> Any:
        return self.lambd(img)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _need_sequence(transforms: Any) -> None:
    if not isinstance(transforms, (Sequence, nn.ModuleList)):
        raise TypeError("Argument transforms should be a sequence")


class RandomApply(nn.Module):
    """All the transforms with probability ``p``, or none.

    Args:
      transforms: a list or ModuleList of them.
      p: the probability.
    """

    def __init__(self, transforms: Any, p: float = 0.5) -> None:
        super().__init__()
        _need_sequence(transforms)
        self.transforms = transforms
        self.p = p

    def forward(self, img: Any) -> Any:
        """The image, transformed with probability ``p``."""
        if self.p < torch.rand(1).item():
            return img
        for transform in self.transforms:
            img = transform(img)
        return img

    def __repr__(self) -> str:
        lines = "".join(f"\n    {t}" for t in self.transforms)
        return f"{type(self).__name__}(\n    p={self.p}{lines}\n)"


class RandomOrder(_Container):
    """The transforms in an order that Python's ``random`` shuffles.

    Args:
      transforms: a list of them.
    """

    def __init__(self, transforms: Any) -> None:
        _need_sequence(transforms)
        self.transforms = transforms

    def __call__(self, img: Any) -> Any:
        order = list(range(len(self.transforms)))
        random.shuffle(order)
        for i in order:
            img = self.transforms[i](img)
        return img


class RandomChoice(_Container):
    """One of the transforms, which Python's ``random`` chooses.

    Args:
      transforms: a list of them.
      p: the weight of each; by default they are equal.
    """

    def __init__(self, transforms: Any, p: Sequence[float] | None = None) -> None:
        _need_sequence(transforms)
        if p is not None and not isinstance(p, Sequence):
            raise TypeError("Argument p should be a sequence")
        self.transforms, self.p = transforms, p

    def __call__(self, *args: Any) -> Any:
        return random.choices(self.transforms, weights=self.p)[0](*args)

    def __repr__(self) -> str:
        return f"{super().__repr__()}(p={self.p})"


class LinearTransformation(Transform):
    """(x - mean) @ matrix, of a flattened tensor; such as whitening.

    Args:
      transformation_matrix: (D, D), with D = C · H · W.
      mean_vector: (D,).

    Raises:
      ValueError: the sizes or types do not fit.
    """

    def __init__(self, transformation_matrix: Any, mean_vector: Any) -> None:
        super().__init__()
        if transformation_matrix.size(0) != transformation_matrix.size(1):
            raise ValueError(f"transformation_matrix should be square. Got {tuple(transformation_matrix.size())} rectangular matrix.")
        if mean_vector.size(0) != transformation_matrix.size(0):
            raise ValueError(
                f"mean_vector should have the same length {mean_vector.size(0)} as any one of the dimensions of the "
                f"transformation_matrix [{tuple(transformation_matrix.size())}]"
            )
        if transformation_matrix.dtype != mean_vector.dtype:
            raise ValueError(f"Input tensors should have the same dtype. Got {transformation_matrix.dtype} and {mean_vector.dtype}")
        self.transformation_matrix = transformation_matrix
        self.mean_vector = mean_vector

    def apply(self, img: Any, drawn: Any) -> Any:
        length = img.shape[-3] * img.shape[-2] * img.shape[-1]
        if length != self.transformation_matrix.shape[0]:
            raise ValueError(
                "Input tensor and transformation matrix have incompatible shape."
                f"[{img.shape[-3]} x {img.shape[-2]} x {img.shape[-1]}] != {self.transformation_matrix.shape[0]}"
            )
        return torch.mm(img.view(-1, length) - self.mean_vector, self.transformation_matrix).view(img.shape)

    def __repr__(self) -> str:
        matrix, mean = self.transformation_matrix.tolist(), self.mean_vector.tolist()
        return f"{type(self).__name__}(transformation_matrix={matrix}, mean_vector={mean})"
