"""Layers inside a layer replaced together with their parameters: which are meant, and where they and their parameters are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from funnn._types import Tree
from funnn.layers._layer import Layer
from funnn.layers._selecting import Types
from funnn.layers._surgery import beginnings, fits, nearest, type_names
from funnn.layers._wrapper import Wrapper
from funnn.layers.combinator import Repeat


def targets(layer: Layer, path: str | tuple[str, ...] | None, kind: Types, who: str) -> dict[str, Layer]:
    """The layers that are meant, by path, parents first; what already has something beside it is not looked into."""
    patterns = (path,) if isinstance(path, str) else path
    found: dict[str, Layer] = {}
    seen: list[str] = []

    def visit(node: Layer, where: str) -> None:
        if isinstance(node, Wrapper):
            return
        if isinstance(node, kind):
            seen.append(where)
            if patterns is None or any(fits(above, pattern) for above in beginnings(where) for pattern in patterns):
                found[where] = node
        for name, child in node.children().items():
            visit(child, f"{where}.{name}" if where else name)

    visit(layer, "")
    if not found:
        at = "" if path is None else f" at path={path!r}"
        near = nearest((patterns or ("",))[0], seen) if seen else "it has none without an adapter; give another type"
        raise ValueError(f"{who}: {layer.__class__.__name__} has no {type_names(kind)}{at}; {near}")
    return found


def at(layer: Any, path: str) -> tuple[Any, tuple[int, ...]]:
    """The layer at a path, and how many times each Repeat on the way stacks its parameters."""
    counts = []
    for name in path.split(".") if path else ():
        if isinstance(layer, Repeat):
            counts.append(layer.times)
        layer = layer.children()[name]
    return layer, tuple(counts)


def below(tree: Any, path: str, layer: Layer) -> Any:
    for name in path.split(".") if path else ():
        if not isinstance(tree, Mapping):
            raise ValueError(
                f"params do not fit {layer.__class__.__name__}: nothing is at {path!r}; use the dicts that layer.init(key) returns"
            )
        tree = tree.get(name, {})
    return tree


def with_tree(tree: Any, path: str, new: Any) -> Tree:
    if not path:
        return new
    name, _, rest = path.partition(".")
    return {**tree, name: with_tree(tree.get(name, {}), rest, new)}


def without(tree: Any, path: str) -> Tree:
    name, _, rest = path.partition(".")
    below = without(tree[name], rest) if rest else {}
    return {**{key: value for key, value in tree.items() if key != name}, **({name: below} if below else {})} if name else {}
