"""Nested dicts <-> flat dicts with dotted keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Join the path to each leaf with ".", in the dicts' own order.

    Anything that is not a mapping is a leaf. As in torch's state_dict, what is None or an empty dict leaves no trace.

    Raises:
      ValueError: for a name that is not a non-empty string without a dot; the keys would not lead back to the tree.

    Example:
      >>> flatten({"fc": {"weight": 1, "bias": 2}, "relu": {}, "scale": 3})
      {'fc.weight': 1, 'fc.bias': 2, 'scale': 3}
    """
    flat: dict[str, Any] = {}

    def walk(node: Any, prefix: str) -> None:
        if not isinstance(node, Mapping):
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
        raise TypeError(f"expected nested dicts, got {type(tree).__name__}; pass the params and state that layer.init returned")


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
