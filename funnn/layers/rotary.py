"""Rotary positions as a layer: the settings of the frequencies in one value."""

from __future__ import annotations

import jax

from funnn import functional as F
from funnn.layers._layer import Layer


class RotaryEmbedding(Layer):
    """Turns pair i of the features of queries or keys at position p by the angle p θ_i, so that scores depend on differences of positions.

    Inputs (*, L, D) or (*, H, L, D), and positions (L,) or (*, L); the output has the first input's shape. No parameters.

    Args:
      dim: how many features are turned, even, at most D; the rest stay as they are.
      base: θ_i = base^(−2i/dim); default 10000.
      interleaved: whether neighbours are a pair, as in GPT-J; else (default) i and i + dim/2, as in Llama in Hugging Face's order.
      scaling, factor, low_freq_factor, high_freq_factor, original_length: for texts longer than those in training; None, "linear", "ntk" or
        "llama3", as ``funnn.functional.rotary_frequencies`` has them.

    Su et al., "RoFormer" (2021).

    Raises:
      ArgumentError: dim is odd, or scaling is unknown.

    >>> import jax.numpy as jnp
    >>> RotaryEmbedding(4).apply({}, {}, jnp.ones((2, 5, 4)), jnp.arange(5))[0].shape
    (2, 5, 4)
    """

    dim: int
    base: float = 10000.0
    interleaved: bool = False
    scaling: str | None = None
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_length: int = 8192

    def __post_init__(self) -> None:
        self.frequencies()

    def frequencies(self) -> jax.Array:
        """θ, of shape (dim/2,)."""
        return F.rotary_frequencies(
            self.dim, self.base, self.scaling, self.factor, self.low_freq_factor, self.high_freq_factor, self.original_length
        )

    def forward(self, input: jax.Array, positions: jax.Array) -> jax.Array:
        return F.rotary_embedding(input, positions, self.frequencies(), self.interleaved)

    def extra_repr(self) -> str:
        scaling = "" if self.scaling is None else f", scaling={self.scaling!r}, factor={self.factor}"
        return f"{self.dim}, base={self.base}, interleaved={self.interleaved}{scaling}"
