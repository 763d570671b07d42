"""Models by name, and the weights that there are for them."""

from __future__ import annotations

import fnmatch
import functools
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, cast

from funnn.torch import hub, nn
from funnn.torchvision.transforms._interpolation import InterpolationMode
from funnn.torchvision.transforms._presets import ImageClassification, SemanticSegmentation

Model = Any
M = TypeVar("M", bound=Callable[..., Any])

_FOLDER = Path(__file__).parent
_ADDRESS = "https://download.pytorch.org/models/"
_VOC = (
    "__background__ aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant "
    "sheep sofa train tvmonitor"
)
_NORMALISATION: dict[str, dict[str, tuple[float, ...]]] = {
    "imagenet": {},
    "half": {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
    "caffe": {"mean": (0.48235, 0.45882, 0.40784), "std": (1 / 255, 1 / 255, 1 / 255)},
}


@dataclass
class Weights:
    """Trained weights: their address, the transforms that they need, and what else is known of them."""

    url: str
    transforms: Callable[..., Any]
    meta: dict[str, Any]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Weights) and self.url == other.url


class WeightsEnum(Enum):
    """The weights that there are for a model."""

    @classmethod
    def verify(cls, obj: Any) -> Any:
        """The member of a member, of its name, or of ``Enum.NAME``.

        Raises:
          TypeError: it is of another model.
        """
        if obj is None:
            return None
        if isinstance(obj, str):
            return cls[obj.removeprefix(f"{cls.__name__}.")]
        if not isinstance(obj, cls):
            raise TypeError(f"Invalid Weight class provided; expected {cls.__name__} but received {obj.__class__.__name__}.")
        return obj

    def get_state_dict(self, *args: Any, **kwargs: Any) -> Mapping[str, Any]:
        """The state dict, by ``torch.hub.load_state_dict_from_url`` with its arguments."""
        found: Mapping[str, Any] = hub.load_state_dict_from_url(self.url, *args, **{"weights_only": True, **kwargs})
        return found

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    @property
    def url(self) -> str:
        """The address."""
        return str(self.value.url)

    @property
    def transforms(self) -> Callable[..., Any]:
        """Makes the transforms that images need."""
        made: Callable[..., Any] = self.value.transforms
        return made

    @property
    def meta(self) -> dict[str, Any]:
        """What else is known: the categories, the number of parameters."""
        known: dict[str, Any] = self.value.meta
        return known


@functools.cache
def _rows() -> dict[str, list[list[str]]]:
    """The lines of weights.txt by the name of their enum."""
    found: dict[str, list[list[str]]] = {}
    for line in (_FOLDER / "weights.txt").read_text().splitlines()[1:]:
        row = line.split("\t")
        found.setdefault(row[1], []).append(row)
    return found


@functools.cache
def _categories(kind: str) -> list[str]:
    return (_FOLDER / "imagenet.txt").read_text().splitlines() if kind == "imagenet" else _VOC.split()


def _weights(row: list[str]) -> Weights:
    file, crop, resize, mode, count, normalisation = row[3], row[4], row[5], row[6], row[7], row[9]
    options: dict[str, Any] = {"resize_size": int(resize), "interpolation": InterpolationMode(mode), **_NORMALISATION[normalisation]}
    meta: dict[str, Any] = {"num_params": int(count)}
    if crop == "-":
        return Weights(_ADDRESS + file, partial(SemanticSegmentation, resize_size=int(resize)), {**meta, "categories": _categories("voc")})
    if normalisation != "caffe":  # those are of features alone
        meta["categories"] = _categories("imagenet")
    return Weights(_ADDRESS + file, partial(ImageClassification, crop_size=int(crop), **options), meta)


def weights_of(enum: str, module: str) -> Any:
    """The enum of that name, from weights.txt.

    Args:
      enum: its name.
      module: where it is defined.
    """
    rows = _rows()[enum]
    members = {row[2]: _weights(row) for row in rows}
    default = next(row[2] for row in rows if row[8] == "*")
    make: Any = WeightsEnum  # an Enum without members, which makes one with them
    made = make(enum, {**members, "DEFAULT": members[default]}, module=module)
    made.__doc__ = f"The weights of {rows[0][0]}."
    return made


_BUILDERS: dict[str, Callable[..., Any]] = {}
_ENUMS: dict[str, Any] = {}


