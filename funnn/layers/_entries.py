"""What a layer's specification is made of: parameters, buffers, arrays among the hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np


class Param(NamedTuple):
    """A trainable array: its shape and its initialiser ``init(source, shape, dtype=…)``; names of its dimensions, for shardings, or None."""

    shape: tuple[int, ...]
    init: Callable[..., jax.Array]
    axes: tuple[str | None, ...] | None = None


class Buffer(NamedTuple):
    """An array that is part of the state but not trained. ``dtype=None`` means the dtype of the parameters."""

    shape: tuple[int, ...]
    init: Callable[..., jax.Array] | None
    dtype: Any = None


Spec = Mapping[str, Param | Buffer | None]


def present(entry: Param | Buffer | None) -> bool:
    """Whether an entry of a specification is switched on; off are None (a parameter) and a Buffer without initialiser."""
    return entry is not None and entry.init is not None


class Constant:
    """An array among a layer's hyperparameters, made hashable so that the layer stays a value."""

    def __init__(self, values: Any):
        self.values = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)

    def _key(self) -> tuple[Any, ...]:
        return self.values.shape, str(self.values.dtype), self.values.tobytes()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constant) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Constant({self.values.tolist()})"
