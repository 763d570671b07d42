"""Arrays that have two paths: layers that stand in two places, and parameters that are tied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from funnn._types import Tree

Pairs = tuple[tuple[str, str], ...]


def find_shared(layer: Any) -> Pairs:
    """Of each layer with arrays that stands in several of the children of ``layer``: (its first path, another path).

    What is shared inside one child alone is that child's own matter.
    """
    first: dict[int, str] = {}
    found: list[tuple[str, str]] = []

    def walk(inside: Any, prefix: str) -> None:
        for name, child in inside.children().items():
            path = prefix + name
            if id(child) not in first:
                first[id(child)] = path
                walk(child, f"{path}.")
            elif first[id(child)].partition(".")[0] != path.partition(".")[0] and has_arrays(child):
                found.append((first[id(child)], path))

    walk(layer, "")
    return tuple(found)


def has_arrays(layer: Any) -> bool:
    """Whether a layer or one inside it has parameters or buffers."""
    unknown = any(
        layer.__dict__[name] is None for name in layer.sizes_from_input
    )  # with sizes unknown there is no spec yet, but there are parameters
    return unknown or bool(layer.spec()) or any(map(has_arrays, layer.children().values()))


def at_path(tree: Any, path: str, default: Any = None) -> Any:
    """What stands at a dotted path of nested dicts."""
    for name in path.split("."):
        if not isinstance(tree, Mapping) or name not in tree:
            return default
        tree = tree[name]
    return tree


def put_at_path(tree: Tree, path: str, value: Any) -> Tree:
    """The nested dicts with a value at a dotted path; those on the way are copied."""
    name, _, rest = path.partition(".")
    return {**tree, name: put_at_path(tree.get(name, {}), rest, value) if rest else value}


def without_paths(tree: Tree, paths: Iterable[str]) -> Tree:
    """The nested dicts without what stands at dotted paths, and without dicts that this leaves empty."""
    for path in paths:
        if at_path(tree, path) is not None:
            tree = _without(tree, path)
    return tree


def _without(tree: Tree, path: str) -> Tree:
    name, _, rest = path.partition(".")
    inside = _without(tree[name], rest) if rest else {}
    return {other: inside if other == name else value for other, value in tree.items() if other != name or inside}


def with_second_paths(what: str, where: str, tree: Tree, pairs: Iterable[tuple[str, str]]) -> Tree:
    """The nested dicts in which each second path has what the first one has.

    Raises:
      ValueError: a second path has something already.
    """
    for first, other in pairs:
        if at_path(tree, other) is not None:
            raise ValueError(f"{what} of {where}: {other!r} has the arrays of {first!r}, because they are shared; leave it out")
        value = at_path(tree, first)
        if value is not None:
            tree = put_at_path(tree, other, value)
    return tree
