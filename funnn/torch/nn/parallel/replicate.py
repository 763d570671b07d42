"""Copies of a module for several devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from funnn.torch.nn.modules.module import Module

__all__ = ["replicate"]


def replicate(network: Module, devices: Sequence[Any], detach: bool = False) -> list[Module]:
    """A copy of ``network`` for each device, with the same parameters (or, with ``detach``, their values) and buffers; there is one device."""
    return [_copy(network, detach) for _ in devices]


def _copy(module: Module, detach: bool) -> Module:
    copied = object.__new__(type(module))
    copied.__dict__.update(module.__dict__)
    copied.__dict__["_parameters"] = {
        name: value.detach() if detach and value is not None else value for name, value in module._parameters.items()
    }
    copied.__dict__["_buffers"] = dict(module._buffers)
    copied.__dict__["_modules"] = {name: None if child is None else _copy(child, detach) for name, child in module._modules.items()}
    return copied
