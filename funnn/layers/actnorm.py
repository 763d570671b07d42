"""Normalisation that a first batch sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import jax

from funnn import init
from funnn.layers._layer import Layer, Param, Spec


class ActNorm(Layer):
    """y = (x + bias) · weight per channel (axis 1), where the first batch decides: its output has mean 0 and variance 1 in every channel.

    Args:
      num_features: C of the input (N, C, *); None takes it from the example.
      eps: added to the deviation; default 1e-6.

    Parameters: ``weight`` and ``bias`` (num_features,), which ``layer.init(key, example)`` computes from the example and ``layer.init(key)`` sets to
    1 and 0. Source: Kingma and Dhariwal, "Glow" (2018).

    >>> import jax.numpy as jnp
    >>> x = jnp.arange(12.0).reshape(4, 3)
    >>> layer = ActNorm(3)
    >>> y, _ = layer.apply(*layer.init(jax.random.key(0), x), x)
    >>> bool(jnp.allclose(y.mean(0), 0, atol=1e-5)), bool(jnp.allclose(y.std(0), 1, atol=1e-5))
    (True, True)
    """

    num_features: int | None
    eps: float = 1e-6

    sizes_from_input: ClassVar[tuple[str, ...]] = ("num_features",)
    size_axis = 1

    def spec(self) -> Spec:
        shape: Any = (self.num_features,)
        return {"weight": Param(shape, init.ones), "bias": Param(shape, init.zeros)}

    def init_from(self, input: jax.Array) -> Mapping[str, Any]:
        axes = (0, *range(2, input.ndim))
        return {"weight": 1 / (input.std(axes) + self.eps), "bias": -input.mean(axes)}

    def forward(self, input: jax.Array) -> jax.Array:
        shape = (1, -1, *(1,) * (input.ndim - 2))
        return (input + self.bias.reshape(shape)) * self.weight.reshape(shape)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}"
