"""Where random functions draw from: a JAX key, or any object that can draw."""

from __future__ import annotations

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from funnn._types import DTypeLike, Shape
from funnn.errors import KeyRequiredError


class RandomSource(Protocol):
    """What a random function draws from; each call advances the source.

    A key given to a function is one such source (see :class:`KeySource`); funnn.torch's generator is another, with PyTorch's own numbers.
    The arguments other than the source's state are never traced, so a caller may learn them before the numbers exist.
    """

    def uniform(self, shape: Shape, dtype: DTypeLike, low: float = 0.0, high: float = 1.0) -> jax.Array:
        """Numbers from U[low, high)."""

    def normal(self, shape: Shape, dtype: DTypeLike, mean: float = 0.0, std: float = 1.0) -> jax.Array:
        """Numbers from N(mean, std²)."""

    def bernoulli(self, shape: Shape, dtype: DTypeLike, p: float = 0.5) -> jax.Array:
        """1 with probability ``p``, else 0."""

    def exponential(self, shape: Shape, dtype: DTypeLike) -> jax.Array:
        """Numbers of the density e^−x, x > 0."""

    def permutation(self, n: int) -> jax.Array:
        """The integers 0 … n − 1 in random order."""


class KeySource:
    """A JAX key as a random source: the first draw uses the key itself, each later one the key folded with the draw's number."""

    def __init__(self, key: jax.Array):
        self._key, self._draws = key, 0

    def _next(self) -> jax.Array:
        key = self._key if self._draws == 0 else jax.random.fold_in(self._key, self._draws)
        self._draws += 1
        return key

    def uniform(self, shape: Shape, dtype: DTypeLike, low: float = 0.0, high: float = 1.0) -> jax.Array:
        """Numbers from U[low, high)."""
        return jax.random.uniform(self._next(), tuple(shape), dtype, low, high)

    def normal(self, shape: Shape, dtype: DTypeLike, mean: float = 0.0, std: float = 1.0) -> jax.Array:
        """Numbers from N(mean, std²)."""
        return mean + std * jax.random.normal(self._next(), tuple(shape), dtype)

    def bernoulli(self, shape: Shape, dtype: DTypeLike, p: float = 0.5) -> jax.Array:
        """1 with probability ``p``, else 0."""
        # float32 whatever the mode and the dtype, so that a key always draws the same mask
        return (jax.random.uniform(self._next(), tuple(shape), jnp.float32) < np.float32(p)).astype(dtype)

    def exponential(self, shape: Shape, dtype: DTypeLike) -> jax.Array:
        """Numbers of the density e^−x, x > 0."""
        return jax.random.exponential(self._next(), tuple(shape), dtype)

    def permutation(self, n: int) -> jax.Array:
        """The integers 0 … n − 1 in random order."""
        return jax.random.permutation(self._next(), n)


def random_source(source: Any) -> RandomSource:
    """``source`` itself if it can draw, else ``source`` taken as a JAX key."""
    return source if hasattr(source, "uniform") else KeySource(source)


def required(function: str, key: Any, why: str = "training=True") -> RandomSource:
    """The source of a function that is about to draw; the error for ``key=None`` says how to give one."""
    if key is None:
        raise KeyRequiredError(
            f"{function} with {why} draws random numbers and needs a key: pass key=jax.random.key(seed), "
            "a fresh one for every call (jax.random.split), or switch the randomness off."
        )
    return random_source(key)
