"""The part of a transformer's block that sees each token alone: two linear maps with an activation between, or three with a gate."""

from __future__ import annotations

import jax

from funnn import functional as F
from funnn.layers._axes import Axes, between
from funnn.layers._layer import Layer
from funnn.layers.activation import GELU
from funnn.layers.linear import Linear


class FeedForward(Layer):
    """y = down(activation(up(x))): (*, features) -> (*, features).

    Args:
      features: width of input and output.
      hidden_features: width between; mostly 4 · features.
      activation: a layer; default GELU().
      bias: whether both maps have biases; default True.

    Parameters: Linears ``up`` and ``down``. Vaswani et al., "Attention is all you need" (2017).

    >>> import jax.numpy as jnp
    >>> layer = FeedForward(3, 12)
    >>> layer.apply(*layer.init(jax.random.key(0)), jnp.ones((5, 3)))[0].shape
    (5, 3)
    """

    features: int
    hidden_features: int
    activation: Layer = GELU()
    bias: bool = True

    def __post_init__(self) -> None:
        self.up = Linear(self.features, self.hidden_features, self.bias)
        self.down = Linear(self.hidden_features, self.features, self.bias)

    def logical_axes(self) -> dict[str, Axes]:
        return between("hidden", ("up",), "down")

    def forward(self, x: jax.Array) -> jax.Array:
        return self.down(self.activation(self.up(x)))


class SwiGLU(Layer):
    """y = down(silu(gate(x)) · up(x)): (*, features) -> (*, features).

    Args:
      features: width of input and output.
      hidden_features: width between; 8/3 · features gives as many parameters as a FeedForward of 4 · features.
      bias: whether the three maps have biases; default False.

    Parameters: Linears ``gate``, ``up`` and ``down``. Shazeer, "GLU variants improve transformer" (2020).

    >>> import jax.numpy as jnp
    >>> layer = SwiGLU(3, 8)
    >>> layer.apply(*layer.init(jax.random.key(0)), jnp.ones((5, 3)))[0].shape
    (5, 3)
    """

    features: int
    hidden_features: int
    bias: bool = False

    def __post_init__(self) -> None:
        self.gate = Linear(self.features, self.hidden_features, self.bias)
        self.up = Linear(self.features, self.hidden_features, self.bias)
        self.down = Linear(self.hidden_features, self.features, self.bias)

    def logical_axes(self) -> dict[str, Axes]:
        return between("hidden", ("gate", "up"), "down")

    def forward(self, x: jax.Array) -> jax.Array:
        return self.down(F.swiglu(self.gate(x), self.up(x)))
