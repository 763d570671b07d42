"""The bottleneck adapter: a small network behind a layer that stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from funnn import functional as F
from funnn import init
from funnn.layers._layer import Layer
from funnn.layers._wrapper import Wrapper
from funnn.layers.linear import Linear


class Adapter(Wrapper):
    """z = y + W_up σ(W_down y + b_down) + b_up behind a layer that gives y: (*, features) -> (*, features).

    Args:
      base_layer: any layer whose output is one array.
      features: the size of its last axis.
      bottleneck: the width between; default 64.
      activation: σ, a function or a layer; default gelu.

    Parameters: those of ``base_layer``, ``adapter_down.weight`` (bottleneck, features) and ``bias`` as of a Linear, ``adapter_up.weight``
    (features, bottleneck) and ``bias`` zeros, so that at first z = y. Houlsby et al., "Parameter-efficient transfer learning for NLP" (2019).

    Raises:
      ValueError: bottleneck is not positive.
      TypeError: the layer's output is a tuple, list or dict.

    >>> import jax.numpy as jnp
    >>> layer = Adapter(Linear(4, 3), features=3, bottleneck=2)
    >>> params, state = layer.init(jax.random.key(0))
    >>> list(params), layer.apply(params, state, jnp.ones(4))[0].shape
    (['base_layer', 'adapter_down', 'adapter_up'], (3,))
    """

    base_layer: Layer
    features: int
    bottleneck: int = 64
    activation: Callable[..., Any] | Layer = F.gelu

    def __post_init__(self) -> None:
        if self.bottleneck < 1:
            raise ValueError(f"Adapter: bottleneck must be positive, but got bottleneck={self.bottleneck}")
        self.adapter_down = Linear(self.features, self.bottleneck)
        self.adapter_up = Linear(self.bottleneck, self.features)

    def redraw(self, name: str, shape: tuple[int, ...]) -> Callable[..., jax.Array] | None:
        return init.zeros if name.startswith("adapter_up.") else None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        y = self.base_layer(*args, **kwargs)
        if isinstance(y, (tuple, list, dict)):
            raise TypeError(f"Adapter takes a base_layer whose output is one array, got a {type(y).__name__}; adapt a layer inside it")
        return y + self.adapter_up(self.activation(self.adapter_down(y)))

    def extra_repr(self) -> str:
        return f"features={self.features}, bottleneck={self.bottleneck}"
