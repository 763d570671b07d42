"""Affine maps of the last axis, and the identity."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from funnn import functional as F
from funnn import init
from funnn.layers._layer import Layer, Param
from funnn.layers._text import enabled


def fan_in_bias(size: int, fan_in: int) -> Param:
    """torch's initial bias of linear and convolutional layers: U(−1/√fan_in, 1/√fan_in)."""
    bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0
    return Param((size,), partial(init.uniform, a=-bound, b=bound))


class Linear(Layer):
    """y = x Aᵀ + b over the last axis: (*, in_features) -> (*, out_features).

    Parameters: ``weight`` (out_features, in_features) and, unless ``bias=False``, ``bias`` (out_features,), both from U(−k, k) with
    k = 1/√in_features. Source: torch.nn.Linear.

    >>> import jax, jax.numpy as jnp
    >>> layer = Linear(3, 2)
    >>> layer
    Linear(in_features=3, out_features=2, bias=True)
    >>> params, state = layer.init(jax.random.key(0))
    >>> layer.apply(params, state, jnp.ones((5, 3)))[0].shape
    (5, 2)
    """

    in_features: int
    out_features: int
    bias: bool = True

    def spec(self):
        return {
            "weight": Param((self.out_features, self.in_features), partial(init.kaiming_uniform, a=math.sqrt(5))),
            "bias": fan_in_bias(self.out_features, self.in_features) if self.bias else None,
        }

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self):
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={enabled(self.bias)}"


class Identity(Layer):
    """y = x; takes and ignores any arguments. Source: torch.nn.Identity."""

    def __init__(self, *args: Any, **kwargs: Any):
        pass

    def forward(self, x):
        return x
