"""Nested dicts <-> flat dicts with dotted keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

_ANY_PYTREE = "for another pytree, such as a TrainState or an optimizer's state, use checkpoint.to_arrays and from_arrays"


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Join the path to each leaf with ".", in the dicts' own order.

    What is neither a mapping nor another container is a leaf. As in torch's state_dict, what is None or an empty dict leaves no trace.

    Raises:
      TypeError: for a tree with another container in it, such as the tuples of an optimizer's state: its parts have no names, so dotted keys
        would not lead back. :func:`to_arrays` and :func:`from_arrays` take any pytree.
      ValueError: for a name that is not a non-empty string without a dot; the keys would not lead back to the tree.

    Example:
      >>> flatten({"fc": {"weight": 1, "bias": 2}, "relu": {}, "scale": 3})
      {'fc.weight': 1, 'fc.bias': 2, 'scale': 3}
    """
    flat: dict[str, Any] = {}

    def walk(node: Any, prefix: str) -> None:
        if not isinstance(node, Mapping):
            if _is_container(node):
                raise TypeError(f"{prefix!r} holds a {type(node).__name__}, and dotted keys lead through dicts only; {_ANY_PYTREE}")
            if node is not None:
                flat[prefix] = node
            return
        for name, child in node.items():
            if not isinstance(name, str) or not name or "." in name:
                where = f"in {prefix!r}" if prefix else "at the top"
                raise ValueError(f"the name {name!r} {where} cannot be part of a dotted key; use a non-empty string without '.'")
            walk(child, f"{prefix}.{name}" if prefix else name)

    require_dict(tree)
    walk(tree, "")
    return flat


def require_dict(tree: Any) -> None:
    """Raise a TypeError for a tree whose root is not a dict."""
    if not isinstance(tree, Mapping):
        way = f"; {_ANY_PYTREE}" if _is_container(tree) else ""
        raise TypeError(f"expected nested dicts, got {type(tree).__name__}; pass the params and state that layer.init returned{way}")


def _is_container(node: Any) -> bool:
    """Whether JAX looks into it, as into tuples; what has a shape is an array, even if it is a pytree, as a Tensor is."""
    return node is not None and not hasattr(node, "shape") and not jax.tree_util.all_leaves([node])


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Split each key at its dots; the inverse of :func:`flatten`, up to empty dicts.

    Raises:
      ValueError: when one key is the beginning of another ("fc" and "fc.weight"), or a key has an empty part.

    Example:
      >>> unflatten({"fc.weight": 1, "fc.bias": 2, "scale": 3})
      {'fc': {'weight': 1, 'bias': 2}, 'scale': 3}
    """
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *path, name = key.split(".")
        if not name or not all(path):
            raise ValueError(f"the key {key!r} has an empty part; expected names joined by single dots, such as 'fc.weight'")
        node = tree
        for depth, part in enumerate(path, start=1):
            inner = ".".join(path[:depth])
            if inner in flat:
                raise ValueError(f"{inner!r} holds a value and {key!r} lies inside it; rename one of them")
            node = node.setdefault(part, {})
        node[name] = value
    return tree
