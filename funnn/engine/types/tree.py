"""Nested tuples, lists and dicts, as torch counts them: in insertion order, and None is a value."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

_CONTAINERS = (tuple, list, dict, OrderedDict)


class Leaf:
    """The structure of a single value."""

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Leaf)

    __hash__ = object.__hash__

    def __reduce__(self) -> str:
        return "LEAF"  # there is one, in copies and pickles too

    def __repr__(self) -> str:
        return "*"


class Structure(NamedTuple):
    """A container's type, its keys (None but for dicts), and the structures of its items."""

    kind: type
    keys: tuple[Any, ...] | None
    items: tuple[Any, ...]

    def __repr__(self) -> str:
        return f"TreeSpec({self.kind.__name__}, {None if self.keys is None else list(self.keys)}, [{', '.join(map(repr, self.items))}])"


LEAF = Leaf()


def is_container(value: Any) -> bool:
    return type(value) in _CONTAINERS or (isinstance(value, tuple) and hasattr(value, "_fields"))


def flatten(value: Any) -> tuple[list[Any], Any]:
    """The leaves in order, and the structure."""
    leaves: list[Any] = []
    return leaves, _split(value, leaves)


def _split(value: Any, leaves: list[Any]) -> Any:
    if not is_container(value):
        leaves.append(value)
        return LEAF
    is_dict = isinstance(value, dict)
    items = value.values() if is_dict else value
    return Structure(type(value), tuple(value) if is_dict else None, tuple([_split(item, leaves) for item in items]))


def unflatten(leaves: Any, structure: Any) -> Any:
    """The opposite of :func:`flatten`."""
    return _join(iter(leaves), structure)


def _join(leaves: Iterator[Any], structure: Any) -> Any:
    if structure is LEAF:
        return next(leaves)
    items = [_join(leaves, item) for item in structure.items]
    if structure.keys is not None:
        return structure.kind(zip(structure.keys, items, strict=True))
    return structure.kind(*items) if hasattr(structure.kind, "_fields") else structure.kind(items)


def map_leaves(function: Callable[..., Any], value: Any) -> Any:
    """``value`` with every leaf replaced."""
    leaves, structure = flatten(value)
    return unflatten([function(leaf) for leaf in leaves], structure)


def spread(prefix: Any, structure: Any) -> list[Any] | None:
    """One value for each leaf of ``structure`` from a structure whose leaves may stand for whole parts; None if it does not fit."""
    if not is_container(prefix):
        return [prefix] * _count(structure)
    if structure is LEAF or type(prefix) is not structure.kind or len(prefix) != len(structure.items):
        return None
    if structure.keys is not None and set(prefix) != set(structure.keys):
        return None
    items = prefix if structure.keys is None else [prefix[key] for key in structure.keys]
    parts = [spread(item, inner) for item, inner in zip(items, structure.items, strict=True)]
    found = [part for part in parts if part is not None]
    return None if len(found) < len(parts) else [value for part in found for value in part]


def _count(structure: Any) -> int:
    return 1 if structure is LEAF else sum(_count(item) for item in structure.items)


# -- plain walks, into subclasses of tuple, list and dict too


def map_items(function: Callable[[Any], Any], value: Any) -> Any:
    """``value`` with all that its nested tuples, lists and dicts hold replaced; named tuples keep their type."""
    if isinstance(value, tuple):
        items = [map_items(function, item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    if isinstance(value, list):
        return [map_items(function, item) for item in value]
    if isinstance(value, dict):
        return {name: map_items(function, item) for name, item in value.items()}
    return function(value)


def items_of(value: Any) -> Iterator[Any]:
    """All that nested tuples, lists and dicts hold."""
    if isinstance(value, (tuple, list)):
        for item in value:
            yield from items_of(item)
    elif isinstance(value, dict):
        yield from items_of(tuple(value.values()))
    else:
        yield value
