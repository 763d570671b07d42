"""Layers made of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from funnn.layers._layer import Layer
from funnn.layers._text import list_text


class _Numbered(Layer):
    """Children named "0", "1", … or by the keys of one mapping."""

    def __init__(self, *layers: Layer | Mapping[str, Layer]):
        named = layers[0] if len(layers) == 1 and isinstance(layers[0], Mapping) else {str(i): layer for i, layer in enumerate(layers)}
        for name, layer in named.items():
            if not isinstance(layer, Layer):
                raise TypeError(f"{type(self).__name__} takes layers, but argument {name} is {layer!r} of type {type(layer).__name__}")
            self.__dict__[name] = layer

    def __len__(self) -> int:
        return len(self.children())

    def __getitem__(self, index: int | slice) -> Any:
        children = self.children()
        if isinstance(index, slice):
            return type(self)(dict(list(children.items())[index]))
        return list(children.values())[index]


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
        return super().__iter__() if self._scope is None else iter(self.children().values())

    def forward(self, input: Any) -> Any:
        for layer in self:
            input = layer(input)
        return input


class LayerList(_Numbered):
    """A list of layers for a ``forward`` of one's own to index or walk through; torch's ModuleList.

    A field that holds a list or tuple of layers becomes a LayerList by itself. It prints as torch's does.
    """

    def __iter__(self) -> Iterator[Any]:
        return iter(self.children().values())

    def __repr__(self) -> str:
        if self._policy is not None or self._mode is not None:
            return super().__repr__()
        return list_text([repr(layer) for layer in self])

    def _get_name(self) -> str:
        return "ModuleList"


Layer._of_list = staticmethod(lambda layers: LayerList(*layers))
