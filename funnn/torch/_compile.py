"""torch.compile."""

from __future__ import annotations

from typing import Any

from funnn.engine.program.region import compiled
from funnn.torch.nn.modules.module import Module


def compile(
    model: Any = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = "inductor", mode: Any = None, **options: Any
):
    """Run a function or a Module as one XLA program a call; also a decorator.

    Python runs at every call, so the numbers are those of the plain call for every function. What the call does to tensors (forward,
    ``loss.backward()``, ``optimizer.step()``, buffers) is one program, compiled when it is first seen, and found again when the same operations come on
    the same shapes. A value that is asked for inside (``item()``, ``if tensor``, ``print``) cuts it in two, with one warning.

    Args:
      fullgraph: raise where a value is asked for, instead of cutting.
      dynamic, backend, mode, options: torch's; they change nothing.
    """
    if model is None:
        return lambda function: compile(function, fullgraph=fullgraph)
    if isinstance(model, Module):
        model.compile(fullgraph=fullgraph)
        return model
    return compiled(model, fullgraph)
