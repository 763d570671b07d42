"""Names of types that signatures in several folders share. An array is a ``jax.Array``, also a traced one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax.typing import DTypeLike as DTypeLike

#: Any structure of lists, tuples, dicts and other registered containers, with arrays as its leaves.
PyTree = Any
#: Nested dicts of arrays: a layer's parameters, or its state.
Tree = dict[str, Any]
Arrays = tuple[jax.Array, ...]
Shape = Sequence[int]
#: A number for all axes, or one for each.
Ints = int | Sequence[int]
