"""Layers that rearrange axes."""

from __future__ import annotations

import jax

from funnn import functional as F
from funnn.layers._layer import Layer


class Flatten(Layer):
    """Merges the axes from ``start_dim`` to ``end_dim`` (both included) into one. Source: torch.nn.Flatten."""

    start_dim: int = 1
    end_dim: int = -1

    def forward(self, input: jax.Array) -> jax.Array:
        return F.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Layer):
    """Splits axis ``dim`` into axes of sizes ``unflattened_size``, at most one of them −1. Source: torch.nn.Unflatten."""

    dim: int
    unflattened_size: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes = self.unflattened_size
        if not isinstance(sizes, (tuple, list)) or not all(isinstance(size, int) for size in sizes):
            raise TypeError(f"unflattened_size must be a tuple of ints, but found {sizes!r}")

    def forward(self, input: jax.Array) -> jax.Array:
        return F.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
