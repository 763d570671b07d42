"""Models whose features inside are wanted."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from funnn.torch import nn


class IntermediateLayerGetter(nn.ModuleDict):
    """What some of a model's children give.

    Args:
      model: the model, whose children follow each other.
      return_layers: from their names to those under which the results come.

    Raises:
      ValueError: the model has no child of such a name.
    """

    def __init__(self, model: Any, return_layers: dict[str, str]) -> None:
        children = dict(model.named_children())
        if not set(return_layers) <= set(children):
            raise ValueError("return_layers are not present in model")
        last = max(list(children).index(name) for name in return_layers)
        super().__init__(OrderedDict(list(children.items())[: last + 1]))
        self.return_layers = {str(name): str(result) for name, result in return_layers.items()}

    def forward(self, x: Any) -> Any:
        """The results, by name."""
        found = OrderedDict()
        for name, child in self.items():
            x = child(x)
            if name in self.return_layers:
                found[self.return_layers[name]] = x
        return found
