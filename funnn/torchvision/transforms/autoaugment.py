"""Augmentations that were found by search, or need none: AutoAugment, RandAugment, TrivialAugmentWide and AugMix."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

import funnn.torch as torch
from funnn.torch.distributions import Dirichlet
from funnn.torchvision.transforms import functional as F
from funnn.torchvision.transforms._base import Transform, integer
from funnn.torchvision.transforms._interpolation import InterpolationMode


class AutoAugmentPolicy(Enum):
    """The dataset for which a policy was found."""

    IMAGENET = "imagenet"
    CIFAR10 = "cifar10"
    SVHN = "svhn"


#: Pairs of operations with their probabilities and strengths (0 to 9), of "AutoAugment: Learning Augmentation Policies from Data".
_POLICIES = {
    AutoAugmentPolicy.IMAGENET: """
        Posterize 0.4 8, Rotate 0.6 9 | Solarize 0.6 5, AutoContrast 0.6 | Equalize 0.8, Equalize 0.6
        Posterize 0.6 7, Posterize 0.6 6 | Equalize 0.4, Solarize 0.2 4
        Equalize 0.4, Rotate 0.8 8 | Solarize 0.6 3, Equalize 0.6 | Posterize 0.8 5, Equalize 1
        Rotate 0.2 3, Solarize 0.6 8 | Equalize 0.6, Posterize 0.4 6
        Rotate 0.8 8, Color 0.4 0 | Rotate 0.4 9, Equalize 0.6 | Equalize 0, Equalize 0.8
        Invert 0.6, Equalize 1 | Color 0.6 4, Contrast 1 8
        Rotate 0.8 8, Color 1 2 | Color 0.8 8, Solarize 0.8 7 | Sharpness 0.4 7, Invert 0.6
        ShearX 0.6 5, Equalize 1 | Color 0.4 0, Equalize 0.6
        Equalize 0.4, Solarize 0.2 4 | Solarize 0.6 5, AutoContrast 0.6 | Invert 0.6, Equalize 1
        Color 0.6 4, Contrast 1 8 | Equalize 0.8, Equalize 0.6
    """,
    AutoAugmentPolicy.CIFAR10: """
        Invert 0.1, Contrast 0.2 6 | Rotate 0.7 2, TranslateX 0.3 9 | Sharpness 0.8 1, Sharpness 0.9 3
        ShearY 0.5 8, TranslateY 0.7 9 | AutoContrast 0.5, Equalize 0.9
        ShearY 0.2 7, Posterize 0.3 7 | Color 0.4 3, Brightness 0.6 7 | Sharpness 0.3 9, Brightness 0.7 9
        Equalize 0.6, Equalize 0.5 | Contrast 0.6 7, Sharpness 0.6 5
        Color 0.7 7, TranslateX 0.5 8 | Equalize 0.3, AutoContrast 0.4 | TranslateY 0.4 3, Sharpness 0.2 6
        Brightness 0.9 6, Color 0.2 8 | Solarize 0.5 2, Invert 0
        Equalize 0.2, AutoContrast 0.6 | Equalize 0.2, Equalize 0.6 | Color 0.9 9, Equalize 0.6
        AutoContrast 0.8, Solarize 0.2 8 | Brightness 0.1 3, Color 0.7 0
        Solarize 0.4 5, AutoContrast 0.9 | TranslateY 0.9 9, TranslateY 0.7 9 | AutoContrast 0.9, Solarize 0.8 3
        Equalize 0.8, Invert 0.1 | TranslateY 0.7 9, AutoContrast 0.9
    """,
    AutoAugmentPolicy.SVHN: """
        ShearX 0.9 4, Invert 0.2 | ShearY 0.9 8, Invert 0.7 | Equalize 0.6, Solarize 0.6 6
        Invert 0.9, Equalize 0.6 | Equalize 0.6, Rotate 0.9 3
        ShearX 0.9 4, AutoContrast 0.8 | ShearY 0.9 8, Invert 0.4 | ShearY 0.9 5, Solarize 0.2 6
        Invert 0.9, AutoContrast 0.8 | Equalize 0.6, Rotate 0.9 3
        ShearX 0.9 4, Solarize 0.3 3 | ShearY 0.8 8, Invert 0.7 | Equalize 0.9, TranslateY 0.6 6
        Invert 0.9, Equalize 0.6 | Contrast 0.3 3, Rotate 0.8 4
        Invert 0.8, TranslateY 0 2 | ShearY 0.7 6, Solarize 0.4 8 | Invert 0.6, Rotate 0.8 4
        ShearY 0.3 7, TranslateX 0.9 3 | ShearX 0.1 6, Invert 0.6
        Solarize 0.7 2, TranslateY 0.6 7 | ShearY 0.8 4, Invert 0.8 | ShearX 0.7 9, TranslateY 0.8 3
        ShearY 0.8 5, AutoContrast 0.7 | ShearX 0.7 2, Invert 0.1
    """,
}


class _Step(NamedTuple):
    name: str
    probability: float
    strength: int | None


def _policy(policy: AutoAugmentPolicy) -> list[tuple[_Step, ...]]:
    pairs = [pair for line in _POLICIES[policy].strip().splitlines() for pair in line.split("|")]
    return [tuple(_step(*text.split()) for text in pair.split(",")) for pair in pairs]


def _step(name: str, probability: str, strength: str | None = None) -> _Step:
    return _Step(name, float(probability), None if strength is None else int(strength))


class Strengths(NamedTuple):
    """What the strengths 0, 1, 2, … of an operation are, if it has any, and whether their sign is drawn."""

    values: list[float] | None
    signed: bool


_NONE = Strengths(None, False)


def _up_to(highest: float, bins: int) -> Strengths:
    return Strengths(torch.linspace(0.0, highest, bins).tolist(), True)


def _bits(most: int, least: int, bins: int) -> Strengths:
    """From all the bits to some of them."""
    return Strengths((most - (torch.arange(bins) / ((bins - 1) / (most - least))).round().int()).tolist(), False)


def _thresholds(bins: int) -> Strengths:
    return Strengths(torch.linspace(255.0, 0.0, bins).tolist(), False)


def _of_colours(highest: float, bins: int) -> dict[str, Strengths]:
    return {name: _up_to(highest, bins) for name in ("Brightness", "Color", "Contrast", "Sharpness")}


def _of_movements(shear: float, move: tuple[float, float], angle: float, bins: int) -> dict[str, Strengths]:
    """``move``: the longest ways in x and y."""
    ways = {"ShearX": shear, "ShearY": shear, "TranslateX": move[0], "TranslateY": move[1], "Rotate": angle}
    return {name: _up_to(highest, bins) for name, highest in ways.items()}


def usual_strengths(bins: int, size: Sequence[int]) -> dict[str, Strengths]:
    """Those of AutoAugment and RandAugment, for an image of that height and width."""
    move = 150.0 / 331.0 * size[1], 150.0 / 331.0 * size[0]
    return {
        **_of_movements(0.3, move, 30.0, bins),
        **_of_colours(0.9, bins),
        "Posterize": _bits(8, 4, bins),
        "Solarize": _thresholds(bins),
        "AutoContrast": _NONE,
        "Equalize": _NONE,
    }


def wide_strengths(bins: int) -> dict[str, Strengths]:
    """Those of TrivialAugmentWide."""
    return {
        "Identity": _NONE,
        **_of_movements(0.99, (32.0, 32.0), 135.0, bins),
        **_of_colours(0.99, bins),
        "Posterize": _bits(8, 2, bins),
        "Solarize": _thresholds(bins),
        "AutoContrast": _NONE,
        "Equalize": _NONE,
    }


#: The operations that are one function of torchvision's, by its name.
_ADJUST = {"Brightness": "adjust_brightness", "Color": "adjust_saturation", "Contrast": "adjust_contrast", "Sharpness": "adjust_sharpness"}
_PLAIN = {"AutoContrast": "autocontrast", "Equalize": "equalize", "Invert": "invert"}


class _Augment(Transform):
    """What is drawn is a list of operations with their strengths."""

    geometric = True

    def __init__(self, interpolation: InterpolationMode, fill: Sequence[float] | None) -> None:
        super().__init__()
        self.interpolation, self.fill = interpolation, fill

    def apply(self, img: Any, drawn: Any) -> Any:
        for name, strength in drawn:
            img = self._run(img, name, strength)
        return img

    def _run(self, img: Any, name: str, strength: float) -> Any:
        functional, interpolation, fill = self.functional, self.interpolation, self.fill
        if name in ("ShearX", "ShearY"):
            degrees = math.degrees(math.atan(strength))
            shear = [degrees, 0.0] if name == "ShearX" else [0.0, degrees]
            return functional.affine(img, 0.0, [0, 0], 1.0, shear, interpolation, fill, center=[0, 0])
        if name in ("TranslateX", "TranslateY"):
            move = [int(strength), 0] if name == "TranslateX" else [0, int(strength)]
            return functional.affine(img, 0.0, move, 1.0, [0.0, 0.0], interpolation, fill)
        if name == "Rotate":
            return functional.rotate(img, strength, interpolation, fill=fill)
        if name in _ADJUST:
            return getattr(functional, _ADJUST[name])(img, 1.0 + strength)
        if name == "Posterize":
            return functional.posterize(img, int(strength))
        if name == "Solarize":
            return functional.solarize(img, self._threshold(img, strength))
        return img if name == "Identity" else getattr(functional, _PLAIN[name])(img)

    @staticmethod
    def _threshold(img: Any, strength: float) -> float:
        """The threshold of solarize; it is of bytes."""
        return strength

    @staticmethod
    def _negative() -> bool:
        return integer(0, 2) == 1

    def _signed(self, strength: float, signed: bool) -> float:
        return -strength if signed and self._negative() else strength


def _any_of(strengths: Mapping[str, Strengths]) -> tuple[str, Strengths]:
    return list(strengths.items())[integer(0, len(strengths))]


class AutoAugment(_Augment):
    """One of the 25 pairs of operations of a policy that was found by search.

    Args:
      policy: the dataset for which it was found.
      interpolation: how values between pixels are made.
      fill: the colour of what was outside.
    """

    def __init__(
        self,
        policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET,
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        fill: Sequence[float] | None = None,
    ) -> None:
        super().__init__(interpolation, fill)
        if policy not in _POLICIES:
            raise ValueError(f"The provided policy {policy} is not recognized.")
        self.policy = policy
        self.policies = _policy(policy)

    @staticmethod
    def get_params(transform_num: int) -> tuple[int, Any, Any]:
        """Which pair; a uniform number and a sign for each of the two."""
        return integer(0, transform_num), torch.rand((2,)), torch.randint(2, (2,))

    def draw(self, img: Any) -> Any:
        """The operations with their strengths."""
        number, uniform, signs = self.get_params(len(self.policies))
        strengths = {**usual_strengths(10, F.get_dimensions(img)[1:]), "Invert": _NONE}
        drawn = []
        for step, chance, sign in zip(self.policies[number], uniform.tolist(), signs.tolist(), strict=True):
            values, signed = strengths[step.name]
            if chance <= step.probability:
                strength = values[step.strength] if values is not None and step.strength is not None else 0.0
                drawn.append((step.name, -strength if signed and sign == 0 else strength))
        return drawn

    def __repr__(self) -> str:
        return f"{type(self).__name__}(policy={self.policy}, fill={self.fill})"


class RandAugment(_Augment):
    """Some operations at random, all of one strength.

    Args:
      num_ops: how many.
      magnitude: the strength.
      num_magnitude_bins: how many strengths there are.
      interpolation: how values between pixels are made.
      fill: the colour of what was outside.
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        fill: Sequence[float] | None = None,
    ) -> None:
        super().__init__(interpolation, fill)
        self.num_ops, self.magnitude, self.num_magnitude_bins = num_ops, magnitude, num_magnitude_bins

    def draw(self, img: Any) -> Any:
        """The operations with their strengths."""
        strengths = {"Identity": _NONE, **usual_strengths(self.num_magnitude_bins, F.get_dimensions(img)[1:])}
        drawn = []
        for _ in range(self.num_ops):
            name, (values, signed) = _any_of(strengths)
            drawn.append((name, self._signed(0.0 if values is None else float(values[self.magnitude]), signed)))
        return drawn

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_ops={self.num_ops}, magnitude={self.magnitude}, "
            f"num_magnitude_bins={self.num_magnitude_bins}, interpolation={self.interpolation}, fill={self.fill})"
        )


