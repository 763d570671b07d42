"""v2's classes that transforms has otherwise, or not at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import funnn.torch as torch
from funnn.torch import nn
from funnn.torch.distributions import Beta
from funnn.torch.nn import functional as nnf
from funnn.torchvision._optional import is_pil_image
from funnn.torchvision.transforms.v2 import functional as F
from funnn.torchvision.transforms.v2._samples import Transform, images_of, is_image, is_pure_tensor, leaves, replace
from funnn.torchvision.tv_tensors import Mask, TVTensor


class Compose(Transform):
    """One transform after the other, of whole samples.

    Args:
      transforms: a list of them; any function of a sample will do.
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        super().__init__()
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence of callables")
        if not transforms:
            raise ValueError("Pass at least one transform")
        self.transforms = transforms

    def forward(self, *inputs: Any) -> Any:
        """The sample, transformed."""
        for transform in self.transforms:
            outputs = transform(*inputs)
            inputs = outputs if len(inputs) > 1 else (outputs,)
        return outputs

    def extra_repr(self) -> str:
        """The transforms, one a line."""
        return "\n".join(f"    {t}" for t in self.transforms)


class _Choosing(nn.Module):
    """Some of the transforms, of whole samples."""

    def __init__(self, transforms: Any) -> None:
        super().__init__()
        if not isinstance(transforms, (Sequence, nn.ModuleList)):
            raise TypeError("Argument transforms should be a sequence of callables")
        self.transforms = transforms

    def _through(self, which: Sequence[Any], inputs: tuple[Any, ...]) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        for transform in which:
            sample = transform(*sample) if len(inputs) > 1 else transform(sample)
        return sample


