"""Static arguments as a template and the sizes in it, so that forms that differ in sizes alone are known as one family."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_SIZE = object()


def sizes_of(static: Any) -> tuple[Any, tuple[int, ...]]:
    """A hashable template of nested tuples, lists, dicts and slices, and the whole numbers in it, in order."""
    sizes: list[int] = []
    return _template(static, sizes), tuple(sizes)


def _template(static: Any, sizes: list[int]) -> Any:
    kind = type(static)
    if kind is int:
        sizes.append(static)
        return _SIZE
    if kind is float:
        return kind, static, str(static)  # −0.0 == 0.0, but not as text
    if isinstance(static, (tuple, list)):
        return kind, *[_template(item, sizes) for item in static]
    if kind is dict:
        return kind, *[(name, _template(item, sizes)) for name, item in static.items()]
    if kind is slice:
        return kind, *[_template(item, sizes) for item in (static.start, static.stop, static.step)]
    return kind, static


def with_sizes(static: Any, sizes: Iterator[Any]) -> Any:
    """The static arguments with other numbers for the whole numbers in them."""
    kind = type(static)
    if kind is int:
        return next(sizes)
    if isinstance(static, tuple):
        items = [with_sizes(item, sizes) for item in static]
        return static._make(items) if hasattr(static, "_make") else tuple(items)
    if kind is list:
        return [with_sizes(item, sizes) for item in static]
    if kind is dict:
        return {name: with_sizes(item, sizes) for name, item in static.items()}
    if kind is slice:
        return slice(*[with_sizes(item, sizes) for item in (static.start, static.stop, static.step)])
    return static
