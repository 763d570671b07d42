"""Parameters by their path, or by the type of the layer that they are in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax

from funnn.layers import Layer, Param, Repeat

#: A regular expression, searched for in a parameter's path; or a class of layers, for all parameters in such a layer.
Which = str | type[Layer]


class Place(NamedTuple):
    """Where a parameter stands in a layer.

    Attributes:
      layers: those that it is in, the outermost first.
      shape: its own, without the axes that count layers.
      stacked: how many leading axes of its array count layers, one for each ``Repeat`` around it.
    """

    layers: tuple[Layer, ...]
    shape: tuple[int, ...]
    stacked: int


def places(layer: Layer) -> dict[str, Place]:
    """The place of each parameter of a layer, by its path."""
    return dict(_walk(layer, "", (), 0))


def _walk(layer: Layer, prefix: str, above: tuple[Layer, ...], stacked: int) -> Iterator[tuple[str, Place]]:
    around = (*above, layer)
    for name, entry in layer.spec().items():
        if isinstance(entry, Param) and entry.init is not None:
            yield prefix + name, Place(around, entry.shape, stacked)
    for name, child in layer.children().items():
        yield from _walk(child, f"{prefix}{name}.", around, stacked + isinstance(layer, Repeat))


def by_place(layer: Layer, value: Callable[[str, Place], Any]) -> Callable[[Any], Any]:
    """A function of parameters that gives the tree of ``value(path, place)``."""
    known = places(layer)

    def of(path: str) -> Any:
        if path not in known:
            raise ValueError(f"{path!r} is no parameter of the layer, which has {list(known)}; give the layer whose parameters these are")
        return value(path, known[path])

    return lambda params: map_paths(of, params)


def map_paths(function: Callable[[str], Any], params: Any) -> Any:
    """The tree of ``function(path)``, names joined with "."."""
    return jax.tree_util.tree_map_with_path(lambda keys, _: function(jax.tree_util.keystr(keys, simple=True, separator=".")), params)


def matcher(which: Sequence[Which], layer: Layer | None, who: str) -> Callable[[str], int | None]:
    """A function of a path that gives the number of the first of ``which`` that selects it, or None.

    Raises:
      TypeError: one is neither a string nor a class of layers, or a class without the layer to look into.
    """
    for one in which:
        if not isinstance(one, str) and not (isinstance(one, type) and issubclass(one, Layer)):
            raise TypeError(f"{who} selects parameters by a regular expression or a class of layers, got {one!r}")
        if not isinstance(one, str) and layer is None:
            raise TypeError(f"{who} selects by the class {one.__name__}, and needs to know the layers: pass layer=…")
    known = {} if layer is None else places(layer)
    patterns = [re.compile(one) if isinstance(one, str) else one for one in which]

    def selects(one: re.Pattern[str] | type[Layer], path: str) -> bool:
        if isinstance(one, re.Pattern):
            return one.search(path) is not None
        return path in known and any(isinstance(around, one) for around in known[path].layers)

    return lambda path: next((number for number, one in enumerate(patterns) if selects(one, path)), None)


def name_of(one: Which) -> str:
    """How an error text calls it."""
    return repr(one) if isinstance(one, str) else one.__name__
