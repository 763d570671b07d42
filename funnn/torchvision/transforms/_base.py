"""What all transforms share: what is drawn at random for an image is apart from what is done with it, so that v2 can do it to all of a sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import funnn.torch as torch
from funnn.torch import nn
from funnn.torchvision.transforms import functional
from funnn.torchvision.transforms._values import is_number


class Transform(nn.Module):
    """A transform of one image: :meth:`draw` what is random, and :meth:`apply` it."""

    #: The functions that it calls.
    functional: Any = functional
    #: Whether it moves pixels, and so whatever belongs to places of the image.
    geometric = False

    def draw(self, img: Any) -> Any:
        """What is random, for this image."""
        return ()

    def apply(self, img: Any, drawn: Any) -> Any:
        """The image, transformed by what was drawn."""
        raise NotImplementedError

    def forward(self, img: Any) -> Any:
        """The image, transformed."""
        return self.apply(img, self.draw(img))


class WithProbability(Transform):
    """A transform that leaves the image as it is, but with probability ``p``; the draw is one uniform number."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p

    def draw(self, img: Any) -> Any:
        """None where the image stays as it is."""
        return () if torch.rand(1).item() < self.p else None

    def forward(self, img: Any) -> Any:
        """The image, transformed with probability ``p``."""
        drawn = self.draw(img)
        return img if drawn is None else self.apply(img, drawn)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


def uniform(low: float, high: float) -> float:
    """One number from ``low`` to ``high``, in float32."""
    return float(torch.empty(1).uniform_(low, high).item())


def integer(low: int, high: int) -> int:
    """One integer from ``low`` to below ``high``."""
    return int(torch.randint(low, high, size=(1,)).item())


def two_sizes(size: Any, error: str = "Please provide only two dimensions (h, w) for size.") -> tuple[int, int]:
    """Height and width, of one or two numbers.

    Raises:
      ValueError: other lengths, with that message.
    """
    if is_number(size):
        return int(size), int(size)
    if isinstance(size, Sequence) and len(size) == 1:
        return size[0], size[0]
    if len(size) != 2:
        raise ValueError(error)
    return tuple(size)


def angles(value: Any, name: str, lengths: Sequence[int] = (2,)) -> list[float]:
    """A range of degrees, of one number x (from -x to x) or of its ends.

    Raises:
      ValueError: a negative number, or another length.
      TypeError: it is neither a number nor a sequence.
    """
    if is_number(value):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [-float(value), float(value)]
    sequence(value, name, lengths)
    return [float(number) for number in value]


def sequence(value: Any, name: str, lengths: Sequence[int]) -> None:
    """Raise TypeError if it is no sequence, and ValueError if it has another length."""
    wanted = " or ".join(str(length) for length in lengths)
    if not isinstance(value, Sequence):
        raise TypeError(f"{name} should be a sequence of length {wanted}.")
    if len(value) not in lengths:
        raise ValueError(f"{name} should be a sequence of length {wanted}.")