class TrivialAugmentWide(_Augment):
    """One operation at random, of random strength.

    Args:
      num_magnitude_bins: how many strengths there are.
      interpolation: how values between pixels are made.
      fill: the colour of what was outside.
    """

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        fill: Sequence[float] | None = None,
    ) -> None:
        super().__init__(interpolation, fill)
        self.num_magnitude_bins = num_magnitude_bins

    def draw(self, img: Any) -> Any:
        """The operation with its strength."""
        name, (values, signed) = _any_of(wide_strengths(self.num_magnitude_bins))
        strength = 0.0 if values is None else float(values[integer(0, len(values))])
        return [(name, self._signed(strength, signed))]

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_magnitude_bins={self.num_magnitude_bins}, interpolation={self.interpolation}, fill={self.fill})"


class AugMix(_Augment):
    """A weighted mean of the image and of images under chains of operations.

    Args:
      severity: the largest strength, from 1 to 10.
      mixture_width: how many chains.
      chain_depth: how many operations in each; 1 to 3 at random if it is not positive.
      alpha: the parameter of the Dirichlet distributions of the weights.
      all_ops: whether operations of brightness, colour, contrast and sharpness are among them.
      interpolation: how values between pixels are made.
      fill: the colour of what was outside.
    """

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        fill: Sequence[float] | None = None,
    ) -> None:
        super().__init__(interpolation, fill)
        if not 1 <= severity <= 10:
            raise ValueError(f"The severity must be between [1, 10]. Got {severity} instead.")
        self.severity, self.mixture_width, self.chain_depth, self.alpha, self.all_ops = severity, mixture_width, chain_depth, alpha, all_ops

    def _strengths(self, size: Sequence[int]) -> dict[str, Strengths]:
        found = {
            **_of_movements(0.3, (size[1] / 3.0, size[0] / 3.0), 30.0, 10),
            "Posterize": _bits(4, 0, 10),
            "Solarize": _thresholds(10),
            "AutoContrast": _NONE,
            "Equalize": _NONE,
        }
        return {**found, **_of_colours(0.9, 10)} if self.all_ops else found

    def draw(self, img: Any) -> Any:
        """The two weights of image and mean for each image of a batch, those of the chains, and the chains."""
        strengths = self._strengths(F.get_dimensions(img)[1:])
        count = img.shape[0] if isinstance(img, torch.Tensor) and img.ndim == 4 else 1
        both = Dirichlet(torch.tensor([self.alpha, self.alpha]).expand(count, -1)).sample()
        each = Dirichlet(torch.tensor([self.alpha] * self.mixture_width).expand(count, -1)).sample()
        chains = []
        for _ in range(self.mixture_width):
            chain = []
            for _ in range(self.chain_depth if self.chain_depth > 0 else integer(1, 4)):
                name, (values, signed) = _any_of(strengths)
                strength = 0.0 if values is None else float(values[integer(0, self.severity)])
                chain.append((name, self._signed(strength, signed)))
            chains.append(chain)
        return both, each * both[:, 1:], chains

    def apply(self, img: Any, drawn: Any) -> Any:
        both, each, chains = drawn
        values = img if isinstance(img, torch.Tensor) else F.pil_to_tensor(img)
        batch = values.reshape((1,) * max(4 - values.ndim, 0) + tuple(values.shape))
        weights = (batch.shape[0],) + (1,) * (batch.ndim - 1)
        mix = both[:, 0].reshape(weights) * batch
        for i, chain in enumerate(chains):
            mix = mix + each[:, i].reshape(weights) * super().apply(batch, chain)
        mix = mix.reshape(values.shape).to(values.dtype)
        return mix if values is img else F.to_pil_image(mix, mode=img.mode)

    def __repr__(self) -> str:
        names = ("severity", "mixture_width", "chain_depth", "alpha", "all_ops", "interpolation", "fill")
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)}' for name in names)})"
