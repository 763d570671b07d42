"""Layers made of layers."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any

from funnn.layers._layer import Layer
from funnn.layers._text import list_text
from funnn.layers._value import Value, freeze


class _Named(Layer):
    """Items by name, in order: layers, and in trees of them also None and functions."""

    def _put(self, named: Mapping[str, Any]) -> None:
        self.__dict__.update({"_names": tuple(named), **named})

    def _items(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self.__dict__["_names"]}

    def __len__(self) -> int:
        return len(self.__dict__["_names"])

    def _check(self, name: Any, item: Any) -> None:
        """Refuse what is neither a layer nor a function nor None."""
        if not (item is None or isinstance(item, Value) or callable(item)):
            raise TypeError(
                f"{type(self).__name__} takes layers, None, functions, and lists, tuples and dicts of these, but item {name!r} is {item!r} of type "
                f"{type(item).__name__}"
            )


class _Numbered(_Named):
    """Items named "0", "1", … or by the keys of one mapping."""

    def __init__(self, *layers: Layer | Mapping[str, Layer]):
        named = layers[0] if len(layers) == 1 and isinstance(layers[0], Mapping) else {str(i): layer for i, layer in enumerate(layers)}
        for name, layer in named.items():
            if not isinstance(layer, Layer):
                raise TypeError(f"{type(self).__name__} takes layers, but argument {name} is {layer!r} of type {type(layer).__name__}")
        self._put(named)

    def __getitem__(self, index: int | slice) -> Any:
        items = self._items()
        if isinstance(index, slice):
            return type(self)(dict(list(items.items())[index]))
        return list(items.values())[index]


class Sequential(_Numbered):
    """Applies layers one after the other; each takes the output of the one before. Source: torch.nn.Sequential.

    >>> from funnn.layers import Linear, Tanh
    >>> Sequential(Linear(2, 3), Tanh())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): Tanh()
    )
    """

    def __iter__(self) -> Iterator[Any]:
        return super().__iter__() if self._scope is None else iter(self._items().values())

    def forward(self, input: Any) -> Any:
        for layer in self:
            input = layer(input)
        return input


class LayerList(_Numbered):
    """A list of layers for a ``forward`` of one's own to index or walk through; torch's ModuleList.

    A field that holds a list or tuple with layers in it becomes a LayerList by itself; then None and functions may stand among them, and lists and dicts
    of layers inside become containers too. It prints as torch's does.
    """

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items().values())

    def __repr__(self) -> str:
        if self._policy is not None or self._mode is not None or self._output is not None:
            return super().__repr__()
        return list_text([getattr(item, "__name__", None) or repr(item) for item in self])

    def _get_name(self) -> str:
        return "ModuleList"


class LayerDict(_Named):
    """Layers by key, for a ``forward`` of one's own; torch's ModuleDict. A field that holds a dict with layers in it becomes one by itself.

    Args:
      layers: the layers, by names that are no methods of the dict; None and functions may stand among them.

    Raises:
      TypeError: a key is no text, or an item neither layer nor function nor None.
      KeyError: a key is empty, has a dot, or is the name of a method.

    >>> import jax
    >>> from funnn.layers import Linear
    >>> heads = LayerDict({"value": Linear(3, 1), "policy": Linear(3, 4)})
    >>> list(heads), heads["policy"].out_features, sorted(heads.init(jax.random.key(0))[0])
    (['value', 'policy'], 4, ['policy', 'value'])
    """

    def __init__(self, layers: Mapping[str, Any]):
        for key, item in layers.items():
            if not isinstance(key, str):
                raise TypeError(f"LayerDict: a key must be text, as it becomes a part of the parameters' names, but got {key!r}")
            if not key or "." in key:
                raise KeyError(f"LayerDict: a key must not be empty or have a dot, which separates the parameters' names, but got {key!r}")
            if hasattr(type(self), key):
                raise KeyError(f"LayerDict: {key!r} is an attribute of every LayerDict; choose another key")
            self._check(key, item)
        self._put(layers)

    def __getitem__(self, key: str) -> Any:
        return self._items()[key]

    def __contains__(self, key: object) -> bool:
        return key in self.__dict__["_names"]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__dict__["_names"])

    def keys(self) -> KeysView[str]:
        """The keys."""
        return self._items().keys()

    def values(self) -> ValuesView[Any]:
        """The layers."""
        return self._items().values()

    def items(self) -> ItemsView[str, Any]:
        """Pairs of key and layer."""
        return self._items().items()

    def _get_name(self) -> str:
        return "ModuleDict"


def _container_of(tree: Any) -> Layer:
    """The container for a list, tuple or dict that holds layers."""
    if isinstance(tree, Mapping):
        return LayerDict({key: _item_of(item) for key, item in tree.items()})
    names = tree._fields if hasattr(tree, "_fields") else map(str, range(len(tree)))
    layers = LayerList()
    items = dict(zip(names, map(_item_of, tree), strict=True))
    for name, item in items.items():
        layers._check(name, item)
    layers._put(items)
    return layers


def _item_of(item: Any) -> Any:
    """A list or dict beside layers is a container too, even if it holds none."""
    return _container_of(item) if isinstance(item, (list, tuple, Mapping)) else freeze(item)


Value._of_tree = staticmethod(_container_of)
