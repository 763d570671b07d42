"""Transforms of whole samples: the images in nested tuples, lists and dicts are transformed alike, what else is there stays as it is."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, ClassVar

import funnn.torch as torch
from funnn.torch import nn
from funnn.torchvision._optional import is_pil_image
from funnn.torchvision.transforms._interpolation import InterpolationMode
from funnn.torchvision.transforms.v2 import functional
from funnn.torchvision.tv_tensors import Image, Mask, TVTensor, Video, wrap


def leaves(sample: Any) -> Iterator[Any]:
    """What nested tuples, lists and dicts hold."""
    if isinstance(sample, dict):
        for item in sample.values():
            yield from leaves(item)
    elif isinstance(sample, (list, tuple)):
        for item in sample:
            yield from leaves(item)
    else:
        yield sample


def replace(sample: Any, results: Iterator[Any]) -> Any:
    """The same containers around other leaves, in order."""
    if isinstance(sample, dict):
        return type(sample)((key, replace(item, results)) for key, item in sample.items())
    if isinstance(sample, (list, tuple)):
        items = [replace(item, results) for item in sample]
        return type(sample)(*items) if hasattr(sample, "_fields") else type(sample)(items)
    return next(results)


def is_pure_tensor(value: Any) -> bool:
    """Whether it is a tensor that does not say what it is."""
    return isinstance(value, torch.Tensor) and not isinstance(value, TVTensor)


def is_image(value: Any) -> bool:
    """Whether it is an image or a video that says so."""
    return isinstance(value, (Image, Video)) or is_pil_image(value)


def images_of(found: list[Any]) -> list[int]:
    """Which leaves are images: those that say so, or else the first tensor."""
    which = [i for i, leaf in enumerate(found) if is_image(leaf)]
    return which or [i for i, leaf in enumerate(found) if is_pure_tensor(leaf)][:1]


class Transform(nn.Module):
    """The base of v2's transforms, for one's own too: ``make_params`` draws, ``transform`` is called for each image and mask."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What is random, for all of a sample."""
        return {}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """One image or mask, transformed."""
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Any:
        """The sample, transformed."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        found = list(leaves(sample))
        which = set(images_of(found)) | {i for i, leaf in enumerate(found) if isinstance(leaf, Mask)}
        params = self.make_params(found)
        return replace(sample, iter([self.transform(leaf, params) if i in which else leaf for i, leaf in enumerate(found)]))

    def extra_repr(self) -> str:
        """The public attributes."""
        names = [name for name in vars(self) if not name.startswith("_") and name != "training"]
        return ", ".join(
            f"{name}={getattr(self, name)}" for name in names if isinstance(getattr(self, name), (bool, int, float, str, tuple, list, Enum))
        )


class OfSamples:
    """Makes a transform of one image into one of samples: it comes first among the bases."""

    #: The attributes that are printed, in order; those that are None are not.
    shown: ClassVar[tuple[str, ...]] = ()
    geometric: bool
    functional: Any = functional
    draw: Callable[[Any], Any]
    apply: Callable[[Any, Any], Any]

    def forward(self, *inputs: Any) -> Any:
        """The sample, transformed."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        found = list(leaves(sample))
        which = images_of(found)
        masks = [i for i, leaf in enumerate(found) if isinstance(leaf, Mask)] if self.geometric else []
        if not which and not masks:
            return sample
        drawn = self.draw(found[(which or masks)[0]])
        if drawn is None:
            return sample
        for i in which:
            found[i] = _kept(self.apply(found[i], drawn), found[i])
        for i in masks:
            found[i] = _kept(_for_masks(self).apply(found[i].as_subclass(torch.Tensor), drawn), found[i])
        return replace(sample, iter(found))

    def __repr__(self) -> str:
        shown = [(name, getattr(self, name)) for name in self.shown]
        default = inspect.signature(super().__init__).parameters.get("interpolation")  # its name is printed, another mode as itself
        name_of = {default.default: default.default.value} if default is not None else {}
        texts = [f"{name}={name_of.get(value, value) if isinstance(value, Enum) else value}" for name, value in shown if value is not None]
        return f"{type(self).__name__}({', '.join(texts)})"


def _kept(result: Any, like: Any) -> Any:
    if isinstance(result, tuple):
        return tuple(_kept(item, like) for item in result)
    return wrap(result, like=like) if isinstance(like, TVTensor) and is_pure_tensor(result) else result


def _for_masks(transform: Any) -> Any:
    """The transform with the nearest values, and zeros outside."""
    twin = copy.copy(transform)
    for name, value in (("interpolation", InterpolationMode.NEAREST), ("fill", 0)):
        if hasattr(twin, name):
            setattr(twin, name, value)
    return twin
