"""What hears of every storage that is made or read while a function runs on tracers."""

from __future__ import annotations

import jax
from jax import lax

from funnn.engine.memory.storage import Storage
from funnn.engine.program.value import Value
from funnn.engine.tape.node import Node
from funnn.engine.tensor.tensor import Tensor


def cut(operands: list, tracked: tuple[int, ...]) -> list:
    """The operands of an operation, such that JAX's gradient of the whole ends where the tape's does: at detach and no_grad."""
    return [operand if i in tracked or type(operand) is not Value else _stopped(operand) for i, operand in enumerate(operands)]


def _stopped(value: Value) -> Value:
    return Value(lax.stop_gradient(value.array)) if isinstance(value.array, jax.core.Tracer) else value


class Listener:
    """What ``thread.tracing`` is told, and asked, while JAX transforms a function of Tensors; this one ignores all of it.

    Attributes:
      pushing: whether values carry tangents (forward mode).
      vmaps: those of torch.func's vmap that are in progress, outermost first.
    """

    pushing = False
    vmaps: tuple = ()

    def created(self, storage: Storage) -> None:
        """A storage was made."""

    def read(self, storage: Storage, tensor: Tensor | None = None) -> None:
        """A storage is about to be read or written."""

    def recorded(self, node: Node) -> None:
        """A node was recorded."""

    def cut(self, operands: list, tracked: tuple[int, ...]) -> list:
        """What an operation gets of its operands, of which the tape follows ``tracked``."""
        return operands

    def own_backward(self, what: str) -> None:
        """Something whose gradient is Python's was recorded."""

    def text(self, tensor: Tensor) -> str:
        """What a tensor prints as."""
        return tensor._text("tensor(")
