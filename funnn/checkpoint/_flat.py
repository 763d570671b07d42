"""Nested dicts <-> flat dicts with dotted keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax


def flatten(tree: Any) -> dict[str, Any]:
    """Join the path to each leaf with ".", in the containers' own order.

    Dicts are containers, and whatever else JAX looks into: tuples and lists, whose items go by their numbers, NamedTuples such as an optimizer's state,
    whose fields go by their names. As in torch's state_dict, what is None or an empty container leaves no trace. :func:`unflatten` leads back where all
    containers are dicts, and :func:`from_arrays` onto a template of any structure.

    Raises:
      TypeError: for a tree that is a leaf.
      ValueError: for a name that is not a non-empty string without a dot, and for two paths that are the same when joined.

    Example:
      >>> flatten({"fc": {"weight": 1, "bias": 2}, "relu": {}, "scale": 3, "moments": (4, 5)})
      {'fc.weight': 1, 'fc.bias': 2, 'scale': 3, 'moments.0': 4, 'moments.1': 5}
    """
    flat: dict[str, Any] = {}

    def walk(node: Any, prefix: str) -> None:
        children = _children(node)
        if children is None:
            if node is not None:
                if prefix in flat:
                    raise ValueError(f"two leaves have the path {prefix!r}; rename one of them")
                flat[prefix] = node
            return
        for name, child in children:
            if not isinstance(name, str) or not name or "." in name:
                where = f"in {prefix!r}" if prefix else "at the top"
                raise ValueError(f"the name {name!r} {where} cannot be part of a dotted key; use a non-empty string without '.'")
            walk(child, f"{prefix}.{name}" if prefix else name)

    if tree is not None and _children(tree) is None:
        raise TypeError(f"expected nested dicts or another pytree, got {type(tree).__name__}; put it into a dict")
    walk(tree, "")
    return flat


def _children(node: Any) -> list[tuple[Any, Any]] | None:
    """Names and values of what a container holds; None for a leaf."""
    if isinstance(node, Mapping):
        return list(node.items())
    if not is_container(node):
        return None
    found = jax.tree_util.tree_leaves_with_path(node, is_leaf=lambda item: item is not node)
    return [(jax.tree_util.keystr(path, simple=True), child) for path, child in found]


def require_dict(tree: Any) -> None:
    """Raise a TypeError for a tree whose root is not a dict."""
    if not isinstance(tree, Mapping):
        way = "; flatten and to_arrays take any pytree" if is_container(tree) else ""
        raise TypeError(f"expected nested dicts, got {type(tree).__name__}; pass the params and state that layer.init returned{way}")


def is_container(node: Any) -> bool:
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
