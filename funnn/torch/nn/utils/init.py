"""Modules whose parameters are not drawn."""

from __future__ import annotations

import inspect
from typing import Any

from funnn.engine.tensor.generator import default_generator
from funnn.torch.nn.modules.module import Module


def skip_init(module_cls: type, *args: Any, **kwargs: Any) -> Any:
    """``module_cls(*args, **kwargs)`` with parameters that hold no particular values; the random generator does not move.

    Raises:
      RuntimeError: no Module class, or one whose constructor takes no ``device``.
    """
    if not issubclass(module_cls, Module):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    state = default_generator.get_state()
    try:
        module = module_cls(*args, **kwargs)
    finally:
        default_generator.set_state(state)
    return module.to_empty(device=kwargs.get("device") or "cpu")