def model(weights: Any, finish: Callable[[Any, dict[str, Any]], None] | None = None, **with_weights: Any) -> Callable[[M], M]:
    """Makes a function that builds a model one that loads weights too, and that is found by its name.

    Args:
      weights: the enum of the model's weights.
      finish: called with the model after its weights were loaded, and what was passed.
      **with_weights: arguments that the model has where weights are loaded, whatever is passed; or functions of the weights.
    """

    def decorate(build: M) -> M:
        @functools.wraps(build)
        def built(*args: Any, weights: Any = None, progress: bool = True, **kwargs: Any) -> Any:
            wanted = _asked_for(enum, args, weights, kwargs)
            if wanted is None:
                return build(**kwargs)
            fixed = {key: value(wanted) if callable(value) else value for key, value in with_weights.items()}
            made = _with_weights(build, wanted, progress, {**kwargs, **fixed})
            if finish is not None:
                finish(made, kwargs)
            return made

        key = build.__name__.lower()
        _BUILDERS[key], _ENUMS[key] = built, enum
        return cast(M, built)

    enum = weights
    return decorate


def _asked_for(enum: Any, args: tuple[Any, ...], weights: Any, kwargs: dict[str, Any]) -> Any:
    """The weights, also as older programs ask for them: ``pretrained=True``."""
    if args:
        weights = args[0]
    if "pretrained" in kwargs:
        warnings.warn(
            "The parameter 'pretrained' is deprecated since 0.13 and may be removed in the future, please use 'weights' instead.",
            UserWarning,
            stacklevel=3,
        )
        weights = kwargs.pop("pretrained")
    if isinstance(weights, bool):
        chosen = enum.DEFAULT if weights and len(enum) == 1 else next(iter(enum)) if weights else None
        text = (
            f"`weights={enum.__name__}.{chosen.name}`. You can also use `weights={enum.__name__}.DEFAULT`" if chosen else "`weights=None`"
        )
        warnings.warn(
            "Arguments other than a weight enum or `None` for 'weights' are deprecated since 0.13 and may be removed in the future. "
            f"The current behavior is equivalent to passing {text}" + (" to get the most up-to-date weights." if chosen else "."),
            UserWarning,
            stacklevel=3,
        )
        return chosen
    return enum.verify(weights)


def _with_weights(build: Callable[..., Any], weights: Any, progress: bool, kwargs: dict[str, Any]) -> Any:
    count = len(weights.meta.get("categories", ())) or 1000
    if kwargs.setdefault("num_classes", count) != count:
        raise ValueError(f"The parameter 'num_classes' expected value {count} but got {kwargs['num_classes']} instead.")
    made = build(**kwargs)
    made.load_state_dict(weights.get_state_dict(progress=progress, check_hash=True))
    return made


def list_models(module: ModuleType | None = None, include: Any = None, exclude: Any = None) -> list[str]:
    """The names of models, in order.

    Args:
      module: only those of this module.
      include: only those that one of these patterns matches, such as "resnet*".
      exclude: but those that one of these matches.
    """
    names = [name for name, build in _BUILDERS.items() if module is None or build.__module__.rsplit(".", 1)[0] == module.__name__]
    if include is not None:
        names = [name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in _patterns(include))]
    if exclude is not None:
        names = [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in _patterns(exclude))]
    return sorted(names)


def _patterns(patterns: str | Iterable[str]) -> list[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns)


def get_model_builder(name: str) -> Callable[..., nn.Module]:
    """The function that makes the model of that name.

    Raises:
      ValueError: there is none.
    """
    try:
        return _BUILDERS[name.lower()]
    except KeyError:
        raise ValueError(f"Unknown model {name.lower()}") from None


def get_model(name: str, **config: Any) -> nn.Module:
    """The model of that name, with arguments for its function.

    Raises:
      ValueError: there is none.
    """
    return get_model_builder(name)(**config)


def get_model_weights(name: Callable[..., Any] | str) -> Any:
    """The enum with the weights of a model, by its name or function."""
    if not isinstance(name, str):
        name = next(key for key, build in _BUILDERS.items() if build is name)
    get_model_builder(name)
    return _ENUMS[name.lower()]


def get_weight(name: str) -> Any:
    """The weights of a full name, such as "ResNet50_Weights.IMAGENET1K_V1".

    Raises:
      ValueError: there are none.
    """
    enum, _, member = name.partition(".")
    if not member:
        raise ValueError(f"Invalid weight name provided: '{name}'.")
    found = next((item for item in _ENUMS.values() if item.__name__ == enum), None)
    if found is None:
        raise ValueError(f"The weight enum '{enum}' for the specific method couldn't be retrieved.")
    return found[member]
