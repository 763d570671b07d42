"""What datasets of images share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

import funnn.torch as torch
from funnn.torch.utils import data
from funnn.torchvision._optional import Image, need_pillow

Function = Callable[..., Any]


class VisionDataset(data.Dataset):
    """Images in a folder, with their transforms.

    Args:
      root: the folder.
      transforms: a function of image and target, which gives both.
      transform: a function of the image.
      target_transform: a function of the target.

    Raises:
      ValueError: ``transforms`` beside another of them.
    """

    def __init__(
        self,
        root: str | Path | None = None,
        transforms: Function | None = None,
        transform: Function | None = None,
        target_transform: Function | None = None,
    ) -> None:
        self.root: Any = Path(root).expanduser().as_posix() if isinstance(root, str) and root.startswith("~") else root
        if transforms is not None and (transform is not None or target_transform is not None):
            raise ValueError("Only transforms or transform/target_transform can be passed as argument")
        self.transform, self.target_transform = transform, target_transform
        if transform is not None or target_transform is not None:
            transforms = StandardTransform(transform, target_transform)
        self.transforms = transforms

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __repr__(self) -> str:
        body = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            body.append(f"Root location: {self.root}")
        body += self.extra_repr().splitlines()
        if self.transforms is not None:
            body.append(repr(self.transforms))
        return "\n".join([f"Dataset {type(self).__name__}", *(f"    {line}" for line in body)])

    def extra_repr(self) -> str:
        """More lines of its text."""
        return ""

    def _transformed(self, image: Any, target: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)


class StandardTransform:
    """A function of the image and one of the target, each None if there is none."""

    def __init__(self, transform: Function | None = None, target_transform: Function | None = None) -> None:
        self.transform, self.target_transform = transform, target_transform

    def __call__(self, input: Any, target: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            input = self.transform(input)
        return input, target if self.target_transform is None else self.target_transform(target)

    def __repr__(self) -> str:
        lines = [type(self).__name__]
        for head, function in (("Transform: ", self.transform), ("Target transform: ", self.target_transform)):
            if function is not None:
                first, *rest = repr(function).splitlines()
                lines += [f"{head}{first}", *(f"{' ' * len(head)}{line}" for line in rest)]
        return "\n".join(lines)


class Arrays:
    """The NumPy arrays of a dataset's tensors, made once for each tensor that is assigned."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Any, Any]] = {}

    def __call__(self, name: str, values: Any) -> Any:
        known = self._known.get(name)
        if known is None or known[0] is not values:
            known = self._known[name] = (values, values.numpy() if isinstance(values, torch.Tensor) else values)
        return known[1]


def image_of(array: np.ndarray[Any, Any]) -> Any:
    """An image of Pillow's, of bytes (H, W) or (H, W, 3)."""
    need_pillow("an image of a dataset")
    return Image.fromarray(np.ascontiguousarray(array))


def opened(path: str | Path, mode: str | None = "RGB") -> Any:
    """The image in a file, in that mode of Pillow's."""
    need_pillow("an image of a dataset")
    with Path(path).open("rb") as file:
        image = Image.open(file)
        if mode is None:
            image.load()
            return image
        return image.convert(mode)


def one_of(value: Any, name: str, permitted: Iterable[str]) -> Any:
    """The value.

    Raises:
      ValueError: it is none of those permitted.
    """
    permitted = list(permitted)
    if value not in permitted:
        texts = ", ".join(repr(text) for text in permitted)
        raise ValueError(f"Unknown value '{value}' for argument {name}. Valid values are {{{texts}}}.")
    return value
