"""A layer with small trained parts beside it."""

from __future__ import annotations

from typing import Any

from funnn.layers._layer import Layer, Param, fold_name


class Wrapper(Layer):
    """A layer ``base_layer`` with small trained parts beside it: the base of the LoRA layers and of Adapter."""

    base_layer: Layer

    def draw_added(self, key: Any, dtype: Any) -> dict[str, Any]:
        """Initial parameters of the trained parts alone, as ``init`` draws them."""
        params: dict[str, Any] = {
            name: entry.init(fold_name(key, name), entry.shape, dtype=dtype)
            for name, entry in self.spec().items()
            if isinstance(entry, Param)
        }
        for name, child in self.children().items():
            drawn = {} if name == "base_layer" else child.init(fold_name(key, name), dtype=dtype)[0]
            if drawn:
                params[name] = drawn
        self._redraw_all(params, key, "")
        return params
