"""The memory format of convolutions' weights alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funnn.torch.nn.modules.module import Module


def _converter(dimensions: int) -> Callable:
    def convert(module: Module, memory_format: Any) -> Module:
        from funnn.torch import nn

        kinds = tuple(getattr(nn, f"{kind}{dimensions}d") for kind in ("Conv", "ConvTranspose"))
        for part in module.modules():
            if isinstance(part, kinds):
                part.weight.data = part.weight.detach().contiguous(memory_format=memory_format)
        return module

    convert.__name__ = convert.__qualname__ = f"convert_conv{dimensions}d_weight_memory_format"
    convert.__doc__ = (
        f"Give the weights of all Conv{dimensions}d and ConvTranspose{dimensions}d inside a memory format, in place; returns the module."
    )
    return convert


convert_conv2d_weight_memory_format = _converter(2)
convert_conv3d_weight_memory_format = _converter(3)