class RandomApply(_Choosing):
    """All the transforms with probability ``p``, or none; of whole samples."""

    def __init__(self, transforms: Any, p: float = 0.5) -> None:
        super().__init__(transforms)
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        """The sample, transformed with probability ``p``."""
        return self._through([] if torch.rand(1).item() >= self.p else list(self.transforms), inputs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({chr(10).join(f'    {t}' for t in self.transforms)})"


class RandomChoice(_Choosing):
    """One of the transforms, with probabilities ``p``; of whole samples."""

    def __init__(self, transforms: Any, p: Sequence[float] | None = None) -> None:
        super().__init__(transforms)
        p = [1] * len(transforms) if p is None else p
        if len(p) != len(transforms):
            raise ValueError(f"Length of p doesn't match the number of transforms: {len(p)} != {len(transforms)}")
        self.p = [value / sum(p) for value in p]

    def forward(self, *inputs: Any) -> Any:
        """The sample, transformed by one of them."""
        return self._through([self.transforms[int(torch.multinomial(torch.tensor(self.p), 1))]], inputs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(transforms={list(self.transforms)}, p={self.p})"


class RandomOrder(_Choosing):
    """The transforms in a random order; of whole samples."""

    def forward(self, *inputs: Any) -> Any:
        """The sample, transformed by all of them."""
        return self._through([self.transforms[i] for i in torch.randperm(len(self.transforms)).tolist()], inputs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(transforms={list(self.transforms)})"


class Identity(Transform):
    """Nothing."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt


class _Each(Transform):
    """A transform of each part of a sample by itself."""

    def forward(self, *inputs: Any) -> Any:
        """The sample, transformed."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        found = list(leaves(sample))
        images = set(images_of(found))
        return replace(
            sample, iter([self.transform(leaf, {}) if i in images or self._takes(leaf) else leaf for i, leaf in enumerate(found)])
        )

    def _takes(self, leaf: Any) -> bool:
        """Whether a part that is no image is transformed."""
        return False


class Lambda(_Each):
    """A function of each part of a sample that is of one of some types.

    Args:
      lambd: the function.
      *types: the types; by default all.
    """

    def __init__(self, lambd: Callable[[Any], Any], *types: type) -> None:
        super().__init__()
        self.lambd = lambd
        self.types = types or (object,)

    def forward(self, *inputs: Any) -> Any:
        """The sample, with the function's results."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        return replace(sample, iter([self.lambd(leaf) if isinstance(leaf, self.types) else leaf for leaf in leaves(sample)]))

    def extra_repr(self) -> str:
        """The function and the types."""
        return f"{getattr(self.lambd, '__name__', self.lambd)}, types={[kind.__name__ for kind in self.types]}"


class ToImage(_Each):
    """Tensors, images of Pillow's and arrays (H, W, C) become tv_tensors.Image, with their values as they are."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_image(inpt)

    def _takes(self, leaf: Any) -> bool:
        return isinstance(leaf, np.ndarray)


class PILToTensor(_Each):
    """Images of Pillow's become tensors (C, H, W), with their values as they are."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.pil_to_tensor(inpt) if is_pil_image(inpt) else inpt


class ToTensor(_Each):
    """Images of Pillow's and arrays become floats from 0 to 1; torchvision asks for ToImage and ToDtype instead."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.to_tensor(inpt) if is_pil_image(inpt) or isinstance(inpt, np.ndarray) else inpt

    def _takes(self, leaf: Any) -> bool:
        return isinstance(leaf, np.ndarray)


class ToPILImage(_Each):
    """Tensors and arrays become images of Pillow's, in that ``mode``."""

    def __init__(self, mode: str | None = None) -> None:
        super().__init__()
        self.mode = mode

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt if is_pil_image(inpt) else F.to_pil_image(inpt, mode=self.mode)

    def _takes(self, leaf: Any) -> bool:
        return isinstance(leaf, np.ndarray)


class ToPureTensor(_Each):
    """What is of tv_tensors becomes a Tensor."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt.as_subclass(torch.Tensor) if isinstance(inpt, TVTensor) else inpt

    def _takes(self, leaf: Any) -> bool:
        return isinstance(leaf, TVTensor)


class ToDtype(_Each):
    """Another type of numbers; with ``scale``, white stays white.

    Args:
      dtype: the type of images, or a dict with those of tv_tensors' types, and of "others".
      scale: whether values of images are scaled.
    """

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        super().__init__()
        self.dtype, self.scale = dtype, scale

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(self.dtype, dict):
            return F.to_dtype(inpt, self.dtype, self.scale)
        kind = torch.Tensor if is_pure_tensor(inpt) else type(inpt)
        dtype = self.dtype.get(kind, self.dtype.get("others"))
        return inpt if dtype is None else F.to_dtype(inpt, dtype, self.scale)

    def _takes(self, leaf: Any) -> bool:
        return isinstance(self.dtype, dict) and isinstance(leaf, Mask)


class RGB(_Each):
    """Grey images become images of three channels."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt.convert("RGB") if is_pil_image(inpt) else F.rgb_to_grayscale(inpt, 3) if inpt.shape[-3] == 1 else inpt


class GaussianNoise(_Each):
    """Normal noise added to floats from 0 to 1."""

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        super().__init__()
        self.mean, self.sigma, self.clip = mean, sigma, clip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.gaussian_noise(inpt, self.mean, self.sigma, self.clip)


class _Mixing(nn.Module):
    """Images of a batch mixed with those before them, and their labels likewise.

    Args:
      alpha: the parameter of the Beta distribution of the share.
      num_classes: how many classes there are, for labels that are numbers.
      labels_getter: a function that finds the labels in a sample; by default the first tensor that is no image.
    """

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None, labels_getter: Any = "default") -> None:
        super().__init__()
        self.alpha, self.num_classes, self.labels_getter = float(alpha), num_classes, labels_getter
        self._share = Beta(torch.tensor([self.alpha]), torch.tensor([self.alpha]))

    def forward(self, *inputs: Any) -> Any:
        """The batch, mixed."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        found = list(leaves(sample))
        tensors = [i for i, leaf in enumerate(found) if isinstance(leaf, torch.Tensor)]
        image = next((i for i in tensors if is_image(found[i])), tensors[0])
        if callable(self.labels_getter):
            wanted = self.labels_getter(sample)
            label = next(i for i in tensors if found[i] is wanted)
        else:
            label = next(i for i in tensors if i != image)
        if found[image].ndim not in (4, 5):
            raise ValueError(f"Expected a batched input, but got a tensor with {found[image].ndim} dimensions")
        labels = found[label]
        if labels.ndim == 1:
            if self.num_classes is None:
                raise ValueError("num_classes must be passed if the labels are class indices")
            labels = nnf.one_hot(labels, num_classes=self.num_classes)
        share, found[image] = self._mix(found[image], float(self._share.sample(()).item()))
        labels = labels.float() if not labels.dtype.is_floating_point else labels
        found[label] = labels.roll(1, 0).mul(1.0 - share).add(labels.mul(share))
        return replace(sample, iter(found))

    def _mix(self, images: Any, share: float) -> tuple[float, Any]:
        raise NotImplementedError

    def extra_repr(self) -> str:
        """The parameter and the number of classes."""
        return f"alpha={self.alpha}" + ("" if self.num_classes is None else f", num_classes={self.num_classes}")


class MixUp(_Mixing):
    """Weighted means of each image of a batch and the one before it, and of their labels."""

    def _mix(self, images: Any, share: float) -> tuple[float, Any]:
        return share, images.roll(1, 0).mul(1.0 - share).add(images.mul(share))


class CutMix(_Mixing):
    """A rectangle of each image of a batch comes from the one before it; labels are weighted by area."""

    def _mix(self, images: Any, share: float) -> tuple[float, Any]:
        height, width = images.shape[-2:]
        x, y = int(torch.randint(width, size=(1,))), int(torch.randint(height, size=(1,)))
        half = 0.5 * math.sqrt(1.0 - share)
        across, down = int(half * width), int(half * height)
        left, top, right, bottom = max(x - across, 0), max(y - down, 0), min(x + across, width), min(y + down, height)
        mixed = images.clone()
        mixed[..., top:bottom, left:right] = images.roll(1, 0)[..., top:bottom, left:right]
        return float(1.0 - (right - left) * (bottom - top) / (width * height)), mixed
