"""What binds a view of a layer: its path, its key, and the transformation of JAX's in which it was made."""

from __future__ import annotations

import zlib
from collections.abc import Set
from typing import Any

import jax
import numpy as np
from jax.extend.core import get_opaque_trace_state

from funnn import errors
from funnn.layers._observer import Observer


def fold_name(key: jax.Array, name: str) -> jax.Array:
    """The key that belongs to ``name`` under ``key``; independent of what else stands beside it."""
    return jax.random.fold_in(key, np.uint32(zlib.crc32(name.encode())))


def check_key(key: Any, where: str) -> None:
    """Refuse a number in the place of a key.

    Raises:
      TypeError: it is one.
    """
    if isinstance(key, (int, float, np.number)):
        raise TypeError(f"{where} takes a JAX key, but got the number {key!r}; write jax.random.key({int(key)})")


class Scope:
    """What a view is bound to besides its arrays.

    Attributes:
      path: of the view, from the layer that was applied.
      key: what it draws from, or None; draws: how often it did.
      params, buffers: the names of its arrays.
      observer: who is told of outputs, or None.
      layer: the description that the view was made of, or None for a Module's.
      running: whether a method runs between the casts of its policy.
    """

    __slots__ = ("_trace", "buffers", "draws", "key", "layer", "observer", "params", "path", "running")

    def __init__(
        self, path: str, key: jax.Array | None, params: Set[str], buffers: Set[str], observer: Observer | None = None, layer: Any = None
    ):
        self.path, self.key, self.params, self.buffers, self.observer, self.layer = path, key, params, buffers, observer, layer
        self.draws, self.running = 0, False
        self._trace = get_opaque_trace_state()

    def check_trace(self, name: str, what: str) -> None:
        """Refuse what would be wrong inside a transformation that began after the view was bound.

        Args:
          name: of the layer; what: it does there.

        Raises:
          TransformedLayerError: such a transformation is in progress.
        """
        if get_opaque_trace_state() != self._trace:
            at = f" at {self.path!r}" if self.path else ""
            layer = f"self.{self.path.rpartition('.')[2]}" if self.path else "self"
            raise errors.TransformedLayerError(
                f"{name}{at} {what} inside a transformation of JAX's (scan, vmap, cond, while_loop, checkpoint, grad, jit, …) that began inside forward: "
                f"random numbers would repeat there and new values of buffers would be lost. Use the lifted form, which takes the layer: "
                f"funnn.layers.scan(function, {layer}, carry, xs), vmap, cond, switch, while_loop or remat; for any other transformation, "
                f"funnn.layers.pure(function, {layer})"
            )

    def belong_to(self, other: Scope) -> None:
        """Take another one's transformation for one's own."""
        self._trace = other._trace

    def next_key(self) -> jax.Array | None:
        """A key for the next draw, or None."""
        self.draws += 1
        return None if self.key is None else jax.random.fold_in(self.key, self.draws)
