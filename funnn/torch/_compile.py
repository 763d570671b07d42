"""torch.compile."""

from __future__ import annotations

from typing import Any

from funnn.engine.program.compile import Compiled
from funnn.torch.nn.modules.module import Module


def compile(
    model: Any = None, *, fullgraph: bool = False, dynamic: bool | None = None, backend: Any = "inductor", mode: Any = None, **options: Any
):
    """Compile a function or a Module into one XLA program for each set of argument shapes; also a decorator.

    Everything that the function does to tensors is in the program: forward, ``loss.backward()``, ``optimizer.step()``, BatchNorm's buffers, random
    draws. Python runs only while a program is traced, so prints and counters inside run once; values are not known while tracing (``item()``
    and ``if tensor`` raise). Learning rates and other numbers of an optimizer may change without a new program. A function without backward
    inside is one operation of the tape, and gradients flow through it. The other arguments are torch's and change nothing.
    """
    if model is None:
        return lambda function: compile(function)
    if isinstance(model, Module):
        model.compile()
        return model
    return Compiled(model)
