"""Several modules on several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from funnn.torch.nn.modules.module import Module

__all__ = ["parallel_apply"]


def parallel_apply(
    modules: Sequence[Module], inputs: Sequence[Any], kwargs_tup: Sequence[dict] | None = None, devices: Sequence[Any] | None = None
) -> list[Any]:
    """``[module(*input, **kwargs) for each]``, one after the other: XLA runs them as it can. An input that is no tuple is the only one."""
    named = [{}] * len(modules) if kwargs_tup is None else kwargs_tup
    if not len(modules) == len(inputs) == len(named):
        raise AssertionError(
            f"The number of modules {len(modules)} is not equal to the number of inputs {len(inputs)} or of kwargs_tup {len(named)}"
        )
    return [
        module(*(given if isinstance(given, (tuple, list)) else (given,)), **kwargs)
        for module, given, kwargs in zip(modules, inputs, named, strict=True)
    ]
