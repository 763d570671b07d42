"""What a row of the table of layers is, and how its inputs are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


class Int(NamedTuple):
    """Integers in [low, below)."""

    shape: tuple
    below: int
    low: int = 0


class Uniform(NamedTuple):
    """Floats in (low, high)."""

    shape: tuple
    low: float = 0.05
    high: float = 0.95


class Sign(NamedTuple):
    """−1.0 and 1.0."""

    shape: tuple


class Bool(NamedTuple):
    """A boolean mask; False in every first place, so that no row of it is all True."""

    shape: tuple


class Given(NamedTuple):
    """An argument that is no random array: a number, None, a size, or a NumPy array."""

    value: Any


def make(spec: Any, rng: np.random.Generator) -> Any:
    """The value of one input: a plain tuple of numbers is the shape of normal float64 numbers, a list a tuple of inputs."""
    if isinstance(spec, list):
        return tuple(make(item, rng) for item in spec)
    if isinstance(spec, Int):
        return rng.integers(spec.low, spec.below, spec.shape)
    if isinstance(spec, Uniform):
        return rng.uniform(spec.low, spec.high, spec.shape)
    if isinstance(spec, Sign):
        return np.sign(rng.standard_normal(spec.shape))
    if isinstance(spec, Bool):
        mask = rng.random(spec.shape) < 0.4
        mask[..., 0] = False
        return mask
    return spec.value if isinstance(spec, Given) else rng.standard_normal(spec)


@dataclass(frozen=True)
class Case:
    """A layer's name (funnn's and torch's), constructor arguments, and its inputs (see ``make``)."""

    name: str
    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    inputs: tuple = ((4, 3),)
    #: named inputs of forward
    named: dict[str, Any] = field(default_factory=dict)
    #: draws random numbers: in training (True), or in every call ("always")
    stochastic: bool | str = False
    #: torch runs it as many operations, the shim as one: the names of their nodes are not compared
    several_nodes: bool = False
    #: (rtol, atol) of outputs and of gradients against torch's, in float32
    tolerance: tuple[float, float] = (2e-5, 2e-6)
    gradient_tolerance: tuple[float, float] = (1e-4, 1e-5)

    def __str__(self) -> str:
        options = [*map(_short, self.args), *(f"{name}={_short(value)}" for name, value in self.kwargs.items())]
        return f"{self.name}({', '.join(options)})-{str(self.inputs[0] if self.inputs else '').replace(' ', '')}"

    @property
    def eval_key(self) -> Any:
        """The key to give outside training."""
        import jax

        return jax.random.key(1) if self.stochastic == "always" else None

    @property
    def modal(self) -> bool:
        """Whether training and evaluation differ."""
        return self.stochastic or any(word in self.name for word in ("Norm", "Transformer", "Attention", "Dropout", "RReLU"))

    def arrays(self, seed: int = 0) -> tuple[list, dict]:
        """The inputs, by position and by name; floats are float64."""
        rng = np.random.default_rng(seed)
        return [make(spec, rng) for spec in self.inputs], {name: make(spec, rng) for name, spec in self.named.items()}

    def layer(self) -> Any:
        """funnn's layer. Layers among the arguments are given as Cases."""
        from funnn import layers

        return getattr(layers, self.name)(
            *(a.layer() if isinstance(a, Case) else a for a in self.args),
            **{name: a.layer() if isinstance(a, Case) else a for name, a in self.kwargs.items()},
        )

    def module(self, torch: Any, **extra: Any) -> Any:
        """The Module, of whichever torch."""

        def convert(value: Any) -> Any:
            if isinstance(value, Case):
                return value.module(torch)
            return torch.tensor(value) if isinstance(value, np.ndarray) else value

        return getattr(torch.nn, self.name)(
            *map(convert, self.args), **{name: convert(value) for name, value in self.kwargs.items()}, **extra
        )


def _short(value: Any) -> str:
    return getattr(value, "__name__", None) or str(value).replace("\n", "")[:60]


def case(name: str, *args: Any, inputs: tuple = ((4, 3),), named: dict | None = None, **kwargs: Any) -> Case:
    """A row: constructor arguments as they are, and the settings of Case by an underscore behind their names (``stochastic_=True``)."""
    settings = {
        key[:-1]: kwargs.pop(key) for key in ("stochastic_", "several_nodes_", "tolerance_", "gradient_tolerance_") if key in kwargs
    }
    return Case(name, args, kwargs, inputs, named or {}, **settings)
