"""The memory format of convolutions' weights alone."""

from __future__ import annotations

from typing import Any

from funnn.torch.nn.modules import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d, Module


def convert_conv2d_weight_memory_format(module: Module, memory_format: Any) -> Module:
    """Give the weights of all Conv2d and ConvTranspose2d inside a memory format, in place; returns the module."""
    return _convert(module, memory_format, (Conv2d, ConvTranspose2d))


def convert_conv3d_weight_memory_format(module: Module, memory_format: Any) -> Module:
    """Give the weights of all Conv3d and ConvTranspose3d inside a memory format, in place; returns the module."""
    return _convert(module, memory_format, (Conv3d, ConvTranspose3d))


def _convert(module: Module, memory_format: Any, classes: tuple[type, ...]) -> Module:
    for part in module.modules():
        if isinstance(part, classes):
            part.weight.data = part.weight.detach().contiguous(memory_format=memory_format)
    return module
