"""Linear and bilinear maps of the last axis, and the identity."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, ClassVar

import jax

from funnn import functional as F
from funnn import init
from funnn.layers._layer import Layer, Param, Spec
from funnn.layers._text import enabled


def fan_in_bias(size: int, fan_in: int) -> Param:
    """torch's initial bias of linear and convolutional layers: U(−1/√fan_in, 1/√fan_in)."""
    bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0
    return Param((size,), partial(init.uniform, a=-bound, b=bound))


class Linear(Layer):
    """y = x Aᵀ + b over the last axis: (*, in_features) -> (*, out_features).

    Parameters: ``weight`` (out_features, in_features) and, unless ``bias=False``, ``bias`` (out_features,), both from U(−k, k) with
    k = 1/√in_features. With ``in_features=None``, ``init(key, x)`` finds it. Source: torch.nn.Linear.

    >>> import jax, jax.numpy as jnp
    >>> layer = Linear(3, 2)
    >>> layer
    Linear(in_features=3, out_features=2, bias=True)
    >>> params, state = layer.init(jax.random.key(0))
    >>> layer.apply(params, state, jnp.ones((5, 3)))[0].shape
    (5, 2)
    """

    in_features: int | None
    out_features: int
    bias: bool = True

    sizes_from_input: ClassVar[tuple[str, ...]] = ("in_features",)

    def spec(self) -> Spec:
        in_features: Any = self.in_features
        return {
            "weight": Param(
                (self.out_features, in_features), partial(init.kaiming_uniform, a=math.sqrt(5)), ("out_features", "in_features")
            ),
            "bias": fan_in_bias(self.out_features, in_features) if self.bias else None,
        }

    def forward(self, input: jax.Array) -> jax.Array:
        bias: Any = self.bias  # here the array
        return F.linear(input, self.weight, bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={enabled(self.bias)}"


class Bilinear(Layer):
    """y = x₁ᵀ A x₂ + b: (*, in1_features) and (*, in2_features) -> (*, out_features).

    Parameters: ``weight`` (out_features, in1_features, in2_features) and, unless ``bias=False``, ``bias`` (out_features,), both from U(−k, k) with
    k = 1/√in1_features. Source: torch.nn.Bilinear.

    Raises:
      ValueError: in1_features is not positive.
    """

    in1_features: int
    in2_features: int
    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        if self.in1_features <= 0:
            raise ValueError(f"in1_features must be > 0, but got {self.in1_features}")

    def spec(self) -> Spec:
        bound = 1 / math.sqrt(self.in1_features)
        draw = partial(init.uniform, a=-bound, b=bound)
        return {
            "weight": Param((self.out_features, self.in1_features, self.in2_features), draw),
            "bias": Param((self.out_features,), draw) if self.bias else None,
        }

    def forward(self, input1: jax.Array, input2: jax.Array) -> jax.Array:
        bias: Any = self.bias  # here the array
        return F.bilinear(input1, input2, self.weight, bias)

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}, "
            f"bias={enabled(self.bias)}"
        )


class Identity(Layer):
    """y = x; takes and ignores any arguments. Source: torch.nn.Identity."""

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def forward(self, input: Any) -> Any:
        return input
