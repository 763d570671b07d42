"""Arrays to devices, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import numpy as np
from jax.sharding import Sharding

#: Where arrays go: everywhere the same, or by (key, array).
Place: TypeAlias = jax.Device | Sharding | Callable[[str, np.ndarray], jax.Device | Sharding]


def put(array: np.ndarray, place: jax.Device | Sharding) -> jax.Array:
    """The array on a device, or as a sharding says; types of 64 bits stay what they are."""
    with jax.enable_x64(True):
        return jax.block_until_ready(jax.device_put(array, place))  # type: ignore[no-any-return]


def place_arrays(tree: Any, place: Place) -> Any:
    """The tree of dicts, lists and tuples with its NumPy arrays on devices; an array that is there twice is put once."""
    done: dict[int, Any] = {}  # by id: all that the tree holds was there before the first was put, so none comes again

    def walk(node: Any, key: str) -> Any:
        if id(node) in done:
            return done[id(node)]
        if isinstance(node, np.ndarray):
            done[id(node)] = put(node, place(key, node) if callable(place) else place)
        elif isinstance(node, dict):
            done[id(node)] = node
            for name in list(node):
                node[name] = walk(node[name], _join(key, name))
        elif type(node) is list:
            done[id(node)] = node
            node[:] = [walk(item, _join(key, number)) for number, item in enumerate(node)]
        elif type(node) is tuple:
            return tuple([walk(item, _join(key, number)) for number, item in enumerate(node)])
        return done.get(id(node), node)

    return walk(tree, "")


def _join(key: str, name: Any) -> str:
    return f"{key}.{name}" if key else str(name)
